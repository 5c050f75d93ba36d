"""How far a classifier's last features have collapsed onto their class centres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.collapse_quantities import CollapseQuantities, CollapseQuantity

__all__ = ["NeuralCollapse"]


@dataclass(frozen=True, eq=False)
class NeuralCollapse(CollapseQuantities):
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
