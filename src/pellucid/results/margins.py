"""How far examples are from where the decision changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.errors import SettingsError
from pellucid.results.base import Result

__all__ = ["MarginSummary", "Margins"]


@dataclass(frozen=True)
class MarginSummary:
    """One kind of margin over all examples; nan where it was not measured."""

    name: str  # the field of ``Margins`` that holds it
    label: str
    exactness: str  # "exact", "linearised", or where it is exact
    unit: str
    measured: int  # examples that have it
    mean: float
    minimum: float
    low: float  # 5 % quantile
    median: float
    high: float  # 95 % quantile
    negative: float  # share below 0: on the wrong side


@dataclass(frozen=True, eq=False)
class Margins(Result):
    """The margins of every example; positive where the decision is right, negative where it is wrong."""

    schema: ClassVar[str] = "margins/1"

    split: str  # '' where nobody said
    layer: str  # the classifier; '' where the model's output does not come from a linear layer
    examples: int
    classes: int
    class_names: tuple[str, ...]
    accuracy: float
    competitors: int  # classes whose boundary the input distance was sought at, those of the largest outputs first
    labels: np.ndarray  # (examples,) int32
    predictions: np.ndarray  # (examples,) int32
    output: np.ndarray  # (examples,) float32: z_y − max of the other logits
    cosine: np.ndarray  # (examples,) float32: cos∠(h, w_y) − max cos∠(h, w_j); empty without a linear classifier
    angle: np.ndarray  # (examples,) float32, degrees: min ∠(h, w_j) − ∠(h, w_y); empty likewise
    feature_distance: np.ndarray  # (examples,) float32: to the boundary in feature space, exact; empty likewise
    input_distance: np.ndarray  # (examples,) float32: min |z_p − z_j| ÷ ‖∇(z_p − z_j)‖, linearised; empty if left out
    slice_distance: np.ndarray  # (examples,) float32: exact distance within a slice, as given; nan or empty without
    summaries: tuple[MarginSummary, ...]
    notes: tuple[str, ...]  # what was left out, and why

    def __getitem__(self, name: str) -> MarginSummary:
        """The summary of one kind, e.g. ``result["cosine"].median``."""
        for one in self.summaries:
            if one.name == name:
                return one
        shown = ", ".join(one.name for one in self.summaries)
        raise SettingsError(f"there is no margin {name!r}", place="name", remedy=f"use one of {shown}")

    def by_class(self, name: str) -> np.ndarray:
        """(classes,) medians of one kind of margin; nan for a class without examples."""
        values = np.asarray(getattr(self, self[name].name), dtype=np.float64)
        found = np.full(self.classes, np.nan)
        for k in range(self.classes):
            mine = values[(self.labels == k) & np.isfinite(values)]
            found[k] = np.median(mine) if len(mine) else np.nan
        return found
