"""Labels that are not those of their inputs: nothing can predict them.

A forest of trees and a linear model are fitted to the examples that were trained on. Labels that neither predicts
better than chance (by 2.5 standard errors), although a hundred examples are there, do not belong to these inputs,
or, where they are numbers or one of two, may be noise;
the network has then learned nothing or all by heart. Where the evaluation examples can be predicted well and the
training examples cannot, though both look alike, the training labels alone are wrong: a fault where less than half
of what could be learned is left, a warning where it is more, since some wrong labels are in most data.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pellucid.diagnosis.augmenting import augmentations
from pellucid.diagnosis.outcome import targets_are_made
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_LEAST_ROWS = 100
_ERRORS = 2.5
_LOST = 0.25
"""Of the way from chance to a perfect score, between what evaluation and training labels let one learn."""
_TAUGHT = 0.9
"""Of what evaluation examples offer: what brought a network so far were the labels of its own examples."""
_LEFT = 0.5
"""Of what could be learned."""
_ALIKE = 0.25
"""Mean shift of columns, in their spread, beyond what chance gives: inputs that differ by more are of another
source."""
_MOST_CHANCE = 0.75
"""Of rarer classes than this leaves, accuracy tells next to nothing."""
_NAN = float("nan")


def find(evidence: Evidence) -> Finding | None:
    """Training labels that cannot be predicted from the inputs."""
    outcome, seen = evidence.outcome, evidence.examples("train")
    if seen is None or seen.tokens or len(seen.targets) < _LEAST_ROWS:
        return None
    if outcome.task == "other" or targets_are_made(evidence):
        return None
    reference, chance = outcome.reachable, outcome.chance
    if not math.isfinite(reference) or not math.isfinite(chance) or chance > _MOST_CHANCE:
        return None
    both = evidence.phases
    offered, crossed = both.evaluation_reference, both.crossed_reference
    kept = max(reference, crossed if math.isfinite(crossed) else reference)
    taught = both.fresh_score > chance + _TAUGHT * (offered - chance)
    if offered - kept > _LOST * (1 - chance) and _alike(evidence) and not taught:
        some = kept - chance > _LEFT * (offered - chance)
        certainty = 0.55 if some else 0.6 if augmentations(evidence) else 0.85
        return _finding(evidence, reference, offered, certainty, "warning" if some else "fault")
    error = math.sqrt(max(chance, 0.05) * (1 - chance) / len(seen.targets)) if chance else 0.05
    if (
        reference > chance + _ERRORS * error
        or not _learned_nothing(evidence)
        or offered > chance + _LOST * (1 - chance)
    ):
        return None
    noise = outcome.task == "regression" or outcome.classes <= 2  # chance in two, or a number, is often all there is
    return _finding(evidence, reference, offered, 0.72, "warning" if noise else "fault")


def _alike(evidence: Evidence) -> bool:
    """Whether training and evaluation inputs come from the same source."""
    both = evidence.phases
    return both.mean_shift < both.shift_expected + _ALIKE and 0.8 < both.spread_ratio < 1.25


def _learned_nothing(evidence: Evidence) -> bool:
    """Whether the network, too, is at chance on what it did not learn by heart."""
    held, outcome = evidence.phases.fresh_score, evidence.outcome
    if math.isfinite(held):
        return held < outcome.chance + 0.15 * (1 - outcome.chance)
    reported = outcome.reported
    if math.isfinite(reported):
        return reported < outcome.chance + 0.15 * (1 - outcome.chance)
    return evidence.loss_curve.at_chance or not outcome.score("train") > outcome.chance + 0.15 * (1 - outcome.chance)


def _finding(
    evidence: Evidence,
    reference: float,
    offered: float,
    certainty: float,
    severity: Literal["fault", "warning"] = "fault",
) -> Finding:
    outcome, seen = evidence.outcome, evidence.examples("train")
    loss = evidence.main_loss
    score = "R²" if outcome.task == "regression" else "accuracy"
    return make_finding(
        "label_corruption",
        severity=severity,
        certainty=certainty,
        title="The training labels are not those of their inputs: no model can predict them"
        if severity == "fault"
        else "Of the training labels some or all are not those of their inputs, or nothing but noise",
        place=loss.place if loss is not None else None,
        since=0,
        evidence=[
            figure(f"{score} of trees or a linear model on the training examples", reference, "well above chance"),
            figure(f"{score} of the best constant answer", outcome.chance),
            figure(f"the same models' {score} on evaluation examples", offered),
            figure(f"the network's {score} on training examples", outcome.score("train")),
            figure(f"the network's {score} on evaluation examples", evidence.phases.fresh_score),
            figure("examples looked at", len(seen.targets) if seen is not None else _NAN),
        ],
        curves=[
            curve("loss", evidence.loss, level=evidence.loss_curve.constant, level_name="the best constant answer"),
        ],
        why="What the labels say has nothing to do with the inputs beside them, so that "
        "there is nothing to learn but noise.",
        fix="Check that inputs and labels keep the same order and come from the same rows, from file to batch.",
        disproof="Printed beside each other, inputs and labels of a batch belong together.",
    )


RULE = Rule(
    "label_corruption",
    find,
    explains=("overfitting", "undertrained", "undersized_network", "lr_too_low", "lr_too_high", "wrong_augmentation"),
    needs=("examples",),
)
