"""Reading a run, finished or while it is written. pyarrow is imported with the first table, torch never."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid.errors import RunCorruptedError, RunNotFoundError, SettingsError, StorageError
from pellucid.store.filesystem import Folder, LocalFolder, explain_storage_error
from pellucid.store.listing import RunSummary, current_status, find_run_folder, list_runs, locate
from pellucid.store.locations import check_relative_path
from pellucid.store.manifest import RunManifest, RunStatus, read_manifest

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from pellucid.results.base import Result
    from pellucid.store.segments import Segment

__all__ = ["Run", "RunSummary", "find_run", "list_runs", "open_run"]

_RESULTS = "results"
_ENDING = ".safetensors"
_ATTEMPTS = 20


class Run:
    """A run on disk as it stood when it was opened or last refreshed.

    Rows that a writer adds later are seen after ``refresh()``; until then ``row_count`` and ``table`` agree with each
    other, also while the writer merges the files underneath.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._warnings: dict[str, None] = {}
        self._manifest = self._read_manifest()
        self._snapshots: dict[str, list[Segment]] = {}

    def refresh(self) -> Run:
        """Look again at what is on disk, and return the run itself."""
        self._manifest = self._read_manifest()
        self._snapshots = {}
        return self

    def _read_manifest(self) -> RunManifest:
        try:
            manifest = read_manifest(self._folder)
        except FileNotFoundError as error:
            raise RunNotFoundError("the run is gone", place=self.location, remedy="it was moved or deleted") from error
        except OSError as error:
            raise explain_storage_error(error, self.location) from error
        return dataclasses.replace(manifest, id=self.location.replace("\\", "/").rstrip("/").rpartition("/")[2])

    @property
    def id(self) -> str:
        """The run's id, which is its folder's name."""
        return self._manifest.id

    @property
    def location(self) -> str:
        """The run's folder, as a path or a URI."""
        return self._folder.location

    @property
    def path(self) -> Path:
        """The run's local folder.

        Raises:
            StorageError: it is on a remote file system; use ``read_file``.
        """
        if isinstance(self._folder, LocalFolder):
            return self._folder.path
        raise StorageError("the run is not on the local file system", place=self.location, remedy="use read_file")

    @property
    def manifest(self) -> RunManifest:
        """What the run is and how far it came."""
        return self._manifest

    @property
    def status(self) -> RunStatus:
        """How it stands now; ``interrupted`` if it says running and its writer is gone."""
        return current_status(self._folder, self._manifest)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be read so far; the rest was."""
        return tuple(self._warnings)

    def row_count(self, name: str) -> int:
        """How many rows a table has: the number that the next row will get."""
        segments = self._segments(name)
        return segments[-1].last + 1 if segments else 0

    def table(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        after: int = 0,
        layer: str | None = None,
        kind: str | None = None,
    ) -> pa.Table:
        """Rows of a table, in the order in which they were recorded.

        Args:
            name: One of ``tables.TABLES``.
            columns: Only these, in this order.
            after: Leave out that many rows at the beginning; only the files behind them are read.
            layer: Only this layer's rows (of a table that has layers).
            kind: Only rows of this kind (of a table that has kinds).

        Raises:
            SettingsError: there is no such table or column.
        """
        from pellucid.store.tables import TABLES

        filters = {"layer": layer, "kind": kind}
        chosen = {column: value for column, value in filters.items() if value is not None}
        self._check_columns(name, [*(columns or ()), *chosen])
        schema = TABLES[name]
        wanted = list(columns) if columns is not None else schema.names
        needed = [*wanted, *(column for column in chosen if column not in wanted)]
        rows = self._rows(name, needed, max(0, after))
        for column, value in chosen.items():
            rows = _where(rows, column, value)
        return rows.select(wanted)

    def overview(
        self, name: str, *, layer: str | None = None, kind: str | None = None
    ) -> tuple[pa.Table, np.ndarray | None]:
        """As ``table`` from its first row on, but of a long history only the rows that keep each layer's extremes.

        What the writer has not summarised yet is there in full, and the rows are in the order of their recording.

        Returns:
            The rows, and where each stands among all of the table's, about (None: none was left out).
        """
        import numpy as np

        from pellucid.store.overview import read_overviews
        from pellucid.store.segments import concatenate

        segments = self._segments(name)
        rows, covered = read_overviews(self._folder, name, segments, layer)
        if rows is None:
            return self.table(name, layer=layer, kind=kind), None
        end = next((each.first for each in segments if each.name not in covered), self.row_count(name))
        rest = [self.table(name, after=end, layer=layer, kind=kind)] if end < self.row_count(name) else []
        for column, value in {"layer": layer, "kind": kind}.items():
            rows = rows if value is None else _where(rows, column, value)
        if not end:
            return concatenate(rest, name), None
        rows = rows.filter(_less(rows.column("row"), end)).sort_by("row").combine_chunks()
        after = [np.linspace(end, self.row_count(name) - 1, len(each)) for each in rest]
        numbers = rows.column("row").combine_chunks()
        own = np.frombuffer(numbers.buffers()[1], dtype=np.int64)[numbers.offset : numbers.offset + len(numbers)]
        places = np.concatenate([own.astype(np.float64), *after])
        return concatenate([rows.drop_columns(["row"]), *rest], name), places

    def _rows(self, name: str, columns: list[str], after: int) -> pa.Table:
        """Read a snapshot; if the writer merged files meanwhile, find the same rows in the new ones."""
        end = self.row_count(name)
        resumes = self._manifest.resumes
        for _ in range(_ATTEMPTS):
            try:
                return self._read(name, columns, after, end)
            except FileNotFoundError:
                self._snapshots.pop(name, None)
                if self._read_manifest().resumes != resumes:
                    self.refresh()  # rewound: the rows of the snapshot are gone
                    end = min(end, self.row_count(name))
        raise RunCorruptedError(
            f"files of the table {name} vanish while they are read",
            place=self.location,
            remedy="read again when the run's folder is at rest",
        )

    def _read(self, name: str, columns: list[str], after: int, end: int) -> pa.Table:
        from pellucid.store.segments import concatenate, read_segment
        from pellucid.store.tables import TABLES

        parts: list[pa.Table] = []
        for segment in self._segments(name):
            if segment.last < after or segment.first >= end:
                continue
            try:
                rows = read_segment(self._folder, name, segment, columns)
            except RunCorruptedError as error:
                self._warnings[f"{error.message} ({error.place})"] = None
                continue
            start = max(0, after - segment.first)
            parts.append(rows.slice(start, min(segment.last + 1, end) - segment.first - start))
        if not parts:
            return TABLES[name].empty_table().select(columns)
        return concatenate(parts, name)

    def _segments(self, name: str) -> list[Segment]:
        """The snapshot's segments of a table, listed at first use."""
        if name in self._snapshots:
            return self._snapshots[name]
        from pellucid.store.rewind import read_rewind
        from pellucid.store.segments import list_segments, resolve_segments

        self._check_columns(name, ())
        try:
            rewind, found = read_rewind(self._folder), list_segments(self._folder, name)
            while (again := read_rewind(self._folder)) != rewind:
                rewind, found = again, list_segments(self._folder, name)
        except OSError as error:
            raise explain_storage_error(error, self.location) from error
        chosen, _, gaps = resolve_segments(rewind.visible(name, found) if rewind else found)
        for first, last in gaps:
            self._warnings[f"rows {first} to {last} of the table {name} are missing"] = None
        self._snapshots[name] = chosen
        return chosen

    def _check_columns(self, name: str, columns: Sequence[str]) -> None:
        from pellucid.store.tables import TABLES

        if name not in TABLES:
            raise SettingsError(f"there is no table {name!r}", remedy=f"the tables are {', '.join(TABLES)}")
        unknown = [column for column in columns if column not in TABLES[name].names]
        if unknown:
            raise SettingsError(
                f"the table {name} has no column {', '.join(unknown)}",
                place=self.location,
                remedy=f"its columns are {', '.join(TABLES[name].names)}",
            )

    def result_names(self) -> list[str]:
        """Names of the results that were kept, sorted."""
        names = self._folder.names(_RESULTS)
        stems = [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]
        return [stem for stem in stems if stem.isidentifier()]

    def result_bytes(self, name: str) -> bytes:
        """A result's payload as it was kept.

        Raises:
            RunNotFoundError: the run has no such result.
        """
        if not name.isidentifier() or name not in self.result_names():
            kept = self.result_names()
            raise RunNotFoundError(
                f"the run has no result {name!r}",
                place=self.location,
                remedy=f"it has {', '.join(kept)}" if kept else "it has no results yet",
            )
        return self.read_file(f"{_RESULTS}/{name}{_ENDING}")

    def result(self, name: str) -> Result:
        """A result that was kept.

        Raises:
            RunNotFoundError: the run has no such result.
            RunCorruptedError: its file is damaged.
        """
        from pellucid.results.base import Result

        return Result.from_bytes(self.result_bytes(name), place=f"{self.location}/{_RESULTS}/{name}{_ENDING}")

    def read_file(self, relative: str) -> bytes:
        """The content of a file of the run, never of one outside it.

        Args:
            relative: Path inside the run, such as ``checkpoints/last.safetensors``.

        Raises:
            SettingsError: the path would leave the run's folder.
            RunNotFoundError: the file is not there.
            RunCorruptedError: a link leads out of the folder.
        """
        check_relative_path(relative)
        try:
            return self._folder.read(relative)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise RunNotFoundError(f"the run has no file {relative}", place=self.location) from error
        except OSError as error:
            raise explain_storage_error(error, f"{self.location}/{relative}") from error

    def file_names(self, relative: str = "") -> list[str]:
        """Sorted names in a subfolder of the run; empty if it is not there."""
        return self._folder.names(relative)

    def __repr__(self) -> str:
        return f"<Run {self.id} ({self.status})>"


def _where(rows: pa.Table, column: str, label: str) -> pa.Table:
    """Rows with this label. Codes are compared, and the code is taken from a buffer: making one would import pandas."""
    import pyarrow as pa
    from pyarrow.compute import call_function

    labels = rows.column(column).combine_chunks()
    known: list[str] = labels.dictionary.to_pylist()
    if label not in known:
        return rows.slice(0, 0)
    code = pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(known.index(label).to_bytes(8, sys.byteorder))])
    return rows.filter(call_function("equal", [labels.indices, code.cast(labels.indices.type)[0]]))


def _less(numbers: pa.ChunkedArray, limit: int) -> pa.Array:
    import pyarrow as pa
    from pyarrow.compute import call_function

    bound = pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(limit.to_bytes(8, sys.byteorder))])
    return call_function("less", [numbers, bound[0]])


def open_run(path_or_id: str | Path, runs_dir: str | Path | None = None) -> Run:
    """Open a run for reading.

    Args:
        path_or_id: A run's folder or URI; or its id, the unique beginning of one, its name (of several the newest is
            meant), or ``latest``.
        runs_dir: Where to look for ids and names; ``$PELLUCID_RUNS`` or ``./runs`` unless given.

    Raises:
        RunNotFoundError: there is no such run; near names are given.
        RunCorruptedError: its manifest is damaged.
        RunTooNewError: a newer Pellucid wrote it.
    """
    return _open(partial(locate, path_or_id, runs_dir))


def find_run(run_id: str, runs_dir: str | Path | None = None) -> Run:
    """Open exactly the run of this id inside the runs folder: what a server may call with a stranger's words.

    Raises:
        RunNotFoundError: there is no such run, or the id could lead anywhere else.
    """
    return _open(partial(find_run_folder, run_id, runs_dir))


def _open(find: partial[Folder]) -> Run:
    try:
        return Run(find())
    except OSError as error:
        raise explain_storage_error(error, str(find.args[0])) from error
