"""How much of its accuracy a classifier keeps when its inputs are disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.errors import SettingsError
from pellucid.results.base import Result

__all__ = ["Robustness", "RobustnessCurve"]


@dataclass(frozen=True, eq=False)
class RobustnessCurve:
    """The accuracy under one kind of disturbance at growing size, with 95 % Clopper-Pearson intervals."""

    name: str  # "noise", "fgsm", "pgd_linf", "pgd_l2", "deepfool"
    label: str
    norm: str  # what sizes are in: "standard deviation", "L∞", "L2"
    sizes: np.ndarray  # (levels,) rising
    correct: np.ndarray  # (levels,) examples still right
    accuracy: np.ndarray  # (levels,)
    low: np.ndarray  # (levels,)
    high: np.ndarray  # (levels,)
    settings: str  # steps, starts, in words


@dataclass(frozen=True, eq=False)
class Robustness(Result):
    """Accuracy under noise and attacks. An attack proves a decision can be changed, never that it cannot."""

    schema: ClassVar[str] = "robustness/1"

    split: str  # '' where nobody said
    examples: int
    classes: int
    correct: int  # undisturbed
    accuracy: float
    low: float  # 95 % Clopper-Pearson interval of the accuracy
    high: float
    bounds: tuple[float, ...]  # the range that inputs were kept in; empty for none
    curves: tuple[RobustnessCurve, ...]
    distance: np.ndarray  # (examples,) float32 ‖δ‖₂ that DeepFool needed; 0 if wrong already, ∞ if it failed; or empty
    median_distance: float  # over the examples that are right undisturbed; nan without DeepFool
    slice_distance: np.ndarray  # (examples,) float32 exact distances within a slice, as given; empty without
    distance_ratio: float  # median of DeepFool's distance over the slice's where both are finite; nan without
    seed: int

    def __getitem__(self, name: str) -> RobustnessCurve:
        """A curve by its name, e.g. ``result["pgd_linf"].accuracy``."""
        for one in self.curves:
            if one.name == name:
                return one
        shown = ", ".join(one.name for one in self.curves)
        raise SettingsError(f"there is no curve {name!r}", place="name", remedy=f"use one of {shown}")
