"""The loss as one weight is moved and all others stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["WeightCurve"]


@dataclass(frozen=True, eq=False)
class WeightCurve(Result):
    """L(w) for one entry w of one parameter, with its slopes from both sides at every point kept.

    Between two neighbouring points the curve is the cubic that has their losses and inner slopes: exact for losses that
    are at most quadratic in the outputs where ``exact``, else within ``interpolation_error``.
    """

    schema: ClassVar[str] = "weight_curve/1"

    parameter: str
    index: tuple[int, ...]
    loss_name: str
    examples: int
    exact: bool  # every bend of every example is known, and losses at all points follow from them
    reason: str  # '' if exact; else why the curve was sampled instead
    value: float  # the weight as it is
    loss_here: float  # at the weight as it is
    slope_here: float  # dL/dw there, by autograd
    weight: np.ndarray  # (points,) rising: the ends, every bend (as far as they are kept), and points in between
    loss: np.ndarray  # (points,)
    slope_left: np.ndarray  # (points,) dL/dw from below; the first is nan
    slope_right: np.ndarray  # (points,) dL/dw from above; the last is nan
    interpolation_error: float  # largest difference seen between the cubics and the loss, halfway between points
    agreement: (
        float  # largest difference between an output as followed and the model run at that weight; nan if sampled
    )
    bend_weight: np.ndarray  # (bends,) where some unit of some example switches, rising
    bend_example: np.ndarray  # (bends,) int64
    bend_unit: np.ndarray  # (bends,) int64: which entry of the layer's output
    bend_module: np.ndarray  # (bends,) int64: place in ``modules``
    modules: tuple[str, ...]  # the modules that bend
    bends_left_out: int  # bends that are no point of the curve, since there are too many

    @property
    def lowest(self) -> tuple[float, float]:
        """Weight and loss of the lowest point kept."""
        place = int(np.nanargmin(self.loss)) if np.isfinite(self.loss).any() else 0
        return float(self.weight[place]), float(self.loss[place])

    @property
    def slope_change(self) -> np.ndarray:
        """How much the slope jumps at every point: 0 where no unit switches that matters."""
        return np.nan_to_num(self.slope_right - self.slope_left)

    def loss_at(self, weight: np.ndarray | float) -> np.ndarray:
        """The loss at any weight of the range, by the cubic between the two points next to it."""
        at = np.asarray(weight, dtype=np.float64)
        left = np.clip(np.searchsorted(self.weight, at, side="right") - 1, 0, len(self.weight) - 2)
        width = self.weight[left + 1] - self.weight[left]
        u = (at - self.weight[left]) / width
        rise, run = self.loss[left], self.loss[left + 1]
        first, last = self.slope_right[left] * width, self.slope_left[left + 1] * width
        value = (1 + 2 * u) * (1 - u) ** 2 * rise + u * (1 - u) ** 2 * first
        value += u**2 * (3 - 2 * u) * run + u**2 * (u - 1) * last
        return np.where((at < self.weight[0]) | (at > self.weight[-1]), np.nan, value)
