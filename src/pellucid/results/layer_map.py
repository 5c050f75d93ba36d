"""A layer as a map: how it stretches, turns and folds what comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["LayerMap"]


@dataclass(frozen=True, eq=False)
class LayerMap(Result):
    """The matrix of one or of several consecutive affine layers, and what it does to a grid."""

    schema: ClassVar[str] = "layer_map/1"

    layers: tuple[str, ...]  # qualified names, in order of application
    shape: tuple[int, int]  # (outputs, inputs) of the whole matrix
    singular_values: np.ndarray  # largest first
    singular_values_exact: bool  # False: taken from the kernel's spectrum on the input's grid by iteration
    rank: int  # singular values above the rounding of the largest
    matrix: np.ndarray  # (outputs, inputs) if it has at most 65,536 entries, else empty
    bias: np.ndarray  # (outputs,) of the composition, empty with the matrix
    composition_error: float  # largest |layers applied in turn − matrix·x + bias| on random inputs
    grid: np.ndarray  # (lines, points, 2): a grid in the plane of the two strongest input directions
    image: np.ndarray  # (lines, points, 2): where the map sends it, in its two strongest output directions
    activated: np.ndarray  # the same after the activation; empty without one
    activation: str  # '' for none
    explained: float  # share of the map's squared size that these two directions carry, 0–1
