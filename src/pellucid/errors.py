"""Every error that Pellucid raises on purpose.

Each one says what was wrong, where, and what to do about it::

    PellucidError
    ├── DataError              a file, row, column or value cannot be used
    │   └── SourceNotFoundError    the file, folder or data set is not there
    ├── SettingsError          a setting is unknown, out of range or contradicts another
    ├── DeviceError            the accelerator asked for is not there
    ├── TrainingError          a model raised, or a loss stopped being finite
    ├── TraceError             a model raised while it was traced, or a recorded value is out of reach
    ├── RunError               a run folder cannot be used
    │   ├── RunNotFoundError       there is no such run
    │   ├── RunLockedError         another process is writing it
    │   ├── RunCorruptedError      a file in it is truncated, damaged or hostile
    │   └── RunTooNewError         it was written by a newer Pellucid
    ├── StorageError           a folder cannot be written, or the disk is full
    ├── ServerError            the app cannot start (a port is taken …)
    └── MissingExtraError      an optional dependency is not installed
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "DataError",
    "DeviceError",
    "MissingExtraError",
    "PellucidError",
    "RunCorruptedError",
    "RunError",
    "RunLockedError",
    "RunNotFoundError",
    "RunTooNewError",
    "ServerError",
    "SettingsError",
    "SourceNotFoundError",
    "StorageError",
    "TraceError",
    "TrainingError",
]


class PellucidError(Exception):
    """What was wrong, where it is, and what to do.

    Args:
        message: What was wrong, one sentence without a full stop.
        place: The file, row, column, layer or setting concerned.
        remedy: What the person can do about it, as an imperative.

    >>> print(PellucidError("the table has no rows", place="a.csv", remedy="add data below the header"))
    the table has no rows
      where: a.csv
      to do: add data below the header
    """

    def __init__(self, message: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        lines = [self.message]
        if self.place:
            lines.append(f"  where: {self.place}")
        if self.remedy:
            lines.append(f"  to do: {self.remedy}")
        return "\n".join(lines)


class DataError(PellucidError):
    """A file, row, column or value cannot be used."""


class SourceNotFoundError(DataError):
    """The file, folder or data set is not there."""


class SettingsError(PellucidError):
    """A setting is unknown, out of range or contradicts another."""


class DeviceError(PellucidError):
    """The accelerator asked for is not there."""


class TrainingError(PellucidError):
    """A model raised, or a loss stopped being finite."""


class TraceError(PellucidError):
    """A model raised while it was traced, or a recorded value is out of reach.

    Attributes:
        tape: What was recorded until then (a ``pellucid.capture.tape.Tape``); None if nothing was.
    """

    tape: Any = None


class RunError(PellucidError):
    """A run folder cannot be used."""


class RunNotFoundError(RunError):
    """There is no such run."""


class RunLockedError(RunError):
    """Another process is writing the run."""


class RunCorruptedError(RunError):
    """A file of the run is truncated, damaged or hostile."""


class RunTooNewError(RunError):
    """The run was written by a newer Pellucid."""


class StorageError(PellucidError):
    """A folder cannot be written, or the disk is full."""


class ServerError(PellucidError):
    """The app cannot start."""


class MissingExtraError(PellucidError):
    """An optional dependency is not installed."""
