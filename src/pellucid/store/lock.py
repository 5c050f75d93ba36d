"""One writer a run. A lock that the kernel releases when its holder dies; a heartbeat where there is no such lock."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from abc import ABC, abstractmethod
from typing import Any, cast

from pellucid.errors import RunLockedError
from pellucid.store.filesystem import Folder, LocalFolder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["HEARTBEAT_S", "LOCK_FILE", "STALE_S", "WriterLock", "acquire_lock", "writer_is_alive"]

LOCK_FILE = "lock"
HEARTBEAT_S = 5.0
STALE_S = 30.0
"""A heartbeat older than this is a dead writer's."""

_NO_FLOCK = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_ATTEMPTS = 60
_PAUSE_S = 0.02


class WriterLock(ABC):
    """Held by a run's only writer."""

    @abstractmethod
    def release(self) -> None:
        """Let the next writer in. May be called twice."""

    def beat(self) -> None:  # noqa: B027  # most locks need no heartbeat
        """Say that the writer lives; called often, does something only where that is needed."""

    def moved_to(self, folder: Folder) -> None:  # noqa: B027  # the kernel's lock goes with the file
        """Say that the run's folder was renamed."""

    def forget(self) -> None:  # noqa: B027  # most locks hold nothing that a child inherits
        """Called in a forked child: give up our copy without releasing the parent's lock."""


class _KernelLock(WriterLock):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    # Closing the child's copy leaves the parent's lock: it belongs to the open file, which the parent still holds.
    forget = release


class _HeartbeatLock(WriterLock):
    def __init__(self, folder: Folder, token: str) -> None:
        self._folder = folder
        self._token = token
        self._last = time.monotonic()

    def beat(self) -> None:
        if time.monotonic() - self._last >= HEARTBEAT_S:
            self._folder.write(LOCK_FILE, _content(self._token, heartbeat=True))
            self._last = time.monotonic()

    def moved_to(self, folder: Folder) -> None:
        self._folder = folder

    def release(self) -> None:
        with contextlib.suppress(OSError):
            if _read(self._folder).get("token") == self._token:
                self._folder.delete(LOCK_FILE)


def acquire_lock(folder: Folder, token: str) -> WriterLock:
    """Become the run's only writer.

    Raises:
        RunLockedError: another process is writing it.
        OSError: the folder cannot be written.
    """
    if isinstance(folder, LocalFolder) and fcntl is not None:
        lock = _acquire_kernel_lock(folder, token)
        if lock is not None:
            return lock
    return _acquire_heartbeat_lock(folder, token)


def _acquire_kernel_lock(folder: LocalFolder, token: str) -> WriterLock | None:
    """The kernel's lock, or None where the file system has none."""
    assert fcntl is not None
    descriptor = os.open(folder.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        # A reader that asks whether a writer lives holds the lock for microseconds: try again before giving up.
        for attempt in range(_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == _ATTEMPTS - 1:
                    raise _locked(folder) from None
                time.sleep(_PAUSE_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _content(token, heartbeat=False), 0)
    except OSError as error:
        os.close(descriptor)
        if error.errno in _NO_FLOCK:
            return None
        raise
    except RunLockedError:
        os.close(descriptor)
        raise
    return _KernelLock(descriptor)


def _acquire_heartbeat_lock(folder: Folder, token: str) -> WriterLock:
    if _heart_beats(_read(folder)):
        raise _locked(folder)
    folder.write(LOCK_FILE, _content(token, heartbeat=True))
    if _read(folder).get("token") != token:  # two came at once: the last to write stays
        raise _locked(folder)
    return _HeartbeatLock(folder, token)


def writer_is_alive(folder: Folder) -> bool:
    """Whether some process is writing the run now."""
    held = _kernel_lock_is_held(folder) if isinstance(folder, LocalFolder) and fcntl is not None else None
    return _heart_beats(_read(folder)) if held is None else held


def _kernel_lock_is_held(folder: LocalFolder) -> bool | None:
    """None where only a heartbeat can tell."""
    assert fcntl is not None
    try:
        descriptor = os.open(folder.path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return None if "heartbeat" in _read(folder) else False
    finally:
        os.close(descriptor)


def _content(token: str, *, heartbeat: bool) -> bytes:
    holder: dict[str, Any] = {"token": token, "process": os.getpid(), "host": socket.gethostname()}
    if heartbeat:
        holder["heartbeat"] = time.time()
    return json.dumps(holder).encode()


def _read(folder: Folder) -> dict[str, Any]:
    try:
        holder = json.loads(folder.read(LOCK_FILE))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", holder) if isinstance(holder, dict) else {}


def _heart_beats(holder: dict[str, Any]) -> bool:
    beat = holder.get("heartbeat")
    return isinstance(beat, int | float) and time.time() - beat < STALE_S


def _locked(folder: Folder) -> RunLockedError:
    holder = _read(folder)
    who = f"process {holder.get('process')} on {holder.get('host')}" if holder else "another process"
    return RunLockedError(
        f"{who} is writing this run", place=folder.location, remedy="wait until it ends, or stop that process"
    )
