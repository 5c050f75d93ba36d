"""How what is evaluated differs from what is trained on: input statistics, repeated rows, and what both can teach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.input_scale import column_figures
from pellucid.diagnosis.reference import reference_score, transferred_score
from pellucid.results.watched_script import ExamplesSeen

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["HeldOut", "Phases", "flat_rows", "loss_of_rows"]

_NAN = float("nan")
_LEAST_ROWS = 30
_LEAST_EVALUATIONS = 3


@dataclass(frozen=True)
class HeldOut:
    """The loss on evaluation examples that were not trained on, by evaluation."""

    steps: np.ndarray
    losses: np.ndarray
    rows: int


class Phases:
    """Training and evaluation examples beside each other; figures are nan where one side was not seen."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.train = evidence.examples("train")
        self.evaluation = evidence.examples("evaluation")

    @cached_property
    def both(self) -> bool:
        """Whether both were seen, with as many features, in numbers that can be compared."""
        one, other = self.train, self.evaluation
        return bool(
            one is not None
            and other is not None
            and one.inputs.reshape(len(one.inputs), -1).shape[1] == other.inputs.reshape(len(other.inputs), -1).shape[1]
            and min(len(one.inputs), len(other.inputs)) >= _LEAST_ROWS
        )

    # -- rows in both ------------------------------------------------------------------------------------------------

    @cached_property
    def repeated(self) -> np.ndarray:
        """Which evaluation rows stand among the training rows, entry by entry."""
        if not self.both or self.train is None or self.evaluation is None:
            return np.zeros(0 if self.evaluation is None else len(self.evaluation.inputs), dtype=bool)
        known = {row.tobytes() for row in flat_rows(self.train)}
        return np.array([row.tobytes() in known for row in flat_rows(self.evaluation)])

    @cached_property
    def fresh(self) -> ExamplesSeen | None:
        """The evaluation examples that were not trained on; None where too few are left."""
        seen = self.evaluation
        if seen is None:
            return None
        kept = ~self.repeated if len(self.repeated) == len(seen.inputs) else np.ones(len(seen.inputs), dtype=bool)
        return _chosen(seen, kept) if kept.sum() >= _LEAST_ROWS else None

    # -- statistics --------------------------------------------------------------------------------------------------

    @cached_property
    def _figures(self) -> tuple[np.ndarray, ...]:
        fresh = self.fresh
        if not self.both or self.train is None or fresh is None or self.train.tokens:
            return ()
        return (*column_figures(self.train.inputs), *column_figures(fresh.inputs))

    @cached_property
    def spread_ratio(self) -> float:
        """Spread of evaluation inputs over that of training inputs, the median over columns that vary."""
        if not self._figures:
            return _NAN
        _, std, _, other = self._figures
        alive = (std > 1e-9) | (other > 1e-9)
        if not alive.any():
            return _NAN
        top = float(max(std.max(), other.max()))
        return float(np.median((other[alive] + 1e-6 * top) / (std[alive] + 1e-6 * top)))

    @cached_property
    def mean_shift(self) -> float:
        """How far columns' means lie apart, in their larger spread: the mean over columns that vary."""
        if not self._figures:
            return _NAN
        mean, std, other_mean, other_std = self._figures
        spread = np.maximum(std, other_std)
        alive = spread > 1e-3 * max(float(spread.max()), 1e-30)
        return float(np.mean(np.abs(other_mean - mean)[alive] / spread[alive])) if alive.any() else _NAN

    @cached_property
    def shift_expected(self) -> float:
        """What chance alone gives for ``mean_shift`` between two samples of the same source."""
        fresh = self.fresh
        if self.train is None or fresh is None:
            return _NAN
        distinct = [len(np.unique(flat_rows(seen), axis=0)) for seen in (self.train, fresh)]
        return math.sqrt(2 / math.pi * sum(1 / max(1, rows) for rows in distinct))

    # -- what can be learned -----------------------------------------------------------------------------------------

    @cached_property
    def train_reference(self) -> float:
        """What trees or a linear model reach on the training examples."""
        return self._evidence.outcome.reachable

    @cached_property
    def evaluation_reference(self) -> float:
        """The same on the evaluation examples alone."""
        fresh = self.fresh
        if fresh is None or not len(fresh.targets) or self._evidence.outcome.task == "other":
            return _NAN
        return reference_score(fresh, self._evidence.outcome.task)

    @cached_property
    def crossed_reference(self) -> float:
        """What trees fitted to the evaluation examples reach on the training examples."""
        fresh = self.fresh
        if not self.both or fresh is None or self.train is None or self._evidence.outcome.task == "other":
            return _NAN
        return transferred_score(fresh, self.train, self._evidence.outcome.task)

    @cached_property
    def fresh_score(self) -> float:
        """The network's late score on evaluation examples that were not trained on."""
        from pellucid.diagnosis.outcome import score_rows

        seen = self.fresh
        if seen is None or len(seen.predictions) != len(seen.targets) or not len(seen.targets):
            return _NAN
        late = self._evidence.outcome.late(seen)
        if late.sum() < 8:
            late = seen.step == seen.step.max()
        return score_rows(self._evidence.outcome.task, seen.predictions[late], seen.targets[late])

    @cached_property
    def held_out(self) -> HeldOut:
        """The loss on fresh evaluation examples, at each evaluation that was sampled."""
        seen, loss = self.fresh, self._evidence.main_loss
        steps: list[int] = []
        losses: list[float] = []
        if seen is not None and loss is not None and len(seen.predictions) == len(seen.targets) == len(seen.step):
            for step in np.unique(seen.step):
                rows = seen.step == step
                value = loss_of_rows(loss.kind, seen.predictions[rows], seen.targets[rows])
                if rows.sum() >= 8 and math.isfinite(value):
                    steps.append(int(step))
                    losses.append(value)
        return HeldOut(np.array(steps, dtype=np.float64), np.array(losses), len(seen.inputs) if seen is not None else 0)

    @cached_property
    def drawn_anew(self) -> float:
        """Share of evaluations whose first inputs are none of those before; nan unknown.

        Judged by mean and spread, bit for bit: the same examples have the same figures. A loader that shuffles what is
        evaluated gives other ones each time without any augmentation, so that nothing is known then.
        """
        seen = self.evaluation
        if seen is None or seen.tokens or (self.train is not None and self.train.tokens):
            return _NAN
        if any(loader.shuffled and not loader.trained for loader in self._evidence.script.loaders):
            return _NAN
        mean = self._evidence.series("evaluation", "input", "mean").finite.y
        return (len(np.unique(mean)) - 1) / (len(mean) - 1) if len(mean) >= _LEAST_EVALUATIONS else _NAN


def flat_rows(seen: ExamplesSeen) -> np.ndarray:
    """The inputs, one row an example."""
    return np.ascontiguousarray(seen.inputs.reshape(len(seen.inputs), -1))


def _chosen(seen: ExamplesSeen, kept: np.ndarray) -> ExamplesSeen:
    def part(array: np.ndarray) -> np.ndarray:
        return array[kept] if len(array) == len(kept) else array

    return ExamplesSeen(
        seen.phase,
        seen.step[kept],
        seen.batch[kept],
        seen.inputs[kept],
        seen.features,
        seen.shape,
        seen.tokens,
        part(seen.targets),
        part(seen.predictions),
    )


def loss_of_rows(kind: str, predictions: np.ndarray, targets: np.ndarray) -> float:
    """A loss of rows of predictions in mean reduction; nan where the shapes or the kind do not say how."""
    rows = len(targets)
    if not rows or len(predictions) != rows:
        return _NAN
    scores = np.asarray(predictions, dtype=np.float64).reshape(rows, -1)
    aims = np.asarray(targets, dtype=np.float64).reshape(rows, -1)
    if not np.isfinite(scores).all() or not np.isfinite(aims).all():
        return _NAN
    if kind in ("cross_entropy", "nll"):
        return _class_loss(kind, scores, aims)
    return _entry_loss(kind, scores, aims) if scores.shape == aims.shape else _NAN


def _entry_loss(kind: str, scores: np.ndarray, aims: np.ndarray) -> float:
    if kind == "bce_with_logits":
        return float((np.logaddexp(0.0, scores) - scores * aims).mean())
    if kind == "bce":
        held = np.clip(scores, 1e-7, 1 - 1e-7)
        return float(-(aims * np.log(held) + (1 - aims) * np.log(1 - held)).mean())
    if kind == "l1":
        return float(np.abs(scores - aims).mean())
    return float(np.square(scores - aims).mean()) if kind in ("mse", "huber") else _NAN


def _class_loss(kind: str, scores: np.ndarray, aims: np.ndarray) -> float:
    if kind == "cross_entropy":
        top = scores.max(axis=1, keepdims=True)
        scores = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
    if aims.shape == scores.shape and scores.shape[1] > 1:
        return float(-(aims * scores).sum(axis=1).mean())
    numbers = aims[:, 0].round().astype(int)
    if aims.shape[1] != 1 or numbers.min() < 0 or numbers.max() >= scores.shape[1]:
        return _NAN
    return float(-scores[np.arange(len(scores)), numbers].mean())
