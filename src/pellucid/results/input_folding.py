"""How a network bends and folds the plane of its input, layer by layer: the manifold view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result
from pellucid.results.slice_plane import SlicePlane

__all__ = ["FoldingStage", "InputFolding"]


@dataclass(frozen=True, eq=False)
class FoldingStage:
    """Where one layer carries the slice's grid and its examples, in two dimensions."""

    name: str  # 'input', or the layer
    operation: str  # 'Linear' …; '' for the input
    activation: str  # what follows the layer: 'relu'; '' for none
    units: int  # numbers that the layer gives for an example
    direct: bool  # True: drawn as it is, for it has at most two units; False: its two principal directions
    explained: float  # share of the variance that is seen, 0–1; 1 if direct; nan if nothing varies
    lines: np.ndarray  # (lines, points, 2) float32
    points: np.ndarray  # (k, 2) float32
    stretch: float  # median area of the grid's cells in the layer's whole space, as a multiple of theirs in the input
    collapsed: float  # share of the cells that have lost their area: the plane is squeezed to a line or a point there
    moved: float  # distance left to what it was aligned to, relative to its size, 0–1; nan if it was not aligned


@dataclass(frozen=True, eq=False)
class InputFolding(Result):
    """The slice's grid lines and examples, carried through every layer."""

    schema: ClassVar[str] = "input_folding/1"

    model: str
    plane: SlicePlane
    lines: np.ndarray  # (lines, points, 2) as (s, t): first those of constant t, then those of constant s
    stages: tuple[FoldingStage, ...]  # the input first, then the layers in the order in which they run
    aligned_to: str  # 'layers': each stage is turned to the one before it; 'reference': to an earlier result's stage
    carried: str  # which examples: 'slice': those of the slice, projected into it; 'given'; '' for none
    point_classes: np.ndarray  # (k,) −1 where there is none
    nonfinite: int  # values that are nan or infinite
