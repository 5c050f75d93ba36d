"""How well a run came out: what the task is, what was reached, and what can be reached from such data."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid.diagnosis.reference import reference_score

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.watched_script import ExamplesSeen, ScriptLoss

__all__ = ["Outcome", "Task", "judge_outcome", "score_rows", "targets_are_made"]

Task = Literal["classes", "binary", "labels", "regression", "other"]

_NAN = float("nan")
_CLASS_LOSSES = ("cross_entropy", "nll")
_BINARY_LOSSES = ("bce", "bce_with_logits")
_NO_DISTANCES = ("poisson_nll", "gaussian_nll", "kl_div", "cosine_similarity", "cosine_embedding", "policy_gradient")
"""Losses whose predictions are not in the units of their targets: logarithms, pairs of mean and spread, shares."""
_LATE = 0.75
"""Examples seen after this share of the steps say what the network can do at the end."""

_SETTLED = 1.1
"""Times the loss at the end: a network whose loss is no higher knows what it knows at the end."""
_YOUNG = 0.9
"""Of the newest step seen."""

_SHORT = 0.8
"""Of the same way: noise, few epochs and another split leave sound networks at nine tenths, hardly any below."""

_WELL = 0.95
"""Of the way: a bound from below that lies above it leaves no doubt."""

_ODD = 0.1
"""Of the reachable: with half the loss of a constant answer gone, such a score was read off the wrong rows."""

_REAL_OR_NOT = 3
"""Distinct targets of an adversarial pair: drawn, real, and real as the generator wants it (0, 0.9, 1)."""

_POOR = 0.7
"""Of the way from chance to what a forest of trees reaches: below, a network has not learned what the data offer.

A network at home on its data comes out above nine tenths; one with a fault mostly below a half. The line is drawn in
the gap, nearer to the former."""


class Outcome:
    """What came of a run. Shares and scores are nan where nothing is known."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    # -- the loss ----------------------------------------------------------------------------------------------------

    @cached_property
    def loss_first(self) -> float:
        """The loss as training began."""
        return self._evidence.loss.begin(3)

    @cached_property
    def loss_last(self) -> float:
        """The loss at the end, over the last tenth of the steps."""
        return self._evidence.loss.end()

    @cached_property
    def loss_fall(self) -> float:
        """By which share of its first size the loss fell; negative where it rose."""
        first, last = self.loss_first, self.loss_last
        return (first - last) / abs(first) if first and math.isfinite(first) and math.isfinite(last) else _NAN

    @cached_property
    def diverged(self) -> bool:
        """Whether the loss ended as NaN or infinite, or far above where it began."""
        values = self._evidence.loss.y
        if not len(values):
            return False
        tail = values[-max(1, len(values) // 20) :]
        return bool(not np.isfinite(tail).any() or (self.loss_fall < -1.0))

    @cached_property
    def still_falling(self) -> float:
        """Which share of the loss's whole fall came in the last quarter of the steps; 0.25 in a straight descent."""
        smooth = self._evidence.loss.smooth(40)
        if len(smooth) < 8:
            return _NAN
        total = smooth.y[0] - smooth.y.min()
        tail = smooth.part(0.75, 1.0)
        return float(-tail.slope / total) if total > 0 and len(tail) >= 3 else 0.0

    # -- the task ----------------------------------------------------------------------------------------------------

    @cached_property
    def task(self) -> Task:
        """What the targets are: classes, one binary label, several labels, numbers."""
        return _task(self._evidence.main_loss, self._evidence.examples("train"))

    @cached_property
    def classes(self) -> int:
        """How many classes the targets hold; 0 where they hold none."""
        seen = self._evidence.examples("train")
        if self.task not in ("classes", "binary") or seen is None or not len(seen.targets):
            return 0
        return len(np.unique(_class_numbers(seen.targets)))

    @cached_property
    def chance(self) -> float:
        """The score of the best constant answer: the majority's share, or 0 for R²."""
        seen = self._evidence.examples("train")
        if self.task == "regression":
            return 0.0
        if seen is None or not len(seen.targets):
            return _NAN
        if self.task == "labels":
            share = np.asarray(seen.targets > 0.5).mean(axis=0)
            return float(np.maximum(share, 1 - share).mean())
        numbers = _class_numbers(seen.targets)
        return float(np.unique(numbers, return_counts=True)[1].max() / len(numbers))

    # -- scores: accuracy for classes and labels, R² for numbers -------------------------------------------------------

    def score(self, phase: str = "train") -> float:
        """Accuracy or R² of the network's own predictions on the examples seen late; nan where they tell nothing."""
        seen, loss = self._evidence.examples(phase), self._evidence.main_loss
        if seen is None or (self.task == "regression" and loss is not None and loss.kind in _NO_DISTANCES):
            return _NAN
        late = self.late(seen)
        return score_rows(self.task, seen.predictions[late], seen.targets[late]) if late.any() else _NAN

    def late(self, seen: ExamplesSeen) -> np.ndarray:
        """Which rows say what the network can do at the end.

        Those seen in the last quarter of the run; where there are none, the latest, if the loss was then already what
        it is at the end.
        """
        if len(seen.predictions) != len(seen.targets) or not len(seen.targets):
            return np.zeros(0, dtype=bool)
        steps, newest = self._evidence.script.steps, int(seen.step.max())
        if newest >= _LATE * steps:
            return np.asarray(seen.step >= _LATE * steps)
        around = self._evidence.loss.part(newest / max(1, steps) - 0.05, newest / max(1, steps) + 0.05).finite.y
        settled = len(around) > 0 and float(around.mean()) <= _SETTLED * self.loss_last
        return np.asarray(seen.step >= _YOUNG * newest) if settled else np.zeros(len(seen.step), dtype=bool)

    @cached_property
    def reported(self) -> float:
        """The last accuracy (0–1) that the script printed itself; nan where it printed none."""
        for name in self._evidence.metric_names:
            low = name.lower()
            if "acc" in low or "correct" in low:
                value = self._evidence.metric(name).last
                return value / 100 if 1.5 < value <= 100 else value
        return _NAN

    @cached_property
    def best_score(self) -> float:
        """The score on training examples; on those of evaluation where the former is unknown."""
        train = self.score("train")
        return train if math.isfinite(train) else self.score("evaluation")

    @cached_property
    def reachable(self) -> float:
        """What a forest of trees or a linear model reaches on the same examples, cross-validated; nan if unknown."""
        seen = self._evidence.examples("train")
        if seen is None or not len(seen.targets) or self.task == "other" or _is_input(seen):
            return _NAN
        return reference_score(seen, self.task)

    @cached_property
    def reached(self) -> float:
        """Which share of the way from chance to the reachable the network came; nan if unknown.

        By its answers on the examples seen, by the accuracy that the script printed last, or by what the loss itself
        implies, whichever says most: rows seen are older than the end, and say nothing where they are the wrong ones.
        """
        room = self.reachable - self.chance
        told = [self.best_score]
        if self.task in ("classes", "binary") and 0 <= self.reported <= 1:
            told.append(self.reported)
        measured = any(math.isfinite(score) for score in told) or self.task == "regression"
        known = [score for score in (*told, self.implied) if math.isfinite(score)]
        if not math.isfinite(room) or room <= 0.05 or not known:
            return _NAN
        reached, curve = (max(known) - self.chance) / room, self._evidence.loss_curve
        if (reached < _ODD and curve.last < 0.5 * curve.constant) or (reached < _WELL and not measured):
            return _NAN  # contradicted by the loss; or no more than the least that it can be
        return reached

    @cached_property
    def implied(self) -> float:
        """The least score on training examples that the loss at the end leaves room for; nan where it tells nothing.

        An example that is classified wrongly costs cross-entropy log 2 at least, so that their share is at most the
        loss over log 2 (Markov's inequality); a squared error over that of the mean is 1 − R².
        """
        loss, curve = self._evidence.main_loss, self._evidence.loss_curve
        if loss is None or not curve.constant > 0 or not math.isfinite(curve.last) or curve.last < 0:
            return _NAN
        if any(loss.settings.get(name) not in (None, "", False) for name in ("weight", "pos_weight")):
            return _NAN
        if loss.kind == "mse" and self.task == "regression":
            return 1 - curve.last / curve.constant
        if loss.kind in (*_CLASS_LOSSES, *_BINARY_LOSSES) and self.task in ("classes", "binary"):
            return 1 - curve.last / math.log(2)
        return _NAN

    @cached_property
    def poor(self) -> bool:
        """Whether the run came out badly: diverged, failed, or far below what the data offer."""
        if self.diverged or self._evidence.script.ended == "failed":
            return True
        if math.isfinite(self.reached):
            return self.reached < _POOR
        return math.isfinite(self.loss_fall) and self.loss_fall < 0.1

    @property
    def short(self) -> bool:
        """Whether it is known to have come out well below what the data offer, if not as badly as ``poor``."""
        return self.reached < _SHORT

    @cached_property
    def gap(self) -> float:
        """The score on training examples minus that on evaluation examples."""
        return self.score("train") - self.score("evaluation")


def judge_outcome(evidence: Evidence) -> Outcome:
    """How well a run came out; every judgement is made when it is first asked for."""
    return Outcome(evidence)


def targets_are_made(evidence: Evidence) -> bool:
    """Whether an adversarial pair makes its targets up: a number for what is real and one for what is drawn."""
    seen = evidence.examples("train")
    if seen is None or not len(seen.targets) or len(evidence.script.optimizers) < 2 or len(evidence.trained_models) < 2:
        return False
    targets = np.asarray(seen.targets, dtype=np.float64).reshape(len(seen.targets), -1)
    return targets.shape[1] == 1 and len(np.unique(targets)) <= _REAL_OR_NOT


def score_rows(task: Task, predictions: np.ndarray, targets: np.ndarray) -> float:
    """Accuracy or R² of rows of predictions; nan where the shapes do not say how to compare them."""
    if not len(targets) or not len(predictions):
        return _NAN
    flat = predictions.reshape(len(predictions), -1)
    if not np.isfinite(flat).all():
        return _NAN
    if task == "regression":
        return _r_squared(flat, targets.reshape(len(targets), -1))
    if task == "labels":
        return _label_accuracy(flat, targets)
    if task in ("classes", "binary"):
        return _class_accuracy(flat, targets)
    return _NAN


def _r_squared(flat: np.ndarray, targets: np.ndarray) -> float:
    if flat.shape != targets.shape:
        return _NAN
    spread = float(np.square(targets - targets.mean(axis=0)).sum())
    return 1 - float(np.square(flat - targets).sum()) / spread if spread > 0 else _NAN


def _label_accuracy(flat: np.ndarray, targets: np.ndarray) -> float:
    if flat.shape != targets.reshape(len(targets), -1).shape:
        return _NAN
    return float(((flat > _cut(flat)) == (targets.reshape(flat.shape) > 0.5)).mean())


def _class_accuracy(flat: np.ndarray, targets: np.ndarray) -> float:
    numbers = _class_numbers(targets)
    if flat.shape[1] == 1:
        return float(((flat[:, 0] > _cut(flat)) == (numbers > 0)).mean())
    return float((flat.argmax(axis=1) == numbers).mean())


def _cut(flat: np.ndarray) -> float:
    """The threshold between no and yes: a half for probabilities, zero for logits."""
    return 0.5 if float(flat.min()) >= 0 and float(flat.max()) <= 1 else 0.0


def _class_numbers(targets: np.ndarray) -> np.ndarray:
    """Class numbers, also of one-hot rows."""
    if targets.ndim == 2 and targets.shape[1] > 1:
        return targets.argmax(axis=1)
    return targets.reshape(len(targets)).round().astype(np.int64)


def _is_input(seen: ExamplesSeen) -> bool:
    """Whether the targets are the inputs themselves: a model of any kind could copy them, past every narrow layer."""
    inputs, targets = (np.asarray(one).reshape(len(one), -1) for one in (seen.inputs, seen.targets))
    return inputs.shape == targets.shape and bool(np.allclose(inputs, targets, equal_nan=True))


def _columns(seen: ExamplesSeen | None) -> int:
    """Numbers in the prediction of an example; 0 where none was seen."""
    if seen is None or not len(seen.predictions):
        return 0
    return math.prod(seen.predictions.shape[1:])


def _task(loss: ScriptLoss | None, seen: ExamplesSeen | None) -> Task:
    if loss is None:
        return "other"
    columns = seen.targets.shape[1] if seen is not None and seen.targets.ndim == 2 else 1
    if loss.kind in _CLASS_LOSSES or (loss.target_one_hot and columns > 1):
        return "other" if columns > 1 and _columns(seen) not in (0, columns) else "classes"  # a class a place: no score
    values = set(loss.target_values)
    if values and values <= {0.0, 1.0}:
        return "labels" if columns > 1 else "binary"
    if loss.kind in _BINARY_LOSSES and columns > 1 and all(0 <= value <= 1 for value in values):
        return "other"  # shares, as of grey pixels: logits are not held against them by a score
    return "other" if loss.target is None else "regression"
