"""What layers keep of the input and know of the label, as two estimators see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["InformationPlane", "LayerInformation"]


@dataclass(frozen=True, eq=False)
class LayerInformation:
    """One layer's path through the plane, in bits; each array is (epochs,)."""

    layer: str
    units: int
    bin_low: float  # lower edge of the lowest bin: the smallest activation of all epochs unless it was given
    bin_high: float
    bins: int
    binned_x: np.ndarray  # I(X;T) by bins
    binned_y: np.ndarray  # I(T;Y) by bins
    kernel_x_low: np.ndarray  # I(X; T + ε) is at least
    kernel_x_high: np.ndarray  # and at most
    kernel_y: np.ndarray  # upper bound of H(T + ε) minus that of H(T + ε | Y): an estimate
    kernel_y_low: np.ndarray  # I(T + ε; Y) is at least
    kernel_y_high: np.ndarray  # and at most


@dataclass(frozen=True, eq=False)
class InformationPlane(Result):
    """Information of every layer with input and label, over epochs. The estimator decides the picture."""

    schema: ClassVar[str] = "information_plane/1"

    split: str  # '' where nobody said
    examples: int
    classes: int
    epochs: tuple[int, ...]  # −1 alone: a model as it is
    input_entropy: float  # log₂ of the examples: the most that I(X;T) can be
    label_entropy: float  # bits: the most that I(T;Y) can be
    noise: float  # σ² of the Gaussian noise that the kernel bounds suppose
    layers: tuple[LayerInformation, ...]  # from the input on

    @property
    def saturated(self) -> tuple[str, ...]:
        """Layers whose binned I(X;T) is within 1 % of log₂ n at all epochs: their bins tell every example apart."""
        near = 0.99 * self.input_entropy
        return tuple(one.layer for one in self.layers if bool((one.binned_x >= near).all()))
