"""A run as one HTML file that shows itself without a server or a network: the app's views with the data inside."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from html import escape
from pathlib import Path

from pellucid.errors import RunError, ServerError, StorageError
from pellucid.results.base import Result
from pellucid.server.describe import describe_run
from pellucid.server.frames import build_frame
from pellucid.server.models import ReportData, ResultEntry
from pellucid.server.slimming import slim_payload
from pellucid.store.filesystem import explain_storage_error
from pellucid.store.run import Run
from pellucid.store.tables import TABLES

__all__ = ["REPORT_HISTOGRAMS", "REPORT_POINTS", "build_report", "collect_report", "is_report", "write_report"]

REPORT_POINTS = 2000
"""Rows a series in a report, at the most."""

REPORT_HISTOGRAMS = 60
"""Points in time of a layer's distributions in a report, at the most."""

REPORT_BYTES = 12_000_000
"""What the moments of one measure along training may take in a report; of more, some are left out evenly."""

_SURFACES = frozenset({"loss_landscape", "neuron_surface"})
"""Results whose views draw in three dimensions, with a script of its own."""

_BUNDLE = Path(__file__).parent / "static" / "report"


def build_report(run: Run, *, extra: Mapping[str, Result] | None = None, bundle: Path | None = None) -> str:
    """One self-contained HTML document that shows ``run``; it refers to nothing outside itself.

    Args:
        run: A run, finished or not; the report shows it as it stands.
        extra: Results by name that the report shows beside the run's own, such as a walk through a trace.
        bundle: The folder with ``report.js`` and ``report.css``; the one that comes with the package unless given.

    Raises:
        ServerError: The report's script is not built.
    """
    bundle = bundle or _BUNDLE
    script, style = _read_bundle(bundle)
    collected = collect_report(run, extra)
    data = _for_html(collected.model_dump_json())
    surfaces = any(entry.schema_.partition("/")[0] in _SURFACES for entry in collected.run.results)
    scripts = [_for_script(text) for text in (_read_scene(bundle) if surfaces else "", script) if text]
    style = _for_style(style)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(_digest(script) for script in scripts)}",
            f"style-src {_digest(style)}",
            "style-src-attr 'unsafe-inline'",
            "img-src data: blob:",
            "font-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    title = escape(run.manifest.name or run.id)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f'<meta name="generator" content="Pellucid {escape(run.manifest.version)}">',
            f"<title>{title} – Pellucid</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            "<noscript>This report draws itself with JavaScript: allow scripts for this file.</noscript>",
            '<div id="pellucid"></div>',
            f'<script type="application/json" id="pellucid-data">{data}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>",
            "</html>",
            "",
        ]
    )


def write_report(
    run: Run, path: str | Path, *, extra: Mapping[str, Result] | None = None, bundle: Path | None = None
) -> int:
    """Write ``build_report``'s document to ``path`` by atomic rename, and return its size in bytes.

    Raises:
        ServerError: The report's script is not built.
        StorageError: The file cannot be written.
    """
    content = build_report(run, extra=extra, bundle=bundle).encode()
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(3)}.partial")
    try:
        if path.is_dir():
            raise StorageError("a folder has this name", place=str(path), remedy="give the name of a file with -o")
        try:
            partial.write_bytes(content)
            os.replace(partial, path)  # noqa: PTH105  # one system call: the file is the old one or the new one
        finally:
            partial.unlink(missing_ok=True)
    except FileNotFoundError as error:
        raise StorageError("the folder is not there", place=str(path.parent), remedy="make it first") from error
    except OSError as error:
        raise explain_storage_error(error, str(path)) from error
    return len(content)


def is_report(path: str | Path) -> bool:
    """Whether a file is a report that Pellucid wrote."""
    with Path(path).open("rb") as file:
        return b'<meta name="generator" content="Pellucid ' in file.read(4096)


def collect_report(run: Run, extra: Mapping[str, Result] | None = None) -> ReportData:
    """What the report shows: the run, its results and its tables, thinned; a warning stands for a damaged result."""
    detail = describe_run(run)
    results: dict[str, str] = {}
    kept: list[ResultEntry] = []
    warnings = list(detail.warnings)
    left_out = _too_many(run, [entry.name for entry in detail.results])
    if left_out:
        warnings.append(f"{len(left_out)} results along training were left out of the report, which would be too large")
    for entry in detail.results:
        if entry.name in left_out:
            continue
        try:
            results[entry.name] = _base64(slim_payload(run.result(entry.name)) or run.result_bytes(entry.name))
            kept.append(entry)
        except RunError as error:
            warnings.append(f"{entry.name} was left out: {error.message}")
    for name, result in (extra or {}).items():
        results[name] = _base64(result.to_bytes())
        kept = [
            *(entry for entry in kept if entry.name != name),
            ResultEntry(name=name, schema_=result.schema, version=""),
        ]
    points = {table: REPORT_HISTOGRAMS if table == "histograms" else REPORT_POINTS for table in TABLES}
    tables = {table: _base64(build_frame(run, table, points=points[table]).payload) for table in TABLES}
    warnings = list(dict.fromkeys([*warnings, *run.warnings]))
    return ReportData(
        run=detail.model_copy(update={"results": kept, "warnings": warnings}), results=results, tables=tables
    )


def _too_many(run: Run, names: list[str]) -> set[str]:
    """Of each measure along training, the moments that a report has no room for; the final network's is no moment."""
    moments: dict[str, list[str]] = {}
    for name in sorted(names):
        if found := re.fullmatch(r"(\w+)_epoch_\d+", name):
            moments.setdefault(found[1], []).append(name)
    left_out: set[str] = set()
    for found in moments.values():
        size = sum(len(run.result_bytes(name)) for name in found)
        stride = -(-size // REPORT_BYTES)
        left_out.update(name for place, name in enumerate(found) if place % stride)
    return left_out


def _base64(payload: bytes) -> str:
    return base64.b64encode(payload).decode("ascii")


def _read_bundle(folder: Path) -> tuple[str, str]:
    try:
        return (folder / "report.js").read_text("utf-8"), (folder / "report.css").read_text("utf-8")
    except OSError as error:
        raise ServerError(
            "the report's script is not built",
            place=str(folder),
            remedy="run `make web` in the source checkout; an installed wheel carries it",
        ) from error


def _read_scene(folder: Path) -> str:
    """The script of surfaces; without it their flat maps are shown."""
    try:
        return (folder / "scene.js").read_text("utf-8")
    except OSError:
        return ""


def _digest(text: str) -> str:
    return f"'sha256-{_base64(hashlib.sha256(text.encode()).digest())}'"


def _for_html(document: str) -> str:
    """JSON that may stand in a script element: it cannot end it."""
    return document.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _for_script(script: str) -> str:
    """JavaScript that may stand in a script element: what would end it can only be in its strings and patterns."""
    return re.sub(r"<(?=!--|/script)", r"\\x3c", script, flags=re.IGNORECASE)


def _for_style(style: str) -> str:
    return re.sub(r"</(?=style)", r"<\\/", style, flags=re.IGNORECASE)
