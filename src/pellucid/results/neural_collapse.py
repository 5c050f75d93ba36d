"""How far a classifier's last features have collapsed onto their class centres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pellucid.results.base import Result

if TYPE_CHECKING:
    import pandas

__all__ = ["CollapseQuantity", "NeuralCollapse"]


@dataclass(frozen=True)
class CollapseQuantity:
    """One published measure."""

    name: str  # a key, e.g. "nc1"
    group: str  # what it speaks of: "variability", "centres", "classifier", "duality", "decision" …
    label: str  # e.g. "within-class variability"
    formula: str  # plain text
    value: float  # nan where it is not defined; ``note`` says why
    collapsed: float  # what it is in full collapse
    error: float  # how far rounding can have moved it; nan where that was not estimated
    source: str  # authors, year
    note: str  # the convention, or why there is no value; '' for nothing to say
    low: float = float("nan")  # of a 95 % bootstrap interval; nan where none was asked for
    high: float = float("nan")


@dataclass(frozen=True, eq=False)
class NeuralCollapse(Result):
    """Every measure of neural collapse of one layer's features and the classifier on top of them."""

    schema: ClassVar[str] = "neural_collapse/1"

    layer: str  # the module whose input the features are; '' for features that were given
    split: str  # '' where nobody said
    examples: int
    classes: int
    features: int
    class_names: tuple[str, ...]
    empty_classes: tuple[int, ...]  # left out of every measure
    single_classes: tuple[int, ...]  # with one example: their own variability is 0 by construction
    reference: str  # the geometry that collapse would lead to here, e.g. "simplex ETF"
    accuracy: float  # of the classifier, 0–1; nan without one
    nearest_centre_accuracy: float
    resamples: int  # of the bootstrap behind the intervals; 0 for none
    quantities: tuple[CollapseQuantity, ...]
    counts: np.ndarray  # (classes,) examples
    within: np.ndarray  # (classes,) mean squared distance from the centre
    centre_norms: np.ndarray  # (classes,) of the centred class means
    classifier_norms: np.ndarray  # (classes,); empty without a classifier
    cosines: np.ndarray  # (classes, classes) of the centred class means; empty above 1,024 classes
    strengths: np.ndarray  # eigenvalues of the centres' scatter, largest first
    strengths_within: np.ndarray  # mean squared residual along the same directions
    inside: float  # share of the within-class variability that lies in the span of the centres, 0–1

    def __getitem__(self, name: str) -> float:
        """A measure by its name, e.g. ``result["nc1"]``."""
        for one in self.quantities:
            if one.name == name:
                return one.value
        raise KeyError(name)

    def table(self) -> pandas.DataFrame:
        """Every measure: value, what collapse would give, rounding error, interval, formula, convention and source."""
        return self.to_frame()
