"""Overviews: of every full segment a few rows of each series, so that a long history is drawn without being read.

An overview holds the rows that ``choose_rows`` picks, so that no extreme of any column is lost, sorted by layer in
row groups (where the table has layers); small ones are merged. It is not part of the run's data: a reader that finds
none, or one of segments that are no longer there, reads the segments.
"""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.downsample import choose_rows
from pellucid.store.filesystem import Folder
from pellucid.store.segments import Segment, conform, encoding, parse_segment_name
from pellucid.store.tables import TABLES, TABLES_VERSION

__all__ = ["OVERVIEW", "OverviewWriter", "read_overviews", "summarise"]

OVERVIEW = "overview"
"""The folder that holds them."""

_ROW = "row"
"""The row's number in the whole table."""
_MOST_ROWS = {"steps": 1024, "layers": 96, "histograms": 96}
"""The tables that have overviews, and how many rows of each series (layer, and kind) are kept of one segment."""
_LEAST_THINNING = 8
_FAN = 8
"""That many overviews are merged into one."""
_GROUP_ROWS = 4096
_KEY = b"pellucid.overview"


@dataclass(frozen=True)
class _Footer:
    version: int
    parts: list[str]
    """Names of the segments that it is of."""
    groups: list[list[str]]
    """The layers in each row group."""


def summarise(rows: pa.Table, table: str, first_row: int) -> pa.Table:
    """The rows of a segment that show each layer's extremes, with their numbers, in order.

    Args:
        rows: The whole segment.
        table: Whose rows these are.
        first_row: The number of the first of them.
    """
    series = np.zeros(len(rows), dtype=np.int64)
    for name in ("layer", "kind"):
        if name in rows.column_names:
            codes = rows.column(name).combine_chunks().indices.fill_null(-1)
            series = series * 40_000 + np.asarray(codes, dtype=np.int64) + 1
    numeric = [_numbers(rows.column(field.name)) for field in TABLES[table] if _is_number(field.type)]
    order = np.argsort(series, kind="stable")
    starts = np.flatnonzero(np.diff(series[order], prepend=-1))
    kept: list[np.ndarray] = []
    for own in np.split(order, starts[1:]):
        most = min(_MOST_ROWS[table], max(1, len(own) // _LEAST_THINNING))
        if table == "histograms":  # a picture of distributions over time has no single extreme
            chosen = np.unique(np.linspace(0, len(own) - 1, most).round().astype(np.int64))
        else:
            chosen = choose_rows([column[own] for column in numeric], len(own), most)
        kept.append(own[chosen])
    places = np.sort(np.concatenate(kept)) if kept else np.zeros(0, dtype=np.int64)
    return rows.take(pa.array(places)).append_column(_ROW, pa.array(places + first_row))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().to_numpy(zero_copy_only=False)


class OverviewWriter:
    """Keeps one table's overviews; for who holds the writer's I/O lock. What cannot be written is left out.

    Args:
        folder: The run's.
        table: Whose overviews; small tables have none.
        token: The writer's.
    """

    def __init__(self, folder: Folder, table: str, token: str) -> None:
        self._folder, self._table, self._token = folder, table, token
        self._final: list[tuple[Segment, list[str]]] = []
        self._passing: dict[str, Segment] = {}  # of segments that will be merged yet, by their names
        self._is_kept = table in _MOST_ROWS

    def take_over(self, segments: Sequence[Segment], sealed: Sequence[Segment]) -> None:
        """Go on beside these segments, of which some are never rewritten; overviews of others are deleted."""
        if not self._is_kept:
            return
        self._folder.delete_partials(f"{OVERVIEW}/{self._table}")
        names, final = ({segment.name for segment in each} for each in (segments, sealed))
        for overview in _list(self._folder, self._table):
            footer, _ = _read(self._folder, self._table, overview, None, set())
            if footer is not None and final.issuperset(footer.parts):
                self._final.append((overview, footer.parts))
            elif footer is not None and len(footer.parts) == 1 and names.issuperset(footer.parts):
                self._passing[footer.parts[0]] = overview
            else:
                self._folder.delete(_path(self._table, overview))

    def add(self, segment: Segment, rows: pa.Table, *, final: bool, instead_of: Sequence[Segment] = ()) -> None:
        """Keep an overview of a segment.

        Args:
            segment: Just written.
            rows: What is in it.
            final: Whether it will never be rewritten.
            instead_of: The segments that it replaces.
        """
        if not self._is_kept:
            return
        with contextlib.suppress(OSError):
            self._write(segment, summarise(rows, self._table, segment.first), [segment.name])
            if final:
                self._final.append((segment, [segment.name]))
                self._merge()
            else:
                self._passing[segment.name] = segment
            for replaced in instead_of:
                if replaced.name in self._passing:
                    self._folder.delete(_path(self._table, self._passing.pop(replaced.name)))

    def _merge(self) -> None:
        """Merge the last ones as soon as there are enough that are of as many segments each."""
        last = self._final[-_FAN:]
        if len(last) < _FAN or len({len(parts) for _, parts in last}) > 1:
            return
        read = [_read(self._folder, self._table, overview, None)[1] for overview, _ in last]
        if any(each is None for each in read):
            return
        names = [name for _, parts in last for name in parts]
        merged = Segment(last[0][0].first, last[-1][0].last, self._token)
        self._write(merged, _joined(cast("list[pa.Table]", read)), names)
        self._final[-_FAN:] = [(merged, names)]
        for overview, _ in last:
            self._folder.delete(_path(self._table, overview))
        self._merge()

    def _write(self, name: Segment, rows: pa.Table, parts: list[str]) -> None:
        self._folder.write(_path(self._table, name), _encode(rows, self._table, parts))


def read_overviews(
    folder: Folder, table: str, segments: Sequence[Segment], layer: str | None
) -> tuple[pa.Table | None, set[str]]:
    """The rows that overviews have of some segments, with their numbers in ``row``, and the segments' names.

    None where there is no overview.

    Args:
        folder: The run's.
        table: Whose overviews.
        segments: Overviews of any other are passed over.
        layer: Only this layer's rows.
    """
    wanted = {segment.name for segment in segments}
    covered: set[str] = set()
    parts: list[pa.Table] = []
    found = _list(folder, table) if table in _MOST_ROWS else []
    # The longest first: a merged overview and its parts may both be there for a moment.
    for overview in sorted(found, key=lambda each: each.first - each.last):
        footer, rows = _read(folder, table, overview, layer, wanted)
        if footer is not None and rows is not None:
            parts.append(rows)
            covered.update(footer.parts)
            wanted.difference_update(footer.parts)
    return _joined(parts) if parts else None, covered


def _empty(table: str) -> pa.Table:
    return _schema(table).empty_table()


def _joined(parts: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def _schema(table: str) -> pa.Schema:
    return TABLES[table].append(pa.field(_ROW, pa.int64()))


def _path(table: str, overview: Segment) -> str:
    return f"{OVERVIEW}/{table}/{overview.name}"


def _list(folder: Folder, table: str) -> list[Segment]:
    found = [parse_segment_name(name) for name in folder.names(f"{OVERVIEW}/{table}")]
    return sorted(segment for segment in found if segment is not None)


def _encode(rows: pa.Table, table: str, parts: list[str]) -> bytes:
    """Sorted by layer, in row groups that end between two layers."""
    codes, labels = _layers(rows)
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-2))
    ends = np.append(starts[1:], len(ordered))
    bounds, groups = [0], [cast("list[str]", [])]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if groups[-1] and end - bounds[-1] > _GROUP_ROWS:
            bounds.append(start)
            groups.append([])
        code = int(ordered[start])
        groups[-1].append(labels[code] if code >= 0 else "")
    bounds.append(len(ordered))
    content = json.dumps({"version": TABLES_VERSION, "parts": parts, "groups": groups}).encode()
    stamped = rows.take(pa.array(order)).combine_chunks().replace_schema_metadata({_KEY: content})
    sink = pa.BufferOutputStream()
    told = encoding(table)
    told["column_encoding"] = {**told["column_encoding"], _ROW: "DELTA_BINARY_PACKED"}
    with pq.ParquetWriter(sink, stamped.schema, compression="zstd", **told) as writer:
        for begin, end in pairwise(bounds):
            writer.write_table(stamped.slice(begin, end - begin), row_group_size=max(1, end - begin))
    return sink.getvalue().to_pybytes()


def _layers(rows: pa.Table) -> tuple[np.ndarray, list[str]]:
    """The layer of each row as a code, and the codes' names; none in a table without layers."""
    if "layer" not in rows.column_names:
        return np.full(len(rows), -1), []
    column = rows.column("layer").combine_chunks()
    return np.asarray(column.indices.fill_null(-1)), cast("list[str]", column.dictionary.to_pylist())


def _read(
    folder: Folder, table: str, overview: Segment, layer: str | None, wanted: set[str] | None = None
) -> tuple[_Footer | None, pa.Table | None]:
    """What an overview is of, and its rows (those of one layer or all) if that is wanted; None for what cannot be read.

    Args:
        folder: The run's.
        table: Whose overview.
        overview: Which.
        layer: Only this layer's rows.
        wanted: Only if all of the segments are among these; None for whatever it is of.
    """
    try:
        with folder.open_arrow(_path(table, overview)) as source, pq.ParquetFile(source) as file:
            told = json.loads((file.schema_arrow.metadata or {})[_KEY])
            footer = _Footer(told["version"], told["parts"], told["groups"])
            if footer.version != TABLES_VERSION:
                return None, None
            if wanted is not None and not wanted.issuperset(footer.parts):
                return footer, None
            groups = [i for i, layers in enumerate(footer.groups) if layer is None or layer in layers]
            rows = file.read_row_groups(groups, use_threads=False) if groups else _empty(table)
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return None, None
    return footer, conform(rows, table).append_column(_ROW, rows.column(_ROW))
