"""Single figures of a traced tensor; nan where there is nothing to measure."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["extremes", "length"]


def extremes(tensor: Tensor | None) -> tuple[float, float]:
    """The least and the largest entry; nan of what is not there, empty, complex or not dense."""
    if tensor is None or tensor.numel() == 0 or tensor.is_complex() or tensor.layout is not torch.strided:
        return math.nan, math.nan
    low, high = torch.aminmax(tensor.detach())
    return float(low), float(high)


def length(tensor: Tensor | None) -> float:
    """The root of the sum of squares, in float64; nan of what is not there or not dense."""
    if tensor is None or tensor.layout is not torch.strided:
        return math.nan
    return float(torch.linalg.vector_norm(tensor.detach(), dtype=None if tensor.is_complex() else torch.float64))
