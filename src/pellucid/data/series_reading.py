"""A series as it comes: numeric columns in the order of time, gaps filled, faults named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pellucid.data.cells import as_names, refuse_infinite
from pellucid.data.columns import Column, infer_column, parse_column
from pellucid.data.table_reading import IN_MEMORY, read_source
from pellucid.data.target import missing_column
from pellucid.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas

__all__ = ["SeriesReading", "find_series_columns", "read_series"]

_FEW_REPEATED = 0.01


@dataclass(frozen=True)
class SeriesReading:
    """A series in time order.

    Attributes:
        place: The path or name.
        values: ``(steps, columns)`` float64, interpolated where missing.
        missing: ``(steps, columns)`` where they were missing.
        rows: ``(steps,)`` the row numbers in the source.
        times: ``(steps,)`` the time cells as text, ``None`` without a time column.
        notes: What was found and done.
        warnings: What looks wrong.
    """

    place: str
    values: np.ndarray
    missing: np.ndarray
    rows: np.ndarray
    times: list[str] | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def find_series_columns(
    frame: pandas.DataFrame, names: Sequence[str], time: str | None, *, place: str
) -> tuple[tuple[Column, ...], Column | None]:
    """Find out how the cells of the series' columns and of the time column are read.

    Raises:
        DataError: A column is not there, holds nothing, or the time column is neither dates nor numbers.
    """
    absent = [name for name in (*names, time) if name is not None and name not in frame]
    if absent:
        raise missing_column(absent, list(frame.columns), place=place)
    columns = []
    for name in names:
        column = infer_column(frame[name], name)
        if column.kind == "empty":
            raise DataError(
                "every value is missing", place=f"{place}, column {name!r}", remedy="name another column with --series"
            )
        columns.append(replace(column, kind="number"))
    return tuple(columns), None if time is None else _find_time(frame[time], time, place)


def _find_time(cells: pandas.Series, name: str, place: str) -> Column:
    import pandas

    column = infer_column(cells, name)
    if column.kind == "date":
        return column
    if pandas.api.types.is_numeric_dtype(cells.dtype) or (column.stored_as_text and column.kind == "number"):
        return replace(column, kind="number")
    names = as_names(cells)
    unread = np.flatnonzero(pandas.to_datetime(names, errors="coerce", format="ISO8601").isna() & names.notna())
    row = int(unread[0]) if len(unread) else 0
    raise DataError(
        f"{names.iloc[row]!r} is neither a date nor a number",
        place=f"{place}, column {name!r}, row {row + 1} below the header",
        remedy="write every time the same way, as in 2024-01-31 13:00, or name another column with --time",
    )


def read_series(
    source: str | Path | pandas.DataFrame,
    columns: tuple[Column, ...] | Sequence[str],
    time: Column | str | None,
    *,
    seed: int = 0,
) -> tuple[SeriesReading, tuple[Column, ...], Column | None]:
    """Read a series, sort it by time, and fill its gaps by straight lines.

    Args:
        source: A table, an embedded set's name, or a DataFrame.
        columns: The columns, by name or as they were read before.
        time: What orders the rows, ``None`` = they are in order.
        seed: From which an embedded set is made.

    Returns:
        The series, and how its columns and its time are read.

    Raises:
        DataError: A column is not there, a value is no number or infinite, a time is missing or stands too often.
    """
    names = [column if isinstance(column, str) else column.name for column in columns]
    title = time if isinstance(time, str) or time is None else time.name
    place = str(source) if isinstance(source, str | Path) else IN_MEMORY
    stored = [column for column in (*columns, time) if isinstance(column, Column) and column.stored_as_text]
    frame = read_source(source, seed=seed, as_text=[column.name for column in stored])
    known = tuple(column for column in columns if isinstance(column, Column))
    if len(known) < len(names):
        known, when = find_series_columns(frame, names, title, place=place)
    else:
        when = time if isinstance(time, Column) else None
        absent = [name for name in (*names, title) if name is not None and name not in frame]
        if absent:
            raise missing_column(absent, list(frame.columns), place=place)
    numbers = [parse_column(column, frame[column.name], place=place).to_numpy("float64") for column in known]
    for column, values in zip(known, numbers, strict=True):
        refuse_infinite(values, column.name, np.arange(len(values)), place=place)
    values = np.stack(numbers, axis=1)
    rows, notes, warnings = _sort(frame, when, place)
    missing = np.isnan(values[rows])
    filled = np.stack([_interpolate(column, values[rows, i], place) for i, column in enumerate(known)], axis=1)
    for index, column in enumerate(known):
        count = int(missing[:, index].sum())
        if count:
            notes.append(f"{count} missing values of {column.name!r} are interpolated.")
        if count > 0.2 * len(rows):
            warnings.append(f"{count / len(rows):.0%} of {column.name!r} was missing: much of it is straight lines.")
    times = None if when is None else [str(cell) for cell in as_names(frame[when.name].iloc[rows])]
    return SeriesReading(place, filled, missing, rows, times, tuple(notes), tuple(warnings)), known, when


def _interpolate(column: Column, values: np.ndarray, place: str) -> np.ndarray:
    """Gaps filled by straight lines, before the first and after the last value by these."""
    known = np.flatnonzero(~np.isnan(values))
    if not len(known):
        raise DataError("every value is missing", place=f"{place}, column {column.name!r}", remedy="fill the column")
    return np.interp(np.arange(len(values)), known, values[known])


def _sort(frame: pandas.DataFrame, time: Column | None, place: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Row numbers in time order, and what there is to say about the times."""
    if time is None:
        return np.arange(len(frame)), ["Rows are taken in the order of the file."], []
    where = f"{place}, column {time.name!r}"
    when = parse_column(time, frame[time.name], place=place).to_numpy("float64")
    absent = np.flatnonzero(~np.isfinite(when))
    if len(absent):
        raise DataError(
            f"{len(absent)} rows have no time",
            place=f"{where}, row {absent[0] + 1} below the header",
            remedy="fill the cell or remove the row",
        )
    rows = np.argsort(when, kind="stable")
    steps = np.diff(when[rows])
    repeated = np.flatnonzero(steps == 0)
    notes, warnings = [], []
    if len(repeated) > _FEW_REPEATED * len(rows):
        raise DataError(
            f"{len(repeated)} rows have the same time as another one: there may be several series in the file",
            place=f"{where}, row {rows[repeated[0] + 1] + 1} below the header",
            remedy="keep one series, or one row for each time",
        )
    if len(repeated):
        warnings.append(f"{len(repeated)} rows of {time.name!r} have the same time as another one; all are kept.")
    if not (rows == np.arange(len(rows))).all():
        notes.append(f"Rows were not in order and are sorted by {time.name!r}.")
    usual = float(np.median(steps)) if len(steps) else 0.0
    uneven = int((np.abs(steps - usual) > 0.5 * usual).sum()) - len(repeated)
    if usual > 0 and uneven > 0:
        said = "1 step" if uneven == 1 else f"{uneven} steps"
        warnings.append(
            f"{said} of {time.name!r} {'is' if uneven == 1 else 'are'} uneven, up to {steps.max() / usual:.3g} times "
            "the usual one; windows count rows, not time."
        )
    return rows, notes, warnings
