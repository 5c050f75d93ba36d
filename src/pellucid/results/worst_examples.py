"""The examples that a network got most wrong, with what a person recognises of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["WorstExamples"]


@dataclass(frozen=True, eq=False)
class WorstExamples:
    """At most 24 examples, largest loss first."""

    rows: np.ndarray  # (n,) int64 row numbers in the source
    loss: np.ndarray  # (n,) float64: cross-entropy in nats, or absolute error in the target's unit
    target: tuple[str, ...]
    prediction: tuple[str, ...]
    confidence: np.ndarray | None  # (n,) probability given to the predicted class
    texts: tuple[str, ...]  # "age 29 · sex male · fare 7.25" or the text itself; () for images and series
    images: np.ndarray | None  # (n, height, width, channels) uint8
    series: np.ndarray | None  # (n, steps) float64: the window seen, in the source's unit
