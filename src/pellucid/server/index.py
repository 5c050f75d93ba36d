"""The list of runs, read again only where something changed: many connections may ask for it several times a second."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from pellucid.errors import PellucidError
from pellucid.server.describe import summarize, summarize_run
from pellucid.server.models import RunSummary
from pellucid.store.locations import is_uri
from pellucid.store.run import find_run, list_runs

__all__ = ["RunIndex"]

_RECHECK_S = 2.0
"""A run whose writer died changes no file: those that say running are looked at again this often."""

_Signature = dict[str, tuple[int, int]]


class RunIndex:
    """The runs of a folder, newest first. May be asked from any thread."""

    def __init__(self, runs_dir: str | Path) -> None:
        self.runs_dir = runs_dir
        self._lock = threading.Lock()
        self._seen: _Signature | None = None
        self._runs: dict[str, RunSummary] = {}
        self._checked_at = 0.0

    def read(self) -> list[RunSummary]:
        """The list as it is now."""
        with self._lock:
            if is_uri(self.runs_dir):
                self._read_remote()
            else:
                self._read_local()
            return list(self._runs.values())

    def _read_remote(self) -> None:
        """Each look at an object store costs: at most one every two seconds."""
        if time.monotonic() - self._checked_at >= _RECHECK_S or not self._checked_at:
            self._read_all()

    def _read_local(self) -> None:
        now = _signature(Path(self.runs_dir))
        seen = self._seen
        self._seen = now
        if seen is None or seen.keys() != now.keys():
            self._read_all()
            return
        changed = {name for name in now if now[name] != seen[name]}
        if time.monotonic() - self._checked_at >= _RECHECK_S:
            self._checked_at = time.monotonic()
            changed |= {run.id for run in self._runs.values() if run.status == "running"}
        if not changed <= self._runs.keys():
            self._read_all()  # a folder became a run: it has a place in the order
            return
        for name in changed:
            self._read_one(name)

    def _read_all(self) -> None:
        self._runs = {stored.id: summarize(stored) for stored in list_runs(self.runs_dir)}
        self._checked_at = time.monotonic()

    def _read_one(self, name: str) -> None:
        try:
            self._runs[name] = summarize_run(find_run(name, self.runs_dir))
        except PellucidError as error:
            self._runs[name] = self._runs[name].model_copy(update={"status": "unreadable", "error": error.message})


def _signature(runs_dir: Path) -> _Signature:
    """Time and size of each run's manifest, by the run's name; (0, 0) where there is none."""
    found: _Signature = {}
    try:
        with os.scandir(runs_dir) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return found
    for name in names:
        try:
            manifest = (runs_dir / name / "run.json").stat()
            found[name] = (manifest.st_mtime_ns, manifest.st_size)
        except OSError:
            found[name] = (0, 0)
    return found
