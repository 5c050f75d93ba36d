"""A tensor as a picture of at most 4,096 cells, each of which stands for one of its entries."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["MOST_CELLS", "Picture", "draw_tensor"]

MOST_CELLS = 4096
_SIDE = 64
"""A reduced picture's longest side; a whole one may be longer, as 512 × 8."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The cells, and which entry each of them shows.

    Attributes:
        cells: float32 (rows, columns).
        entries: int32, the flat position of the entry shown; None where cell (row, column) is entry
            row · columns + column.
        block: Rows and columns of the flattened tensor that one cell stands for.
    """

    cells: np.ndarray
    entries: np.ndarray | None
    block: tuple[int, int]


def draw_tensor(tensor: Tensor) -> Picture:
    """Flatten to rows (leading axes) and columns (the others), cut where it is most nearly square; reduce by blocks.

    A cell of a block shows, with its sign, the entry of largest magnitude, and a nan before any number. A lone row or
    column longer than 64 is folded, in its order, to what is nearest to a square. Complex entries show their magnitude.

    Args:
        tensor: Any dense tensor.

    >>> draw_tensor(torch.tensor([[1.0, -3.0]])).cells
    array([[ 1., -3.]], dtype=float32)
    """
    flat = (tensor.abs() if tensor.is_complex() else tensor).detach().to("cpu", torch.float32).reshape(-1)
    rows, columns = _fold(tuple(tensor.shape), flat.numel())
    if flat.numel() <= MOST_CELLS:
        return Picture(flat.reshape(rows, columns).clone().numpy(), None, (1, 1))
    high, wide = math.ceil(rows / _SIDE), math.ceil(columns / _SIDE)
    down, across = math.ceil(rows / high), math.ceil(columns / wide)
    size = torch.full((down * high, across * wide), -1.0)
    size[:rows, :columns] = flat.reshape(rows, columns).abs()
    blocks = size.reshape(down, high, across, wide).permute(0, 2, 1, 3).reshape(down, across, high * wide)
    inner = blocks.argmax(-1)
    row = torch.arange(down)[:, None] * high + inner // wide
    column = torch.arange(across)[None, :] * wide + inner % wide
    entries = row * columns + column
    return Picture(flat[entries].numpy(), entries.to(torch.int32).numpy(), (high, wide))


def _fold(shape: tuple[int, ...], count: int) -> tuple[int, int]:
    """Rows and columns of the flattened tensor."""
    if not count:
        return count, shape[-1]
    cuts = [math.prod(shape[:cut]) for cut in range(len(shape) - 1, 0, -1)] or [1]
    rows = min(cuts, key=lambda one: max(one, count // one))
    columns = count // rows
    if min(rows, columns) != 1 or count <= _SIDE:
        return rows, columns
    side = next(one for one in range(math.isqrt(count), 0, -1) if count % one == 0)
    return (side, count // side) if side > 1 else (rows, columns)
