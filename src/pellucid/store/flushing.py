"""The thread that brings a run's rows and manifest to disk, again and again, and what it does when that fails."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

from pellucid.store.appender import TableAppender
from pellucid.store.filesystem import Folder, explain_storage_error
from pellucid.store.lock import WriterLock
from pellucid.store.manifest import MANIFEST_FILE, RunManifest, utc_now
from pellucid.store.tables import TABLES

__all__ = ["FLUSH_INTERVAL_S", "Flusher"]

FLUSH_INTERVAL_S = 0.4
"""Rows are on disk after this time, and that of writing them; later where writing is dear (``_SHARE``)."""

_LONGEST_INTERVAL_S = 0.8
_SHARE = 0.004
"""Of a processor: what the thread may take of it before it writes less often."""

_LONGEST_PAUSE_S = 5.0
"""Between two attempts to write while the disk is full."""


class Flusher:
    """Writes what the tables' buffers and the manifest hold; everything that touches files holds ``io_lock``.

    Args:
        folder: The run's.
        token: The writer's.
        lock: The run's lock, which beats with each flush.
        manifest: Gives the manifest as it stands.
        elapsed_s: Gives the time of events.
    """

    def __init__(
        self,
        folder: Folder,
        token: str,
        lock: WriterLock,
        manifest: Callable[[], RunManifest],
        elapsed_s: Callable[[], float],
    ) -> None:
        self.tables = {table: TableAppender(folder, table, token) for table in TABLES}
        self.io_lock = threading.RLock()
        self.problem = ""
        """Why the last attempt to write failed; empty while all is well."""
        self.spent_s = 0.0
        """Processor time that the thread took so far."""
        self.written: RunManifest | None = None
        self._folder, self._lock = folder, lock
        self._manifest, self._elapsed_s = manifest, elapsed_s
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        """Begin to write in the background."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait until the thread has ended."""
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def waiting_rows(self) -> int:
        """Rows that were taken but are not on disk, because writing failed."""
        return sum(appender.pending_rows for appender in self.tables.values())

    def flush(self) -> None:
        """Write everything now. If that fails, nothing is raised: ``problem`` says why, and it is tried again."""
        with self.io_lock:
            # Events last in, first out: what happened is known before its effects. Each table by itself, so that rows
            # leave the callers' buffers, and memory is bounded, also while nothing can be written.
            attempts = [self.tables[table].flush for table in reversed(TABLES)]
            failed: OSError | None = None
            for attempt in [*attempts, self.write_manifest, self._lock.beat]:
                try:
                    attempt()
                except OSError as error:
                    failed = error
            if failed is not None:
                self._report(explain_storage_error(failed, self._folder.location).message)
            else:
                self._recover()

    def write_manifest(self) -> None:
        """Write the manifest if it changed.

        Raises:
            OSError: it could not be written.
        """
        manifest = self._manifest()
        if manifest is self.written:
            return
        stamped = dataclasses.replace(manifest, updated_at=utc_now())
        self._folder.write(MANIFEST_FILE, stamped.to_bytes())
        self.written = manifest

    def _report(self, problem: str) -> None:
        """Say once, in the run itself, that writing fails; the event is written with the rows that wait."""
        if not self.problem:
            self._event(f"{problem}; rows wait in memory")
        self.problem = problem

    def _recover(self) -> None:
        self.problem = ""
        for appender in self.tables.values():
            lost = appender.lost + appender.buffer.lost
            appender.lost = appender.buffer.lost = 0
            if lost:
                self._event(f"{lost} rows of {appender.table} were lost: they could not be written for too long")
            problems, appender.buffer.problems = appender.buffer.problems, []
            for problem in dict.fromkeys(problems):
                self._event(problem)

    def _event(self, message: str) -> None:
        self.tables["events"].buffer.append(
            {"step": self._manifest().step or 0, "time_s": self._elapsed_s(), "kind": "storage", "message": message}
        )

    def _work(self) -> None:
        """The daemon thread: flush, merge, sleep."""
        pause = FLUSH_INTERVAL_S
        while not self._closing.wait(pause):
            before_s = self.spent_s
            try:
                self.flush()
                self._merge()
            except Exception as error:  # the watched training must go on, whatever happens here
                self._report(f"{type(error).__name__}: {error}")
            self.spent_s = time.thread_time()
            if self.problem:
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                # A mean of what it cost last and now, so that a merge among many cheap flushes does not slow them all.
                affordable_s = min((self.spent_s - before_s) / _SHARE, _LONGEST_INTERVAL_S)
                pause = max(FLUSH_INTERVAL_S, (pause + affordable_s) / 2)

    def _merge(self) -> None:
        for appender in self.tables.values():
            with self.io_lock:
                if self._closing.is_set():
                    return
                try:
                    appender.merge()
                except OSError as error:
                    self._report(explain_storage_error(error, self._folder.location).message)
