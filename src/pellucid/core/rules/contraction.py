"""Sums of products over shared axes: the one form behind linear layers, matrix products and einsum.

out[o] = scale · Σ_c ∏ₖ operandₖ[labels of k], where a label stands for an axis and c runs over the labels that
the output lacks.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.base import Arguments, Gradients, Rule, lookup, upstream
from pellucid.core.rules.indexing import aligned, positions, reached, repeated, sum_to, take
from pellucid.core.rules.sums import Block, Column, Index, Number, Sum, column, constant, single

__all__ = ["Addend", "Contraction", "Operand", "Product", "arithmetic_dtype"]


@dataclass(frozen=True)
class Operand:
    """One factor: its address among the arguments, the tensor, and a label for each of its axes."""

    name: str
    tensor: Tensor
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Addend:
    """What is added to the product, broadcast to the output: its address, the tensor, and what it is scaled by."""

    name: str
    tensor: Tensor
    scale: Number = 1.0


@dataclass(frozen=True)
class Product:
    """The whole operation: operands, the labels of the output's axes, and what is added."""

    operands: tuple[Operand, ...]
    output: tuple[int, ...]
    scale: Number = 1.0
    addends: tuple[Addend, ...] = ()

    def sizes(self) -> dict[int, int]:
        """Each label's length; an axis of length 1 gives way to a longer one."""
        sizes: dict[int, int] = {}
        for operand in self.operands:
            for label, size in zip(operand.labels, operand.tensor.shape, strict=True):
                sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
        return sizes


def arithmetic_dtype(*tensors: Tensor) -> torch.dtype:
    """The precision to compute in: the operands' own, but at least float32."""
    dtype = tensors[0].dtype
    for other in tensors[1:]:
        dtype = torch.promote_types(dtype, other.dtype)
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


class Contraction(Rule):
    """A sum of products. d out[o] / d operandₖ[i] is the product of the other operands, summed over the free labels."""

    derivative = r"\frac{\partial L}{\partial a_k}=\sum_{o}\frac{\partial L}{\partial y_o}\prod_{j\neq k}a_j"

    @abstractmethod
    def product(self, args: Arguments) -> Product:
        """The call as a sum of products."""

    def contract(self, tensors: Sequence[Tensor], labels: Sequence[Sequence[int]], output: Sequence[int]) -> Tensor:
        """The contraction itself, without scale."""
        operands = [part for t, own in zip(tensors, labels, strict=True) for part in (t, list(own))]
        return torch.einsum(*operands, list(output))

    @override
    def forward(self, args: Arguments, outputs: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        product = self.product(args)
        tensors = [operand.tensor for operand in product.operands]
        dtype = arithmetic_dtype(*tensors)
        value = self.contract([t.to(dtype) for t in tensors], [o.labels for o in product.operands], product.output)
        value = value * product.scale if product.scale != 1 else value
        for addend in product.addends:
            value = value + (addend.tensor * addend.scale if addend.scale != 1 else addend.tensor)
        target = outputs[0].dtype if outputs else torch.result_type(tensors[0], tensors[-1])
        return (value.to(target),)

    @override
    def backward(self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients) -> dict[str, Tensor]:
        product, grad = self.product(args), upstream(outputs, grads)
        found: dict[str, Tensor] = {}
        for place, operand in enumerate(product.operands):
            share = self._share(product, place, grad).to(operand.tensor.dtype)
            found[operand.name] = found[operand.name] + share if operand.name in found else share
        for addend in product.addends:
            share = sum_to(grad * addend.scale, addend.tensor.shape).to(addend.tensor.dtype)
            found[addend.name] = found[addend.name] + share if addend.name in found else share
        return found

    def _share(self, product: Product, place: int, grad: Tensor) -> Tensor:
        """The gradient by one operand: the upstream gradient contracted with the other operands."""
        operand = product.operands[place]
        others = [o for i, o in enumerate(product.operands) if i != place]
        dtype = arithmetic_dtype(grad, *[o.tensor for o in product.operands])
        present = {*product.output, *(label for o in others for label in o.labels)}
        kept = tuple(label for label in operand.labels if label in present)
        value = self.contract(
            [grad.to(dtype), *[o.tensor.to(dtype) for o in others]], [product.output, *[o.labels for o in others]], kept
        )
        sizes = product.sizes()
        spread = value.reshape([value.shape[kept.index(n)] if n in kept else 1 for n in operand.labels])
        spread = spread.expand([sizes[label] for label in operand.labels])
        return sum_to(spread * product.scale, operand.tensor.shape)

    @override
    def entry(self, args: Arguments, outputs: Sequence[Tensor], index: Index, output: int = 0) -> Sum:
        product = self.product(args)
        where = self._rows(product, dict(zip(product.output, index, strict=True)))
        columns = [self._column(o, where) for o in product.operands]
        blocks = [self._block(product, columns)] if len(columns[0].values) else []
        for addend in product.addends:
            at = aligned(torch.tensor([index]).reshape(1, len(index)), addend.tensor.shape)
            scale = [constant("scale", addend.scale)] if addend.scale != 1 else []
            blocks.append(single(addend.name, column(addend.name, at, take(addend.tensor, at)), *scale))
        return Sum.of(blocks)

    @override
    def gradient_entry(
        self, args: Arguments, outputs: Sequence[Tensor], grads: Gradients, argument: str, index: Index
    ) -> Sum:
        product, grad = self.product(args), upstream(outputs, grads)
        blocks: list[Block] = []
        for place, operand in enumerate(product.operands):
            if operand.name == argument:
                blocks.append(self._paths(product, place, grad, index))
        for addend in product.addends:
            if addend.name == argument:
                at = reached(index, addend.tensor.shape, grad.shape)
                scale = [constant("scale", addend.scale, len(at))] if addend.scale != 1 else []
                blocks.append(single("grad", column("grad", at, take(grad, at)), *scale))
        if not blocks:
            lookup(args, argument)
        return Sum.of(blocks)

    def _paths(self, product: Product, place: int, grad: Tensor, index: Index) -> Block:
        """A term for each output entry (and each combination of other operands' entries) that the entry reaches."""
        operand, sizes = product.operands[place], product.sizes()
        own = zip(operand.labels, index, operand.tensor.shape, strict=True)
        fixed = {label: at for label, at, size in own if size == sizes[label]}
        where = self._rows(product, fixed)
        out = torch.stack([where[label] for label in product.output], 1) if product.output else None
        out = repeated((), self._count(where)) if out is None else out
        columns = [column("grad", out, take(grad, out))]
        columns += [self._column(o, where) for i, o in enumerate(product.operands) if i != place]
        return self._block(product, columns)

    def _rows(self, product: Product, fixed: dict[int, int]) -> dict[int, Tensor]:
        """For each label its coordinate in every term, given the labels that are fixed."""
        sizes = product.sizes()
        free = [label for label in sizes if label not in fixed]
        rows = positions([torch.arange(sizes[label]) for label in free])
        where = {label: rows[:, i] for i, label in enumerate(free)}
        return where | {label: torch.full((len(rows),), at) for label, at in fixed.items()}

    def _count(self, where: dict[int, Tensor]) -> int:
        """The number of terms."""
        return len(next(iter(where.values()))) if where else 1

    def _column(self, operand: Operand, where: dict[int, Tensor]) -> Column:
        """One operand's entries in all terms."""
        axes = zip(operand.labels, operand.tensor.shape, strict=True)
        rows = [where[label] if size > 1 else torch.zeros_like(where[label]) for label, size in axes]
        at = torch.stack(rows, 1) if rows else repeated((), self._count(where))
        return column(operand.name, at, take(operand.tensor, at))

    def _block(self, product: Product, columns: Sequence[Column]) -> Block:
        """The terms, with the scale as a factor where there is one."""
        scale = [constant("scale", product.scale, len(columns[0].values))] if product.scale != 1 else []
        return single(" · ".join(c.name for c in columns), *columns, *scale)
