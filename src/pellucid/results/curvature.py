"""How the loss bends around the present weights: its sharpest directions, its spectrum, and what a step may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pellucid.results.base import Result

__all__ = ["Curvature", "SpectralDensity"]


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """How the eigenvalues are spread, by stochastic Lanczos quadrature."""

    grid: np.ndarray  # (points,) eigenvalues
    density: np.ndarray  # (points,) share of the eigenvalues per unit, integrates to 1
    error: np.ndarray  # (points,) standard error over the probes; nan from one probe
    width: float  # standard deviation of the Gaussian that every point mass was spread by
    nodes: np.ndarray  # (probes, steps) where the masses lie before smoothing
    weights: np.ndarray  # (probes, steps) how large they are; each probe's sum to 1
    negative: float  # share of the spectrum below −``zero``
    negative_error: float  # standard error over the probes
    zero: float  # what counts as zero: the products' rounding


@dataclass(frozen=True, eq=False)
class Curvature(Result):
    """Second-order picture of the loss at the present weights, from matrix products alone."""

    schema: ClassVar[str] = "curvature/1"

    matrix: Literal["hessian", "gauss_newton"]
    loss_name: str
    parameters: int  # how many numbers can be moved
    examples: int
    precision: str  # of the products: "float32", "float64"
    loss: float
    gradient_norm: float
    eigenvalues: np.ndarray  # (top,) the largest, falling
    residuals: np.ndarray  # (top,) ‖Hv − λv‖ as Lanczos tells it: an eigenvalue lies within it of each
    checked_residual: float  # ‖Hv − λv‖ of the first by a product of its own; nan if not asked for
    bounds: np.ndarray  # (top,) of the eigenvalue's error: min(residual, residual² ÷ gap), the gap estimated
    smallest: np.ndarray  # the smallest found, rising: each is at least the true smallest eigenvalue
    smallest_residuals: np.ndarray
    converged: bool  # all that were asked for are within the tolerance
    tolerance: float  # as a share of the largest magnitude
    trace: float | None  # sum of all eigenvalues; None if not measured
    trace_error: float | None  # standard error
    density: SpectralDensity | None
    learning_rate: float | None
    stability_limit: float  # lr·λ above which a step along v overshoots ever more: 2 (1 + momentum)
    eigenvectors: dict[str, np.ndarray]  # by parameter: (top, …) unit vectors; empty if not kept
    products: dict[str, int]  # matrix-vector products spent: "eigenvalues", "trace", "density", "check", "start…"
    retained: bool  # the gradient's graph stayed in memory between products

    @property
    def sharpness(self) -> float:
        """The largest eigenvalue."""
        return float(self.eigenvalues[0])

    @property
    def stability(self) -> float | None:
        """lr·λ_max, to be compared with ``stability_limit``; None without a learning rate."""
        return None if self.learning_rate is None else self.learning_rate * self.sharpness

    @property
    def descends(self) -> bool:
        """Whether some direction curves downwards for certain: a Rayleigh quotient below the products' rounding."""
        step = 1e-13 if self.precision == "float64" else 1e-5
        return bool(self.smallest[0] < -step * float(np.abs(self.eigenvalues).max()))
