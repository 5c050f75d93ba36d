"""Rows in memory, on their way to disk: taken in within a microsecond, made columns by the thread that writes."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pellucid.errors import SettingsError
from pellucid.store.segments import concatenate
from pellucid.store.tables import TABLES

__all__ = ["BlockLayout", "RowBuffer"]

_MOST_ENTRIES = 200_000
_MOST_LABELS = 30_000
"""Distinct labels of a column; the tables' 16-bit codes end not far beyond."""


@dataclass(frozen=True, eq=False)
class BlockLayout:
    """What the blocks of figures that one source brings step after step have in common.

    Attributes:
        columns: The numeric columns that a block fills, in order.
        labels: The label columns, one label a row of the block.
    """

    columns: tuple[str, ...]
    labels: Mapping[str, Sequence[str]]


class RowBuffer:
    """The rows of one table that no thread has taken yet.

    ``deque.append`` and ``popleft`` are atomic, so that the training thread needs no lock and never waits.
    """

    def __init__(self, table: str) -> None:
        self.table = table
        self.names = frozenset(TABLES[table].names)
        self.lost = 0
        """Rows given up because the writing thread was stuck for too long."""
        self.problems: list[str] = []
        """What could not be converted; taken and cleared by the writer."""
        self._entries: deque[_Entry] = deque()
        self._codes: dict[int, tuple[BlockLayout, dict[str, pa.DictionaryArray]]] = {}
        self._labels: dict[str, set[str]] = {}
        self._copies = any(pa.types.is_fixed_size_list(kind) for kind in TABLES[table].types)

    def append(self, row: dict[str, Any]) -> None:
        """Take one row. The names are checked here, the values by the thread that writes."""
        if not row.keys() <= self.names:
            raise self._unknown(row)
        if self._copies:  # the caller may fill the same array anew for its next row
            row = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in row.items()}
        self._take(row)

    def append_row(self, row: tuple[Any, ...]) -> None:
        """Take one row, with a value or None for every column of the table, in order: the quickest way in."""
        self._take(row)

    def extend(self, columns: Mapping[str, Any]) -> None:
        """Take several rows by columns; a single number or text stands for all rows."""
        if not columns.keys() <= self.names:
            raise self._unknown(columns)
        lengths = {name: len(value) for name, value in columns.items() if _is_sequence(value)}
        if len(set(lengths.values())) != 1:
            raise SettingsError(
                f"the columns are not equally long: {lengths or 'no column is a sequence'}",
                place=f"table {self.table}",
                remedy="give one value a row in every column",
            )
        length = next(iter(lengths.values()))
        if length:
            self._take(_Block({name: _copied(value, length) for name, value in columns.items()}, length))

    def extend_block(self, layout: BlockLayout, step: int, values: np.ndarray, given: np.ndarray) -> None:
        """Take the figures of one step, a row a label; they belong to the buffer from now on.

        Args:
            layout: The columns; the same object again and again, since what it says is looked at once.
            step: The step's number.
            values: One row a label, one column a name of the layout.
            given: Which values there are; a row without any is left out.
        """
        if id(layout) not in self._codes and not {*layout.columns, *layout.labels} <= self.names:
            raise self._unknown(dict.fromkeys([*layout.columns, *layout.labels]))
        self._take(_Figures(layout, step, values, given))

    def _take(self, entry: _Entry) -> None:
        if len(self._entries) >= _MOST_ENTRIES:
            oldest = self._entries.popleft()
            self.lost += 1 if isinstance(oldest, dict | tuple) else oldest.length
        self._entries.append(entry)

    def drain(self) -> pa.Table | None:
        """Take out what is there now, as columns; None if there is nothing."""
        taken = [self._entries.popleft() for _ in range(len(self._entries))]
        parts: list[pa.Table] = []
        for _, group in groupby(taken, key=_kind_of):
            entries = list(group)
            if isinstance(entries[0], dict):
                parts.append(self._columns_of(cast("list[dict[str, Any]]", entries)))
            elif isinstance(entries[0], tuple):
                columns = zip(*cast("list[tuple[Any, ...]]", entries), strict=True)
                parts.append(self._table(dict(zip(TABLES[self.table].names, columns, strict=True)), len(entries)))
            elif isinstance(entries[0], _Figures):
                parts.append(self._columns_of_figures(entries[0].layout, cast("list[_Figures]", entries)))
            else:
                parts += [self._table(block.columns, block.length) for block in cast("list[_Block]", entries)]
        return concatenate(parts, self.table) if parts else None

    def _columns_of_figures(self, layout: BlockLayout, blocks: list[_Figures]) -> pa.Table:
        values = np.concatenate([block.values for block in blocks])
        given = np.concatenate([block.given for block in blocks])
        kept = given.any(axis=1)
        steps = np.repeat([block.step for block in blocks], [block.length for block in blocks])
        arrays: dict[str, pa.Array] = {"step": pa.array(steps[kept])}
        for name, codes in self._codes_of(layout).items():
            rows = np.concatenate([np.arange(block.length) for block in blocks])[kept]
            arrays[name] = codes.take(pa.array(rows))
        schema = TABLES[self.table]
        for place, name in enumerate(layout.columns):
            there = given[kept, place]
            numbers = values[kept, place]
            kind = np.dtype(schema.field(name).type.to_pandas_dtype())
            if kind.kind == "i":
                numbers = np.where(there, numbers, 0)
            arrays[name] = pa.array(numbers.astype(kind), mask=~there)
        length = int(kept.sum())
        columns = [
            arrays[field.name].cast(field.type) if field.name in arrays else pa.nulls(length, field.type)
            for field in schema
        ]
        return pa.Table.from_arrays(columns, schema=schema)

    def _codes_of(self, layout: BlockLayout) -> dict[str, pa.DictionaryArray]:
        """The label columns of one block."""
        if id(layout) not in self._codes:
            fields = {name: TABLES[self.table].field(name) for name in layout.labels}
            codes = {name: self._array(list(labels), fields[name]) for name, labels in layout.labels.items()}
            self._codes[id(layout)] = layout, codes  # the layout is kept, so that its id stays its own
        return self._codes[id(layout)][1]

    def _columns_of(self, rows: list[dict[str, Any]]) -> pa.Table:
        names = {name for row in rows for name in row}
        return self._table({name: [row.get(name) for row in rows] for name in names}, len(rows))

    def _table(self, columns: Mapping[str, Any], length: int) -> pa.Table:
        schema = TABLES[self.table]
        arrays = [
            self._array(columns[field.name], field) if field.name in columns else pa.nulls(length, field.type)
            for field in schema
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    def _array(self, values: Any, field: pa.Field) -> pa.Array:
        """One column; a value that does not fit becomes null and a problem, never an exception."""
        if pa.types.is_dictionary(field.type):
            values = self._known_labels(values, field)
        try:
            return _convert(values, field.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, RuntimeError):
            pass  # RuntimeError is how a tensor refuses to be a number
        kept = [self._value(value, field) for value in values]
        return _convert(kept, field.type)

    def _known_labels(self, values: Any, field: pa.Field) -> list[str | None]:
        """Label by label; texts beyond the number that a column can tell apart become null and a problem."""
        known = self._labels.setdefault(field.name, set())
        labels = [None if value is None else str(value) for value in values]
        for label in dict.fromkeys(labels):
            if label is not None and label not in known and len(known) < _MOST_LABELS:
                known.add(label)
        if not known.issuperset(label for label in labels if label is not None):
            self.problems.append(f"{self.table}.{field.name} has more than {_MOST_LABELS} different labels")
            return [label if label in known else None for label in labels]
        return labels

    def _value(self, value: Any, field: pa.Field) -> Any:
        """One value by itself, as slow as it may be: whole numbers and one-element tensors are floats, too."""
        try:
            if callable(getattr(value, "item", None)) and not _is_sequence(value):
                value = value.item()
            if pa.types.is_floating(field.type) and not isinstance(value, str | bytes | None):
                value = float(value)
            return _convert([value], field.type)[0].as_py()
        except (pa.ArrowException, TypeError, ValueError, OverflowError, RuntimeError):
            self.problems.append(f"{self.table}.{field.name} cannot hold {value!r:.80}")
            return None

    def _unknown(self, given: Mapping[str, Any]) -> SettingsError:
        unknown = sorted(given.keys() - self.names)
        return SettingsError(
            f"the table {self.table} has no column {', '.join(unknown)}",
            place=f"table {self.table}",
            remedy=f"its columns are {', '.join(TABLES[self.table].names)}",
        )


class _Block:
    """Several rows by columns."""

    __slots__ = ("columns", "length")

    def __init__(self, columns: dict[str, Any], length: int) -> None:
        self.columns = columns
        self.length = length


class _Figures:
    """The figures of one step, as they come."""

    __slots__ = ("given", "layout", "length", "step", "values")

    def __init__(self, layout: BlockLayout, step: int, values: np.ndarray, given: np.ndarray) -> None:
        self.layout, self.step, self.values, self.given = layout, step, values, given
        self.length = len(values)


_Entry = dict[str, Any] | tuple[Any, ...] | _Block | _Figures


def _kind_of(entry: _Entry) -> int:
    """Equal for entries that become columns together."""
    if isinstance(entry, _Figures):
        return id(entry.layout)
    return 2 if isinstance(entry, tuple) else 1 if isinstance(entry, _Block) else 0


def _is_sequence(value: Any) -> bool:
    if isinstance(value, str | bytes) or getattr(value, "ndim", 1) == 0:
        return False
    return hasattr(value, "__len__")


def _copied(value: Any, length: int) -> Any:
    """Our own copy of a column, since the caller may go on writing into his."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return value.to_pylist()
    return list(cast("Sequence[Any]", value)) if _is_sequence(value) else [value] * length


def _convert(values: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        if not isinstance(values, np.ndarray):
            return pa.array([list(row) if isinstance(row, np.ndarray) else row for row in values], type=kind)
        if values.ndim != 2 or values.shape[1] != kind.list_size:
            raise ValueError(f"shape {values.shape}")
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)).cast(kind.value_type), kind.list_size)
    if pa.types.is_dictionary(kind):
        return pa.array(values, type=pa.string()).dictionary_encode().cast(kind)
    if isinstance(values, np.ndarray):
        return pa.array(values).cast(kind)
    return pa.array(values, type=kind)
