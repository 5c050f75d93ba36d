"""A table read and understood, before any row is chosen for training: columns, target, groups, rows in use."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pellucid.data.cells import as_names, refuse_infinite
from pellucid.data.columns import Column, infer_column, parse_column
from pellucid.data.embedded import embedded_frame, find_embedded
from pellucid.data.examples import draw_rows
from pellucid.data.fingerprint import fingerprint
from pellucid.data.frames import check_names, read_frame
from pellucid.data.splits import check_enough
from pellucid.data.target import NO_CLASS, Target, choose_target, encode_target, infer_target, missing_column
from pellucid.errors import DataError

if TYPE_CHECKING:
    import pandas

    from pellucid.data.settings import DataSettings
    from pellucid.results.data_report import ColumnRole

__all__ = ["IN_MEMORY", "Found", "TableReading", "read_columns", "read_source", "read_table"]

IN_MEMORY = "a table in memory"

_USABLE = ("number", "boolean", "date", "category")


@dataclass(frozen=True)
class Found:
    """A column, the role it plays and why."""

    column: Column
    role: ColumnRole
    note: str


@dataclass(frozen=True)
class TableReading:
    """A table with its columns understood.

    Attributes:
        source: The path or name it was read from.
        fingerprint: SHA-256 of the source.
        frame: The raw rows in use, numbered from 0.
        rows: ``(rows,)`` their row numbers in the source.
        rows_without_target: How many were left out for want of a target.
        found: Every column in the source's order.
        features: Parsed feature columns, one row for each row in use.
        target: What is predicted.
        values: ``(rows,)`` class numbers or quantities.
        groups: ``(rows,)`` group names that stay together, None without groups.
        order: ``(rows,)`` the order in which rows follow each other in time, for a split in order.
        notes: What was inferred and decided.
    """

    source: str
    fingerprint: str
    frame: pandas.DataFrame
    rows: np.ndarray
    rows_without_target: int
    found: tuple[Found, ...]
    features: pandas.DataFrame
    target: Target
    values: np.ndarray
    groups: np.ndarray | None
    order: np.ndarray
    notes: tuple[str, ...]

    @property
    def columns(self) -> list[Column]:
        """The feature columns."""
        return [found.column for found in self.found if found.role == "feature"]

    @property
    def identifiers(self) -> tuple[str, ...]:
        """Names of the columns that only tell rows apart."""
        return tuple(found.column.name for found in self.found if found.column.kind == "identifier")


def read_source(
    source: str | Path | pandas.DataFrame, *, seed: int = 0, as_text: Collection[str] = ()
) -> pandas.DataFrame:
    """The raw table of a file, of an embedded data set, or as it is; rows numbered from 0, column names as text."""
    if isinstance(source, str | Path):
        if find_embedded(source) and not Path(source).exists():
            return embedded_frame(str(source), seed)
        return read_frame(source, as_text=as_text)
    frame = source.reset_index(drop=True)
    frame.columns = [str(name).strip() for name in frame.columns]
    check_names(list(frame.columns), place=IN_MEMORY)
    if not len(frame):
        raise DataError("the table has no rows", place=IN_MEMORY, remedy="give at least one row")
    return frame


def read_table(source: str | Path | pandas.DataFrame, settings: DataSettings, seed: int) -> TableReading:
    """Read a table, choose its target and features, and leave out rows without a target.

    Raises:
        DataError: a column that was asked for is not there, a feature is infinite, the target is constant or missing
            everywhere, or no usable feature is left.
    """
    frame = read_source(source, seed=seed)
    place = str(source) if isinstance(source, str | Path) else IN_MEMORY
    embedded = find_embedded(source) if isinstance(source, str | Path) and not Path(source).exists() else None
    wanted = settings.target or (embedded.target if embedded else None)
    check_enough(len(frame), place=place)
    name, guessed = choose_target(list(frame.columns), wanted, place=place)
    target = infer_target(frame[name], name, settings.task, place=place)
    values = encode_target(target, frame[name], place=place)
    rows = np.flatnonzero(values != NO_CLASS if target.classes else ~np.isnan(values))
    without = len(frame) - len(rows)
    rows = draw_rows(values[rows] if target.classes else None, rows, settings.limit, seed)
    chosen = _chosen_names(list(frame.columns), name, settings, place)
    found, notes = _find_columns(frame.iloc[rows], chosen, target, settings, place)
    columns = [item.column for item in found if item.role == "feature"]
    features = read_columns(frame.iloc[rows], columns, rows, place=place)
    if settings.missing == "drop":
        kept = features.notna().all(axis=1).to_numpy()
        notes += [f"{int((~kept).sum())} rows with missing cells were left out."] if not kept.all() else []
        rows, features = rows[kept], features[kept]
    used = frame.iloc[rows].reset_index(drop=True)
    if settings.group is not None and used[settings.group].isna().any():
        notes.append(f"{int(used[settings.group].isna().sum())} rows without a group are each a group of their own.")
    if without:
        notes.append(f"{without} rows without a target were left out.")
    return TableReading(
        source=place,
        fingerprint=_fingerprint(source, frame),
        frame=used,
        rows=rows,
        rows_without_target=without,
        found=tuple(found),
        features=features.reset_index(drop=True),
        target=target,
        values=values[rows],
        groups=_groups(used, settings.group),
        order=_order(used, settings.time, place),
        notes=tuple(note for note in [guessed, target.note, *notes] if note),
    )


def read_columns(
    frame: pandas.DataFrame, columns: Sequence[Column], rows: np.ndarray, *, place: str
) -> pandas.DataFrame:
    """Columns read as their kinds say, every number finite or NaN.

    Args:
        frame: Raw rows.
        columns: Which columns, in the order of the result.
        rows: ``(rows,)`` their numbers in the source, for messages.
        place: Where they come from, for messages.
    """
    import pandas

    parsed = {}
    for column in columns:
        parsed[column.name] = parse_column(column, frame[column.name], place=place)
        if parsed[column.name].dtype == np.float64:
            refuse_infinite(parsed[column.name].to_numpy(), column.name, rows, place=place)
    return pandas.DataFrame(parsed, index=frame.index)


def _chosen_names(names: list[str], target: str, settings: DataSettings, place: str) -> set[str]:
    """The feature columns a person asked for; names may hold ``*`` and ``?``."""
    for wanted in (settings.group, settings.time):
        if wanted is not None and wanted not in names:
            raise missing_column([wanted], names, place=place)
    included = _matching(names, settings.features, place) if settings.features else set(names)
    return included - _matching(names, settings.drop, place) - {target, settings.group, settings.time}


def _matching(names: list[str], patterns: Sequence[str], place: str) -> set[str]:
    """The names that any of the patterns fits; a pattern that fits none is an error."""
    matched: set[str] = set()
    for pattern in patterns:
        fitting = {pattern} if pattern in names else {name for name in names if fnmatchcase(name, pattern)}
        if not fitting:
            raise missing_column([pattern], names, place=place)
        matched |= fitting
    return matched


def _find_columns(
    frame: pandas.DataFrame, chosen: set[str], target: Target, settings: DataSettings, place: str
) -> tuple[list[Found], list[str]]:
    """Every column with its role, and sentences about those that were dropped."""
    found = []
    for name in frame.columns:
        if name == target.column.name:
            found.append(Found(target.column, "target", target.column.note))
            continue
        column = infer_column(frame[name], str(name))
        if name in (settings.group, settings.time):
            found.append(Found(column, "group" if name == settings.group else "time", ""))
        elif name not in chosen:
            found.append(Found(column, "dropped", "left out as asked for"))
        else:
            found.append(_feature_or_dropped(column, asked=name in settings.features))
    if not any(item.role == "feature" for item in found):
        found = [_kept_counter(item) if item.column.name in chosen else item for item in found]
    if not any(item.role == "feature" for item in found):
        reasons = "; ".join(f"{item.column.name}: {item.note}" for item in found if item.role == "dropped")
        raise DataError(
            "no column is left to learn from",
            place=place,
            remedy=f"give columns that tell something about the target ({reasons or 'there is no other column'})",
        )
    dropped = [item for item in found if item.role == "dropped" and item.column.name in chosen]
    notes = [f"{item.column.name!r} was dropped: {item.note}." for item in dropped]
    return found, notes


def _feature_or_dropped(column: Column, *, asked: bool) -> Found:
    """A feature if its kind can be learned from; a numeric identifier only if it was asked for by name."""
    if column.kind in _USABLE:
        return Found(column, "feature", column.note)
    if asked and column.kind == "identifier" and not column.stored_as_text:
        return Found(replace(column, kind="number"), "feature", "kept as asked for")
    return Found(column, "dropped", column.note)


def _kept_counter(found: Found) -> Found:
    """A column that only counts the rows, kept where there is nothing else."""
    kept = _feature_or_dropped(found.column, asked=True)
    note = "it counts the rows, but is the only column" if kept.role == "feature" else kept.note
    return Found(kept.column, kept.role, note)


def _groups(frame: pandas.DataFrame, name: str | None) -> np.ndarray | None:
    """The group of each row; a row without one is a group of its own."""
    if name is None:
        return None
    names = as_names(frame[name]).to_numpy()
    return np.array([f"={group}" if group is not None else f"#{row}" for row, group in enumerate(names)], dtype=object)


def _order(frame: pandas.DataFrame, name: str | None, place: str) -> np.ndarray:
    """Rows by the time column, or as they stand."""
    if name is None:
        return np.arange(len(frame))
    column = infer_column(frame[name], name)
    if column.kind == "identifier" and not column.stored_as_text:
        column = replace(column, kind="number")
    if column.kind not in ("number", "date"):
        raise DataError(
            f"the column {name!r} is neither dates nor numbers", place=place, remedy="name another column as the time"
        )
    return np.argsort(parse_column(column, frame[name], place=place).to_numpy("float64"), kind="stable")


def _fingerprint(source: str | Path | pandas.DataFrame, frame: pandas.DataFrame) -> str:
    """The file's fingerprint, or that of the rows of a table without one."""
    if isinstance(source, str | Path) and Path(source).exists():
        return fingerprint(source)
    import hashlib

    text = frame.to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()
