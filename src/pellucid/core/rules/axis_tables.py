"""Maps that treat each axis by itself: a table an axis, or a matrix an axis.

A table says for each output place which input place is copied (−1: none); a matrix gives the weight of every
input place in every output place. The whole map is their product over the axes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, upstream
from pellucid.core.rules.contraction import arithmetic_dtype
from pellucid.core.rules.indexing import positions, take
from pellucid.core.rules.movement import copied, copies
from pellucid.core.rules.sums import Index, Number, Sum, column, single

__all__ = ["AxisMatrices", "AxisTables"]


class AxisTables(Rule):
    """Copies by a table for each axis. The gradient by an entry is the sum of those by its copies."""

    formula = r"y_{i,j,\dots}=x_{t(i),u(j),\dots}"
    derivative = r"\frac{\partial L}{\partial x_k}=\sum_{i:\,t(i)=k}\frac{\partial L}{\partial y_i}"

    @abstractmethod
    def tables(self, args: Arguments) -> list[Tensor]:
        """For each axis, which input place each output place copies; −1 for the fill value."""

    def fill(self, args: Arguments) -> Number:
        """What stands where nothing is copied."""
        return 0.0

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        value = args["input"].detach()
        for axis, table in enumerate(self.tables(args)):
            if _is_identity(table, value.shape[axis]):
                continue
            kept = (table >= 0).reshape([-1 if k == axis else 1 for k in range(value.ndim)])
            moved = (
                value[(*[slice(None)] * axis, table.clamp(min=0))] if value.shape[axis] else _empty(value, axis, table)
            )
            value = (
                moved if bool(kept.all()) else torch.where(kept, moved, torch.tensor(self.fill(args)).to(value.dtype))
            )
        return (value,)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        x, grad = args["input"], upstream(outputs, grads)
        if not x.dtype.is_floating_point:
            return {}
        for axis, table in enumerate(self.tables(args)):
            if not _is_identity(table, x.shape[axis]):
                sizes = (*grad.shape[:axis], x.shape[axis], *grad.shape[axis + 1 :])
                used = (table >= 0).nonzero().reshape(-1)
                total = torch.zeros(sizes, dtype=grad.dtype, device=grad.device)
                grad = total.index_add(axis, table[used], grad[(*[slice(None)] * axis, used)])
        return {"input": grad.reshape(x.shape).to(x.dtype)}

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        own = tuple(int(table[i]) for table, i in zip(self.tables(args), index, strict=True))
        if min(own, default=0) < 0:
            return Sum.of([single("fill", column("fill", None, float(self.fill(args))))], note="nothing is copied here")
        x = args["input"]
        return Sum.of([copied("input", x.reshape([1] * (len(own) - x.ndim) + [*x.shape]), own)])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        tables = self.tables(args)
        own = (*[0] * (len(tables) - len(index)), *index)
        axes = [(table == i).nonzero().reshape(-1) for table, i in zip(tables, own, strict=True)]
        return copies(upstream(outputs, grads), positions(axes))


def _is_identity(table: Tensor, size: int) -> bool:
    """Whether the table changes nothing."""
    return len(table) == size and bool((table == torch.arange(size)).all())


def _empty(value: Tensor, axis: int, table: Tensor) -> Tensor:
    """Room for an axis that had no places."""
    return value.new_zeros((*value.shape[:axis], len(table), *value.shape[axis + 1 :]))


class AxisMatrices(Rule):
    """Weighted means by a matrix for each of the last axes. The gradient goes back through the transposes."""

    formula = r"y_{ij}=\sum_{k,l}A_{ik}B_{jl}x_{kl}"
    derivative = r"\frac{\partial L}{\partial x_{kl}}=\sum_{i,j}\frac{\partial L}{\partial y_{ij}}A_{ik}B_{jl}"

    @abstractmethod
    def matrices(self, args: Arguments) -> list[Tensor]:
        """For each of the last axes the weights, shape (output places, input places), in float64."""

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        x = args["input"].detach()
        value = x.to(arithmetic_dtype(x))
        for axis, matrix in enumerate(reversed(self.matrices(args))):
            value = _applied(value, matrix, -1 - axis)
        return (value.to(x.dtype),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        x, grad = args["input"], upstream(outputs, grads)
        grad = grad.to(arithmetic_dtype(grad))
        for axis, matrix in enumerate(reversed(self.matrices(args))):
            grad = _applied(grad, matrix.T, -1 - axis)
        return {"input": grad.to(x.dtype)}

    def _terms(self, name: str, tensor: Tensor, index: Index, rows: list[Tensor]) -> Sum:
        """Weighted entries of a tensor: those of the other side that the rows of the matrices reach."""
        lead = index[: len(index) - len(rows)]
        used = [row.nonzero().reshape(-1) for row in rows]
        where = positions([*[torch.tensor([i]) for i in lead], *used])
        weight = torch.ones(len(where), dtype=torch.float64)
        for axis, row in enumerate(rows):
            weight = weight * row[where[:, len(lead) + axis]]
        columns = column(name, where, take(tensor, where)), column("share", None, weight)
        return Sum.of([single(f"{name} · share", *columns)])

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        matrices = self.matrices(args)
        last = index[len(index) - len(matrices) :]
        return self._terms("input", args["input"], index, [m[i] for m, i in zip(matrices, last, strict=True)])

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        matrices = self.matrices(args)
        last = index[len(index) - len(matrices) :]
        rows = [m[:, i] for m, i in zip(matrices, last, strict=True)]
        return self._terms("grad", upstream(outputs, grads), index, rows)


def _applied(value: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """A matrix applied along one axis, counted from the end."""
    product = value.movedim(axis, -1) @ matrix.to(value.device, value.dtype).T
    return product.movedim(-1, axis)
