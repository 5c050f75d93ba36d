"""Positions in tensors: grids of them, what broadcasting does to them, and how to read and add up by them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.core.rules.sums import Index

__all__ = [
    "aligned",
    "grid",
    "linear_positions",
    "positions",
    "reached",
    "repeated",
    "scatter_sum",
    "sum_to",
    "take",
    "wide",
]


def grid(sizes: Sequence[int]) -> Tensor:
    """All positions of a box, one a row, in row-major order; one empty row for no axes.

    >>> grid([2, 2]).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return positions([torch.arange(size) for size in sizes])


def positions(axes: Sequence[Tensor]) -> Tensor:
    """All combinations of coordinates, one list an axis, one combination a row."""
    if not axes:
        return torch.zeros(1, 0, dtype=torch.int64)
    mesh = torch.meshgrid(*[axis.to("cpu", torch.int64) for axis in axes], indexing="ij")
    return torch.stack([m.reshape(-1) for m in mesh], dim=1)


def repeated(index: Index, count: int) -> Tensor:
    """One position, as many rows as asked for."""
    return torch.tensor([index], dtype=torch.int64).reshape(1, len(index)).expand(count, -1)


def take(tensor: Tensor, where: Tensor) -> Tensor:
    """The entries at the given positions (rows)."""
    if where.shape[1] == 0:
        return tensor.detach().reshape(1).expand(len(where))
    return tensor.detach()[tuple(where.to(tensor.device).unbind(1))]


def aligned(where: Tensor, shape: Sequence[int]) -> Tensor:
    """Positions of a broadcast result as positions of an operand of the given shape."""
    kept = where[:, where.shape[1] - len(shape) :]
    return kept * torch.tensor([int(size > 1) for size in shape], dtype=torch.int64)


def reached(index: Index, shape: Sequence[int], result: Sequence[int]) -> Tensor:
    """The positions of a broadcast result to which one entry of an operand is copied."""
    extra = len(result) - len(shape)
    axes = [torch.arange(size) for size in result[:extra]]
    for place, own, size in zip(index, shape, result[extra:], strict=True):
        axes.append(torch.arange(size) if own == 1 and size != 1 else torch.tensor([place]))
    return positions(axes)


def sum_to(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Sums over the axes along which an operand of the given shape was broadcast."""
    extra = values.ndim - len(shape)
    if extra > 0:
        values = values.sum(dim=tuple(range(extra)))
    widened = tuple(i for i, size in enumerate(shape) if size == 1 and values.shape[i] != 1)
    return values.sum(dim=widened, keepdim=True) if widened else values


def linear_positions(where: Tensor, shape: Sequence[int]) -> Tensor:
    """Row-major numbers of the positions in a tensor of the given shape."""
    number = torch.zeros(len(where), dtype=torch.int64)
    for axis, size in enumerate(shape):
        number = number * size + where[:, axis]
    return number


def scatter_sum(values: Tensor, numbers: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor of the given shape in which each entry is the sum of the values sent to it (numbers < 0 are dropped)."""
    numbers = numbers.reshape(-1).to(values.device)
    kept = numbers >= 0
    flat = torch.zeros(math.prod(shape), dtype=values.dtype, device=values.device)
    return flat.index_add(0, numbers[kept], values.reshape(-1)[kept]).reshape(tuple(shape))


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float64 (float32 on devices without), where a rule's own arithmetic is done."""
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)
