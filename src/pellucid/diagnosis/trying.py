"""Tries the changes that findings suggest: the script runs again with the lines changed, and the runs are compared.

Nothing of the user's is touched: the changed text stands in for the file in the new process alone, and the new run goes
to a folder that is deleted afterwards.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.progress import compare_progress
from pellucid.errors import DataError
from pellucid.results.diagnosis import Diagnosis, Finding, LineChange, TriedChange
from pellucid.store.locations import REPLACED_SOURCES
from pellucid.store.run import open_run

if TYPE_CHECKING:
    from pellucid.store.run import Run

__all__ = ["change_lines", "probe_again", "try_changes"]

_RUN = (sys.executable, "-m", "pellucid", "run", "--headless")
_GRACE_S = 20.0
"""What a run that was interrupted has to write what it knows."""

Say = Callable[[str], None]


def try_changes(
    run: Run, diagnosis: Diagnosis, *, most: int = 3, limit_s: float = 120.0, say: Say = lambda text: None
) -> Diagnosis:
    """Run the script again with each suggested change, from a fresh start, and compare what it reaches.

    Args:
        run: The run that was diagnosed.
        diagnosis: Its findings.
        most: At most so many findings are tried, the most certain first.
        limit_s: Each trial is interrupted after this time, and compared over the steps that it did.
        say: Told what is being tried.

    Returns:
        The diagnosis with ``tried`` filled in where a change could be tried.

    Raises:
        DataError: the run does not know its script, or the script has changed or gone since.
    """
    before = Evidence.of_run(run)
    script = _script_of(run, before)
    left = most
    findings: list[Finding] = []
    for finding in diagnosis.findings:
        if not finding.changes or left == 0 or finding.severity == "note":
            findings.append(finding)
            continue
        left -= 1
        say(f"{finding.title}: {finding.fix}")
        tried = _try_one(run, before, script, finding.changes, limit_s)
        findings.append(dataclasses.replace(finding, tried=tried))
    return dataclasses.replace(diagnosis, findings=tuple(findings))


def probe_again(run: Run) -> Run:
    """Run the script again, beside the first run, and probe copies of its model when it has ended.

    Raises:
        DataError: the run does not know its script, the script has changed or gone since, or it left no run.
    """
    script = _script_of(run, Evidence.of_run(run))
    runs = run.path.parent
    before = set(runs.glob("*/run.json"))
    _run_for([*_RUN, "--probe", "--runs-dir", str(runs), *script.command], dict(os.environ), script.folder, None)
    made = sorted(set(runs.glob("*/run.json")) - before)
    if not made:
        raise DataError(
            "the script left no run", place=script.command[0], remedy="run it with `pellucid run --probe` and look"
        )
    return open_run(made[-1].parent)


def change_lines(text: str, changes: Sequence[LineChange]) -> str:
    """A file's text with changes made, those further down first, so that line numbers stay true.

    Raises:
        DataError: the lines to be changed are not those that stand there.
    """
    lines = text.split("\n")
    for change in sorted(changes, key=lambda one: one.line, reverse=True):
        first, last = change.line - 1, change.line - 1 + len(change.before)
        if tuple(line.rstrip("\r") for line in lines[first:last]) != change.before:
            raise DataError(
                "the lines are not those of the run any more",
                place=f"{change.file}, line {change.line}",
                remedy="run the script again, then diagnose that run",
            )
        lines[first:last] = change.after
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class _Script:
    command: tuple[str, ...]  # what follows ``pellucid run``
    folder: str  # that it was started in
    sources: dict[str, Path]  # by the name that the run gives them


def _script_of(run: Run, evidence: Evidence) -> _Script:
    """How the script was started, as the run's settings tell."""
    settings = run.manifest.settings
    path, folder = settings.get("script"), settings.get("folder")
    if not isinstance(path, str) or not isinstance(folder, str) or not Path(folder).is_dir():
        raise DataError(
            "the run does not tell where its script stands",
            place=run.location,
            remedy="try changes on the machine and of a run that `pellucid run` made",
        )
    module = settings.get("module")
    start = ("-m", module) if isinstance(module, str) and module else (path,)
    arguments = tuple(str(one) for one in settings.get("arguments") or ())
    sources: dict[str, Path] = {}
    for source in evidence.script.sources:
        place = Path(path).parent / source.path
        if not place.is_file() or place.read_text(encoding="utf-8", errors="replace") != source.text:
            raise DataError(
                "the file is not what it was when the run was made",
                place=str(place),
                remedy="run the script again, then diagnose that run",
            )
        sources[source.path] = place
    return _Script((*start, *arguments), folder, sources)


def _try_one(
    run: Run, before: Evidence, script: _Script, changes: Sequence[LineChange], limit_s: float
) -> TriedChange | None:
    """The changed script's run beside the first; None where it left no run."""
    texts: dict[str, str] = {}
    for file in dict.fromkeys(change.file for change in changes):
        mine = [change for change in changes if change.file == file]
        texts[str(script.sources[file].resolve())] = change_lines(before.source(file), mine)
    with tempfile.TemporaryDirectory(prefix="pellucid-try-") as folder:
        replaced = Path(folder, "sources.json")
        replaced.write_text(json.dumps(texts), encoding="utf-8")
        runs = Path(folder, "runs")
        command = [*_RUN, "--runs-dir", str(runs), *script.command]
        code = _run_for(command, {**os.environ, REPLACED_SOURCES: str(replaced)}, script.folder, limit_s)
        made = sorted(runs.glob("*/run.json"))
        if not made:
            return None
        after = Evidence.of_run(open_run(made[-1].parent))
        return compare_progress(before, after, failed=code not in (0, 130, -signal.SIGINT))


def _run_for(command: list[str], environment: dict[str, str], folder: str, limit_s: float | None) -> int:
    """Run a command quietly; when its time is over it is asked to stop, and at last ended."""
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        ends = time.monotonic() + _GRACE_S
        while process.poll() is None and time.monotonic() < ends:
            time.sleep(0.05)
        return 130
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
