"""run.json: what a run is, how far it came and how it ended."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from pellucid.errors import RunCorruptedError
from pellucid.store.filesystem import Folder
from pellucid.store.migrations import MANIFEST_VERSION, upgrade_manifest

__all__ = ["MANIFEST_FILE", "RunManifest", "RunStatus", "parse_manifest", "read_manifest", "utc_now"]

MANIFEST_FILE = "run.json"

RunStatus = Literal["running", "finished", "stopped", "failed", "interrupted"]
"""What a reader is told; ``interrupted`` is never written: it is a running manifest whose writer is gone."""

_WRITTEN = ("running", "finished", "stopped", "failed")


def _empty() -> dict[str, Any]:
    return {}


def _no_metrics() -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class RunManifest:
    """The content of ``run.json``. Times are ISO-8601 in UTC; texts are empty where nothing is known."""

    id: str
    name: str
    kind: str
    """``fit`` or ``watch``."""
    created_at: str
    updated_at: str
    status: RunStatus = "running"
    message: str = ""
    """Why it stopped or failed, in a person's words."""
    task: str = ""
    modality: str = ""
    source: str = ""
    model: str = ""
    """The network in one line."""
    parameters: int | None = None
    seed: int | None = None
    device: str = ""
    epochs_planned: int | None = None
    epoch: int | None = None
    step: int | None = None
    metrics: dict[str, float] = field(default_factory=_no_metrics)
    """Headline figures; ``nan`` and infinities are allowed."""
    settings: dict[str, Any] = field(default_factory=_empty)
    environment: dict[str, Any] = field(default_factory=_empty)
    command: str = ""
    version: str = ""
    """Of the Pellucid that wrote it."""
    resumes: int = 0
    """How often it was resumed. When it changes, row numbers may have been given anew: read tables from row 0."""
    schema: str = f"run/{MANIFEST_VERSION}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; a float that JSON cannot say becomes ``{"$float": "nan"}``, as in results."""
        return cast("dict[str, Any]", _encode(dataclasses.asdict(self)))

    def to_bytes(self) -> bytes:
        """The content of the file."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False, ensure_ascii=False).encode()


def utc_now() -> str:
    """This moment as ISO-8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_manifest(folder: Folder) -> RunManifest:
    """Read a run's manifest, whichever version wrote it.

    Raises:
        RunCorruptedError: it is truncated, damaged or no manifest.
        RunTooNewError: a newer Pellucid wrote it.
        FileNotFoundError: there is none.
    """
    return parse_manifest(folder.read(MANIFEST_FILE), place=f"{folder.location}/{MANIFEST_FILE}")


def parse_manifest(content: bytes, *, place: str = "") -> RunManifest:
    """The manifest that stands in the bytes of a ``run.json``; see ``read_manifest``."""
    try:
        document = _decode(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise _damaged(f"it is not JSON: {error}", place) from error
    if not isinstance(document, dict):
        raise _damaged("it is not an object", place)
    upgraded = upgrade_manifest(cast("dict[str, Any]", document), place=place)
    known = {f.name: upgraded[f.name] for f in dataclasses.fields(RunManifest) if f.name in upgraded}
    try:
        _check_types(known)
        return RunManifest(**known)
    except (TypeError, ValueError) as error:
        raise _damaged(str(error), place) from error


def _damaged(what: str, place: str) -> RunCorruptedError:
    return RunCorruptedError(
        f"the run's manifest cannot be read ({what})",
        place=place,
        remedy="delete the run's folder; its tables can still be read from segments/ with pandas or DuckDB",
    )


_TEXTS = ("id", "name", "kind", "created_at", "updated_at", "message", "task", "modality", "source", "model")
_TEXTS_TOO = ("device", "command", "version", "schema")
_NUMBERS = ("parameters", "seed", "epochs_planned", "epoch", "step")
_OBJECTS = ("metrics", "settings", "environment")


def _check_types(known: dict[str, Any]) -> None:
    """Refuse fields of a wrong kind, so that nobody downstream has to."""
    for name, value in known.items():
        if name in _TEXTS + _TEXTS_TOO and not isinstance(value, str):
            raise TypeError(f"{name} is not a text")
        if name in _NUMBERS and not (value is None or (isinstance(value, int) and not isinstance(value, bool))):
            raise TypeError(f"{name} is not a whole number")
        if name in _OBJECTS and not isinstance(value, dict):
            raise TypeError(f"{name} is not an object")
    metrics = known.get("metrics", {})
    if not all(isinstance(value, int | float) for value in metrics.values()):
        raise TypeError("metrics are not all numbers")
    if known.get("status", "running") not in _WRITTEN:
        raise ValueError(f"unknown status {known['status']!r}")


def _encode(value: Any) -> Any:
    """Plain JSON: tuples become lists, floats that JSON cannot say are spelled, anything foreign becomes its text."""
    if isinstance(value, float):
        finite = value == value and value not in (float("inf"), float("-inf"))  # noqa: PLR0124  # NaN's definition
        return float(value) if finite else {"$float": repr(float(value))}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): _encode(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encode(item) for item in cast("list[Any]", value)]
    if callable(getattr(value, "item", None)) and getattr(value, "size", 1) == 1:
        return _encode(value.item())  # a NumPy scalar
    return str(value)


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        if len(entries) == 1 and "$float" in entries:
            return float(entries["$float"])
        return {key: _decode(item) for key, item in entries.items()}
    if isinstance(value, list):
        return [_decode(item) for item in cast("list[Any]", value)]
    return value
