"""How well a regression does on one split, in the targets' own units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result
from pellucid.results.worst_examples import WorstExamples

__all__ = ["RegressionEvaluation"]


@dataclass(frozen=True, eq=False)
class RegressionEvaluation(Result):
    """Figures of merit over one split, averaged over outputs where there are several."""

    schema: ClassVar[str] = "regression_evaluation/1"

    split: str
    targets: tuple[str, ...]  # names of the outputs: columns, or steps of the horizon
    examples: int
    mae: float
    mse: float
    rmse: float
    r2: float
    baseline_mae: float  # of always saying the training mean (for a series: of repeating the last value)
    mae_per_output: np.ndarray  # (outputs,) float64
    r2_per_output: np.ndarray
    sample_rows: np.ndarray  # (n,) rows drawn for the plots, n ≤ 2000
    sample_target: np.ndarray  # (n, outputs) float64
    sample_prediction: np.ndarray  # (n, outputs) float64
    residual_histogram: np.ndarray  # (bins,) int64 over all examples and outputs
    residual_edges: np.ndarray  # (bins + 1,)
    worst: WorstExamples
