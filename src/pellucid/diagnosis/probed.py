"""What probes add to a diagnosis: they confirm a finding, weaken it, or make one of their own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from pellucid.diagnosis.rule import figure, make_finding, rank_of
from pellucid.results.diagnosis import Diagnosis, EvidenceFigure, Finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["weigh_probes"]

_MIXED = 1e-3
"""Relative change of an example's output with its companions: float32 leaves 1e-6, a softmax over it far more."""
_WRONG_SLOPE = 1e-2
"""Relative error of autograd's slope in float64; a kink that lies within the step of a difference gives less."""
_ALIKE = 0.9
"""Loss on true targets ÷ loss on shuffled ones after the same steps: near 1 the inputs say nothing of the targets."""
_FAR = 10.0
"""Between the rate used and the largest that works, or the one suggested."""
_TOLD = 0.97
"""How sure a finding may become by a probe."""


def weigh_probes(diagnosis: Diagnosis, evidence: Evidence) -> Diagnosis:
    """The diagnosis with what the probes of the run say; unchanged where nothing was probed."""
    found = {finding.code: finding for finding in diagnosis.findings}
    for weigh in (_weigh_mixing, _weigh_shuffled, _weigh_rates, _weigh_gradient):
        for code, finding in weigh(evidence, found):
            found[code] = finding
    ranked = tuple(sorted(found.values(), key=rank_of))
    verdict = "faulty" if any(finding.severity == "fault" for finding in ranked) else "healthy"
    return dataclasses.replace(diagnosis, findings=ranked, verdict=verdict)


_Found = list[tuple[str, Finding]]


def _probe(evidence: Evidence, subject: str, quantity: str) -> float:
    return evidence.series("probe", subject, quantity).last


def _confirmed(finding: Finding, *figures: EvidenceFigure) -> Finding:
    """Surer by half of what was missing."""
    certainty = min(_TOLD, finding.certainty + 0.5 * (1 - finding.certainty))
    return dataclasses.replace(finding, certainty=certainty, evidence=(*finding.evidence, *figures))


def _weakened(finding: Finding, *figures: EvidenceFigure) -> Finding:
    """Half as sure, and no fault any more."""
    severity = "warning" if finding.severity == "fault" else finding.severity
    return dataclasses.replace(
        finding, certainty=finding.certainty / 2, severity=severity, evidence=(*finding.evidence, *figures)
    )


def _weigh_mixing(evidence: Evidence, found: dict[str, Finding]) -> _Found:
    share = _probe(evidence, "mixing", "share")
    if not math.isfinite(share):
        return []
    told = figure("change of an example's output when its batch companions change", share, "0")
    suspects = [code for code in ("wrong_dim", "wrong_reshape") if code in found]
    if share <= _MIXED:
        return [(code, _weakened(found[code], told)) for code in suspects]
    if suspects:
        return [(code, _confirmed(found[code], told)) for code in suspects]
    return [
        (
            "wrong_dim",
            make_finding(
                "wrong_dim",
                severity="fault",
                certainty=0.9,
                title="An example's output depends on the other examples in its batch",
                why="When the network is used each example comes by itself, so it must not hang on its companions.",
                fix="Look for a softmax, mean, norm or reshape that runs over the first axis, which is the batch.",
                disproof="The dependence is meant, as in contrastive learning or graph networks.",
                evidence=[told],
            ),
        )
    ]


def _weigh_shuffled(evidence: Evidence, found: dict[str, Finding]) -> _Found:
    real, mixed = (_probe(evidence, "shuffled_targets", one) for one in ("real", "shuffled"))
    code = "label_corruption"
    if code not in found or not (math.isfinite(real) and math.isfinite(mixed)) or mixed <= 0:
        return []
    told = figure("loss reached with true targets ÷ with shuffled ones", real / mixed, "well below 1")
    return [(code, _confirmed(found[code], told) if real / mixed > _ALIKE else _weakened(found[code], told))]


def _weigh_rates(evidence: Evidence, found: dict[str, Finding]) -> _Found:
    used, largest, suggested = (_probe(evidence, "rate_range", one) for one in ("used", "largest", "suggested"))
    if not all(math.isfinite(one) and one > 0 for one in (used, largest, suggested)):
        return []
    told = [
        figure("learning rate used", used),
        figure("learning rate at which a range test suggests to train", suggested),
        figure("largest rate before the loss blows up", largest),
    ]
    tests: dict[str, Callable[[], bool]] = {
        "lr_too_high": lambda: used > suggested * _FAR or used > largest,
        "lr_too_low": lambda: used * _FAR < suggested,
    }
    return [
        (code, _confirmed(found[code], *told) if holds() else _weakened(found[code], *told))
        for code, holds in tests.items()
        if code in found
    ]


def _weigh_gradient(evidence: Evidence, found: dict[str, Finding]) -> _Found:
    error = _probe(evidence, "gradient_check", "relative_error")
    if not math.isfinite(error) or error <= _WRONG_SLOPE:
        return []
    told = figure("relative error of the gradient against differences", error, "below 1e-5")
    if "detached_graph" in found:
        return [("detached_graph", _confirmed(found["detached_graph"], told))]
    return [
        (
            "detached_graph",
            make_finding(
                "detached_graph",
                severity="warning",
                certainty=0.6,
                title="The gradient is not the slope of the loss",
                why="Finite differences of the loss disagree with what backward() gives, so that steps go astray.",
                fix="Look for detach(), .data, no_grad or a custom backward between the weights and the loss.",
                disproof="A straight-through estimator or a stopped gradient is meant.",
                evidence=[told],
            ),
        )
    ]
