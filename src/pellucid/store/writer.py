"""Writing a run: rows from the training thread cost microseconds; a daemon thread brings them to disk."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import secrets
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa

from pellucid import __version__
from pellucid.errors import RunCorruptedError, RunError, RunNotFoundError, SettingsError, StorageError
from pellucid.store.creation import create_run_folder
from pellucid.store.filesystem import Folder, LocalFolder, explain_storage_error, open_folder
from pellucid.store.flushing import Flusher
from pellucid.store.locations import check_relative_path, is_uri
from pellucid.store.lock import WriterLock, acquire_lock
from pellucid.store.manifest import RunManifest, read_manifest, utc_now
from pellucid.store.rewind import finish_rewind, rewind_tables
from pellucid.store.segments import list_segments, read_segment, resolve_segments
from pellucid.store.tables import TABLES

if TYPE_CHECKING:
    import numpy as np

    from pellucid.results.base import Result
    from pellucid.store.rows import BlockLayout

__all__ = ["RunWriter"]

_OWN_FIELDS = {"id", "created_at", "updated_at", "status", "schema", "version", "resumes"}
_SETTABLE = frozenset(each.name for each in dataclasses.fields(RunManifest)) - _OWN_FIELDS

_OPEN_WRITERS: weakref.WeakSet[RunWriter] = weakref.WeakSet()


class RunWriter:
    """The one writer of a run. Made by ``create`` or ``resume``; use it as a context manager.

    ``append``, ``extend`` and ``update`` only take note and may be called from any thread; a daemon thread writes. If
    writing fails, the rows wait in memory, ``problem`` says why, and the caller goes on undisturbed. In a forked or
    unpickled copy of the writer (a ``DataLoader`` worker) every call does nothing.
    """

    def __init__(self, folder: Folder, manifest: RunManifest, lock: WriterLock, token: str) -> None:
        self.elapsed_before_s = 0.0
        """Time recorded before this writer took over, to be added to its own ``time_s``."""
        self._folder = folder
        self._manifest = manifest
        self._lock = lock
        self._flusher = Flusher(folder, token, lock, self._current_manifest, self.elapsed_s)
        self._buffers = {table: appender.buffer for table, appender in self._flusher.tables.items()}
        self._manifest_lock = threading.Lock()
        self._began = time.monotonic()
        self._closed = False
        self._inert = False

    @classmethod
    def create(
        cls,
        runs_dir: str | Path,
        *,
        name: str,
        kind: str,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> RunWriter:
        """Begin a new run ``<YYYYMMDD-HHMMSS>-<slug of name>-<4 hex>``; its folder appears complete or not at all.

        Args:
            runs_dir: The folder of all runs, made if need be; a path or a pyarrow or fsspec URI.
            name: What the person calls it.
            kind: ``fit`` or ``watch``.
            settings: What it was asked to do, as JSON.
            environment: On what it ran, as JSON.
            **fields: Further fields of ``RunManifest``.

        Raises:
            StorageError: the folder cannot be written, or the disk is full.
            SettingsError: there is no such field.
        """
        now = utc_now()
        _check_fields(fields)
        manifest = RunManifest(
            id="",  # given with the folder
            name=name,
            kind=kind,
            created_at=now,
            updated_at=now,
            settings=dict(settings or {}),
            environment=dict(environment or {}),
            version=__version__,
            **fields,
        )
        token = secrets.token_hex(4)
        try:
            folder, manifest, lock = create_run_folder(open_folder(runs_dir), manifest, token)
        except OSError as error:
            raise explain_storage_error(error, str(runs_dir)) from error
        writer = cls(folder, manifest, lock, token)
        writer._flusher.written = manifest
        return writer._start()

    @classmethod
    def resume(cls, path: str | Path, *, after_step: int | None = None) -> RunWriter:
        """Go on writing a run.

        Args:
            path: The run's folder; a path or a URI.
            after_step: Rows of later steps are taken back; −1 empties the tables, None keeps all.

        Raises:
            RunLockedError: another process is writing it.
            RunNotFoundError: there is no run.
            StorageError: it cannot be written.
        """
        folder = open_folder(path)
        token = secrets.token_hex(4)
        try:
            read_manifest(folder)  # a folder without a run is left untouched
            lock = acquire_lock(folder, token)
            try:
                writer = cls(folder, read_manifest(folder), lock, token)
                writer._take_over(token, after_step)
            except BaseException:
                lock.release()
                raise
        except FileNotFoundError as error:
            raise RunNotFoundError(
                "there is no run in this folder", place=str(path), remedy="list the runs there are with `pellucid runs`"
            ) from error
        except OSError as error:
            raise explain_storage_error(error, str(path)) from error
        return writer._start()

    def _take_over(self, token: str, after_step: int | None) -> None:
        self._folder.delete_partials()
        finish_rewind(self._folder)
        if after_step is not None:
            rewind_tables(self._folder, token, after_step)
        for appender in self._flusher.tables.values():
            appender.take_over()
        self.elapsed_before_s = _last_time_s(self._folder)
        self._manifest = dataclasses.replace(
            self._manifest, status="running", message="", resumes=self._manifest.resumes + 1, version=__version__
        )
        self._flusher.write_manifest()

    def _start(self) -> RunWriter:
        pa.array([0])  # imports pandas, which must happen neither in the flushing thread nor while Python shuts down
        self._flusher.start(f"pellucid-{self.id}")
        _OPEN_WRITERS.add(self)
        return self

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
            StorageError: it is on a remote file system; use ``put_file``.
        """
        if isinstance(self._folder, LocalFolder):
            return self._folder.path
        raise StorageError("the run is not on the local file system", place=self.location, remedy="use put_file")

    @property
    def manifest(self) -> RunManifest:
        """The manifest as it stands now, written or not."""
        return self._manifest

    @property
    def problem(self) -> str:
        """Why the last attempt to write failed; empty while all is well."""
        return self._flusher.problem

    @property
    def spent_s(self) -> float:
        """Processor time that the writing thread took so far."""
        return self._flusher.spent_s

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called, or this is a copy that cannot write."""
        return self._closed or self._inert

    def elapsed_s(self) -> float:
        """Seconds since the run began, without the time while it was stopped: what belongs into ``time_s``."""
        return self.elapsed_before_s + time.monotonic() - self._began

    def append(self, table: str, /, **columns: Any) -> None:
        """Add one row; columns left out are null. Returns at once.

        Raises:
            SettingsError: there is no such table or column.
            RunError: the writer is closed.
        """
        buffer = self._buffers.get(table)
        if buffer is None:
            self._refuse(table)
        else:
            buffer.append(columns)

    def append_row(self, table: str, row: tuple[Any, ...]) -> None:
        """Add one row given as a value or None for every column, in the table's order: the quickest way in.

        Raises:
            SettingsError: there is no such table.
            RunError: the writer is closed.
        """
        buffer = self._buffers.get(table)
        if buffer is None:
            self._refuse(table)
        else:
            buffer.append_row(row)

    def extend(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add several rows by columns, equally long sequences; a single number or text stands for all rows.

        Raises:
            SettingsError: there is no such table or column, or the lengths differ.
            RunError: the writer is closed.
        """
        buffer = self._buffers.get(table)
        if buffer is None:
            self._refuse(table)
        else:
            buffer.extend(columns)

    def extend_block(self, table: str, layout: BlockLayout, step: int, values: np.ndarray, given: np.ndarray) -> None:
        """Add the figures of one step, a row a label of ``layout``: the cheapest way for many rows at every step.

        The arrays belong to the writer from now on; see ``RowBuffer.extend_block``.

        Raises:
            SettingsError: there is no such table or column.
            RunError: the writer is closed.
        """
        buffer = self._buffers.get(table)
        if buffer is None:
            self._refuse(table)
        else:
            buffer.extend_block(layout, step, values, given)

    def _refuse(self, table: str) -> None:
        if self._inert:
            return
        if self._closed:
            raise RunError("the run is closed", place=self.location, remedy="go on with it by RunWriter.resume")
        raise SettingsError(f"there is no table {table!r}", remedy=f"the tables are {', '.join(TABLES)}")

    def update(self, **fields: Any) -> None:
        """Change fields of the manifest; ``metrics`` are merged, all else is replaced. Returns at once.

        Raises:
            SettingsError: there is no such field, or it is not the caller's to change.
        """
        if self._inert:
            return
        _check_fields(fields)
        with self._manifest_lock:
            if "metrics" in fields:
                fields["metrics"] = {**self._manifest.metrics, **fields["metrics"]}
            self._manifest = dataclasses.replace(self._manifest, **fields)

    def put_result(self, name: str, result: Result) -> None:
        """Keep a result under ``results/<name>.safetensors``, replacing an older one.

        Raises:
            StorageError: it cannot be written.
        """
        if not name.isidentifier():
            raise SettingsError(f"{name!r} cannot name a result", remedy="use letters, digits and _")
        self.put_file(f"results/{name}.safetensors", result.to_bytes())

    def put_file(self, relative: str, content: bytes) -> None:
        """Write a file into the run's folder, whole and surviving a power cut, before returning.

        Args:
            relative: Path inside the run, such as ``checkpoints/last.safetensors``.
            content: The whole content.

        Raises:
            StorageError: it cannot be written; an older file of that name is still there.
            SettingsError: the path would leave the run's folder.
        """
        if self._inert:
            return
        check_relative_path(relative)
        try:
            self._folder.write(relative, content, durable=True)
        except OSError as error:
            raise explain_storage_error(error, f"{self.location}/{relative}") from error

    def flush(self) -> None:
        """Write everything now. If that fails, nothing is raised: ``problem`` says why, and it is tried again."""
        if self._inert:
            return
        self._flusher.flush()

    def _current_manifest(self) -> RunManifest:
        with self._manifest_lock:
            return self._manifest

    def close(self, status: Literal["finished", "stopped", "failed"] = "finished", message: str = "") -> None:
        """Write what is left, say how the run ended, and let go of it. A second call does nothing.

        Raises:
            StorageError: the last rows could not be written; all that was written before is readable.
        """
        if self.closed:
            return
        self._flusher.stop()
        with self._flusher.io_lock:
            self._buffers = {}
            self._closed = True
            self._manifest = dataclasses.replace(self._manifest, status=status, message=message)
            self._flusher.flush()
            if not self.problem:
                self._flusher.flush()  # events that the first one caused
            self._lock.release()
        _OPEN_WRITERS.discard(self)
        if self.problem:
            raise StorageError(
                f"{self.problem}: the last {self._flusher.waiting_rows} rows of the run could not be written",
                place=self.location,
                remedy="free some space; what was written before is kept, and `pellucid open` shows it",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        status = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        text = "interrupted by the keyboard" if status == "stopped" else f"{type(error).__name__}: {error}"
        with contextlib.suppress(StorageError):  # the error on its way out matters more
            self.close(status, text)

    def __reduce__(self) -> tuple[Any, ...]:
        return _inert_writer, (self.location, self._manifest)

    def become_inert(self) -> None:
        """Do nothing from now on: in a forked child everything here belongs to the parent."""
        self._inert = True
        self._buffers = {}
        self._lock.forget()


def _check_fields(fields: Mapping[str, Any]) -> None:
    if fields.keys() <= _SETTABLE:
        return
    raise SettingsError(
        f"a run's manifest has no field {', '.join(sorted(fields.keys() - _SETTABLE))} to be set",
        remedy=f"choose of {', '.join(sorted(_SETTABLE))}",
    )


def _last_time_s(folder: Folder) -> float:
    """The time at which the recorded rows end, in seconds of training."""
    latest = 0.0
    for table in ("steps", "metrics"):
        for segment in reversed(resolve_segments(list_segments(folder, table))[0]):
            with contextlib.suppress(RunCorruptedError):
                times = read_segment(folder, table, segment, columns=["time_s"]).column("time_s").to_pylist()
                latest = max([latest, *(time_s for time_s in times if time_s is not None)])
                break
    return latest


def _inert_writer(location: str, manifest: RunManifest) -> RunWriter:
    """What a pickled writer becomes in another process: one that does nothing."""
    folder = open_folder(location) if is_uri(location) else LocalFolder(location)
    writer = RunWriter(folder, manifest, _NoLock(), "00000000")
    writer.become_inert()
    return writer


class _NoLock(WriterLock):
    def release(self) -> None:
        """Nothing is held."""


def _close_at_exit() -> None:
    for writer in list(_OPEN_WRITERS):
        with contextlib.suppress(StorageError):
            writer.close("stopped", "the program ended before the run was closed")


def _after_fork() -> None:
    for writer in list(_OPEN_WRITERS):
        writer.become_inert()
    _OPEN_WRITERS.clear()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
