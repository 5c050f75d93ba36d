"""The figures of every fold of a k-fold cross-validation, and their spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["CrossValidation"]


@dataclass(frozen=True, eq=False)
class CrossValidation(Result):
    """One value a fold and metric, on the rows each fold held out."""

    schema: ClassVar[str] = "cross_validation/1"

    folds: int
    method: str  # "stratified 5-fold", "grouped by patient" …
    values: dict[str, np.ndarray]  # metric -> (folds,) float64
    mean: dict[str, float]
    std: dict[str, float]  # sample standard deviation (n − 1)
    sizes: np.ndarray  # (folds,) int64 held-out examples
