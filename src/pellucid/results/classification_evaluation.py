"""How well a classifier does on one split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result
from pellucid.results.worst_examples import WorstExamples

__all__ = ["ClassificationEvaluation", "Curve"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A ROC or precision-recall curve of one class against the rest, thinned to at most 200 points."""

    x: np.ndarray  # (points,) false-positive rate, or recall
    y: np.ndarray  # (points,) true-positive rate, or precision
    area: float  # of the full curve: ROC AUC, or average precision; nan where the class is absent


@dataclass(frozen=True, eq=False)
class ClassificationEvaluation(Result):
    """Figures of merit over one split. Confusion has true classes in rows and predicted ones in columns."""

    schema: ClassVar[str] = "classification_evaluation/1"

    split: str
    classes: tuple[str, ...]
    examples: int
    accuracy: float
    balanced_accuracy: float
    majority_share: float  # accuracy of always saying the commonest class
    log_loss: float  # mean, nats
    precision: np.ndarray  # (classes,) float64
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray  # (classes,) int64
    averages: dict[str, dict[str, float]]  # "macro" | "micro" | "weighted" -> "precision" | "recall" | "f1"
    confusion: np.ndarray  # (classes, classes) int64
    roc: tuple[Curve, ...]  # one a class; for two classes only the second's
    precision_recall: tuple[Curve, ...]
    worst: WorstExamples
