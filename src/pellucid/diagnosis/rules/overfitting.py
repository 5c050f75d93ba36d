"""The network learns its examples by heart: training loss goes to nothing while the loss on others rises.

Where the held-out loss ends a quarter above its lowest point (Prechelt 1998, "Early stopping, but when?", takes 5
to 50 %), three times above the training loss and worse than half of what a constant answer gives, the run is
spoiled; a lesser rise is a warning. Evaluation examples that were trained on do not count.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.rates import number
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.series import EMPTY, Series

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_RISE = 1.25
_APART = 3.0
_BAD = 0.5
_UNITS = 3.0
_APART_MEANS = 3.0
"""Means of targets apart, in the lesser spread of the two: not two parts of one set."""
_ALONE = ("val", "valid", "validation", "test", "dev", "held_out")
_NEAR = 5.0
_HIGH = 0.85
"""Of the way from chance to all."""
_LEARNED = 0.5
"""Of the first loss: a training loss above it is not learned by heart."""


def find(evidence: Evidence) -> Finding | None:
    """A held-out loss that rises far above the training loss."""
    loss = evidence.loss_curve
    held = _held_out(evidence)
    if len(held) < 2 or not loss.finite or not loss.last < _LEARNED * loss.first:
        return None
    end, low = held.last, held.lowest
    level = loss.constant if math.isfinite(loss.constant) else held.first
    apart = end / max(loss.last, 1e-12)
    if not (apart > _APART and end > 0):
        return None
    gap = evidence.outcome.score("train") - evidence.phases.fresh_score
    low = min(low, abs(level))  # what a constant answer gives was there to be had, whether or not it was evaluated
    rises = end > _RISE * max(low, 1e-12) and end - low > 0.05 * abs(level)
    bad = end > _BAD * abs(level)
    if not bad or not (rises or gap > 0.15):
        return None
    return _finding(evidence, held, gap, "fault" if rises and not _is_right_all_the_same(evidence) else "warning")


def _is_right_all_the_same(evidence: Evidence) -> bool:
    """Whether the held-out accuracy is high: then a few answers are too sure of themselves, and that is all."""
    outcome = evidence.outcome
    scores = [outcome.reported, evidence.phases.fresh_score if outcome.task in ("classes", "binary") else math.nan]
    return max((one for one in scores if one <= 1), default=0.0) > outcome.chance + _HIGH * (1 - outcome.chance)


def _held_out(evidence: Evidence) -> Series:
    """The held-out loss: as the script printed it, else of the examples that were sampled."""
    for name in evidence.metric_names:
        if _is_loss(evidence, name):
            for split in ("validation", "test"):
                printed = evidence.metric(name, split).finite
                if len(printed) > 2:
                    return printed
    held = evidence.phases.held_out
    return Series(held.steps, held.losses) if _in_one_unit(evidence) else EMPTY


def _is_loss(evidence: Evidence, name: str) -> bool:
    """Whether a number printed is the loss: by its name, or as nothing but "val" beside a "train" that is."""
    if "loss" in name.lower():
        return True
    beside = evidence.metric("train", "train").finite
    last = evidence.loss_curve.last
    return name in _ALONE and len(beside) > 0 and last / _NEAR < beside.last < last * _NEAR


def _in_one_unit(evidence: Evidence) -> bool:
    """Whether evaluation and training are of one size: a script may report in other units than it trains in."""
    seen, others = evidence.examples("train"), evidence.examples("evaluation")
    if seen is None or others is None or not len(seen.targets) or not len(others.targets):
        return True
    both = len(seen.predictions) > 0 and len(others.predictions) > 0
    if both and _are_shares(seen.predictions) and not _are_shares(others.predictions):
        return False  # probabilities in training, logits in evaluation
    here, there = float(np.nanstd(seen.targets)), float(np.nanstd(others.targets))
    apart = abs(float(np.nanmean(seen.targets)) - float(np.nanmean(others.targets)))
    return not (there > _UNITS * here or here > _UNITS * there or apart > _APART_MEANS * max(min(here, there), 1e-12))


def _are_shares(values: np.ndarray) -> bool:
    return bool(np.nanmin(values) >= 0 and np.nanmax(values) <= 1)


def _finding(evidence: Evidence, held: Series, gap: float, severity: str) -> Finding:
    loss = evidence.loss_curve
    lowest = int(held.x[int(np.argmin(held.y))])
    groups = [group for optimizer in evidence.script.optimizers for group in optimizer.groups]
    decay = max((number(group, "weight_decay") for group in groups), default=math.nan)
    weights = sum(model.parameters_total for model in evidence.trained_models)
    apart = min(1.0, math.log10(max(held.last / max(loss.last, 1e-12), 1.0)) / 2)
    return make_finding(
        "overfitting",
        severity="fault" if severity == "fault" else "warning",
        certainty=0.6 + 0.25 * apart,
        title=f"The network learns its examples by heart: loss {loss.last:.3g} on them, {held.last:.3g} on others",
        since=lowest,
        evidence=[
            figure("training loss at the end", loss.last),
            figure("held-out loss at the end", held.last, "near the training loss"),
            figure("its lowest point", held.lowest),
            figure("score on training examples less that on others", gap, "below 0.1"),
            figure("weights", weights),
            figure("weight decay", decay),
        ],
        curves=[curve("held-out loss", held), curve("training loss", evidence.loss)],
        why="With more weights than the examples can bind, it learns their noise, which says nothing of others.",
        fix=f"Stop at step {lowest}, where the held-out loss was lowest, or regularise: "
        "weight decay, dropout, fewer units, more data.",
        disproof="Stopped there or regularised, the held-out loss is no lower.",
    )


RULE = Rule("overfitting", find, needs=("steps",))
