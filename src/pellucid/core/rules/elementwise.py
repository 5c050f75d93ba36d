"""Operations that treat every entry by itself, their operands broadcast: y = f(x, …)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import aligned, reached, sum_to, take, wide
from pellucid.core.rules.sums import Block, Index, Number, Sum, column, single

__all__ = ["Curve", "Elementwise", "Parts", "Slopes", "as_tensor", "at_positions", "floating", "widened"]

Slopes = dict[str, Any]
"""The local derivative by each operand: a tensor, or a number where it is the same everywhere."""

Parts = list[tuple[str, dict[str, Any]]]
"""The terms of one entry: label, and the factors by name."""


def floating(value: Any) -> bool:
    """Whether the value is a tensor of real floating-point numbers."""
    return isinstance(value, Tensor) and value.dtype.is_floating_point


def as_tensor(value: Any) -> Tensor:
    """A tensor as it is; a number as float64, or as int64 if it is whole."""
    if isinstance(value, float):
        return torch.tensor(value, dtype=torch.float64)
    return torch.as_tensor(value)


def widened(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with floating-point tensors in float64.

    A number beside a float32, float16 or bfloat16 tensor is rounded to float32 first, as PyTorch does.
    """
    single = any(floating(v) and v.dtype != torch.float64 for v in args.values())
    rounded = {
        k: float(torch.tensor(args[k], dtype=torch.float32))
        for k in ("input", "other")
        if single and isinstance(args.get(k), float)
    }
    return {k: wide(v.detach()) if floating(v) else v for k, v in args.items()} | rounded


def at_positions(args: Mapping[str, Any], where: Tensor) -> dict[str, Any]:
    """The arguments with each tensor's entries at some positions of the broadcast result, in float64."""
    return widened({k: take(v, aligned(where, v.shape)) if isinstance(v, Tensor) else v for k, v in args.items()})


class Elementwise(Rule):
    """Every entry by itself; the gradient is the upstream one times the local slope, summed where broadcast."""

    derivative = r"\frac{\partial L}{\partial x}=\sum\frac{\partial L}{\partial y}\,\frac{\partial y}{\partial x}"
    slope_factor: Mapping[str, str] = {}
    """Operands whose slope is simply another operand (``mul``): the former's name to the latter's."""

    @abstractmethod
    def compute(self, args: Arguments) -> Any:
        """The operation on broadcast operands, which are in float64."""

    @abstractmethod
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        """The local derivative by each operand that has one."""

    def parts(self, args: Arguments) -> Parts:
        """The terms of one entry before ``then``."""
        return [("input", {"input": args["input"]})]

    def then(self, args: Arguments) -> str:
        """What is made of the sum of ``parts``, in LaTeX with ``s`` for the sum."""
        return ""

    def hidden(self, grad: Tensor, args: Arguments) -> float:
        """The size of what cancels within the slopes, times the upstream gradient."""
        return float(wide(grad).abs().sum())

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        value = torch.as_tensor(self.compute(widened(args)))
        tensors = [v for v in args.values() if isinstance(v, Tensor)]
        shape = torch.broadcast_shapes(*[t.shape for t in tensors])
        dtype = outputs[0].dtype if outputs else _result_dtype(tensors)
        return (value.to(dtype).expand(shape),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        grad, found = wide(upstream(outputs, grads)), {}
        for name, slope in self.slopes(widened(args), wide(outputs[0].detach())).items():
            if floating(args.get(name)):
                found[name] = sum_to(grad * slope, args[name].shape).to(args[name].dtype)
        return found

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        where = torch.tensor([index], dtype=torch.int64).reshape(1, len(index))
        here = at_positions(args, where)
        blocks: list[Block] = []
        for label, factors in self.parts(here):
            columns = []
            for name, value in factors.items():
                own = args.get(name)
                at = aligned(where, own.shape) if isinstance(own, Tensor) else None
                columns.append(column(name, at, value))
            blocks.append(single(label, *columns))
        then = self.then(here)
        return Sum.of(blocks, then=then, result=outputs[0][index] if then else None)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        grad = upstream(outputs, grads)
        where = reached(index, args[argument].shape, grad.shape)
        here = at_positions(args, where)
        slope = self.slopes(here, wide(take(outputs[0], where))).get(argument, 0.0)
        columns, inside = [column("grad", where, take(grad, where))], 0.0
        if not (isinstance(slope, Number) and slope == 1):
            other = self.slope_factor.get(argument, "")
            own = args.get(other)
            at = aligned(where, own.shape) if isinstance(own, Tensor) else None
            values = slope if isinstance(slope, Tensor) else torch.tensor(float(slope))
            name = other or rf"\partial y/\partial {argument}"
            columns.append(column(name, at, values.expand(len(where)) if values.ndim == 0 else values))
            # A slope such as 1 − y² is rounded like its 1, however near 0 it comes.
            inside = 0.0 if other or not isinstance(slope, Tensor) else self.hidden(columns[0].values, here)
        return replace(Sum.of([single(" · ".join(c.name for c in columns), *columns)]), inside=inside)


def _result_dtype(tensors: Sequence[Tensor]) -> torch.dtype:
    """The dtype that PyTorch's promotion gives for the tensors."""
    dtype = tensors[0].dtype
    for other in tensors[1:]:
        dtype = torch.promote_types(dtype, other.dtype)
    return dtype


class Curve(Elementwise):
    """A function of one number, given by its value and its slope.

    Args:
        names: Canonical names.
        formula: The function, in LaTeX with ``x``.
        slope_formula: Its derivative, in LaTeX with ``x`` and ``y``.
        value: The function; takes the tensor and the call's other arguments.
        slope: Its derivative; takes input, output and the call's other arguments. None where it is 0 everywhere.
        signature: The call's parameters.
        parts: The size of what its slope is a difference of, for every input.
    """

    def __init__(
        self,
        names: str,
        formula: str,
        slope_formula: str,
        value: Callable[..., Any],
        slope: Callable[..., Any] | None,
        *,
        signature: str = "input",
        parts: Callable[[Tensor], Tensor] = torch.ones_like,
    ) -> None:
        self.names = tuple(names.split())
        self.formula = f"y={formula}"
        self.derivative = rf"\frac{{\partial y}}{{\partial x}}={slope_formula}"
        self.signature, self._parts = signature, parts
        self._then, self._value, self._slope = formula, value, slope
        self.__doc__ = f"{names}: {formula}; slope {slope_formula}."

    @override
    def compute(self, args: Arguments) -> Any:
        return self._value(args["input"], **self._options(args))

    @override
    def slopes(self, args: Arguments, output: Tensor) -> Slopes:
        if self._slope is None:
            return {"input": torch.zeros_like(output)}
        return {"input": self._slope(args["input"], output, **self._options(args))}

    @override
    def hidden(self, grad: Tensor, args: Arguments) -> float:
        return float((wide(grad) * self._parts(args["input"])).abs().sum())

    @override
    def then(self, args: Arguments) -> str:
        return self._then

    def _options(self, args: Arguments) -> dict[str, Any]:
        """The call's constants."""
        return {k: v for k, v in args.items() if k not in ("input", "inplace", "out")}
