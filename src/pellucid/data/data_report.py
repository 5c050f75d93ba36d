"""The data report of a table: what each column is, how it was split and treated, and what looks suspicious."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pellucid.data.cells import as_names
from pellucid.data.examples import plain_column
from pellucid.data.leakage import find_leakage
from pellucid.data.treatments import describe_treatments
from pellucid.results.data_report import ColumnReport, DataReport, LeakageSuspect

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas
    from sklearn.compose import ColumnTransformer

    from pellucid.data.table_reading import Found, TableReading

__all__ = ["class_counts", "count_duplicates", "report_table", "warn_of_classes", "warn_of_splits"]

_BINS = 30
_MOST_VALUES = 12
_FEW_ROWS = 30


def report_table(
    reading: TableReading,
    split: Mapping[str, np.ndarray],
    transformer: ColumnTransformer,
    feature_names: tuple[str, ...],
    *,
    split_method: str,
    seed: int,
) -> DataReport:
    """Report on a table that was read, split and preprocessed.

    Args:
        reading: The table.
        split: Positions among the rows in use, by split name.
        transformer: Fitted on the training rows.
        feature_names: Names of what reaches the network.
        split_method: How the rows were split, in words.
        seed: Of the sampling in the search for leakage.
    """
    classes = reading.target.classes or ()
    treatments = describe_treatments(transformer, reading.features.iloc[split["train"]])
    if reading.target.classes is None:
        mean, std = reading.values[split["train"]].mean(), reading.values[split["train"]].std()
        treatments[reading.target.column.name] = (f"standardised: mean {mean:.4g}, std {std:.4g}",)
    else:
        treatments[reading.target.column.name] = (f"numbered 0…{len(classes) - 1}: {', '.join(classes[:12])}",)
    leakage = find_leakage(reading.features, reading.values, reading.target.task, seed)
    duplicates, across = count_duplicates(reading.features, reading.values, split)
    counts = class_counts(reading.values, split, len(classes)) if classes else {}
    sizes = {name: len(rows) for name, rows in split.items()}
    return DataReport(
        source=reading.source,
        fingerprint=reading.fingerprint,
        modality="table",
        task=reading.target.task,
        rows=len(reading.rows),
        rows_without_target=reading.rows_without_target,
        columns=tuple(_report_column(found, reading, treatments.get(found.column.name, ())) for found in reading.found),
        features_out=len(feature_names),
        split_sizes=sizes,
        split_method=split_method,
        classes=classes,
        class_counts=counts,
        duplicate_rows=duplicates,
        duplicates_across_splits=across,
        leakage=leakage,
        facts={"columns": f"{len(reading.found)} in the source, {len(reading.columns)} learned from"},
        warnings=(
            *warn_of_classes(classes, counts),
            *warn_of_splits(sizes, across),
            *(_leakage_warning(suspect) for suspect in leakage),
            *_width_warning(len(feature_names), sizes["train"]),
        ),
        sample_images=None,
        sample_texts=(),
        sample_labels=(),
    )


def class_counts(values: np.ndarray, split: Mapping[str, np.ndarray], classes: int) -> dict[str, np.ndarray]:
    """``(classes,)`` how many rows of each class stand in each split."""
    return {name: np.bincount(values[rows], minlength=classes).astype(np.int64) for name, rows in split.items()}


def count_duplicates(
    features: pandas.DataFrame, values: np.ndarray, split: Mapping[str, np.ndarray]
) -> tuple[int, int]:
    """How many rows equal an earlier one in every feature and the target, and how many outside training equal a
    training row."""
    from pandas.util import hash_pandas_object

    keys = hash_pandas_object(features.assign(**{"target to predict": values}), index=False).to_numpy()
    duplicates = len(keys) - len(np.unique(keys))
    outside = np.concatenate([keys[rows] for name, rows in split.items() if name != "train"])
    return duplicates, int(np.isin(outside, keys[split["train"]]).sum())


def warn_of_classes(classes: tuple[str, ...], counts: Mapping[str, np.ndarray]) -> list[str]:
    """Sentences about rare classes and imbalance."""
    if not classes:
        return []
    total = np.sum(list(counts.values()), axis=0)
    rare = [f"{name!r} ({amount})" for name, amount in zip(classes, total, strict=True) if amount < 3]
    said = []
    if rare:
        said.append(f"Classes with too few rows to stand in every split: {', '.join(rare[:12])}.")
    share = total.max() / total.sum()
    if share > 0.8 or total.max() > 20 * max(1, total.min()):
        said.append(
            f"The classes are imbalanced: always answering {classes[int(total.argmax())]!r} would be right in "
            f"{share:.1%} of the rows; look at balanced figures and F1, not accuracy alone."
        )
    return said


def warn_of_splits(sizes: Mapping[str, int], across: int) -> list[str]:
    """Sentences about small splits and rows that stand in training too."""
    said = []
    for name in ("validation", "test"):
        if sizes[name] < _FEW_ROWS:
            one = 100 / sizes[name]
            rows = "1 row" if sizes[name] == 1 else f"{sizes[name]} rows"
            said.append(f"The {name} split has only {rows}: its figures are rough, one row is {one:.0f} %.")
    if across:
        held = sizes["validation"] + sizes["test"]
        said.append(
            f"{across} of {held} validation and test rows {'stands' if across == 1 else 'stand'} in the training split "
            "too: figures look better than they are."
        )
    return said


def _leakage_warning(suspect: LeakageSuspect) -> str:
    """One suspect in a sentence."""
    return f"{suspect.column!r} may leak the target (score {suspect.score:.3f}): {suspect.reason}."


def _width_warning(features: int, rows: int) -> list[str]:
    """A sentence where there are more features than training rows."""
    if features <= rows:
        return []
    return [f"There are more features ({features}) than training rows ({rows}): expect overfitting."]


def _report_column(found: Found, reading: TableReading, treatment: tuple[str, ...]) -> ColumnReport:
    """One column's report; figures are over all rows in use."""
    name = found.column.name
    kind = found.column.kind
    raw = reading.frame[name]
    if found.role == "feature":
        values = reading.features[name]
    elif found.role == "target" and reading.target.classes is None:
        values = type(raw)(reading.values, dtype="float64")
    elif kind == "text" and not found.column.stored_as_text:  # lists, bytes and the like
        return _without_figures(found, int(raw.isna().sum()), 0, treatment)
    else:
        values = as_names(raw)
    missing, distinct = int(values.isna().sum()), int(values.nunique())
    if kind == "number" and values.dtype == np.float64:
        return _with_numbers(found, values.dropna().to_numpy(), missing, distinct, treatment)
    report = _without_figures(found, missing, distinct, treatment)
    if kind not in ("category", "boolean", "constant"):
        return report
    shown = as_names(raw).value_counts().head(_MOST_VALUES)
    return replace(
        report,
        top_values=tuple(map(str, shown.index)),
        top_counts=tuple(int(count) for count in shown),
    )


def _without_figures(found: Found, missing: int, distinct: int, treatment: tuple[str, ...]) -> ColumnReport:
    """The report of a column without numbers."""
    column = found.column
    plain = plain_column(column.name, column.kind, found.role, treatment, missing=missing, distinct=distinct)
    return replace(plain, note=found.note)


def _with_numbers(
    found: Found, values: np.ndarray, missing: int, distinct: int, treatment: tuple[str, ...]
) -> ColumnReport:
    """The report of a column of numbers, with its histogram."""
    counts, edges = np.histogram(values, bins=_BINS)
    return replace(
        _without_figures(found, missing, distinct, treatment),
        mean=float(values.mean()),
        std=float(values.std()),
        low=float(values.min()),
        median=float(np.median(values)),
        high=float(values.max()),
        histogram=counts.astype(np.int64),
        edges=edges,
    )
