"""A new run's folder: it appears complete, with its manifest in it and its writer's lock held, or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import shutil
import time
from pathlib import Path

from pellucid.store.filesystem import PARTIAL, Folder, LocalFolder
from pellucid.store.locations import new_run_id
from pellucid.store.lock import WriterLock, acquire_lock, writer_is_alive
from pellucid.store.manifest import MANIFEST_FILE, RunManifest

__all__ = ["create_run_folder"]

_ATTEMPTS = 100
_ABANDONED_AFTER_S = 60.0
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY}


def create_run_folder(runs: Folder, manifest: RunManifest, token: str) -> tuple[Folder, RunManifest, WriterLock]:
    """Make the folder of a new run under an id that no run has.

    Args:
        runs: The folder of all runs; made if need be.
        manifest: What is known of the run; its ``id`` is given here.
        token: The writer's.

    Returns:
        The run's folder, its manifest with the id, and the lock, which is held.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    if isinstance(runs, LocalFolder):
        runs.path.mkdir(parents=True, exist_ok=True)
        _sweep(runs.path)
    for attempt in range(_ATTEMPTS):
        named = dataclasses.replace(manifest, id=new_run_id(manifest.name))
        try:
            folder, lock = _create(runs, named, token)
        except OSError as error:
            if error.errno not in _TAKEN or attempt == _ATTEMPTS - 1:
                raise
        else:
            return folder, named, lock
    raise AssertionError("the last attempt returns or raises")


def _create(runs: Folder, manifest: RunManifest, token: str) -> tuple[Folder, WriterLock]:
    if isinstance(runs, LocalFolder):
        return _create_local(runs.path, manifest, token)
    folder = runs.child(manifest.id)
    if folder.exists(MANIFEST_FILE):
        raise FileExistsError(errno.EEXIST, "the id is taken", folder.location)
    lock = acquire_lock(folder, token)
    folder.write(MANIFEST_FILE, manifest.to_bytes())  # with which the run appears
    return folder, lock


def _create_local(runs: Path, manifest: RunManifest, token: str) -> tuple[Folder, WriterLock]:
    hidden = runs / f".{manifest.id}{PARTIAL}"
    hidden.mkdir()
    lock: WriterLock | None = None
    try:
        lock = acquire_lock(LocalFolder(hidden), token)
        LocalFolder(hidden).write(MANIFEST_FILE, manifest.to_bytes(), durable=True)
        folder = LocalFolder(hidden.rename(runs / manifest.id))
    except BaseException:
        if lock is not None:
            lock.release()
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    lock.moved_to(folder)
    return folder, lock


def _sweep(runs: Path) -> None:
    """Delete what writers left that were killed in the midst of creating a run."""
    for hidden in runs.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            old = time.time() - hidden.stat().st_mtime > _ABANDONED_AFTER_S
            if old and not hidden.is_symlink() and not writer_is_alive(LocalFolder(hidden)):
                shutil.rmtree(hidden, ignore_errors=True)
