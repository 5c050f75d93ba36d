"""The step is too small: the loss falls smoothly, but hardly.

The rate lies below what is usual for its optimiser (``rates.py``) from the first step on, the gradients are there,
and the run ends far from what its data offer or still on the way down. Where the rate is usual but the weights
moved by less than a hundredth of the healthy thousandth a step, the same is suspected.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.rates import HEALTHY_UPDATE, Rate, rate_change, update_ratio
from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_SMALL_UPDATE = HEALTHY_UPDATE / 100
_GOOD = 0.95
"""Of the way from chance to the reachable: a run that comes this far has no rate to complain of."""
_SHORT, _HARDLY = 0.8, 0.3
"""Of the same way, or of the first loss where the way is not known: what a loss that still falls has not come to."""
_STEPS = 50
"""Fewer updates than these: it is their number that is too small."""


def find(evidence: Evidence) -> Finding | None:
    """A rate below the usual with a loss that has hardly fallen."""
    rate, loss = evidence.rate, evidence.loss_curve
    calm = loss.finite and not loss.wild and not loss.rises > 0.5 and evidence.script.steps >= _STEPS
    if rate is None or not calm or evidence.outcome.reached > _GOOD or _decays(evidence):
        return None
    updates = update_ratio(evidence, late=True)
    slow = loss.still_falling or loss.fall < 0.1 or bool(ending(evidence))
    if not slow:
        return None
    if rate.lack > 1:
        certainty = 0.65 + 0.2 * min(1.0, math.log10(rate.lack) / 2) + (0.07 if updates < _SMALL_UPDATE else 0.0)
        return _finding(evidence, rate, updates, certainty, "fault" if _spoilt(evidence) else "warning")
    if updates < _SMALL_UPDATE and rate.value < rate.proposed:
        return _finding(evidence, rate, updates, 0.5, "warning")
    return None


def _spoilt(evidence: Evidence) -> bool:
    loss, outcome = evidence.loss_curve, evidence.outcome
    hardly = outcome.reached < _SHORT if math.isfinite(outcome.reached) else loss.fall < _HARDLY
    return outcome.poor or loss.at_chance or (loss.still_falling and hardly)


def _decays(evidence: Evidence) -> bool:
    """Whether a schedule took the rate down: then it is the schedule."""
    seen = evidence.column("learning_rate").finite.y
    return bool(len(seen) and float(np.max(seen)) > 3 * max(float(np.median(seen)), 1e-300))


def _finding(evidence: Evidence, rate: Rate, updates: float, certainty: float, severity: str) -> Finding:
    loss = evidence.loss_curve
    figures = [figure("learning rate", rate.value, rate.range_said)]
    if math.isfinite(updates):
        figures.append(figure("update of a step / weights", updates, f"about {HEALTHY_UPDATE:g}"))
    figures += [
        figure("share of the first loss that is gone", loss.fall),
        figure("updates", evidence.script.steps),
    ]
    return make_finding(
        "lr_too_low",
        severity="fault" if severity == "fault" else "warning",
        certainty=certainty,
        title=f"The learning rate of {rate.value:g} is too low: after {evidence.script.steps:,} "
        "updates the loss came only "
        f"from {loss.first:.3g} to {loss.last:.3g}",
        place=rate.optimizer.place,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss)],
        why="The weights move so little a step that the loss goes down smoothly and gets nowhere in the time there is.",
        fix=f"Give {rate.optimizer.kind} lr={rate.proposed:g}.",
        changes=rate_change(evidence, rate, rate.proposed),
        disproof=f"With lr={rate.proposed:g} the loss falls no faster.",
    )


RULE = Rule("lr_too_low", find, explains=("undertrained", "vanishing_gradient"), needs=("optimizers", "steps"))
