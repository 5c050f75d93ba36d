"""The loss along one or two directions of parameter space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["LossLandscape", "TrainingPath"]


@dataclass(frozen=True, eq=False)
class TrainingPath:
    """Where checkpoints lie beside the plane that was drawn."""

    coordinates: np.ndarray  # (checkpoints, dimensions) of the nearest point of the plane, in the axes' own units
    distance: np.ndarray  # (checkpoints,) from the plane, in the parameters' units
    length: np.ndarray  # (checkpoints,) from the present parameters
    loss: np.ndarray  # (checkpoints,) of the checkpoint itself, with its own buffers, not of its shadow on the plane
    explained: np.ndarray  # (dimensions,) share of the checkpoints' variance along each axis, 0–1; nan if not principal


@dataclass(frozen=True, eq=False)
class LossLandscape(Result):
    """L(θ + s·u + t·v) on a grid of (s, t), or L(θ + s·u) on a line; θ are the present parameters."""

    schema: ClassVar[str] = "loss_landscape/1"

    dimensions: int  # 1 or 2
    directions: str  # "random", "path", "eigenvectors", "saddle" or "given"
    normalization: str  # "filter" (Li et al., 2018), "layer", or "none"
    statistics: str  # what batch normalisation used: "running" or "batch"
    loss_name: str
    parameters: int
    examples: int
    s: np.ndarray  # (columns,) holds 0
    t: np.ndarray  # (rows,) holds 0; just 0 on a line
    labels: tuple[str, ...]  # what each axis is called
    loss: np.ndarray  # (rows, columns); what overflowed is inf or nan
    center_loss: float  # at the present parameters themselves
    lengths: np.ndarray  # (dimensions,) ‖u‖, ‖v‖: how far one unit of s or t goes in parameter space
    cosine: float  # between u and v; nan on a line
    fixed: tuple[str, ...]  # parameters that no direction moves
    slopes: np.ndarray  # (dimensions,) of the loss along each axis at the centre, exact; nan if not measured
    curvatures: np.ndarray  # (dimensions, dimensions) uᵀHu, uᵀHv … at the centre, exact; nan if not measured
    residuals: np.ndarray  # (dimensions,) ‖Hu − λu‖ if the axes are eigenvectors, else nan
    path: TrainingPath | None
    evaluations: int
    vectorised: bool  # several points at once

    @property
    def lowest(self) -> tuple[float, float, float]:
        """s, t and loss of the lowest point of the grid; the centre if nothing on it is finite."""
        if not np.isfinite(self.loss).any():
            return 0.0, 0.0, self.center_loss
        row, column = np.unravel_index(np.nanargmin(self.loss), self.loss.shape)
        return float(self.s[column]), float(self.t[row]), float(self.loss[row, column])

    @property
    def not_finite(self) -> int:
        """At how many points of the grid the loss overflowed."""
        return int((~np.isfinite(self.loss)).sum())

    def parabola(self, steps: np.ndarray, axis: int = 0) -> np.ndarray:
        """The second-order picture along an axis: L + slope·s + ½ curvature·s²."""
        return self.center_loss + self.slopes[axis] * steps + 0.5 * self.curvatures[axis, axis] * steps**2
