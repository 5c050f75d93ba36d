"""A series turned into windows of known values and the horizon that follows each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pellucid.data.fingerprint import fingerprint
from pellucid.data.prepared import Prepared, Split
from pellucid.data.series_preparation import SeriesPreparation
from pellucid.data.series_reading import SeriesReading, read_series
from pellucid.data.series_report import report_series
from pellucid.data.settings import DataSettings
from pellucid.data.splits import fold_rows, split_rows
from pellucid.data.windows import WindowPlan, needed_rows, plan_windows
from pellucid.errors import DataError, SettingsError

if TYPE_CHECKING:
    import pandas

__all__ = ["SeriesPreparation", "prepare_series"]


def prepare_series(
    source: str | Path | pandas.DataFrame,
    settings: DataSettings | None = None,
    seed: int = 0,
    *,
    fold: int | None = None,
) -> Prepared:
    """Prepare a series for forecasting.

    Args:
        source: A table with numeric columns, an embedded set's name, or a DataFrame.
        settings: ``series`` names the columns to forecast from, the first is forecast; ``time`` orders the rows;
            ``window``, ``horizon`` and ``stride`` cut them; ``limit`` keeps the latest rows.
        seed: Of embedded sets; nothing else is drawn.
        fold: Which of ``settings.folds`` folds, each later in time than the one before, is the test split.

    Raises:
        SettingsError: No column is named, or window, horizon or stride is below 1.
        DataError: The series cannot be read, or is too short.
    """
    settings = settings or DataSettings()
    plan = _check(settings)
    reading, columns, time = read_series(source, settings.series, settings.time, seed=seed)
    first = 0 if settings.limit is None else max(0, len(reading.values) - settings.limit)
    steps = len(reading.values) - first
    parts = _split(steps, plan, settings, fold, reading.place)
    parts = {name: rows + first for name, rows in parts.items()}
    starts = plan_windows(plan, parts, np.asarray(reading.missing.any(axis=1)))
    if not all(len(found) for found in starts.values()):
        raise _too_short(steps, plan, settings, reading.place)
    end = int(starts["train"][-1]) + plan.window + plan.horizon
    offset, scale = _fit_scale(reading.values[first:end], settings.scaling)
    path = Path(source) if isinstance(source, str | Path) else None
    lasting = reading.place if path is None or not path.exists() else str(path.resolve())
    preparation = SeriesPreparation(lasting, columns, time, plan.window, plan.horizon, offset, scale, seed)
    splits = {}
    for name, found in starts.items():
        inputs, targets = preparation.cut(reading.values, found)
        assert targets is not None
        splits[name] = Split(inputs, targets, reading.rows[found + plan.window - 1])
    digest = fingerprint(path) if path is not None and path.exists() else _digest(reading)
    report = report_series(reading, preparation, plan, starts, first=first, digest=digest)
    name = columns[0].name
    return Prepared(
        modality="series",
        task="regression",
        splits=splits,
        input_shape=(plan.window, len(columns)),
        classes=None,
        target_names=tuple(f"{name}+{step}" for step in range(1, plan.horizon + 1)),
        target_scale=(np.repeat(offset[:1], plan.horizon), np.repeat(scale[:1], plan.horizon)),
        preparation=preparation,
        report=report,
        notes=(
            *reading.notes,
            *((f"The latest {steps} of {len(reading.values)} rows are used (limit).",) if first else ()),
            f"{name!r} is forecast {plan.horizon} steps ahead from {plan.window} known ones.",
            f"Windows were split {report.split_method}: {', '.join(f'{len(part)} {k}' for k, part in splits.items())}.",
            *report.warnings,
        ),
    )


def _check(settings: DataSettings) -> WindowPlan:
    if not settings.series:
        raise SettingsError("no series column was named", place="series", remedy="name the column to forecast")
    if len(set(settings.series)) < len(settings.series):
        raise SettingsError("a series column is named twice", place="series", remedy="name it once")
    for name in ("window", "horizon", "stride"):
        if getattr(settings, name) < 1:
            raise SettingsError(
                f"a {name} of {getattr(settings, name)} steps is none", place=name, remedy="take 1 or more"
            )
    if settings.task == "classification":
        raise SettingsError("a series is forecast by regression", place="task", remedy="leave the task out")
    return WindowPlan(settings.window, settings.horizon, settings.stride)


def _split(steps: int, plan: WindowPlan, settings: DataSettings, fold: int | None, place: str) -> dict[str, np.ndarray]:
    """Consecutive rows of each split."""
    if steps < plan.window + plan.horizon:
        raise _too_short(steps, plan, settings, place)
    if fold is None:
        return split_rows(steps, settings.split, shuffle=False, place=place)
    return fold_rows(steps, settings.folds, fractions=settings.split, shuffle=False, place=place)[fold]


def _too_short(steps: int, plan: WindowPlan, settings: DataSettings, place: str) -> DataError:
    needed = needed_rows(plan, settings.split)
    message = f"{steps} rows are too few for windows of {plan.window} + {plan.horizon} in every split"
    if steps < needed:
        remedy = f"give at least {needed} rows, or take a smaller window or horizon"
        return DataError(f"{message}: {needed} are needed", place=place, remedy=remedy)
    remedy = "fill the gaps where one split ends and the next begins, ask for fewer folds, or take a smaller window"
    return DataError(message, place=place, remedy=remedy)


def _fit_scale(values: np.ndarray, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """What scikit-learn's scalers take off and divide by."""
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    columns = values.shape[1]
    if scaling == "none":
        return np.zeros(columns), np.ones(columns)
    if scaling == "minmax":
        minmax = MinMaxScaler().fit(values)
        return np.asarray(minmax.data_min_), np.where(minmax.data_range_ > 0, minmax.data_range_, 1.0)
    if scaling == "robust":
        robust = RobustScaler().fit(values)
        return np.asarray(robust.center_), np.asarray(robust.scale_)
    standard = StandardScaler().fit(values)
    return np.asarray(standard.mean_), np.asarray(standard.scale_)


def _digest(reading: SeriesReading) -> str:
    import hashlib

    return hashlib.sha256(reading.values.tobytes()).hexdigest()
