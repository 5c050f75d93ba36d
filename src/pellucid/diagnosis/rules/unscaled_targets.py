"""Regression targets orders of magnitude larger than what a fresh network puts out.

A fresh network answers about 1; with targets of rms T the loss starts at T² and an optimiser with steps of the size
of its rate needs T / lr of them to get there, while plain descent gets gradients T times too large. Thirty and
above counts (a tenth of a thousand: dollars, counts, years), with an end that fell short of what the data offer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pellucid.diagnosis.rivals import LARGE_TARGET, ending, ending_said, target_rms
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]


def find(evidence: Evidence) -> Finding | None:
    """Large regression targets that the network did not come to."""
    rms, loss = target_rms(evidence), evidence.main_loss
    if loss is None or not rms > LARGE_TARGET:
        return None
    start = evidence.first("prediction", "std")
    if loss.prediction is not None:
        start = math.hypot(loss.prediction.mean, loss.prediction.std)
    ratio = rms / max(start, 1e-12) if math.isfinite(start) else float("nan")
    if ratio < LARGE_TARGET / 3:
        return None
    short = bool(ending(evidence)) or evidence.outcome.short
    certainty = 0.75 + 0.2 * min(1.0, math.log10(rms / LARGE_TARGET) / 2) - (0.0 if short else 0.2)
    return make_finding(
        "unscaled_targets",
        severity="fault" if short else "warning",
        certainty=certainty,
        title=f"The targets are about {rms:.3g} in size where the network starts at {start:.3g}",
        place=loss.place,
        since=0,
        evidence=[
            figure("root mean square of the targets", rms, "about 1"),
            figure("size of the predictions at the start", start),
            figure("loss at the start", evidence.loss_curve.first, "about 1 for standardised targets"),
            figure("loss at the end", evidence.loss_curve.last),
        ],
        curves=[
            curve("loss", evidence.loss, level=evidence.loss_curve.constant, level_name="the best constant answer"),
        ],
        why="The network must first grow its output by that factor before it can learn what "
        f"differs; {ending_said(evidence)}.",
        fix="Train on (target − mean) / std of the training part, and turn predictions back for the report.",
        disproof="On standardised targets the error, turned back, is no smaller.",
    )


RULE = Rule(
    "unscaled_targets",
    find,
    explains=(
        "exploding_gradient",
        "undertrained",
        "lr_too_low",
        "lr_too_high",
        "dead_relu",
        "saturated_activation",
        "undersized_network",
        "vanishing_gradient",
    ),
    needs=("losses", "steps"),
)
