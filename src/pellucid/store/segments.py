"""Segments: a table's rows as Parquet files named by the rows they hold, so that a listing tells what is where."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.errors import RunCorruptedError, RunTooNewError
from pellucid.store.filesystem import Folder
from pellucid.store.migrations import COLUMN_RENAMES
from pellucid.store.tables import TABLES, TABLES_VERSION

__all__ = [
    "SEGMENTS",
    "Segment",
    "concatenate",
    "conform",
    "encode_segment",
    "encoding",
    "list_segments",
    "parse_segment_name",
    "read_segment",
    "resolve_segments",
]

SEGMENTS = "segments"
"""The folder that holds them."""

_NAME = re.compile(r"(\d{12})-(\d{12})-([0-9a-f]{8})\.parquet")
_VERSION_KEY = b"pellucid.tables"
_ROW_GROUP_ROWS = 65_536


@dataclass(frozen=True, order=True)
class Segment:
    """A file with the rows ``first`` to ``last``, both included, written by the holder of ``token``."""

    first: int
    last: int
    token: str

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return self.last - self.first + 1

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.first:012d}-{self.last:012d}-{self.token}.parquet"

    def path(self, table: str) -> str:
        """Where it is inside the run's folder."""
        return f"{SEGMENTS}/{table}/{self.name}"


def list_segments(folder: Folder, table: str) -> list[Segment]:
    """All segments in the folder, by first row, superseded ones included; foreign files are passed over."""
    found = [parse_segment_name(name) for name in folder.names(f"{SEGMENTS}/{table}")]
    return sorted(segment for segment in found if segment is not None)


def parse_segment_name(name: str) -> Segment | None:
    """The segment of a file's name; None if it is no segment's."""
    match = _NAME.fullmatch(name)
    if match and int(match[1]) <= int(match[2]):
        return Segment(int(match[1]), int(match[2]), match[3])
    return None


def resolve_segments(found: Iterable[Segment]) -> tuple[list[Segment], list[Segment], list[tuple[int, int]]]:
    """Choose segments so that no row is read twice and none is left out.

    A merged segment and its parts are both there for a moment, and for longer after a crash: at every row the longest
    segment that begins there is taken, and whatever lies inside it is superseded.

    Returns:
        The chosen segments in order of rows, the superseded ones, and the gaps (first and last missing row), which
        only damage from outside can make.
    """
    chosen: list[Segment] = []
    superseded: list[Segment] = []
    gaps: list[tuple[int, int]] = []
    position = 0
    for segment in sorted(found, key=lambda each: (each.first, -each.last, each.token)):
        if segment.first < position:
            superseded.append(segment)
            continue
        if segment.first > position:
            gaps.append((position, segment.first - 1))
        chosen.append(segment)
        position = segment.last + 1
    return chosen, superseded, gaps


def conform(rows: pa.Table, table: str, version: int = TABLES_VERSION) -> pa.Table:
    """Rows as the table's schema wants them: old names renamed, missing columns null, unknown ones left out."""
    schema = TABLES[table]
    for step in range(version, TABLES_VERSION):
        renames = COLUMN_RENAMES.get(step, {}).get(table, {})
        rows = rows.rename_columns([renames.get(name, name) for name in rows.column_names])
    columns = [
        _cast(rows.column(field.name), field.type) if field.name in rows.column_names else _nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _nulls(length: int, kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(length, kind)])


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    if pa.types.is_dictionary(kind):  # Parquet gives int32 indices back
        column = column.unify_dictionaries()
        chunks = [
            pa.DictionaryArray.from_arrays(chunk.indices.cast(kind.index_type), chunk.dictionary.cast(kind.value_type))
            for chunk in cast("list[Any]", column.chunks)
        ]
        return pa.chunked_array(chunks, type=kind)
    return column.cast(kind)


def concatenate(parts: Sequence[pa.Table], table: str) -> pa.Table:
    """One table of several, with one dictionary for each label column."""
    if not parts:
        return TABLES[table].empty_table()
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def encoding(table: str) -> dict[str, Any]:
    """Labels as dictionaries, counters as differences, floats by byte planes: what makes Parquet small here."""
    labels: list[str] = []
    encodings: dict[str, str] = {}
    for field in TABLES[table]:
        if pa.types.is_dictionary(field.type):
            labels.append(field.name)
        elif pa.types.is_integer(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_floating(field.type):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
    return {"use_dictionary": labels or False, "column_encoding": encodings}


def encode_segment(rows: pa.Table, table: str) -> bytes:
    """The Parquet file of some rows."""
    sink = pa.BufferOutputStream()
    stamped = rows.replace_schema_metadata({_VERSION_KEY: str(TABLES_VERSION).encode()})
    pq.write_table(stamped, sink, compression="zstd", row_group_size=_ROW_GROUP_ROWS, **encoding(table))
    return sink.getvalue().to_pybytes()


def read_segment(folder: Folder, table: str, segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a segment in the present schema, or only some of its columns.

    Raises:
        RunCorruptedError: the file is truncated or damaged, or holds other rows than its name says.
        RunTooNewError: a newer Pellucid wrote it.
        FileNotFoundError: it is not there (merged into a longer one since it was listed).
    """
    place = f"{folder.location}/{segment.path(table)}"
    try:
        with folder.open_arrow(segment.path(table)) as source, pq.ParquetFile(source) as file:
            metadata = cast("dict[bytes, bytes]", file.schema_arrow.metadata or {})
            version = int(metadata.get(_VERSION_KEY, b"0"))
            if version > TABLES_VERSION:
                raise RunTooNewError("the table was written by a newer Pellucid", place=place, remedy="update Pellucid")
            wanted = columns if version == TABLES_VERSION and columns is not None else None
            rows = conform(file.read(columns=wanted, use_threads=False), table, version)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RunCorruptedError(
            f"a segment of the table {table} cannot be read ({error})",
            place=place,
            remedy="the other segments are still read; delete this file to silence the warning",
        ) from error
    if len(rows) != segment.rows:
        raise RunCorruptedError(f"the segment holds {len(rows)} rows, not {segment.rows}", place=place)
    return rows.select(list(columns)) if columns is not None else rows
