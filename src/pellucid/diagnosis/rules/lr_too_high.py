"""The step is too large: weights are overwritten faster than the loss can follow.

Two signs, and a bad end with one of them: the rate lies above what is usual for its optimiser (``rates.py`` says
whose figures), or the updates of the first steps are fifty times the healthy thousandth of the weights. Inputs,
targets, sums or first weights of an unusual size make a usual rate too large; then they are the cause, and this
rule stays silent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pellucid.diagnosis.rates import HEALTHY_UPDATE, Rate, rate_change, update_ratio
from pellucid.diagnosis.rivals import ending, ending_said, odd_scales
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_LARGE_UPDATE = 50 * HEALTHY_UPDATE
_ABOVE, _FAR_ABOVE = 1.01, 5.0
"""Times the largest usual rate."""
_EXTREME_MOMENTUM = 20.0
"""lr / (1 − β) over lr: beyond, it is the momentum that is too large."""


def find(evidence: Evidence) -> Finding | None:
    """A rate above the usual, or huge updates, with a loss that diverges, jumps or sticks."""
    rate, end = evidence.rate, ending(evidence)
    if rate is None or not end:
        return None
    updates, others = update_ratio(evidence), odd_scales(evidence)
    if end == "poor" and evidence.loss_curve.still_falling and rate.excess < _FAR_ABOVE:
        return None  # a step that is too large does not go down steadily to the end
    if rate.excess > _ABOVE and rate.effective < _EXTREME_MOMENTUM * rate.value * 1.001:
        certainty = 0.7 + 0.2 * min(1.0, math.log10(rate.excess) / 1.5) + (0.05 if updates > _LARGE_UPDATE else 0.0)
        certainty -= 0.2 * bool(others) + 0.2 * (end == "poor")
        return _finding(evidence, rate, updates, certainty, rate.proposed)
    measures = (
        math.isfinite(evidence.loss_curve.constant) or end == "diverged"
    )  # the loss of a policy or a pair does not
    pushes = measures and updates > _LARGE_UPDATE and rate.value >= rate.proposed and end != "poor"
    if pushes and not others:
        return _finding(evidence, rate, updates, 0.6, rate.value / 10)
    return None


def _finding(evidence: Evidence, rate: Rate, updates: float, certainty: float, better: float) -> Finding:
    curve_of_loss = evidence.loss_curve
    figures = [figure("learning rate", rate.value, rate.range_said)]
    if math.isfinite(updates):
        figures.append(figure("update of a step / weights", updates, f"about {HEALTHY_UPDATE:g}"))
    figures += [figure("loss at the start", curve_of_loss.first), figure("loss at the end", curve_of_loss.last)]
    return make_finding(
        "lr_too_high",
        severity="fault",
        certainty=certainty,
        title=f"The learning rate of {rate.value:g} is too high: {ending_said(evidence)}",
        place=rate.optimizer.place,
        since=0,
        evidence=figures,
        curves=[
            curve("loss", evidence.loss, level=curve_of_loss.constant, level_name="the best constant answer"),
        ],
        why="Each step jumps over the valley that the gradient points into, so that the weights are thrown about.",
        fix=f"Give {rate.optimizer.kind} lr={better:g}.",
        changes=rate_change(evidence, rate, better),
        disproof=f"The loss ends no lower with lr={better:g}.",
    )


RULE = Rule(
    "lr_too_high",
    find,
    explains=(
        "exploding_gradient",
        "dead_relu",
        "saturated_activation",
        "vanishing_gradient",
        "undertrained",
        "nan_origin",
        "overfitting",
    ),
    needs=("optimizers", "steps"),
)
