"""``pellucid diagnose``: why a watched run does not learn, or that nothing was found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.errors import RunNotFoundError, StorageError

if TYPE_CHECKING:
    from pellucid.results.diagnosis import Diagnosis, Finding
    from pellucid.store.run import Run

__all__ = ["diagnose_command", "diagnosis_json"]


def diagnose_command(
    run: Annotated[str, typer.Argument(help="The run: its id, the beginning of one, its name, its folder, or latest.")],
    *,
    try_: Annotated[
        bool, typer.Option("--try", help="Run the script again with each suggested change, and compare.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Run the script again, then try things on copies of its model.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="How many changes to try, the most certain first.")] = 3,
    limit: Annotated[float, typer.Option(min=1.0, help="Seconds after which a trial is stopped and compared.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON.")] = False,
    runs_dir: Annotated[Path | None, typer.Option(help="Folder of the runs; $PELLUCID_RUNS or ./runs.")] = None,
) -> None:
    """Say why a run of ``pellucid run`` does not learn: findings with their evidence, most certain first.

    pellucid diagnose latest
    """
    from pellucid.diagnosis import diagnose
    from pellucid.store.added_results import add_result
    from pellucid.store.run import open_run

    opened = open_run(run, runs_dir)
    if "watched_script" not in opened.result_names():
        raise RunNotFoundError(
            "this run holds no record of a watched script",
            place=opened.location,
            remedy="make one with `pellucid run SCRIPT`",
        )
    if probe:
        opened = _probe(opened)
    diagnosis = diagnose(opened)
    if try_:
        diagnosis = _try(opened, diagnosis, most, limit)
    try:
        add_result(opened, "diagnosis", diagnosis)
    except StorageError as error:  # a run that may only be read is diagnosed all the same
        typer.secho(f"The diagnosis was not kept: {error}", err=True)
    if as_json:
        import json

        typer.echo(json.dumps(diagnosis_json(diagnosis), ensure_ascii=False))
        return
    from pellucid.cli.console import PatientConsole

    PatientConsole().print(diagnosis)


def _probe(run: Run) -> Run:
    """A new run of the script, with probes; said while it goes on."""
    from rich.status import Status

    from pellucid.cli.console import PatientConsole
    from pellucid.diagnosis.trying import probe_again

    with Status("Running the script again, with probes", console=PatientConsole(stderr=True)):
        probed = probe_again(run)
    typer.secho(f"probed in {probed.location}", err=True)
    return probed


def _try(run: Run, diagnosis: Diagnosis, most: int, limit_s: float) -> Diagnosis:
    """The diagnosis with its changes tried, one bar's step each."""
    from rich.progress import Progress

    from pellucid.cli.console import PatientConsole
    from pellucid.diagnosis.trying import try_changes

    worth = [finding for finding in diagnosis.findings if finding.changes and finding.severity != "note"]
    with Progress(console=PatientConsole(stderr=True)) as bars:
        task = bars.add_task("Trying", total=min(most, len(worth)))
        tried = -1

        def say(text: str) -> None:
            nonlocal tried
            tried += 1
            bars.update(task, completed=tried, description=f"Trying: {text[:70]}")

        done = try_changes(run, diagnosis, most=most, limit_s=limit_s, say=say)
        bars.update(task, completed=min(most, len(worth)), description="Tried")
    return done


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """A diagnosis as plain JSON; what is not a finite number is null."""
    return {
        "verdict": diagnosis.verdict,
        "run": diagnosis.run,
        "steps": diagnosis.steps,
        "findings": [_finding_json(finding) for finding in diagnosis.findings],
        "checked": list(diagnosis.checked),
        "unchecked": list(diagnosis.unchecked),
        "coverage": diagnosis.coverage,
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    place = finding.where.place
    return {
        "code": finding.code,
        "kind": finding.kind,
        "severity": finding.severity,
        "certainty": round(finding.certainty, 4),
        "title": finding.title,
        "where": {
            "layer": finding.where.layer,
            "parameter": finding.where.parameter,
            "file": place.file,
            "line": place.line,
            "text": place.text,
        },
        "since_step": finding.since_step,
        "evidence": [
            {
                "name": one.name,
                "value": one.value if math.isfinite(one.value) else None,
                "expected": one.expected,
                "unit": one.unit,
            }
            for one in finding.evidence
        ],
        "why": finding.why,
        "fix": finding.fix,
        "changes": [
            {"file": one.file, "line": one.line, "before": list(one.before), "after": list(one.after)}
            for one in finding.changes
        ],
        "disproof": finding.disproof,
        "symptoms": list(finding.symptoms),
        "tried": None
        if finding.tried is None
        else {"metric": finding.tried.metric, "improved": finding.tried.improved, "said": finding.tried.said},
    }
