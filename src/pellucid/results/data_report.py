"""What the data is and what was done to it before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pellucid.results.base import Result

__all__ = ["ColumnReport", "DataReport", "LeakageSuspect"]

ColumnRole = Literal["feature", "target", "group", "time", "dropped", "text", "image", "series"]
ColumnKind = Literal["number", "category", "date", "boolean", "text", "image", "identifier", "constant", "empty"]


@dataclass(frozen=True, eq=False)
class ColumnReport:
    """One column as found in the source and what became of it. Figures are over all rows before the split."""

    name: str
    kind: ColumnKind
    role: ColumnRole
    missing: int
    distinct: int
    treatment: tuple[str, ...]  # in order: "missing → median 29.7", "winsorised to [0, 65.6]: 11 values" …
    note: str  # why it was dropped, or a warning; '' if none
    mean: float | None  # numbers only
    std: float | None
    low: float | None
    median: float | None
    high: float | None
    histogram: np.ndarray | None  # (bins,) int64 counts of the finite numbers
    edges: np.ndarray | None  # (bins + 1,) float64
    top_values: tuple[str, ...]  # most frequent first, at most 12; categories only
    top_counts: tuple[int, ...]


@dataclass(frozen=True)
class LeakageSuspect:
    """A feature that alone nearly gives the target away."""

    column: str
    score: float  # cross-validated balanced accuracy or R² of a shallow tree on this feature alone
    reason: str


@dataclass(frozen=True, eq=False)
class DataReport(Result):
    """What each column, image set, text or series is, how it was split and what looks suspicious."""

    schema: ClassVar[str] = "data_report/1"

    source: str
    fingerprint: str  # SHA-256 of the source's bytes (of names, sizes and bytes for a folder)
    modality: str
    task: str
    rows: int  # rows used: after those without a target were left out
    rows_without_target: int
    columns: tuple[ColumnReport, ...]
    features_out: int  # numbers per example that reach the network
    split_sizes: dict[str, int]
    split_method: str  # "stratified by survived", "by group patient", "in time order" …
    classes: tuple[str, ...]  # () for regression
    class_counts: dict[str, np.ndarray]  # split -> (classes,) int64
    duplicate_rows: int  # exact duplicates of an earlier row, within the whole source
    duplicates_across_splits: int  # validation and test rows that stand in the training split too
    leakage: tuple[LeakageSuspect, ...]
    facts: dict[str, str]  # further facts by name: "image size": "28 × 28, 1 channel", "vocabulary": "812 words" …
    warnings: tuple[str, ...]
    sample_images: np.ndarray | None  # (n, height, width, channels) uint8, some training examples
    sample_texts: tuple[str, ...]
    sample_labels: tuple[str, ...]  # of the images or texts above
