"""What a data report says of a series: its columns, its windows, and how far it is to beat repeating the last value."""

from __future__ import annotations

import numpy as np

from pellucid.data.data_report import warn_of_splits
from pellucid.data.examples import count_example_duplicates, number_column, plain_column
from pellucid.data.series_preparation import SeriesPreparation
from pellucid.data.series_reading import SeriesReading
from pellucid.data.splits import SPLITS
from pellucid.data.windows import WindowPlan, cut_windows
from pellucid.results.data_report import ColumnReport, DataReport

__all__ = ["report_series"]


def report_series(
    reading: SeriesReading,
    preparation: SeriesPreparation,
    plan: WindowPlan,
    starts: dict[str, np.ndarray],
    *,
    first: int,
    digest: str,
) -> DataReport:
    """The report of a series.

    Args:
        reading: The series.
        preparation: Fitted on its training part.
        plan: Window, horizon and stride.
        starts: Where the windows of each split start.
        first: The first step in use.
        digest: The source's fingerprint.
    """
    target, length = reading.values[:, 0], plan.window + plan.horizon
    whole = {name: cut_windows(target, found, length) for name, found in starts.items()}
    duplicates, across = count_example_duplicates(whole)
    sizes = {name: len(found) for name, found in starts.items()}
    errors = whole["test"][:, plan.window :] - whole["test"][:, plan.window - 1 : plan.window]
    scored = sum(
        int(cut_windows(reading.missing[:, 0], starts[s] + plan.window, plan.horizon).any(1).sum()) for s in SPLITS[1:]
    )
    facts = {
        "window": f"{plan.window} steps of {', '.join(column.name for column in preparation.columns)}",
        "horizon": f"{plan.horizon} steps",
        "stride": f"{plan.stride}",
        "missing": f"{int(reading.missing.sum())} values, interpolated",
        "last value repeated": f"RMSE {np.sqrt((errors**2).mean()):.4g} on the test windows, to compare with",
    }
    if reading.times is not None:
        facts["time"] = f"{reading.times[first]} … {reading.times[-1]}"
        facts["test from"] = reading.times[int(starts["test"][0]) + plan.window]
    warnings = [*reading.warnings, *warn_of_splits(sizes, across)]
    if scored:
        warnings.append(f"{scored} validation and test windows are scored on interpolated values.")
    end = int(starts["train"][-1]) + length
    constant = [c.name for i, c in enumerate(preparation.columns) if np.ptp(reading.values[first:end, i]) == 0]
    if constant:
        warnings.append(f"{', '.join(map(repr, constant))} never changes in the training part.")
    return DataReport(
        source=reading.place,
        fingerprint=digest,
        modality="series",
        task="regression",
        rows=len(reading.values) - first,
        rows_without_target=0,
        columns=_columns(reading, preparation, first),
        features_out=plan.window * len(preparation.columns),
        split_sizes=sizes,
        split_method="in time order, no target in two splits",
        classes=(),
        class_counts={},
        duplicate_rows=duplicates,
        duplicates_across_splits=across,
        leakage=(),
        facts=facts,
        warnings=tuple(warnings),
        sample_images=None,
        sample_texts=(),
        sample_labels=(),
    )


def _columns(reading: SeriesReading, preparation: SeriesPreparation, first: int) -> tuple[ColumnReport, ...]:
    reports = []
    for index, column in enumerate(preparation.columns):
        missing = int(reading.missing[first:, index].sum())
        scaled = f"(value − {preparation.offset[index]:.6g}) / {preparation.scale[index]:.6g}"
        treatment = (f"{missing} missing → interpolated", scaled) if missing else (scaled,)
        values = np.where(reading.missing[first:, index], np.nan, reading.values[first:, index])
        reports.append(number_column(column.name, "series" if index else "target", values, treatment, missing=missing))
    if preparation.time is not None and reading.times is not None:
        distinct = len(set(reading.times[first:]))
        kind = "date" if preparation.time.kind == "date" else "number"
        reports.append(plain_column(preparation.time.name, kind, "time", ("orders the rows",), distinct=distinct))
    return tuple(reports)
