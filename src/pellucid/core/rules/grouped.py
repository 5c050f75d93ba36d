"""Products of other shapes: one a group of rows, as mixtures of experts use it, cross and Kronecker products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.contraction import Contraction, Operand, Product, arithmetic_dtype
from pellucid.core.rules.sums import Block, Index, Sum, column, constant, single

__all__ = ["RULES", "CrossProduct", "GroupedProduct", "Kronecker"]

_Key = tuple[Any, ...]
_ALL = slice(None)


class GroupedProduct(Rule):
    """y = a_g b_g, one product a group; ``offs`` says where each group ends in the axis that the groups share."""

    names = ("grouped_mm",)
    signature = "input, mat2, offs=None, bias=None, out_dtype=None"
    formula = r"y_{ij}=\sum_k a_{ik}\,b_{g(i)kj}"
    derivative = (
        r"\frac{\partial L}{\partial a}=\frac{\partial L}{\partial y}b_g^\top,\;"
        r"\frac{\partial L}{\partial b_g}=a_g^\top\frac{\partial L}{\partial y}"
    )

    @override
    def applies(self, args: Arguments) -> bool:
        return args.get("bias") is None and isinstance(args.get("mat2"), Tensor)

    def _groups(self, args: Arguments) -> Iterator[tuple[_Key, _Key, _Key]]:
        """For each group the keys of its part of a, of b and of the output."""
        a, b = args["input"], args["mat2"]
        if args.get("offs") is None:
            yield from (((g,), (g,), (g,)) for g in range(len(a)))
            return
        for group, (start, stop) in enumerate(pairwise([0, *args["offs"].tolist()])):
            part = slice(start, stop)
            if a.ndim == 2 and b.ndim == 3:
                yield (part,), (group,), (part,)
            elif a.ndim == 3:
                yield (group,), (_ALL, part), (_ALL, part)
            else:
                yield (_ALL, part), (part,), (group,)

    def _shape(self, args: Arguments) -> tuple[int, ...]:
        """The output's shape."""
        a, b = args["input"], args["mat2"]
        if a.ndim == 2 and b.ndim == 2:
            return len(args["offs"]), a.shape[0], b.shape[1]
        lead = (len(a),) if a.ndim == 3 and b.ndim == 3 else ()
        return (*lead, a.shape[-2], b.shape[-1])

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        a, b = args["input"].detach(), args["mat2"].detach()
        dtype = arithmetic_dtype(a, b)
        total = torch.zeros(self._shape(args), dtype=dtype)
        for first, second, out in self._groups(args):
            total[out] = a[first].to(dtype) @ b[second].to(dtype)
        return (total.to(outputs[0].dtype if outputs else a.dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        a, b, grad = args["input"].detach(), args["mat2"].detach(), upstream(outputs, grads)
        dtype = arithmetic_dtype(a, b)
        by_a, by_b = torch.zeros(a.shape, dtype=dtype), torch.zeros(b.shape, dtype=dtype)
        for first, second, out in self._groups(args):
            by_a[first] += grad[out].to(dtype) @ b[second].to(dtype).mT
            by_b[second] += a[first].to(dtype).mT @ grad[out].to(dtype)
        return {"input": by_a.to(a.dtype), "mat2": by_b.to(b.dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        a, b = _numbered(args["input"]), _numbered(args["mat2"])
        blocks = []
        for first, second, out in self._groups(args):
            place = _within(out, index, self._shape(args))
            if place is not None:
                blocks.append(
                    _products(args, ("input", a[first][place[0]]), ("mat2", b[second][:, place[1]]), args["input"])
                )
        return Sum.of(blocks, note="" if blocks else "belongs to no group")

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad = upstream(outputs, grads)
        held, numbers = {**args, "grad": grad}, _numbered(grad)
        a, b = _numbered(args["input"]), _numbered(args["mat2"])
        blocks: list[Block] = []
        for first, second, out in self._groups(args):
            place = _within(first if argument == "input" else second, index, tuple(args[argument].shape))
            if place is None:
                continue
            if argument == "input":
                blocks.append(_products(held, ("grad", numbers[out][place[0]]), ("mat2", b[second][place[1]]), grad))
            else:
                blocks.append(
                    _products(held, ("grad", numbers[out][:, place[1]]), ("input", a[first][:, place[0]]), grad)
                )
        return Sum.of(blocks, note="" if blocks else "belongs to no group")


def _numbered(tensor: Tensor) -> Tensor:
    """The row-major number of every entry."""
    return torch.arange(tensor.numel()).reshape(tensor.shape)


def _within(key: _Key, index: Index, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """An entry's row and column within one group; None if it is not in the group."""
    number = int(_numbered(torch.empty(shape))[index])
    found = (_numbered(torch.empty(shape))[key] == number).nonzero()
    return (int(found[0, 0]), int(found[0, 1])) if len(found) else None


def _products(args: Arguments, first: tuple[str, Tensor], second: tuple[str, Tensor], like: Tensor) -> Block:
    """Products of entries, told by their numbers."""
    columns = []
    for name, numbers in (first, second):
        tensor = args[name].detach()
        where = torch.stack(torch.unravel_index(numbers, tensor.shape), 1)
        columns.append(column(name, where, tensor.reshape(-1)[numbers].to(arithmetic_dtype(like))))
    return single(f"{first[0]} · {second[0]}", *columns)


class CrossProduct(Rule):
    """a × b: y₁ = a₂b₃ − a₃b₂, and so on in a circle; the gradients are b × g and g × a."""

    names = ("cross", "linalg_cross")
    signature = "cross: input, other, dim=None | linalg_cross: input, other, *, dim=-1"
    formula = r"y_i=a_{i+1}b_{i+2}-a_{i+2}b_{i+1}"
    derivative = (
        r"\frac{\partial L}{\partial a}=b\times\frac{\partial L}{\partial y},\;"
        r"\frac{\partial L}{\partial b}=\frac{\partial L}{\partial y}\times a"
    )

    @override
    def applies(self, args: Arguments) -> bool:
        return isinstance(args.get("other"), Tensor) and args["input"].shape == args["other"].shape

    def _axis(self, args: Arguments) -> int:
        """The axis of length 3."""
        shape = args["input"].shape
        return list(shape).index(3) if args.get("dim") is None else int(args["dim"]) % len(shape)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        return (_cross(args["input"].detach(), args["other"].detach(), self._axis(args)),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        grad, axis = upstream(outputs, grads), self._axis(args)
        a, b = args["input"].detach(), args["other"].detach()
        return {"input": _cross(b, grad, axis), "other": _cross(grad, a, axis)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        return self._terms(("input", args["input"]), ("other", args["other"]), index, self._axis(args))

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad, axis = ("grad", upstream(outputs, grads)), self._axis(args)
        if argument == "input":
            return self._terms(("other", args["other"]), grad, index, axis)
        return self._terms(grad, ("input", args["input"]), index, axis)

    def _terms(self, first: tuple[str, Tensor], second: tuple[str, Tensor], index: Index, axis: int) -> Sum:
        """Both products of one entry of a cross product."""
        blocks = []
        for one, two, sign in ((1, 2, 1.0), (2, 1, -1.0)):
            places = [(*index[:axis], (index[axis] + step) % 3, *index[axis + 1 :]) for step in (one, two)]
            columns = [
                column(name, place, tensor.detach()[place])
                for (name, tensor), place in zip((first, second), places, strict=True)
            ]
            blocks.append(single(f"{first[0]} · {second[0]}", *columns, *([constant("-1", -1.0)] if sign < 0 else [])))
        return Sum.of(blocks)


def _cross(a: Tensor, b: Tensor, axis: int) -> Tensor:
    """The cross product along an axis."""
    return a.roll(-1, axis) * b.roll(-2, axis) - a.roll(-2, axis) * b.roll(-1, axis)


class Kronecker(Contraction):
    """Every entry of one tensor times the whole of the other."""

    names = ("kron",)
    signature = "input, other"
    formula = r"y_{i\cdot P+k}=a_i b_k"

    @override
    def applies(self, args: Arguments) -> bool:
        return args["input"].ndim == args["other"].ndim

    @override
    def product(self, args: Arguments) -> Product:
        a, b = args["input"], args["other"]
        first, second = tuple(range(0, 2 * a.ndim, 2)), tuple(range(1, 2 * a.ndim, 2))
        return Product((Operand("input", a, first), Operand("other", b, second)), tuple(range(2 * a.ndim)))

    def _split(self, args: Arguments, value: Tensor) -> Tensor:
        """An output with an axis for each of both."""
        sizes = zip(args["input"].shape, args["other"].shape, strict=True)
        return value.reshape([n for pair in sizes for n in pair])

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        sizes = zip(args["input"].shape, args["other"].shape, strict=True)
        return (super().forward(args, outputs)[0].reshape([n * m for n, m in sizes]),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        grad = self._split(args, upstream(outputs, grads))
        return super().backward(args, [self._split(args, outputs[0])], [grad])

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        pairs = [divmod(i, n) for i, n in zip(index, args["other"].shape, strict=True)]
        return super().entry(args, [self._split(args, outputs[0])], tuple(k for pair in pairs for k in pair))

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad = self._split(args, upstream(outputs, grads))
        return super().gradient_entry(args, [self._split(args, outputs[0])], [grad], argument, index)


RULES: tuple[Rule, ...] = (GroupedProduct(), CrossProduct(), Kronecker())
