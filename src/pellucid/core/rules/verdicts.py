"""Operations through which no gradient passes: comparisons, truth values, places, constants and drawn numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule
from pellucid.core.rules.elementwise import Elementwise, Parts, Slopes, as_tensor
from pellucid.core.rules.groups import axes_of, group_key
from pellucid.core.rules.sums import Index, Number, Sum, constant, single

__all__ = ["RULES", "ArgExtreme", "NoGradient", "Overwrite", "Verdict"]


class Verdict(Elementwise):
    """A truth value or whole number for each entry; it does not change under small moves, so no gradient passes.

    Args:
        names: Canonical names.
        formula: In LaTeX, with ``s`` for the input and ``o`` for the other operand.
        value: The verdict on the operands.
        signature: The call's parameters.
    """

    differentiable = False
    derivative = "0"

    def __init__(self, names: str, formula: str, value: Callable[..., Any], signature: str = "input, other") -> None:
        self.names = tuple(names.split())
        self.formula = f"y=[{formula}]"
        self.signature = signature
        self._formula, self._value = formula, value

    @override
    def compute(self, args: Arguments) -> Any:
        operands = [as_tensor(args[k]) for k in ("input", "other") if k in args]
        return self._value(*operands)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        value = super().forward(args, outputs)[0] if outputs else torch.as_tensor(self.compute(args))
        return (value,)

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        return {}

    @override
    def parts(self, args: Arguments) -> Parts:
        return [("input", {"input": torch.as_tensor(args["input"], dtype=torch.float64)})]

    @override
    def then(self, args: Arguments) -> str:
        other = f"{float(args['other']):.6g}" if "other" in args else ""
        return "[" + self._formula.replace("o", other) + "]" if self._formula != "o" else other


class Overwrite(Elementwise):
    """The old numbers replaced: by a constant (``fill_``, ``zero_``) or by another tensor's (``copy_``)."""

    formula = "y=v"
    derivative = r"\frac{\partial y}{\partial v}=1,\;\frac{\partial y}{\partial x}=0"

    def __init__(self, name: str, value: str, signature: str) -> None:
        self.names, self._name, self.signature = (name,), value, signature

    @override
    def compute(self, args: Arguments) -> Any:
        value = torch.as_tensor(args.get(self._name, 0.0))
        return value.expand(args["input"].shape) if value.ndim <= args["input"].ndim else value

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        return {"input": torch.zeros_like(output), self._name: torch.ones_like(output)}

    @override
    def parts(self, args: Arguments) -> Parts:
        return [(self._name or "0", {self._name or "0": torch.as_tensor(args.get(self._name, 0.0))})]


class NoGradient(Rule):
    """An operation whose whole output is computed at once and lets no gradient pass.

    Args:
        names: Canonical names.
        signature: The call's parameters.
        value: The output, or outputs, from the arguments.
        note: What it does, in words.
        random: Whether the output was drawn; it is then taken as observed.
    """

    differentiable = False
    derivative = "0"

    def __init__(
        self, names: str, signature: str, value: Callable[..., Any], note: str, *, random: bool = False
    ) -> None:
        self.names, self.signature, self.random = tuple(names.split()), signature, random
        self.formula = rf"\text{{{note}}}"
        self.__doc__ = note
        self._value, self._note = value, note

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        if self.random and outputs is not None:
            return tuple(o.detach() for o in outputs)
        made = self._value(args)
        made = made if isinstance(made, tuple) else (made,)
        return tuple(m.to(o.dtype) for m, o in zip(made, outputs, strict=True)) if outputs else made

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        return {}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        return Sum.of([single(self._note, constant("value", float(outputs[output][index])))], note=self._note)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        return Sum.of([], note="no gradient passes")


class ArgExtreme(NoGradient):
    """The place of the largest (smallest) entry; of several any may be named."""

    def __init__(self, name: str, largest: bool) -> None:
        word = "largest" if largest else "smallest"
        super().__init__(name, "input, dim=None, keepdim=False", self._places, f"the place of the {word} entry")
        self._largest = largest

    def _places(self, args: Arguments) -> Tensor:
        """The first places of the extremes."""
        x, dim = args["input"].detach(), args.get("dim")
        flat = x.reshape(-1) if dim is None else x
        along = 0 if dim is None else dim
        order = torch.sort(flat, dim=along, descending=self._largest, stable=True).indices.select(along, 0)
        if not args.get("keepdim"):
            return order
        return order.reshape([1] * x.ndim) if dim is None else order.unsqueeze(dim)

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        ours = self._places(args)
        if outputs is None:
            return (ours,)
        x, dim = args["input"].detach(), args.get("dim")
        flat = x.reshape(-1) if dim is None else x
        along, theirs = (0 if dim is None else dim), outputs[0]
        pair = [p.reshape(1) if dim is None else p if args.get("keepdim") else p.unsqueeze(dim) for p in (ours, theirs)]
        same = [torch.gather(flat.reshape(1) if not flat.ndim else flat, along, p) for p in pair]
        return (torch.where((same[0] == same[1]).reshape(theirs.shape), theirs, ours),)

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        x, keepdim = args["input"].detach(), bool(args.get("keepdim"))
        values = x[group_key(index, axes_of(args.get("dim"), x.ndim), x.ndim, keepdim)].reshape(-1)
        place = int(outputs[0][index])
        ties = int((values == values[place]).sum())
        note = f"{float(values[place]):.6g} at place {place} of {len(values)}"
        note += f"; {ties} entries tie" if ties > 1 else ""
        return Sum.of([single("place", constant("place", float(place)))], note=note)


def _arange(args: Arguments) -> Tensor:
    """start, start + step, … below the end."""
    start, end, step = args["start"], args["end"], args["step"]
    if end is None:
        start, end = 0, start
    count = max(math.ceil((end - start) / step), 0)
    whole = all(isinstance(v, int) for v in (start, end, step))
    steps = torch.ones(count, dtype=torch.int64 if whole else torch.float64).cumsum(0) - 1
    return start + step * steps


def _linspace(args: Arguments) -> Tensor:
    """Evenly spaced numbers, both ends included."""
    count, start, end = args["steps"], args["start"], args["end"]
    steps = torch.arange(count, dtype=torch.float64)
    return start + (end - start) * steps / max(count - 1, 1)


def _eye(args: Arguments) -> Tensor:
    """1 on the diagonal."""
    rows, columns = args["n"], args["n"] if args.get("m") is None else args["m"]
    return (torch.arange(rows)[:, None] == torch.arange(columns)).to(torch.float64)


def _one_hot(args: Arguments) -> Tensor:
    """1 at the class, 0 elsewhere."""
    count = int(args["num_classes"])
    count = int(args["input"].max()) + 1 if count < 0 else count
    return (args["input"][..., None] == torch.arange(count)).to(torch.int64)


def _filled(value: Number) -> Callable[[Arguments], Tensor]:
    """A maker of constant tensors."""
    return lambda args: torch.full(_size(args), value)


def _size(args: Arguments) -> tuple[int, ...]:
    """The shape asked for."""
    like = args.get("input")
    size = args.get("size", args.get("shape"))
    if size is None or (not size and isinstance(like, Tensor) and "size" not in args):
        return tuple(like.shape) if isinstance(like, Tensor) else ()
    return tuple(int(n) for n in size)


def _truth(args: Arguments, over: Callable[..., Tensor]) -> Tensor:
    """All, any or count of the true entries along axes."""
    true = (args["input"] != 0).to(torch.int64)
    for axis in reversed(axes_of(args.get("dim"), true.ndim)):
        true = over(true, axis)
        true = true.unsqueeze(axis) if args.get("keepdim") else true
    return true


_MADE = ", *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False, names=None"
_LIKE = "input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None, pin_memory=False"

RULES: tuple[Rule, ...] = (
    Verdict("eq", "s=o", lambda a, b: (a <= b) & (a >= b)),
    Verdict("ne", r"s\ne o", lambda a, b: ~((a <= b) & (a >= b))),
    Verdict("gt", "s>o", lambda a, b: b < a),
    Verdict("ge", r"s\ge o", lambda a, b: b <= a),
    Verdict("lt", "s<o", lambda a, b: b > a),
    Verdict("le", r"s\le o", lambda a, b: b >= a),
    Verdict("isnan", r"s\text{ is NaN}", lambda a: a != a, "input"),  # noqa: PLR0124 - NaN alone differs from itself
    Verdict("isinf", r"|s|=\infty", lambda a: a.abs() == torch.inf, "input"),
    Verdict("isfinite", r"|s|<\infty", lambda a: a.abs() < torch.inf, "input"),
    Verdict("signbit", "s<0", lambda a: a < 0, "input"),
    Verdict("logical_not", r"\neg s", lambda a: a == 0, "input"),
    Verdict("logical_and", r"s\wedge o", lambda a, b: (a != 0) & (b != 0)),
    Verdict("logical_or", r"s\vee o", lambda a, b: (a != 0) | (b != 0)),
    Verdict("logical_xor", r"s\oplus o", lambda a, b: (a != 0) != (b != 0)),
    Verdict("bitwise_not", r"\neg s", lambda a: a == 0 if a.dtype == torch.bool else -a - 1, "input"),
    Verdict("bitwise_and", r"s\wedge o", lambda a, b: a * b if a.dtype == torch.bool else a & b),
    Verdict("bitwise_or", r"s\vee o", lambda a, b: (a + b) if a.dtype == torch.bool else a | b),
    Verdict("bitwise_xor", r"s\oplus o", lambda a, b: (a != b) if a.dtype == torch.bool else a ^ b),
    Overwrite("zero", "", "input"),
    Overwrite("fill", "value", "input, value"),
    Overwrite("copy", "src", "input, src, non_blocking=False"),
    ArgExtreme("argmax", largest=True),
    ArgExtreme("argmin", largest=False),
    NoGradient("zeros new_zeros", "zeros: *size" + _MADE + " | input, *size" + _MADE, _filled(0.0), "zeros"),
    NoGradient("ones new_ones", "ones: *size" + _MADE + " | input, *size" + _MADE, _filled(1.0), "ones"),
    NoGradient("zeros_like", _LIKE, _filled(0.0), "zeros"),
    NoGradient("ones_like", _LIKE, _filled(1.0), "ones"),
    NoGradient(
        "full new_full full_like",
        "full: size, fill_value"
        + _MADE
        + " | new_full: input, size, fill_value"
        + _MADE
        + " | full_like: input, fill_value"
        + _LIKE.removeprefix("input"),
        lambda args: torch.zeros(_size(args), dtype=torch.float64) + args["fill_value"],
        "a constant",
    ),
    NoGradient("arange", "start, end=None, step=1" + _MADE, _arange, "numbers in steps"),
    NoGradient("linspace", "start, end, steps" + _MADE, _linspace, "evenly spaced numbers"),
    NoGradient("eye", "n, m=None" + _MADE, _eye, "ones on the diagonal"),
    NoGradient("one_hot", "input, num_classes=-1", _one_hot, "1 at the class, 0 elsewhere"),
    NoGradient("all", "input, dim=None, keepdim=False", lambda args: _truth(args, lambda t, k: t.amin(k)), "all true"),
    NoGradient("any", "input, dim=None, keepdim=False", lambda args: _truth(args, lambda t, k: t.amax(k)), "any true"),
    NoGradient(
        "count_nonzero", "input, dim=None", lambda args: _truth(args, lambda t, k: t.sum(k)), "how many are not 0"
    ),
    NoGradient(
        "rand randn randint rand_like randn_like randint_like randperm", "*size", lambda args: (), "drawn", random=True
    ),
    NoGradient(
        "normal uniform bernoulli multinomial exponential random poisson",
        "input, *rest",
        lambda args: (),
        "drawn",
        random=True,
    ),
    NoGradient("empty empty_like new_empty empty_strided", "*size", lambda args: (), "not yet written", random=True),
    NoGradient(
        "tensor as_tensor from_numpy scalar_tensor new_tensor asarray",
        "data" + _MADE,
        lambda args: torch.as_tensor(args["data"]),
        "a constant",
    ),
)
