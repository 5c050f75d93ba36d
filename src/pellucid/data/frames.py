"""Reading a table from a file, whole or not at all: every fault is named with its line, column or byte."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.errors import DataError, SourceNotFoundError

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["MISSING_MARKS", "TABLE_SUFFIXES", "check_names", "read_frame", "read_text"]

MISSING_MARKS = ("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "<NA>", "#N/A", "#NA")
"""Cells of a text table that always mean that a value is missing."""

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq", ".jsonl", ".ndjson", ".json")
"""File name endings that ``read_frame`` reads; each text format also with ``.gz`` behind it."""

_REFUSED = {
    ".xlsx": "export the sheet as CSV",
    ".xls": "export the sheet as CSV",
    ".pkl": "save the table as Parquet or CSV; pickle files can run code and are never opened",
    ".pickle": "save the table as Parquet or CSV; pickle files can run code and are never opened",
}
_SNIFFED_LINES = 50


def read_frame(path: str | Path, *, as_text: Collection[str] = ()) -> pandas.DataFrame:
    """Read a CSV, TSV, Parquet or JSON-lines table, the text formats also gzipped.

    The delimiter of a CSV (comma, semicolon, tab or bar) is found by looking. Cells such as ``NA`` or nothing at all
    are missing values. Text must be UTF-8.

    Args:
        path: The file.
        as_text: Columns of a CSV or TSV to read as they stand, so that ``007`` stays ``007``.

    Returns:
        The rows in the file's order, numbered from 0, with unique, stripped column names.

    Raises:
        SourceNotFoundError: there is no such file.
        DataError: it is empty, has only a header, a ragged line, repeated column names or another encoding, is
            truncated, or is in a format that Pellucid does not read.
    """
    path = Path(path)
    suffix = _check_file(path)
    if suffix in (".parquet", ".pq"):
        table = _read_parquet(path)
        check_names(table.column_names, place=str(path))
        frame = _to_pandas(table)
    elif suffix in (".jsonl", ".ndjson", ".json"):
        frame = _read_json(read_text(path), whole=suffix == ".json", place=str(path))
    else:
        frame = _to_pandas(_read_delimited(read_text(path), suffix, as_text, place=str(path)))
    if not len(frame):
        raise DataError("the table has no rows", place=str(path), remedy="add data below the header")
    return frame


def check_names(names: Collection[str], *, place: str) -> None:
    """Refuse column names that stand more than once."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(
            f"the column name {repeated[0]!r} stands {list(names).count(repeated[0])} times",
            place=place,
            remedy="give every column its own name; if the file has no header line, add one",
        )


def _check_file(path: Path) -> str:
    """The format's suffix in lower case, after the checks that need no reading."""
    if not path.exists():
        raise SourceNotFoundError("there is no such file", place=str(path), remedy="check the spelling and the folder")
    if path.is_dir():
        raise DataError("this is a folder, not a table", place=str(path), remedy="name a file in it")
    if path.stat().st_size == 0:
        raise DataError("the file is empty", place=str(path), remedy="give a file with a header line and rows")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else "".join(suffixes[-1:])
    if suffix in _REFUSED:
        raise DataError(f"{suffix} files are not read", place=str(path), remedy=_REFUSED[suffix])
    return suffix


def read_text(path: Path) -> str:
    """A file's text, unzipped if need be and decoded.

    Raises:
        DataError: it is no UTF-8 text, or its gzip is damaged.
    """
    payload = path.read_bytes()
    if payload[:2] == b"\x1f\x8b":
        try:
            payload = gzip.decompress(payload)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"the gzip file is truncated or damaged ({error})", place=str(path), remedy="fetch or zip it again"
            ) from None
    if payload[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError("the text is UTF-16, not UTF-8", place=str(path), remedy="save the file again as UTF-8")
    if b"\0" in payload:
        place = f"{path}, byte {payload.index(0)}"
        raise DataError("this is not a text file", place=place, remedy="give a CSV, TSV, JSON-lines or Parquet file")
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = payload.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"the text is not UTF-8: byte 0x{payload[error.start]:02x} cannot be read",
            place=f"{path}, line {line}, byte {error.start}",
            remedy="save the file again as UTF-8 (it may be Latin-1 or Windows-1252 now)",
        ) from None


def _read_delimited(text: str, suffix: str, as_text: Collection[str], *, place: str) -> pyarrow.Table:
    """A CSV or TSV as an Arrow table."""
    import pyarrow
    from pyarrow import types

    if "\n" not in text:
        text = text.replace("\r", "\n")  # as old spreadsheets end their lines
    lines = text.splitlines()
    head = [line for line in lines[:_SNIFFED_LINES] if line.strip()]
    if not head:
        raise DataError("the file is empty", place=place, remedy="give a file with a header line and rows")
    try:
        delimiter = "\t" if suffix in (".tsv", ".tab") else _find_delimiter(head)
        header = _read_header(text, delimiter)
    except csv.Error as error:
        raise DataError(f"the table cannot be read: {error}", place=place, remedy="check its first lines") from None
    names = [name.strip() or f"column {number}" for number, name in enumerate(header, 1)]
    check_names(names, place=place)
    as_text = [written for written, name in zip(header, names, strict=True) if name in as_text]
    try:
        table, ragged = _parse_delimited(text, delimiter, as_text)
        times = [name for name, kind in zip(table.column_names, table.schema.types, strict=True) if types.is_time(kind)]
        if times:  # Arrow would write 12:30 as 12:30:00; only the cell itself reads the same in every file
            table, ragged = _parse_delimited(text, delimiter, [*as_text, *times])
    except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError) as error:
        raise DataError(f"the table cannot be read: {error}", place=place, remedy="check its quotes") from None
    if ragged:
        raise _ragged_error(ragged[0], len(ragged), lines, place)
    return table.rename_columns(names)


def _parse_delimited(text: str, delimiter: str, as_text: Collection[str]) -> tuple[pyarrow.Table, list[Any]]:
    """Arrow's reading, and the rows that are too short or too long."""
    import pyarrow
    from pyarrow import csv

    payload = text.encode()
    ragged: list[Any] = []

    def keep_ragged(row: Any) -> str:
        ragged.append(row)
        return "skip"

    table = csv.read_csv(
        io.BytesIO(payload),
        # Rows are numbered in error reports only when one thread reads; types are inferred from the first block,
        # which therefore holds the whole file.
        read_options=csv.ReadOptions(use_threads=False, block_size=min(max(len(payload), 1 << 16) + 1, 2**31 - 1)),
        parse_options=csv.ParseOptions(
            delimiter=delimiter, newlines_in_values='"' in text, invalid_row_handler=keep_ragged
        ),
        convert_options=csv.ConvertOptions(
            null_values=list(MISSING_MARKS),
            strings_can_be_null=True,
            column_types={name: pyarrow.string() for name in as_text},
        ),
    )
    return table, ragged


def _read_header(text: str, delimiter: str) -> list[str]:
    """The names as they are written in the first line that is not blank."""
    return next((row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row), [])


def _find_delimiter(head: list[str]) -> str:
    """The delimiter that cuts most of the first lines into as many cells as the header, then into most cells."""
    best = (0.0, 1, ",")
    for delimiter in (",", ";", "\t", "|"):
        counts = [len(row) for row in csv.reader(head, delimiter=delimiter) if row]
        if counts and counts[0] > 1:
            agreeing = round(sum(count == counts[0] for count in counts) / len(counts), 1)
            best = max(best, (agreeing, counts[0], delimiter))
    return best[2]


def _ragged_error(row: Any, amount: int, lines: list[str], place: str) -> DataError:
    """An error that names the first line with too few or too many cells."""
    first = str(row.text).splitlines()[0] if row.text else ""
    start = max((row.number or 1) - 1, 0)
    line = next((number for number, text in enumerate(lines[start:], start + 1) if text == first), row.number)
    more = f" (and {amount - 1} more {'line' if amount == 2 else 'lines'} like it)" if amount > 1 else ""
    if row.expected_columns == 1:
        remedy = "let the first line name the columns, and nothing stand above it"
    else:
        remedy = "give every line as many cells as the header; put cells that hold the delimiter in quotes"
    return DataError(
        f"a line has {row.actual_columns} cells where the header has {row.expected_columns}{more}",
        place=f"{place}, line {line}: {first[:80]}",
        remedy=remedy,
    )


def _read_parquet(path: Path) -> pyarrow.Table:
    """A Parquet file as an Arrow table, without a saved pandas index."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"the Parquet file is truncated or damaged ({str(error).splitlines()[0]})",
            place=str(path),
            remedy="fetch or write it again",
        ) from None
    kept = [name for name in table.column_names if not name.startswith("__index_level_")]
    return table.select(kept) if len(kept) < table.num_columns and len(set(kept)) == len(kept) else table


def _to_pandas(table: pyarrow.Table) -> pandas.DataFrame:
    """Arrow columns as plain pandas ones: dictionaries decoded, decimals as floats, times of day as text."""
    import pyarrow
    from pyarrow import types

    def plain(kind: Any) -> Any:
        if types.is_dictionary(kind):
            return kind.value_type
        if types.is_decimal(kind):
            return pyarrow.float64()
        return pyarrow.string() if types.is_time(kind) else kind

    columns = [column.cast(plain(column.type)) for column in table.columns]
    frame = pyarrow.table(columns, names=table.column_names).to_pandas(ignore_metadata=True, date_as_object=False)
    frame.columns = [str(name).strip() for name in frame.columns]
    return frame


def _read_json(text: str, *, whole: bool, place: str) -> pandas.DataFrame:
    """JSON lines, or one JSON array of objects."""
    import pandas

    if whole and text.lstrip().startswith("["):
        try:
            records = json.loads(text)
        except ValueError as error:
            raise DataError(f"the JSON is damaged ({error})", place=place, remedy="write the file again") from None
        numbered = list(enumerate(records, 1))
        unit = "record"
    else:
        numbered = list(_parse_lines(text, place))
        unit = "line"
    for number, record in numbered:
        if not isinstance(record, dict):
            raise DataError(
                f"a {unit} holds no JSON object but {str(record)[:40]!r}",
                place=f"{place}, {unit} {number}",
                remedy='write one object for each row, such as {"age": 29, "sex": "male"}',
            )
    frame = pandas.DataFrame.from_records([record for _, record in numbered])
    frame.columns = [str(name).strip() for name in frame.columns]
    check_names(list(frame.columns), place=place)
    return frame


def _parse_lines(text: str, place: str) -> list[tuple[int, Any]]:
    """The value of every line that is not blank, with its number from 1."""
    parsed = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            parsed.append((number, json.loads(line)))
        except ValueError as error:
            raise DataError(
                f"the line is no JSON ({error})",
                place=f"{place}, line {number}: {line[:60]}",
                remedy="write one JSON object a line; the last line may be cut off",
            ) from None
    return parsed
