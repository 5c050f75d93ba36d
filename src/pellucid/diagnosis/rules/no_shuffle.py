"""Training data arrive sorted: each batch holds one class, or one range of the targets.

In batches drawn at random the batches' means differ by chance alone: the variance between them over that within is
1 on average (Fisher's F). Sorted data give the number of examples a batch. Above 4, with at least half of all
variance lying between batches, the order carries the target. Windows of a time series that overlap from row to row
are left alone: there an order is meant.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.edits import trees
from pellucid.diagnosis.outcome import targets_are_made
from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import CodeLine, ExamplesSeen

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_F = 4.0
_SHARE = 0.5
_LEAST_BATCHES = 4
_WELL = 0.95
"""Of the reachable, on held-out examples: a run that came so far did not suffer from its order."""
_NAN = float("nan")


def find(evidence: Evidence) -> Finding | None:
    """Batches whose targets differ more from each other than within."""
    seen = evidence.examples("train")
    if seen is None or not len(seen.targets) or targets_are_made(evidence):
        return None
    ratio, share, batches = _between(seen, evidence.outcome.task)
    if not (ratio > _F and share > _SHARE) or _windows(seen):
        return None
    place, changes = _order(evidence)
    held = _held_out_reached(evidence)
    short = bool(ending(evidence)) or held < _WELL or evidence.loss_curve.wild
    pure = share > 0.9 and not held > _WELL
    certainty = 0.78 + (0.12 if pure else 0.0) + (0.05 if changes else 0.0) - (0.0 if short else 0.05)
    return make_finding(
        "no_shuffle",
        severity="fault" if short or pure else "warning",
        certainty=certainty,
        title="Training data come in the order of their targets: each batch holds one class or range",
        place=place,
        since=0,
        evidence=[
            figure("variance between batches over within (F)", ratio, "about 1 when shuffled"),
            figure("share of the targets' variance between batches", share, "near 0 when shuffled"),
            figure("batches looked at", batches),
        ],
        curves=[curve("loss", evidence.loss.part(0.0, min(1.0, 400 / max(1, len(evidence.loss)))))],
        why="Each batch pulls the network to its own class or range, and the next pulls it away again.",
        fix="Shuffle the training examples anew in every epoch.",
        changes=changes,
        disproof="A new random order each epoch gives no better result.",
    )


def _held_out_reached(evidence: Evidence) -> float:
    """Which share of the way to the reachable the network came on others than it trained on; nan if unknown.

    On its own batches it is good whatever the order: it has just been pulled to their class.
    """
    outcome = evidence.outcome
    fresh = evidence.phases.fresh_score
    score = fresh if np.isfinite(fresh) else outcome.reported
    room = outcome.reachable - outcome.chance
    return (score - outcome.chance) / room if room > 0 else _NAN


def _between(seen: ExamplesSeen, task: str) -> tuple[float, float, int]:
    """F ratio, share of variance between batches, number of batches."""
    targets = np.asarray(seen.targets, dtype=np.float64).reshape(len(seen.targets), -1)
    if task == "classes" and targets.shape[1] == 1:
        values = np.unique(targets)
        targets = (targets == values[None, :]).astype(np.float64) if len(values) <= 64 else targets
    numbers, counts = np.unique(seen.batch, return_counts=True)
    kept = numbers[counts >= 2]
    if len(kept) < _LEAST_BATCHES or not np.isfinite(targets).all():
        return _NAN, _NAN, len(kept)
    rows = np.isin(seen.batch, kept)
    targets, batch = targets[rows], seen.batch[rows]
    within = between = 0.0
    mean = targets.mean(axis=0)
    for one in kept:
        part = targets[batch == one]
        within += float(np.square(part - part.mean(axis=0)).sum())
        between += float(len(part) * np.square(part.mean(axis=0) - mean).sum())
    free = len(targets) - len(kept)
    if within + between <= 0 or free <= 0:
        return _NAN, _NAN, len(kept)
    ratio = (between / (len(kept) - 1)) / max(within / free, 1e-12 * (within + between))
    return ratio, between / (within + between), len(kept)


def _windows(seen: ExamplesSeen) -> bool:
    """Whether each row is the one before, moved on by one place."""
    rows = seen.inputs.reshape(len(seen.inputs), -1)
    if rows.shape[1] < 4 or len(rows) < 8:
        return False
    return bool(np.isclose(rows[:-1, 1:], rows[1:, :-1]).all(axis=1).mean() > 0.5)


def _order(evidence: Evidence) -> tuple[CodeLine | None, list[LineChange]]:
    """The line that sets the order, and its change."""
    for loader in evidence.script.loaders:
        if loader.trained and not loader.shuffled:
            code = evidence.code(loader.place.file)
            calls = code.calls("DataLoader", line=loader.place.line) or code.calls("DataLoader")[:1]
            return loader.place, [code.with_argument(call, "shuffle", "True") for call in calls[:1]]
    for file, tree in trees(evidence):
        code = evidence.code(file)
        for call in code.calls("arange"):
            if any(isinstance(outer, ast.For) for outer in code.around(call)) and len(call.args) == 1:
                text = f"torch.randperm({ast.unparse(call.args[0])})"
                return evidence.place(file, call.lineno), [code.replaced(call, text)]
        for node in ast.walk(tree):
            if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and len(node.iter.args) == 3:
                return evidence.place(file, node.lineno), []
    return None, []


RULE = Rule(
    "no_shuffle", find, explains=("overfitting", "undertrained", "batch_size", "lr_too_high"), needs=("examples",)
)
