"""Operations that move numbers without changing them: each output entry is a copy of one input entry.

Two forms. *Strided*: the copied entry's row-major number is offset + Σ strideₖ·iₖ (views, transpositions, slices,
expansions). *Numbered*: a tensor holds the number for every output entry (indexing with tensors, gather …).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.indexing import positions, scatter_sum, take
from pellucid.core.rules.sums import Block, Index, Sum, column, single

__all__ = ["Layout", "Numbered", "Strided", "copied", "copies", "number_to_index", "row_major"]


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous tensor.

    >>> row_major([2, 3, 4])
    (12, 4, 1)
    """
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def number_to_index(number: int, shape: Sequence[int]) -> Index:
    """The position of the entry with this row-major number."""
    return tuple(number // stride % max(size, 1) for stride, size in zip(row_major(shape), shape, strict=True))


def copied(name: str, tensor: Tensor, index: Index) -> Block:
    """The term of an entry that is a copy."""
    return single(name, column(name, index, tensor.detach()[index]))


def copies(grad: Tensor, where: Tensor) -> Sum:
    """The gradient of an entry that was copied to the given places: the sum of the gradients there."""
    return Sum.of([single("grad", column("grad", where, take(grad, where)))])


@dataclass(frozen=True)
class Layout:
    """Where a strided copy reads: offset, and for each output axis its length and stride (≥ 0) in row-major numbers."""

    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Layout:
        """The layout of a plain copy."""
        return cls(0, tuple(tensor.shape), row_major(tensor.shape))

    def number(self, index: Index) -> int:
        """The number read for one output entry."""
        return self.offset + sum(s * i for s, i in zip(self.strides, index, strict=True))

    def numbers(self) -> Tensor:
        """The numbers read for all output entries."""
        total = torch.tensor(self.offset)
        for axis, (size, stride) in enumerate(zip(self.sizes, self.strides, strict=True)):
            steps = torch.arange(size) * stride
            total = total + steps.reshape([-1 if k == axis else 1 for k in range(len(self.sizes))])
        return total.expand(self.sizes)

    def readers(self, number: int) -> Tensor:
        """The output entries that read one number, one a row: digits are split off, largest stride first."""
        axes = sorted(range(len(self.sizes)), key=lambda k: -self.strides[k])
        partial: list[tuple[int, dict[int, int]]] = [(number - self.offset, {})]
        free: dict[int, Tensor] = {}
        for place, axis in enumerate(axes):
            stride, size = self.strides[axis], self.sizes[axis]
            if stride == 0:
                free[axis] = torch.arange(size)
                continue
            rest = sum(self.strides[k] * (self.sizes[k] - 1) for k in axes[place + 1 :])
            partial = [
                (left - stride * i, {**fixed, axis: i})
                for left, fixed in partial
                for i in range(max(0, -(-(left - rest) // stride)), min(size - 1, left // stride) + 1)
            ]
        found = [
            positions([free[k] if k in free else torch.tensor([fixed[k]]) for k in range(len(self.sizes))])
            for left, fixed in partial
            if left == 0
        ]
        return torch.cat(found) if found else torch.zeros(0, len(self.sizes), dtype=torch.int64)

    def overlaps(self) -> bool:
        """Whether several output entries may read the same number (axes of stride 0 aside)."""
        axes = sorted((s, n) for s, n in zip(self.strides, self.sizes, strict=True) if s > 0 and n > 1)
        reach = 0
        for stride, size in axes:
            if stride <= reach:
                return True
            reach += stride * (size - 1)
        return False


class Strided(Rule):
    """A copy along strides. The gradient by an entry is the sum of those by its copies."""

    formula = r"y_i=x_{j(i)}"
    derivative = r"\frac{\partial L}{\partial x_j}=\sum_{i:\,j(i)=j}\frac{\partial L}{\partial y_i}"
    source = "input"

    @abstractmethod
    def layouts(self, args: Arguments) -> list[Layout]:
        """Where each output reads."""

    def tensor(self, args: Arguments) -> Tensor:
        """The tensor that is read."""
        return args[self.source].detach()

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        flat = self.tensor(args).contiguous()
        made = [
            torch.as_strided(flat, at.sizes, at.strides, at.offset + flat.storage_offset()) for at in self.layouts(args)
        ]
        return tuple(m.to(o.dtype) for m, o in zip(made, outputs, strict=True)) if outputs else tuple(made)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        source = self.tensor(args)
        total = torch.zeros(source.shape, dtype=source.dtype, device=source.device)
        if not source.dtype.is_floating_point:
            return {}
        for place, layout in enumerate(self.layouts(args)):
            if place < len(grads) and grads[place] is not None:
                self._collect(total, layout, upstream(outputs, grads, place).to(source.dtype))
        return {self.source: total}

    def _collect(self, total: Tensor, layout: Layout, grad: Tensor) -> None:
        """Adds one output's gradient to the total."""
        if layout.overlaps():
            total += scatter_sum(grad, layout.numbers(), total.shape)
            return
        repeated = [k for k, stride in enumerate(layout.strides) if stride == 0]
        grad = grad.sum(repeated) if repeated else grad
        kept = [k for k in range(len(layout.sizes)) if k not in repeated]
        sizes, strides = [layout.sizes[k] for k in kept], [layout.strides[k] for k in kept]
        torch.as_strided(total, sizes, strides, layout.offset).add_(grad)

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        source, made = self.tensor(args), outputs[output]
        term = copied(self.source, source, number_to_index(self.layouts(args)[output].number(index), source.shape))
        if source.dtype.is_floating_point and not made.dtype.is_floating_point:
            then = r"[s\ne 0]" if made.dtype == torch.bool else r"\operatorname{trunc}(s)"
            return Sum.of([term], then=then, result=float(made[index]))
        return Sum.of([term])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        if argument != self.source:
            return Sum.of([], note="only its shape is used")
        number = sum(s * i for s, i in zip(row_major(args[argument].shape), index, strict=True))
        blocks = []
        for place, layout in enumerate(self.layouts(args)):
            where = layout.readers(number)
            if len(where) and place < len(grads) and grads[place] is not None:
                name = "grad" if len(outputs) == 1 else f"grad[{place}]"
                blocks.append(single(name, column(name, where, take(upstream(outputs, grads, place), where))))
        return Sum.of(blocks)


class Numbered(Rule):
    """A copy whose source is told by numbers. The gradient by an entry is the sum of those by its copies."""

    formula = r"y_i=x_{j(i)}"
    derivative = Strided.derivative
    source = "input"

    @abstractmethod
    def numbers(self, args: Arguments) -> Tensor:
        """For every output entry the row-major number of the entry that it copies."""

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        return (args[self.source].detach().reshape(-1)[self.numbers(args)],)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        source = args[self.source]
        if not source.dtype.is_floating_point:
            return {}
        return {self.source: scatter_sum(upstream(outputs, grads), self.numbers(args), source.shape).to(source.dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        source = args[self.source]
        return Sum.of([copied(self.source, source, number_to_index(int(self.numbers(args)[index]), source.shape))])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        number = sum(s * i for s, i in zip(row_major(args[argument].shape), index, strict=True))
        return copies(upstream(outputs, grads), (self.numbers(args) == number).nonzero())
