"""Results that are added to a run after its writer has gone, or beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.errors import SettingsError
from pellucid.store.filesystem import explain_storage_error, open_folder

if TYPE_CHECKING:
    from pellucid.results.base import Result
    from pellucid.store.run import Run

__all__ = ["add_result"]


def add_result(run: Run, name: str, result: Result) -> int:
    """Keep a result in a run under ``results/<name>.safetensors``, whole, replacing an older one of that name.

    It needs no lock: a run's writer never writes a name twice at once, and a file appears by one rename.

    Returns:
        How many bytes it takes.

    Raises:
        SettingsError: the name cannot name a result.
        StorageError: the run's folder cannot be written.
    """
    if not name.isidentifier():
        raise SettingsError(f"{name!r} cannot name a result", place="name", remedy="use letters, digits and _")
    relative, content = f"results/{name}.safetensors", result.to_bytes()
    try:
        open_folder(run.location).write(relative, content, durable=True)
    except OSError as error:
        raise explain_storage_error(error, f"{run.location}/{relative}") from error
    return len(content)
