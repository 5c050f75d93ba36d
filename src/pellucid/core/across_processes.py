"""Sums over the processes of a ``torch.distributed`` group, the same bits on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["sum_in_order"]

_TILE = 1 << 20
"""Numbers gathered at a time, so that the others' copies never cost much memory."""


def sum_in_order(tensors: Sequence[Tensor], group: Any = None) -> None:
    """Replace each tensor by its sum over the group's processes, added in the order of their ranks.

    Adding in one fixed order makes the result equal bit for bit on every process, whatever the backend's own reduction
    does. Without an initialised process group nothing happens.
    """
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    ranks = distributed.get_world_size(group)
    if ranks == 1:
        return
    for tensor in tensors:
        flat = tensor.view(-1)
        for begin in range(0, len(flat), _TILE):
            mine = flat[begin : begin + _TILE]
            parts = [torch.empty_like(mine) for _ in range(ranks)]
            distributed.all_gather(parts, mine.contiguous(), group=group)
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            mine.copy_(total)
