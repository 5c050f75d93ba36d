"""The cells of a column as names, numbers or dates, and the errors that say which cell is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from pellucid.errors import DataError

__all__ = [
    "DECIMAL_COMMA",
    "MARKS",
    "THOUSANDS",
    "UNITS",
    "as_names",
    "refuse_infinite",
    "refuse_unread",
    "text_to_dates",
    "text_to_numbers",
]

MARKS = ("?", "-", "--", ".", "*")
"""Cells that mean a missing value in a column of text, beside those that every reader knows."""

THOUSANDS = r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?"
DECIMAL_COMMA = r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,\d+)?"
UNITS = r"^\s*[$€£¥]?\s*|\s*[%€$£¥]?\s*$"


def as_names(series: Any) -> Any:
    """Cells as text objects, stripped; whole numbers without a decimal point, missing and blank ones None."""
    from pandas.api import types

    if types.is_numeric_dtype(series.dtype) and not types.is_bool_dtype(series.dtype):
        values, codes = np.unique(series.to_numpy("float64", na_value=np.nan), return_inverse=True)
        texts = np.array([_number_name(value) for value in values], dtype=object)
    else:
        import pandas

        codes, values = pandas.factorize(series.astype(object))
        texts = np.array([_cell_name(value) for value in values] + [None], dtype=object)
    return type(series)(texts[codes], index=series.index, name=series.name, dtype=object)


def text_to_numbers(names: Any, decimal: str = ".") -> Any:
    """Numbers from text, NaN where there is none; thousands marks and units are taken off."""
    import pandas

    numbers = pandas.to_numeric(names, errors="coerce").astype("float64")
    rest = names[numbers.isna() & names.notna()].astype(object)
    if decimal == ",":
        rest = names.dropna().astype(object)
    if not len(rest):
        return numbers
    bare = rest.str.replace(UNITS, "", regex=True)
    if decimal == ",":
        bare = bare.where(bare.str.fullmatch(DECIMAL_COMMA)).str.replace(".", "", regex=False)
        bare = bare.str.replace(",", ".", regex=False)
    else:
        marked = bare.str.contains(",", regex=False).astype(bool)
        bare = bare.where(~marked | bare.str.fullmatch(THOUSANDS)).str.replace(",", "", regex=False)
    numbers.loc[rest.index] = pandas.to_numeric(bare, errors="coerce").astype("float64")
    return numbers


def text_to_dates(texts: Any, date_format: str) -> Any:
    """Dates in UTC without a zone, NaT where a text is none."""
    import pandas

    return pandas.to_datetime(texts, format=date_format, errors="coerce", utc=True).dt.tz_localize(None)


def refuse_infinite(numbers: np.ndarray, name: str, rows: np.ndarray, *, place: str) -> None:
    """Raise a DataError that names the first row in which the column is infinite."""
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        raise DataError(
            f"the column {name!r} holds {len(infinite)} infinite {'value' if len(infinite) == 1 else 'values'}",
            place=f"{place}, column {name!r}, row {int(rows[infinite[0]]) + 1} below the header",
            remedy="replace infinite values by numbers, or leave their cells empty",
        )


def refuse_unread(name: str, names: Any, read: Any, wanted: str, *, place: str) -> None:
    """Raise a DataError that names the first cell which could not be read."""
    unread = np.flatnonzero((read.isna() & names.notna()).to_numpy())
    if len(unread):
        cell = names.iloc[unread[0]]
        raise DataError(
            f"{cell!r} is not {wanted}",
            place=f"{place}, column {name!r}, row {int(names.index[unread[0]]) + 1} below the header",
            remedy="correct the cell or leave it empty",
        )


def _number_name(value: float) -> str | None:
    """A number as a person writes it: 3 and not 3.0."""
    if np.isnan(value):
        return None
    return str(int(value)) if np.isfinite(value) and value == int(value) and abs(value) < 1e15 else repr(float(value))


def _cell_name(value: Any) -> str | None:
    """A cell's text, numbers written as in a column of numbers; None if there is nothing in it."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return _number_name(float(value))
    return str(value).strip() or None
