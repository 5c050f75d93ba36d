"""What a column of a table is, found by looking at it, and how its cells become numbers, dates or names again."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.data.cells import (
    DECIMAL_COMMA,
    MARKS,
    THOUSANDS,
    UNITS,
    as_names,
    refuse_unread,
    text_to_dates,
    text_to_numbers,
)

if TYPE_CHECKING:
    from pellucid.results.data_report import ColumnKind

__all__ = ["Column", "infer_column", "parse_column"]

_TRUTHS = (("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("off", "on"))
_DATE_FORMATS = (
    "ISO8601",
    *(
        day + time
        for day in ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y.%m.%d")
        for time in ("", " %H:%M", " %H:%M:%S")
    ),
    *("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%m/%d/%y", "%d.%m.%y"),
    *("%H:%M:%S", "%H:%M"),
)
_DATE_LIKE = re.compile(r"^(?=.*\d)[\w.,:/ +\-]{4,35}$")
_IDENTIFIER_WORDS = {
    "id",
    "ids",
    "uuid",
    "guid",
    "key",
    "index",
    "idx",
    "no",
    "nr",
    "rowid",
    "rownumber",
    "row",
    "serial",
}
_TIME_WORDS = {"year", "month", "week", "day", "hour", "minute", "date", "time", "age", "step", "t", "x"}
_MOST_WORDS_FOR_MISSING = 3
_ENOUGH = 10
"""Rows below which no column is taken for an identifier or free text."""


@dataclass(frozen=True)
class Column:
    """What a column is and how its cells are read.

    Attributes:
        name: Its name in the header.
        kind: ``number``, ``category``, ``boolean``, ``date``, ``identifier``, ``text`` (free text, or too many
            different values), ``constant`` or ``empty``.
        stored_as_text: Whether its cells were text when it was first read.
        decimal: The decimal mark of numbers stored as text.
        date_format: The format of dates stored as text; ``""`` for typed dates.
        values: The two texts of a boolean stored as text, false first.
        marks: Cells that mean missing in this column.
        note: A sentence for the person, ``""`` if there is nothing to say.
    """

    name: str
    kind: ColumnKind
    stored_as_text: bool = False
    decimal: str = "."
    date_format: str = ""
    values: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    note: str = ""


def infer_column(series: Any, name: str) -> Column:
    """Find out what a column is.

    Integers that count the rows, or that are nearly all different under a name such as ``id``, are identifiers; so
    are short texts that are all different. Texts of which more than half are different are free text.
    """
    from pandas.api import types

    present = series.dropna()
    if present.empty:
        return Column(name, "empty", note="every cell is missing")
    if types.is_bool_dtype(series.dtype) or set(map(type, present.head(100))) <= {bool, np.bool_}:
        return Column(name, "constant" if present.nunique() == 1 else "boolean")
    if types.is_datetime64_any_dtype(series.dtype):
        return Column(name, "constant" if present.nunique() == 1 else "date")
    if types.is_numeric_dtype(series.dtype):
        return _infer_number(name, present, len(series))
    if isinstance(present.iloc[0], bytes | list | dict | np.ndarray):
        return Column(
            name, "text", note=f"its cells hold {type(present.iloc[0]).__name__} values, not numbers or names"
        )
    return _infer_text(name, as_names(series), len(series))


def parse_column(column: Column, series: Any, *, place: str = "") -> Any:
    """Read the cells as the column's kind says.

    Returns:
        Float64 numbers (booleans 0 or 1; dates in days since 1970), or for every other kind names as text objects.
        Missing cells are NaN, or None among names.

    Raises:
        DataError: a cell is no number, date or truth value where it has to be.
    """
    from pandas.api import types

    if column.kind == "date":
        return _parse_dates(column, series, place)
    if column.kind == "boolean" and column.values:
        return _parse_truths(column, series, place)
    if column.kind not in ("number", "boolean"):
        names = as_names(series)
        return names.mask(names.isin(column.marks), None) if column.marks else names
    if types.is_numeric_dtype(series.dtype) or types.is_bool_dtype(series.dtype):
        return series.astype("float64")
    names = as_names(series)
    names = names.mask(names.isin([*column.marks, *MARKS]), None)
    if column.kind == "boolean":
        names = names.replace({"True": "1", "False": "0", "true": "1", "false": "0"})
    numbers = text_to_numbers(names, column.decimal)
    refuse_unread(column.name, names, numbers, "a number", place=place)
    return numbers


def _infer_number(name: str, present: Any, rows: int, **fields: Any) -> Column:
    """A column of numbers: constant, two-valued, an identifier or just numbers."""
    values = present.to_numpy("float64")
    distinct = np.unique(values)
    if len(distinct) == 1 and len(values) == rows:
        return Column(name, "constant", note="every cell holds the same value", **fields)
    if len(distinct) == 1:
        return Column(name, "category", note="one value or missing: read as two categories", **fields)
    if len(distinct) == 2 and set(distinct) == {0.0, 1.0}:
        return Column(name, "boolean", **fields)
    if _is_identifier(name, distinct, rows):
        return Column(name, "identifier", note="its whole numbers only tell rows apart", **fields)
    return Column(name, "number", **fields)


def _is_identifier(name: str, distinct: np.ndarray, rows: int) -> bool:
    """Whether whole numbers count the rows, or are nearly all different under a name that says identifier."""
    if rows < _ENOUGH or not np.isfinite(distinct).all() or not (distinct == np.round(distinct)).all():
        return False
    words = _words(name)
    named = bool(words & _IDENTIFIER_WORDS) or name.lower().startswith(("unnamed:", "column "))
    if named and len(distinct) >= 0.9 * rows:
        return True
    counts_rows = len(distinct) == rows and distinct[0] in (0, 1) and distinct[-1] - distinct[0] == rows - 1
    return counts_rows and not words & _TIME_WORDS


def _words(name: str) -> set[str]:
    """The lower-case words of a name: ``PassengerId`` → passenger, id."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def _infer_text(name: str, names: Any, rows: int) -> Column:
    """A column of text: numbers, dates or truth values stored as text, names, identifiers or free text."""
    counts = names.value_counts()  # every rule looks at each different text once
    texts = type(names)(counts.index.to_numpy(dtype=object))
    amounts = counts.to_numpy()
    marked = texts.isin(MARKS).to_numpy()
    fields: dict[str, Any] = {"stored_as_text": True, "marks": tuple(sorted(texts[marked]))}
    texts, amounts = texts[~marked].reset_index(drop=True), amounts[~marked]
    if not len(texts):
        return Column(name, "empty", note="every cell is missing", **fields)
    return (
        _infer_truth(name, texts.to_numpy(), fields)
        or _infer_text_number(name, texts, amounts, rows, fields)
        or _infer_date(name, texts, fields)
        or _infer_names(name, texts, amounts, rows, fields)
    )


def _infer_truth(name: str, distinct: np.ndarray, fields: dict[str, Any]) -> Column | None:
    """Yes and no stored as text."""
    folded = {str(value).lower(): str(value) for value in distinct}
    for false, true in _TRUTHS:
        if len(distinct) == 2 and set(folded) == {false, true}:
            return Column(name, "boolean", values=(folded[false], folded[true]), **fields)
    return None


def _infer_text_number(name: str, texts: Any, amounts: np.ndarray, rows: int, fields: dict[str, Any]) -> Column | None:
    """Numbers stored as text, perhaps with thousands marks, a decimal comma, a unit, or a few words for "missing"."""
    with_comma = texts[texts.str.contains(",", regex=False).astype(bool)]
    decimal = "."
    if len(with_comma):
        bare = with_comma.str.replace(UNITS, "", regex=True)
        if not bare.str.fullmatch(THOUSANDS).all() and bare.str.fullmatch(DECIMAL_COMMA).mean() > 0.8:
            decimal = ","
    numbers = text_to_numbers(texts, decimal)
    unread = numbers.isna().to_numpy()
    few = amounts[unread].sum() <= 0.2 * amounts.sum() and unread.sum() <= _MOST_WORDS_FOR_MISSING
    if unread.any() and not few:
        return None
    words = tuple(sorted(texts[unread]))
    notes = ["numbers stored as text"]
    notes += [f"decimal comma: {with_comma.iloc[0]!r}"] if decimal == "," else []
    notes += [f"thousands marked: {with_comma.iloc[0]!r}"] if len(with_comma) and decimal == "." else []
    absent = (*fields["marks"], *words)
    notes += [f"read as missing: {', '.join(map(repr, absent))}"] if absent else []
    present = type(texts)(np.repeat(numbers[~unread].to_numpy(), amounts[~unread]))
    column = _infer_number(name, present, rows, decimal=decimal, **{**fields, "marks": absent})
    return replace(column, note="; ".join([*notes, *([column.note] if column.note else [])]))


def _infer_date(name: str, texts: Any, fields: dict[str, Any]) -> Column | None:
    """Dates stored as text in one of the usual formats."""
    if len(texts) < 2 or not all(_DATE_LIKE.match(text) for text in texts.head(50)):
        return None
    first = texts.head(50)
    likely = [form for form in _DATE_FORMATS if not text_to_dates(first, form).isna().any()]
    fitting = [form for form in likely if not text_to_dates(texts, form).isna().any()]
    if not fitting:
        return None
    note = f"dates stored as text, read as {fitting[0].replace('ISO8601', 'year-month-day')}"
    if {"%m/%d/%Y", "%d/%m/%Y"} <= set(fitting):
        note += " (day/month would fit as well: write year-month-day to be sure)"
    return Column(name, "date", date_format=fitting[0], note=note, **fields)


def _infer_names(name: str, texts: Any, amounts: np.ndarray, rows: int, fields: dict[str, Any]) -> Column:
    """Categories, identifiers or free text."""
    distinct, present = len(texts), int(amounts.sum())
    if distinct == 1:
        if present == rows:
            return Column(name, "constant", note="every cell holds the same value", **fields)
        return Column(name, "category", note="one value or missing: read as two categories", **fields)
    if rows < _ENOUGH:
        return Column(name, "category", **fields)
    words = float(np.average(texts.str.count(r"\s+").to_numpy("float64") + 1, weights=amounts))
    if distinct == present and distinct > 0.9 * rows and words <= 8:
        return Column(name, "identifier", note="its names are all different and only tell rows apart", **fields)
    gaps = 1 - present / rows
    if distinct > 20 and distinct > 0.5 * present and (gaps < 0.05 or words > 3):
        note = f"{distinct} different values in {present} rows: read it as text to learn from it"
        return Column(name, "text", note=note, **fields)
    note = f"{', '.join(map(repr, fields['marks']))} read as missing" if fields["marks"] else ""
    return Column(name, "category", note=note, **fields)


def _parse_dates(column: Column, series: Any, place: str) -> Any:
    """Days since 1970 as floats."""
    import pandas
    from pandas.api import types

    if types.is_datetime64_any_dtype(series.dtype):
        dates = series.dt.tz_convert("UTC").dt.tz_localize(None) if series.dt.tz is not None else series
    else:
        names = as_names(series)
        names = names.mask(names.isin([*column.marks, *MARKS]), None)
        dates = text_to_dates(names, column.date_format or "ISO8601")
        refuse_unread(column.name, names, dates, f"a date like {column.date_format or 'year-month-day'}", place=place)
    days = (dates - pandas.Timestamp(0)) / pandas.Timedelta(days=1)
    return days.astype("float64")


def _parse_truths(column: Column, series: Any, place: str) -> Any:
    """0 and 1 from the two texts of a boolean."""
    names = as_names(series)
    names = names.mask(names.isin([*column.marks, *MARKS]), None)
    folded = names.str.lower()
    table = {column.values[0].lower(): 0.0, column.values[1].lower(): 1.0, "false": 0.0, "true": 1.0}
    truths = folded.map(table).astype("float64")
    refuse_unread(column.name, names, truths, f"{column.values[0]!r} or {column.values[1]!r}", place=place)
    return truths
