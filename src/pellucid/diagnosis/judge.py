"""Runs the rules, puts symptoms beneath their causes, ranks what is left, and says the verdict."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.probed import weigh_probes
from pellucid.diagnosis.registry import all_rules
from pellucid.diagnosis.rule import SEVERITIES, Rule, rank_of
from pellucid.results.diagnosis import Diagnosis, Finding

if TYPE_CHECKING:
    from pellucid.store.run import Run

__all__ = ["diagnose", "judge"]


def diagnose(run: Run) -> Diagnosis:
    """Say why a watched run does not learn, or that nothing was found.

    Args:
        run: A run of ``pellucid run``, finished or not.

    Raises:
        RunNotFoundError: it holds no record of a watched script.
    """
    evidence = Evidence.of_run(run)
    return weigh_probes(judge(evidence, run.id), evidence)


def judge(evidence: Evidence, run: str = "", rules: Sequence[Rule] | None = None) -> Diagnosis:
    """Weigh what the rules find in the evidence.

    Args:
        evidence: Of the run.
        run: Its id.
        rules: Those of the room unless given.
    """
    chosen = all_rules() if rules is None else rules
    found: dict[str, Finding] = {}
    checked: list[str] = []
    unchecked: list[str] = []
    for rule in chosen:
        missing = [said for need in rule.needs if (said := evidence.missing(need))]
        if missing:
            unchecked.append(f"{rule.code}: {', '.join(missing)}")
            continue
        try:
            with warnings.catch_warnings():
                # Columns that hold nothing, or NaN alone, are what a sick run is made of.
                warnings.simplefilter("ignore", RuntimeWarning)
                finding = rule.find(evidence)
        except Exception as error:  # one rule's fault must not silence the others
            unchecked.append(f"{rule.code}: its rule failed ({type(error).__name__}: {error})")
            continue
        checked.append(rule.code)
        if finding is not None:
            found[rule.code] = finding
    explained = _explain(found, {rule.code: rule.explains for rule in chosen})
    ranked = tuple(sorted(explained, key=rank_of))
    verdict = "faulty" if any(finding.severity == "fault" for finding in ranked) else "healthy"
    return Diagnosis(
        run=run,
        verdict=verdict,
        findings=ranked,
        checked=tuple(checked),
        unchecked=tuple(unchecked),
        steps=evidence.script.steps,
        coverage=_coverage(evidence),
    )


def _explain(found: dict[str, Finding], explains: dict[str, tuple[str, ...]]) -> list[Finding]:
    """Let each cause take what it explains beneath it; that becomes a note, no more certain than its cause."""
    order = sorted(found.values(), key=rank_of)
    beneath: dict[str, str] = {}
    for cause in order:
        if cause.severity == "note":
            continue
        for code in explains.get(cause.code, ()):
            free = code in found and code not in beneath and code not in _above(cause.code, beneath)
            if free and SEVERITIES.index(cause.severity) <= SEVERITIES.index(found[code].severity):
                beneath[code] = cause.code
    result = []
    for finding in order:
        told = tuple(f"{code}: {found[code].title}" for code, cause in beneath.items() if cause == finding.code)
        if finding.code not in beneath:
            result.append(dataclasses.replace(finding, symptoms=told))
            continue
        certainty = min(finding.certainty, found[beneath[finding.code]].certainty)
        result.append(dataclasses.replace(finding, symptoms=told, severity="note", certainty=certainty))
    return result


def _above(code: str, beneath: dict[str, str]) -> list[str]:
    """What a finding stands beneath, from the next upwards."""
    found: list[str] = []
    while (code := beneath.get(code, "")) and code not in found:
        found.append(code)
    return found


def _coverage(evidence: Evidence) -> str:
    script = evidence.script
    learned = len({(call.phase, call.step) for call in script.calls})
    parts = [f"{script.steps:,} updates", f"{learned} steps followed operation by operation"]
    if script.cost == script.cost:
        parts.append(f"{script.cost:.1%} of the time spent on watching")
    return f"Seen: {', '.join(parts)}."
