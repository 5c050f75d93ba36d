"""A run as the server tells of it: one line of the list, or all that is known of it."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

from pellucid.errors import RunError, StorageError
from pellucid.server.models import ResultEntry, RunDetail, RunSummary, TableRows
from pellucid.store.listing import RunSummary as StoredSummary
from pellucid.store.run import Run

__all__ = ["RUN_SHAPE", "describe_run", "schema_of", "summarize", "summarize_run", "version_of"]

RUN_SHAPE = tuple(name for name in RunSummary.model_fields if name not in ("kind", "status", "metrics", "error"))
"""The fields that a summary takes over from a manifest as they are."""

_MOST_SCHEMAS = 4096

_SCHEMAS: OrderedDict[tuple[str, int, int], str] = OrderedDict()
"""Schemas of payloads already looked at, by path, time and size."""


def summarize(stored: StoredSummary) -> RunSummary:
    """A line of the store's list as the server tells it."""
    return _summary(stored, stored.status, stored.error)


def summarize_run(run: Run) -> RunSummary:
    """The line of one run."""
    return _summary(run.manifest, run.status, "")


def describe_run(run: Run) -> RunDetail:
    """All that is known of ``run`` but the content of its tables and results."""
    manifest = run.manifest
    summary = summarize_run(run)
    rows = {table: run.row_count(table) for table in TableRows.model_fields}
    return RunDetail(
        **summary.model_dump(),
        settings=_json_safe(manifest.settings),
        environment=_json_safe(manifest.environment),
        command=manifest.command,
        seed=manifest.seed,
        version=manifest.version,
        resumes=manifest.resumes,
        results=[
            ResultEntry.model_validate({"name": name, "schema": schema_of(run, name), "version": version_of(run, name)})
            for name in run.result_names()
        ],
        tables=TableRows(**rows),
        warnings=list(run.warnings),
    )


def _summary(source: Any, status: str, error: str) -> RunSummary:
    known = source.kind in ("fit", "watch")
    return RunSummary(
        **{name: getattr(source, name) for name in RUN_SHAPE},
        kind=source.kind if known else "unknown",
        status="unreadable" if error or not status else status,  # pyright: ignore[reportArgumentType]  # pydantic checks
        metrics={name: _finite(value) for name, value in source.metrics.items()},
        error=error,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _json_safe(value: Any) -> Any:
    """Non-finite floats become null."""
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, dict):
        return {key: _json_safe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_safe(item) for item in value]
    return value


def schema_of(run: Run, name: str) -> str:
    """The schema named in a payload; empty if the file is damaged or gone."""
    key = _file_key(run, name)
    if key is not None and key in _SCHEMAS:
        return _SCHEMAS[key]
    try:
        schema = _read_schema(run.result_bytes(name) if key is None else _read_head(Path(key[0])))
    except (RunError, StorageError, OSError):
        return ""
    if key is not None:
        _SCHEMAS[key] = schema
        while len(_SCHEMAS) > _MOST_SCHEMAS:
            _SCHEMAS.popitem(last=False)
    return schema


def _file_key(run: Run, name: str) -> tuple[str, int, int] | None:
    """What changes when the payload does; None where that cannot be told."""
    try:
        path: Path = run.path / "results" / f"{name}.safetensors"
        found = path.stat()
    except (OSError, StorageError):
        return None
    return str(path), found.st_mtime_ns, found.st_size


def version_of(run: Run, name: str) -> str:
    """What changes when a result is replaced; empty where that cannot be told."""
    key = _file_key(run, name)
    return "" if key is None else f"{key[1]}-{key[2]}"


def _read_head(path: Path) -> bytes:
    """The payload without its arrays."""
    with path.open("rb") as file:
        length = file.read(8)
        return length + file.read(min(int.from_bytes(length, "little"), path.stat().st_size))


def _read_schema(payload: bytes) -> str:
    try:
        length = int.from_bytes(payload[:8], "little")
        document = json.loads(json.loads(payload[8 : 8 + length])["__metadata__"]["document"])
        return str(document["schema"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
