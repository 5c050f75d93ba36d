"""Numbers put into a tensor, or added to it, at places that an index names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.elementwise import Elementwise, Parts, Slopes
from pellucid.core.rules.indexing import reached, scatter_sum, sum_to, take
from pellucid.core.rules.movement import copied, copies, number_to_index, row_major
from pellucid.core.rules.selection import along, indexed_numbers, sliced_numbers
from pellucid.core.rules.sums import Block, Index, Number, Sum, column, single

__all__ = ["RULES", "IndexPlacement", "Placement", "Scatter", "ScatterConstant", "SetItem", "Triangle"]


class Placement(Rule):
    """Numbers put into (or added to) the input at some places.

    Put: the input's gradient is cut off at those places and goes to what was put there. Added: it goes to both.
    """

    formula = r"y_j=\begin{cases}v_i&j=j(i)\\x_j&\text{else}\end{cases}"
    derivative = r"\frac{\partial L}{\partial v_i}=\frac{\partial L}{\partial y_{j(i)}}"
    value = "value"

    @abstractmethod
    def numbers(self, args: Arguments) -> Tensor:
        """The row-major numbers of the places."""

    def adds(self, args: Arguments) -> bool:
        """Whether the values are added to the input rather than put in its place."""
        return False

    def values(self, args: Arguments, numbers: Tensor) -> Tensor:
        """What is put, with the shape of the numbers."""
        value = torch.as_tensor(args[self.value])
        return (
            value.expand(numbers.shape) if value.numel() == 1 else _fitted(value, numbers.shape).expand(numbers.shape)
        )

    def scale(self, args: Arguments) -> Number:
        """What added values are multiplied by."""
        return 1.0

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x, numbers = args["input"].detach(), self.numbers(args)
        values = self.values(args, numbers).detach().to(x.dtype)
        flat = x.reshape(-1).clone()
        if self.adds(args):
            scale = self.scale(args)
            flat = flat + scatter_sum(values if scale == 1 else values * scale, numbers, flat.shape)
        else:
            flat[numbers.reshape(-1)] = values.reshape(-1)
        return (flat.reshape(x.shape),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        grad, numbers, value = upstream(outputs, grads), self.numbers(args), args.get(self.value)
        through = grad.reshape(-1).clone()
        reached_by = through[numbers] * self.scale(args)
        if not self.adds(args):
            through[numbers.reshape(-1)] = 0
        found = {"input": through.reshape(args["input"].shape)}
        if isinstance(value, Tensor) and value.dtype.is_floating_point:
            found[self.value] = self._returned(reached_by, value).to(value.dtype)
        return found

    def _returned(self, grad: Tensor, value: Tensor) -> Tensor:
        """The gradient at the places as one by the value."""
        fitted = value if value.numel() == 1 else _fitted(value, grad.shape)
        return sum_to(grad, fitted.shape).reshape(value.shape)

    def _hits(self, args: Arguments, index: Index) -> Tensor:
        """Which placements go to one entry, one a row."""
        number = sum(s * i for s, i in zip(row_major(args["input"].shape), index, strict=True))
        return (self.numbers(args) == number).nonzero()

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        hits, x = self._hits(args, index), args["input"]
        blocks: list[Block] = []
        if len(hits) and not self.adds(args):
            hits = hits[-1:]
        if len(hits):
            values = self.values(args, self.numbers(args)).detach()
            factors = [column(self.value, None, take(values, hits))]
            if self.scale(args) != 1:
                factors.append(column("alpha", None, torch.full((len(hits),), self.scale(args), dtype=torch.float64)))
            blocks.append(single(self.value, *factors))
        if self.adds(args) or not len(hits):
            blocks.append(copied("input", x, index))
        return Sum.of(blocks)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad = upstream(outputs, grads)
        if argument == "input":
            overwritten = not self.adds(args) and len(self._hits(args, index))
            return Sum.of(
                [] if overwritten else [copied("grad", grad, index)], note="overwritten" if overwritten else ""
            )
        numbers, value = self.numbers(args), args[argument]
        whole = value.numel() == 1 or value.shape != _fitted(value, numbers.shape).shape
        shape = value.shape if not whole else (_fitted(value, numbers.shape).shape if value.numel() > 1 else ())
        inner = (
            index
            if not whole
            else number_to_index(sum(s * i for s, i in zip(row_major(value.shape), index, strict=True)), shape)
        )
        rows = reached(inner, shape, numbers.shape)
        targets = [number_to_index(int(n), grad.shape) for n in take(numbers, rows)]
        where = torch.tensor(targets, dtype=torch.int64).reshape(len(targets), grad.ndim)
        found = copies(grad, where)
        if self.scale(args) == 1:
            return found
        factors = (
            column("grad", where, take(grad, where)),
            column("alpha", None, torch.full((len(where),), self.scale(args), dtype=torch.float64)),
        )
        return Sum.of([single("grad · alpha", *factors)])


def _fitted(value: Tensor, shape: Sequence[int]) -> Tensor:
    """The value without leading axes of length 1 that the places lack, and cut to them where it is larger."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value[0]
    return value


class SetItem(Placement):
    """``x[key] = value``, ``index_put``: the value broadcasts to the places."""

    names = ("setitem", "index_put")
    signature = "setitem: input, key, value | index_put: input, indices, value, accumulate=False"

    @override
    def numbers(self, args: Arguments) -> Tensor:
        return indexed_numbers(args)

    @override
    def adds(self, args: Arguments) -> bool:
        return bool(args.get("accumulate"))


class Scatter(Placement):
    """Values put at (``scatter``) or added to (``scatter_add``) the places that an index names along one axis."""

    names = ("scatter", "scatter_add")
    signature = "scatter: input, dim, index, src, *, reduce=None | scatter_add: input, dim, index, src"
    value = "src"

    @override
    def applies(self, args: Arguments) -> bool:
        return args.get("reduce") in (None, "add")

    @override
    def numbers(self, args: Arguments) -> Tensor:
        return along(args["input"].shape, args["dim"] % max(args["input"].ndim, 1), args["index"])

    @override
    def adds(self, args: Arguments) -> bool:
        return args.get("reduce") == "add" or "reduce" not in args

    @override
    def values(self, args: Arguments, numbers: Tensor) -> Tensor:
        value = torch.as_tensor(args["src"])
        return value.expand(numbers.shape) if value.ndim == 0 else value[tuple(slice(n) for n in numbers.shape)]

    @override
    def _returned(self, grad: Tensor, value: Tensor) -> Tensor:
        if value.ndim == 0:
            return grad.sum()
        full = torch.zeros_like(value)
        full[tuple(slice(n) for n in grad.shape)] = grad
        return full

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        if argument == "src" and args["src"].ndim:
            numbers = self.numbers(args)
            if any(i >= n for i, n in zip(index, numbers.shape, strict=True)):
                return Sum.of([], note="not placed anywhere")
            grad = upstream(outputs, grads)
            return Sum.of([copied("grad", grad, number_to_index(int(numbers[index]), grad.shape))])
        return super().gradient_entry(args, outputs, grads, argument, index)


class ScatterConstant(Scatter):
    """A constant put at the places that an index names along one axis."""

    names = ("scatter",)
    signature = "scatter: input, dim, index, value, *, reduce=None"
    value = "value"

    @override
    def applies(self, args: Arguments) -> bool:
        return "value" in args and args.get("reduce") is None

    @override
    def values(self, args: Arguments, numbers: Tensor) -> Tensor:
        return torch.as_tensor(args["value"]).expand(numbers.shape)


class IndexPlacement(Placement):
    """Whole slices added to (``index_add``), put at (``index_copy``), or filled (``index_fill``) along one axis."""

    names = ("index_add", "index_copy", "index_fill")
    signature = (
        "index_add: input, dim, index, source, *, alpha=1 | index_copy: input, dim, index, source"
        " | index_fill: input, dim, index, value"
    )

    def __init__(self, name: str, value: str, adds: bool) -> None:
        self.names, self.value, self._adds = (name,), value, adds

    @override
    def adds(self, args: Arguments) -> bool:
        return self._adds

    @override
    def scale(self, args: Arguments) -> Number:
        return float(args.get("alpha", 1))

    @override
    def numbers(self, args: Arguments) -> Tensor:
        return sliced_numbers(args)


class Triangle(Elementwise):
    """The part on and below (``tril``) or on and above (``triu``) a diagonal; 0 elsewhere."""

    names = ("tril", "triu")
    signature = "input, diagonal=0"
    formula = r"y_{ij}=x_{ij}\,[j\le i+d]"

    def __init__(self, name: str) -> None:
        self.names = (name,)

    def _kept(self, x: Tensor, diagonal: int) -> Tensor:
        """Where the input stays."""
        rows, columns = torch.arange(x.shape[-2], device=x.device), torch.arange(x.shape[-1], device=x.device)
        ahead = columns[None, :] - rows[:, None] - diagonal
        return (ahead <= 0) if self.names[0] == "tril" else (ahead >= 0)

    def _with_mask(self, args: Arguments) -> dict[str, Any]:
        """The call with the kept part as a mask."""
        return {"input": args["input"], "kept": self._kept(args["input"], args.get("diagonal", 0))}

    @override
    def compute(self, args: Arguments) -> Any:
        return torch.where(args["kept"], args["input"], torch.zeros_like(args["input"]))

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        return {"input": args["kept"].to(torch.float64)}

    @override
    def parts(self, args: Arguments) -> Parts:
        return [("input", {"input": args["input"], "kept": args["kept"].to(torch.float64)})]

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        return super().forward(self._with_mask(args), outputs)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        return super().backward(self._with_mask(args), outputs, grads)

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        return super().entry(self._with_mask(args), outputs, index)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        return super().gradient_entry(self._with_mask(args), outputs, grads, argument, index)


RULES: tuple[Rule, ...] = (
    SetItem(),
    Scatter(),
    ScatterConstant(),
    IndexPlacement("index_add", "source", adds=True),
    IndexPlacement("index_copy", "source", adds=False),
    IndexPlacement("index_fill", "value", adds=False),
    Triangle("tril"),
    Triangle("triu"),
)
