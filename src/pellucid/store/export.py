"""A run's tables as single files for other tools: CSV or Parquet."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from pellucid.errors import SettingsError, StorageError
from pellucid.store.filesystem import PARTIAL, explain_storage_error
from pellucid.store.run import Run
from pellucid.store.tables import TABLES

__all__ = ["ExportFormat", "ExportedTable", "export_run"]

ExportFormat = Literal["csv", "parquet"]


@dataclass(frozen=True)
class ExportedTable:
    """One file that was written."""

    table: str
    path: Path
    rows: int


def export_run(
    run: Run, folder: str | Path, kind: ExportFormat = "csv", tables: Sequence[str] | None = None
) -> list[ExportedTable]:
    """Write each table of a run as one file ``<folder>/<table>.<kind>``; a file appears whole or not at all.

    In CSV a null is empty, NaN is ``nan``, and a list becomes one column an entry (``counts_0``, ``counts_1`` …).

    Args:
        run: The run; one that is still being written is exported as it stood when opened.
        folder: Where to; made if need be. Files of the same names are replaced.
        kind: ``csv`` or ``parquet``.
        tables: Only these; otherwise all that have rows.

    Raises:
        SettingsError: there is no such table or kind.
        StorageError: the folder cannot be written, or the run has no rows.
    """
    writers: dict[str, Callable[[pa.Table, Path], None]] = {"csv": _write_csv, "parquet": _write_parquet}
    if kind not in writers:
        raise SettingsError(f"a run cannot be exported to {kind!r}", remedy="choose csv or parquet")
    unknown = [name for name in tables or () if name not in TABLES]
    if unknown:
        raise SettingsError(f"there is no table {', '.join(unknown)}", remedy=f"the tables are {', '.join(TABLES)}")
    chosen = list(dict.fromkeys(tables)) if tables else [name for name in TABLES if run.row_count(name)]
    if not chosen:
        raise StorageError("the run has no recorded rows", place=run.location, remedy="choose another run")
    target = Path(folder)
    made = not target.exists()
    written: list[ExportedTable] = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            rows = run.table(name)
            path = target / f"{name}.{kind}"
            _write_whole(rows, path, writers[kind])
            written.append(ExportedTable(name, path, len(rows)))
    except OSError as error:
        if made:
            with contextlib.suppress(OSError):  # it holds files, or was never made
                target.rmdir()
        raise explain_storage_error(error, str(target), "-o") from error
    return written


def _write_whole(rows: pa.Table, path: Path, write: Callable[[pa.Table, Path], None]) -> None:
    partial = path.with_name(f"{path.name}.{secrets.token_hex(3)}{PARTIAL}")
    try:
        write(rows, partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _write_csv(rows: pa.Table, path: Path) -> None:
    from pyarrow import csv

    csv.write_csv(_flat(rows), str(path))


def _write_parquet(rows: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows, str(path), compression="zstd")


def _flat(rows: pa.Table) -> pa.Table:
    """The same rows without labels' dictionaries and without lists, which CSV does not know."""
    columns: dict[str, pa.ChunkedArray] = {}
    for field in rows.schema:
        column = rows.column(field.name)
        if pa.types.is_dictionary(field.type):
            columns[field.name] = column.cast(pa.string())
        elif pa.types.is_fixed_size_list(field.type):
            columns |= _entries(field.name, column)
        else:
            columns[field.name] = column
    return pa.table(columns)


def _entries(name: str, column: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
    from pyarrow.compute import call_function

    size: int = column.type.list_size
    plain = column.cast(pa.list_(column.type.value_type))
    return {f"{name}_{entry}": call_function("list_element", [plain, pa.scalar(entry)]) for entry in range(size)}
