"""Operations over groups of entries: the slices along some axes, each treated by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid.core.rules.indexing import positions
from pellucid.core.rules.sums import Index

__all__ = ["axes_of", "group_key", "group_positions", "member", "restored"]


def axes_of(dim: Any, rank: int) -> tuple[int, ...]:
    """The axes meant by ``dim``: all for None or an empty sequence, counted from the front."""
    if dim is None or (isinstance(dim, list | tuple) and not dim):
        return tuple(range(rank))
    dims = [dim] if isinstance(dim, int) else dim
    return tuple(sorted(int(d) % max(rank, 1) for d in dims)) if rank else ()


def group_key(index: Index, axes: Sequence[int], rank: int, keepdim: bool) -> tuple[Any, ...]:
    """The key that takes one group out of the input, for the entry of the reduced output."""
    rest = iter(index)
    key: list[Any] = []
    for axis in range(rank):
        if axis in axes:
            key.append(slice(None))
            if keepdim:
                next(rest)
        else:
            key.append(next(rest))
    return tuple(key)


def group_positions(key: Sequence[Any], shape: Sequence[int]) -> Tensor:
    """The positions of a group's entries, one a row, in row-major order."""
    return positions(
        [torch.arange(n) if isinstance(k, slice) else torch.tensor([k]) for k, n in zip(key, shape, strict=True)]
    )


def member(index: Index, axes: Sequence[int], keepdim: bool) -> tuple[Index, Index]:
    """(the reduced output's entry that an input entry counts towards, the entry's place within its group)."""
    kept = tuple(0 if axis in axes else i for axis, i in enumerate(index) if keepdim or axis not in axes)
    return kept, tuple(index[axis] for axis in axes)


def restored(value: Tensor, axes: Sequence[int], keepdim: bool) -> Tensor:
    """A reduced tensor with its lost axes put back as length 1."""
    if not keepdim:
        for axis in axes:
            value = value.unsqueeze(axis)
    return value
