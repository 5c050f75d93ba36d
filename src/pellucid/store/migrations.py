"""Reading what older versions of Pellucid wrote: each step turns one version into the next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pellucid.errors import RunCorruptedError, RunTooNewError

__all__ = ["COLUMN_RENAMES", "MANIFEST_VERSION", "upgrade_manifest"]

MANIFEST_VERSION = 1

COLUMN_RENAMES: dict[int, dict[str, dict[str, str]]] = {
    0: {"steps": {"lr": "learning_rate", "time": "time_s"}, "metrics": {"time": "time_s"}, "events": {"time": "time_s"}}
}
"""By the version of the tables: table → {old column: new column}. A column that is missing reads as null."""


def upgrade_manifest(document: dict[str, Any], *, place: str = "") -> dict[str, Any]:
    """Bring a manifest's document to the present version.

    Raises:
        RunTooNewError: it is from a later version.
        RunCorruptedError: it names no version at all.
    """
    stem, _, number = str(document.get("schema", "")).partition("/")
    if stem != "run" or not number.isdecimal():
        raise RunCorruptedError(
            f"{document.get('schema')!r} is not the schema of a run", place=place, remedy="delete the folder"
        )
    version = int(number)
    if version > MANIFEST_VERSION:
        raise RunTooNewError(
            f"the run was written by a newer Pellucid ({document.get('version') or document['schema']})",
            place=place,
            remedy="update Pellucid: pip install -U pellucid",
        )
    for step in range(version, MANIFEST_VERSION):
        try:
            document = _STEPS[step](document)
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise RunCorruptedError(
                f"the manifest of version {step} cannot be read ({error!r})", place=place, remedy="delete the folder"
            ) from error
        document["schema"] = f"run/{step + 1}"
    return document


def _from_0(old: dict[str, Any]) -> dict[str, Any]:
    """Version 0 had no kind, wrote times as seconds since 1970, called a finished run done, and kept ``lr`` on top."""
    new = {key: value for key, value in old.items() if key not in {"created", "updated", "lr", "done"}}
    new["kind"] = "fit"
    new["created_at"] = _iso(old["created"])
    new["updated_at"] = _iso(old.get("updated", old["created"]))
    new["status"] = "finished" if old.get("done") else "running"
    if "lr" in old:
        new["settings"] = {**old.get("settings", {}), "learning_rate": old["lr"]}
    return new


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="milliseconds")


_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {0: _from_0}
