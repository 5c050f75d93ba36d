"""What is evaluated is prepared otherwise than what is trained on.

Two signs. The statistics of the inputs differ: columns' means by a third of their spread beyond chance, or spreads
by half; a fault where the network is good on training inputs and bad on the others. Or the evaluation inputs change
from one evaluation to the next while their targets stay: a random augmentation runs on them too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pellucid.diagnosis.augmenting import augmentations
from pellucid.diagnosis.rule import Rule, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding
    from pellucid.results.watched_script import CodeLine

__all__ = ["RULE", "find"]

_SHIFT = 0.33
_SPREAD = 1.5
_GAP = 0.35
"""Of the way from chance to the training score: a smaller gap is what a shift of sources, not of preparation, gives."""
_FAR_SPREAD = 3.0
_ANEW = 0.9


def find(evidence: Evidence) -> Finding | None:
    """Evaluation inputs of another make than the training inputs."""
    both = evidence.phases
    if both.drawn_anew > _ANEW and any(one.on_held_out for one in augmentations(evidence)):
        return _random_evaluation(evidence)
    if not both.both:
        return None
    ratio = both.spread_ratio
    other = max(ratio, 1 / ratio) if ratio > 0 else math.nan
    if not (other > _SPREAD or both.mean_shift > both.shift_expected + _SHIFT):
        return None
    return _shifted(evidence, other)


def _shifted(evidence: Evidence, other: float) -> Finding | None:
    both, outcome = evidence.phases, evidence.outcome
    train, held = outcome.score("train"), both.fresh_score
    if not math.isfinite(held):
        held = outcome.reported
    chance = outcome.chance if math.isfinite(outcome.chance) else 0.0
    room = train - chance
    gap = (train - held) / room if room > 0.1 else math.nan
    far = other > _FAR_SPREAD or both.mean_shift > 1
    if math.isfinite(gap) and gap < 0.1 and not far:
        return None
    spoilt = gap > _GAP
    certainty = 0.55 + 0.15 * spoilt + 0.1 * (other > _FAR_SPREAD) + 0.1 * (both.mean_shift > 1) + 0.05 * (gap > 0.6)
    return make_finding(
        "train_test_mismatch",
        severity="fault" if spoilt else "warning",
        certainty=certainty,
        title="Evaluation inputs are prepared otherwise than training inputs",
        place=_evaluation_line(evidence),
        evidence=[
            figure(
                "columns' means apart, in their spread", both.mean_shift, f"about {both.shift_expected:.2g} by chance"
            ),
            figure("spread of evaluation inputs over training inputs", both.spread_ratio, "about 1"),
            figure("score on training examples", train),
            figure("score on evaluation examples", held, "near that on training examples"),
        ],
        why="The network is asked about inputs of another scale or place than those it learned from.",
        fix="Send both through the same preparation, with figures taken from the training part.",
        disproof="Prepared alike, the evaluation comes out no better.",
    )


def _random_evaluation(evidence: Evidence) -> Finding | None:
    both, outcome = evidence.phases, evidence.outcome
    used = [one for one in augmentations(evidence) if one.on_held_out]
    held = both.fresh_score
    good = held > 0.95 if outcome.task != "regression" else held > 0.9
    place = evidence.place(used[0].file, used[0].call_line) if used else _evaluation_line(evidence)
    return make_finding(
        "train_test_mismatch",
        severity="fault" if used and not good else "warning" if used else "note",
        certainty=0.85 if used else 0.4,
        title="Evaluation inputs are augmented at random: the same examples differ from one evaluation to the next",
        place=place,
        evidence=[
            figure("share of examples that changed between evaluations", both.drawn_anew, "0"),
            figure("score on evaluation examples", held),
            figure("score on training examples", outcome.score("train")),
        ],
        why="The reported figure is that of spoilt inputs, and changes with every draw.",
        fix="Apply the augmentation to training batches only.",
        disproof="On untouched inputs the evaluation comes out no better.",
    )


def _evaluation_line(evidence: Evidence) -> CodeLine | None:
    calls = evidence.calls(phase="evaluation")
    return next((call.place for call in calls if call.place.line), None)


RULE = Rule("train_test_mismatch", find, explains=("overfitting", "wrong_augmentation"), needs=("evaluation",))
