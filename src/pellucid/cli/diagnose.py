"""``pellucid diagnose``: why a watched run does not learn, or that nothing was found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.errors import RunNotFoundError, StorageError

if TYPE_CHECKING:
    from pellucid.results.diagnosis import Diagnosis, Finding

__all__ = ["diagnose_command", "diagnosis_json"]


def diagnose_command(
    run: Annotated[str, typer.Argument(help="The run: its id, the beginning of one, its name, its folder, or latest.")],
    *,
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
    diagnosis = diagnose(opened)
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
    }
