"""The column to predict: which one it is, classification or regression, and its values as class numbers or floats."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid.data.cells import as_names, refuse_infinite
from pellucid.data.columns import Column, infer_column, parse_column
from pellucid.errors import DataError, SettingsError

if TYPE_CHECKING:
    import pandas

    from pellucid.data.prepared import Task

__all__ = ["NO_CLASS", "Target", "choose_target", "encode_target", "infer_target", "missing_column"]

NO_CLASS = -100
"""The class number of a row whose class is missing or was never seen; torch's losses pass over it."""

_USUAL_NAMES = ("target", "label", "class", "y", "outcome")
_MOST_NUMBERED_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        column: How its cells are read.
        task: Classification or regression.
        classes: Class names in the order of their numbers, None for regression.
        note: What was inferred and why, one sentence.
    """

    column: Column
    task: Task
    classes: tuple[str, ...] | None
    note: str


def choose_target(names: Sequence[str], wanted: str | None, *, place: str) -> tuple[str, str]:
    """The target's name and, if it was guessed, a note that says so.

    Raises:
        DataError: the column asked for is not there.
        SettingsError: none was asked for and no column has a usual name such as ``target`` or ``label``.
    """
    if wanted is not None:
        if wanted not in names:
            raise missing_column([wanted], names, place=place)
        return wanted, ""
    usual = [name for name in names if name.lower() in _USUAL_NAMES]
    if len(usual) == 1:
        return usual[0], f"No target was named; {usual[0]!r} was taken."
    remedy = f"name the column to predict with --target; the columns are {_listed(names)}"
    if place.lower().endswith((".txt", ".txt.gz")):
        remedy = (
            "for a table name the column to predict with --target; for a text a line, predict each following "
            "token with --text-task next_token, or the first letter with --target first_letter"
        )
    raise SettingsError("no target column was named", place=place, remedy=remedy)


def missing_column(wanted: Sequence[str], names: Sequence[str], *, place: str) -> DataError:
    """The error for columns that are not there, with the closest names that are."""
    close = [difflib.get_close_matches(name, names, n=1, cutoff=0.5) for name in wanted]
    folded = {name.lower(): name for name in names}
    guesses = [
        folded.get(name.lower()) or (found[0] if found else None) for name, found in zip(wanted, close, strict=True)
    ]
    listed = ", ".join(repr(name) for name in wanted)
    suggestion = " or ".join(dict.fromkeys(repr(guess) for guess in guesses if guess))
    remedy = f"did you mean {suggestion}? " if suggestion else ""
    if sum(_is_number(name) for name in names) > len(names) / 2:
        remedy += "the first line looks like data: add a header line; "
    return DataError(
        f"there {'is no column' if len(wanted) == 1 else 'are no columns'} {listed}",
        place=place,
        remedy=f"{remedy}the columns are {_listed(names)}",
    )


def infer_target(
    series: pandas.Series, name: str, task: Literal["auto", "classification", "regression"], *, place: str
) -> Target:
    """Find out whether the column holds classes or quantities.

    Text and truth values are classes; whole numbers are classes when there are at most 20 different ones, each for
    four rows or more on average; all other numbers are quantities.

    Raises:
        DataError: every cell is missing, there is one value only, the cells are no numbers although regression was
            asked for, or nearly every row has a class of its own.
    """
    column = infer_column(series, name)
    where = f"{place}, column {name!r}"
    if column.kind == "empty":
        raise DataError("the target is missing in every row", place=where, remedy="name another column with --target")
    names = _class_names(column, series)
    distinct = names.dropna().unique()
    if len(distinct) == 1:
        raise DataError(
            f"the target is the same in every row: {distinct[0]!r}",
            place=where,
            remedy="give rows with different values, or name another column with --target",
        )
    numbers = _numbers(column, series, place)
    if task == "auto":
        task, reason = _infer_task(names, numbers)
    else:
        reason = "as asked for"
    if task == "regression":
        if numbers is None:
            raise DataError(
                f"{distinct[0]!r} and other cells are no numbers, which regression needs",
                place=where,
                remedy="ask for classification, or name another column",
            )
        shown = f"{np.nanmin(numbers):.4g} … {np.nanmax(numbers):.4g}"
        return Target(
            _as_number(column), "regression", None, f"{name!r} is predicted by regression ({reason}: {shown})."
        )
    classes = tuple(sorted(map(str, distinct), key=_class_order))
    if len(classes) > 20 and len(classes) > 0.5 * names.notna().sum():
        raise DataError(
            f"{len(classes)} classes in {names.notna().sum()} rows are too many to learn",
            place=where,
            remedy="name another target, or ask for regression if it is a quantity",
        )
    shown = f"{len(classes)} classes: {_listed(classes)}"
    return Target(column, "classification", classes, f"{name!r} is predicted by classification ({reason}; {shown}).")


def encode_target(target: Target, series: pandas.Series, *, place: str) -> np.ndarray:
    """``(rows,)`` int64 class numbers, -100 for missing and unknown ones; or float64 quantities, NaN for missing.

    Raises:
        DataError: a quantity is infinite or no number.
    """
    if target.classes is not None:
        numbers = {name: number for number, name in enumerate(target.classes)}
        found = _class_names(target.column, series).map(numbers)
        return found.fillna(NO_CLASS).to_numpy("int64")
    values = parse_column(target.column, series, place=place).to_numpy("float64")
    refuse_infinite(values, target.column.name, np.arange(len(values)), place=place)
    return values


def _class_names(column: Column, series: pandas.Series) -> pandas.Series:
    """Cells as class names, None for missing."""
    names = as_names(series)
    return names.mask(names.isin(column.marks), None) if column.marks else names


def _numbers(column: Column, series: pandas.Series, place: str) -> np.ndarray | None:
    """The cells as finite numbers or NaN, None if they are no numbers."""
    from pandas.api import types

    if column.kind in ("category", "text", "date") or (column.kind == "identifier" and column.stored_as_text):
        return None
    if column.kind == "boolean" and not types.is_numeric_dtype(series.dtype):
        return None
    values = parse_column(_as_number(column), series, place=place).to_numpy("float64")
    refuse_infinite(values, column.name, np.arange(len(values)), place=place)
    return values


def _as_number(column: Column) -> Column:
    """The column read as numbers, whatever else its values look like."""
    return replace(column, kind="number")


def _infer_task(names: pandas.Series, numbers: np.ndarray | None) -> tuple[Task, str]:
    """The task and the reason for it."""
    if numbers is None:
        return "classification", "its cells are names"
    present = numbers[~np.isnan(numbers)]
    distinct = names.nunique()
    if distinct == 2:
        return "classification", "it has two values"
    if (present == np.round(present)).all() and distinct <= _MOST_NUMBERED_CLASSES and 4 * distinct <= len(present):
        return "classification", f"it has only {distinct} different whole numbers"
    return "regression", f"it has {distinct} different numbers"


def _class_order(name: str) -> tuple[int, float, str]:
    """Numbers by size, then names by letters."""
    return (0, float(name), name) if _is_number(name) else (1, 0.0, name)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return name.strip().lower() not in ("nan", "inf", "-inf", "infinity")


def _listed(names: Sequence[str], most: int = 12) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
