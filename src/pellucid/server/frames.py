"""Rows of a table as one binary frame: typed arrays, texts as codes into labels, thinned to what a picture can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.core.downsample import choose_rows
from pellucid.results import codec

if TYPE_CHECKING:
    import pyarrow as pa

    from pellucid.store.run import Run

__all__ = ["FRAME_SCHEMA", "MOST_FRAME_BYTES", "TableFrame", "build_frame"]

FRAME_SCHEMA = "table_frame/1"

MOST_FRAME_BYTES = 16 * 1024 * 1024
"""A frame with very many series is thinned further, to stay below this."""

_SERIES = {"layers": ("layer",), "histograms": ("layer", "kind"), "metrics": ("split", "metric")}
"""What tells the series of a table apart; each is thinned by itself."""


@dataclass(frozen=True, eq=False)
class TableFrame:
    """Rows ``first_row`` to ``next_row`` (not included) of a table, or a thinned choice of them, as a payload."""

    payload: bytes
    first_row: int
    next_row: int
    rows: int  # in the payload
    sampled: bool


def build_frame(
    run: Run, table: str, *, after: int = 0, points: int = 2000, layer: str | None = None, kind: str | None = None
) -> TableFrame:
    """Read rows of a run's table and pack them for the front end.

    Args:
        run: The run as it stood when it was opened; rows added since are left out.
        table: One of ``store.tables.TABLES``.
        after: The first row wanted, counted over the whole table. Beyond the end (the run was rewound) it counts as 0.
        points: About how many rows a series (a layer, a metric …) may have; the extremes of each numeric column stay.
        layer: Only this layer's rows.
        kind: Only rows of this kind.

    Raises:
        SettingsError: there is no such table, or it has no layers or kinds.
        RunCorruptedError: its files vanish while they are read.
    """
    if after > run.row_count(table):
        after = 0
    rows, places = (
        (run.table(table, after=after, layer=layer, kind=kind), None)
        if after
        else run.overview(table, layer=layer, kind=kind)
    )
    columns = {name: _to_numpy(rows.column(name)) for name in rows.column_names}
    chosen = _choose(columns, table, len(rows), points, places)
    sampled = places is not None or len(chosen) < len(rows)
    arrays: dict[str, np.ndarray] = {}
    described: dict[str, Any] = {}
    for name, column in columns.items():
        arrays[name] = column.values[chosen] if sampled else column.values
        described[name] = _describe(name, column)
        lost = column.lost[chosen] if sampled and column.lost is not None else column.lost
        if lost is not None:
            arrays[_LOST.format(name)] = lost
    next_row = max(after, run.row_count(table))
    document = {
        "schema": FRAME_SCHEMA,
        "run": run.id,
        "table": table,
        "first_row": after,
        "next_row": next_row,
        "sampled": sampled,
        "columns": described,
    }
    return TableFrame(codec.pack(document, arrays), after, next_row, len(chosen), sampled)


_LOST = "{}?lost"


@dataclass(frozen=True, eq=False)
class _Column:
    values: np.ndarray
    labels: list[str] | None = None
    lost: np.ndarray | None = None
    """1 where a NaN was measured, None if there is none: any other NaN is a figure that is missing."""


def _describe(name: str, column: _Column) -> dict[str, Any]:
    """Where the document finds a column's arrays."""
    reference = {"$array": name}
    if column.labels is not None:
        return {"codes": reference, "labels": column.labels}
    if column.lost is not None:
        return {"numbers": reference, "lost": {"$array": _LOST.format(name)}}
    return reference


def _choose(columns: dict[str, _Column], table: str, rows: int, points: int, places: np.ndarray | None) -> np.ndarray:
    """Row numbers to keep, ascending: every series thinned to the same number of points, evenly over ``places``."""
    series = _series_of_rows([columns[name] for name in _SERIES.get(table, ())], rows)
    names = np.unique(series)
    row_bytes = sum(column.values.itemsize * column.values[:1].size for column in columns.values())
    most = min(points, max(1, MOST_FRAME_BYTES // max(1, row_bytes) // max(1, len(names))))
    numeric = [column.values for column in columns.values() if column.labels is None and column.values.ndim == 1]
    evenly = table == "histograms"  # a picture of distributions over time has no single extreme

    def thin(own: np.ndarray | slice, count: int) -> np.ndarray:
        at = None if places is None else places[own]
        if evenly and count > most:
            return _spread(np.arange(count) if at is None else at, most)
        return choose_rows([column[own] for column in numeric], count, most, at=at)

    if len(names) <= 1:
        return thin(slice(None), rows)
    order = np.argsort(series, kind="stable")
    ends = np.append(np.searchsorted(series[order], names[1:]), rows)
    kept: list[np.ndarray] = []
    begin = 0
    for end in ends:
        own = order[begin:end]
        kept.append(own[thin(own, len(own))])
        begin = end
    return np.sort(np.concatenate(kept))


def _spread(at: np.ndarray, points: int) -> np.ndarray:
    """At most ``points`` rows from the first to the last, evenly by where they stand; the last alone if it is one."""
    return np.unique(np.searchsorted(at, np.linspace(at[-1], at[0], points)))


def _series_of_rows(told_apart_by: list[_Column], rows: int) -> np.ndarray:
    """One whole number a row, equal where all of the columns are."""
    series = np.zeros(rows, dtype=np.int64)
    for column in told_apart_by:
        series = series * (len(column.labels or ()) + 1) + column.values + 1
    return series


def _to_numpy(column: pa.ChunkedArray) -> _Column:
    """A column in the front end's types, whatever rows it has: whole numbers as float64, what is missing NaN or -1.

    A NaN that was measured (the training diverged) looks like one that is missing: ``lost`` tells them apart.
    """
    import pyarrow as pa

    if column.num_chunks == 0:
        column = pa.chunked_array([pa.nulls(0, column.type)])
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    if pa.types.is_string(array.type):
        array = array.dictionary_encode()
    if isinstance(array, pa.DictionaryArray):
        codes = _flat(array.indices, np.int32, missing=-1)
        return _Column(codes, [str(label) for label in array.dictionary.to_pylist()])
    if isinstance(array, pa.FixedSizeListArray):
        width = array.type.list_size
        first = array.offset * width
        items = array.values.slice(first, len(array) * width)
        lists = _flat(items, np.int32, missing=0).reshape(-1, width)
        lists[_missing(array)] = 0
        return _Column(lists)
    values = _flat(array, np.float32 if pa.types.is_float32(array.type) else np.float64, missing=np.nan)
    lost = np.isnan(values) & ~_missing(array) if pa.types.is_floating(array.type) else np.zeros(0, dtype=bool)
    return _Column(values, lost=lost.astype(np.uint8) if lost.any() else None)


def _flat(array: pa.Array, kind: type[np.generic], *, missing: float) -> np.ndarray:
    """The numbers of an array, read from its buffers: pyarrow's own way there imports pandas, which takes long."""
    import pyarrow as pa

    letter = "f" if pa.types.is_floating(array.type) else "i" if pa.types.is_signed_integer(array.type) else "u"
    stored = np.dtype(f"{letter}{array.type.bit_width // 8}")
    data = array.buffers()[1]
    if data is None:
        return np.full(len(array), missing, dtype=kind)
    values = np.frombuffer(data, dtype=stored)[array.offset : array.offset + len(array)].astype(kind)
    values[_missing(array)] = missing
    return values


def _missing(array: pa.Array) -> np.ndarray:
    """Which rows are null."""
    validity = array.buffers()[0]
    if validity is None or not array.null_count:
        return np.zeros(len(array), dtype=bool)
    bits = np.unpackbits(np.frombuffer(validity, dtype=np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)] == 0
