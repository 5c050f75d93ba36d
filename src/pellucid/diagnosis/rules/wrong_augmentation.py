"""An augmentation destroys the signal: what is trained on no longer shows what it is.

Training and evaluation inputs differ (the columns' spread by half, or their means by more than chance gives), and
the training inputs teach a forest of trees less by a quarter of the way to a perfect score, or the network stays
near chance on them; the evaluation inputs, untouched, could be learned, and were not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pellucid.diagnosis.augmenting import Augmentation, augmentations
from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_SPREAD = 1.5
_SHIFT = 0.3
_LOST = 0.25
_LEARNED = 0.5
"""Of the way to what evaluation inputs offer: a network that came this far on them was taught by what it saw."""


def find(evidence: Evidence) -> Finding | None:
    """Training inputs that differ from those of evaluation and teach less."""
    both, outcome = evidence.phases, evidence.outcome
    used = augmentations(evidence)
    differs = both.spread_ratio < 1 / _SPREAD or both.spread_ratio > _SPREAD
    differs = differs or both.mean_shift > both.shift_expected + _SHIFT
    if not both.both or not (differs or used):
        return None
    train, offered = both.train_reference, both.evaluation_reference
    chance = outcome.chance if math.isfinite(outcome.chance) else 0.0
    lost = offered - train
    destroyed = math.isfinite(lost) and lost > _LOST * (1 - chance)
    stays = ending(evidence) in ("stuck", "poor", "diverged") or outcome.score("train") < chance + 0.5 * (1 - chance)
    if not stays or not (destroyed or (used and both.spread_ratio < 1 / _SPREAD / 2)):
        return None
    held = both.fresh_score if math.isfinite(both.fresh_score) else outcome.reported
    if held > chance + _LEARNED * (offered - chance):
        return None
    certainty = 0.6 + 0.15 * bool(used) + 0.1 * destroyed + 0.05 * differs
    return _finding(evidence, used[0] if used else None, certainty)


def _finding(evidence: Evidence, used: Augmentation | None, certainty: float) -> Finding:
    both = evidence.phases
    place = (
        evidence.place(used.file, used.changing) if used else evidence.main_loss.place if evidence.main_loss else None
    )
    return make_finding(
        "wrong_augmentation",
        severity="fault",
        certainty=certainty,
        title=f"The augmentation{' ' + used.name + '()' if used else ''} destroys the signal of the training inputs",
        place=place,
        since=0,
        evidence=[
            figure("spread of evaluation inputs over training inputs", both.spread_ratio, "about 1"),
            figure(
                "columns' means apart, in their spread", both.mean_shift, f"about {both.shift_expected:.2g} by chance"
            ),
            figure("score of trees on training inputs", both.train_reference),
            figure("score of trees on evaluation inputs", both.evaluation_reference),
            figure("the network's score on training inputs", evidence.outcome.score("train")),
        ],
        curves=[
            curve("loss", evidence.loss, level=evidence.loss_curve.constant, level_name="the best constant answer"),
        ],
        why="The network is taught on inputs that no longer show what their label says.",
        fix="Make the augmentation weaker, in the units of the inputs as they are then (a "
        "noise of 25 grey levels is 25/255 on [0, 1]).",
        disproof="Without the augmentation it trains no better.",
    )


RULE = Rule(
    "wrong_augmentation",
    find,
    explains=(
        "train_test_mismatch",
        "undertrained",
        "undersized_network",
        "lr_too_low",
        "lr_too_high",
        "unnormalised_inputs",
        "label_corruption",
        "overfitting",
    ),
    needs=("examples", "evaluation"),
)
