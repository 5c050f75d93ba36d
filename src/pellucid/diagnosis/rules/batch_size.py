"""Batches far too small or far too large for the method.

BatchNorm takes mean and variance from the batch: with one or two examples they say nothing of the data (Wu & He
2018, "Group Normalization", fig. 1: the error rises steeply below eight). The other end: a batch of half the data
or more leaves a handful of updates in all; below fifty, with the loss still falling, it is their number that is
missing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.edits import named_number
from pellucid.diagnosis.phases import flat_rows
from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import CodeLine, ScriptModule

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_FEW = 2.0
_LARGE = 256.0
_UPDATES = 50
_NAN = float("nan")


def find(evidence: Evidence) -> Finding | None:
    """BatchNorm on one or two examples, or a few updates of large batches."""
    size = evidence.batch_size
    norm = _batch_norm(evidence)
    if norm is not None and size <= _FEW:
        return _small(evidence, size, norm)
    if size == 1 and ending(evidence) and evidence.loss_curve.wild:
        return _single(evidence, size)
    return _large(evidence, size)


def _batch_norm(evidence: Evidence) -> ScriptModule | None:
    """A BatchNorm that runs in training mode over batches."""
    for _, module in evidence.modules():
        if module.kind.startswith("BatchNorm") and module.calls and not module.trained_mode < 0.5:
            return module
    return None


def _small(evidence: Evidence, size: float, norm: ScriptModule) -> Finding:
    place, changes = _line(evidence, size, 32)
    score = evidence.phases.fresh_score
    return make_finding(
        "batch_size",
        severity="fault",
        certainty=0.9,
        title=f"BatchNorm is trained on batches of {size:g}",
        place=place,
        layer=norm.name,
        since=0,
        evidence=[
            figure("examples a batch", size, "16 or more with BatchNorm"),
            figure("score on evaluation examples", score),
            figure("loss at the end", evidence.loss_curve.last),
        ],
        curves=[curve("loss", evidence.loss)],
        why="Mean and variance of so few examples are those examples' own, so that the layer "
        "takes out what tells them apart.",
        fix="Take batches of 32, or GroupNorm or LayerNorm in place of BatchNorm.",
        changes=changes,
        disproof="With batches of 32 the evaluation is no better.",
    )


def _single(evidence: Evidence, size: float) -> Finding:
    place, changes = _line(evidence, size, 32)
    return make_finding(
        "batch_size",
        severity="warning",
        certainty=0.5,
        title="Each update is made of a single example, and the loss jumps from one to the next",
        place=place,
        since=0,
        evidence=[
            figure("examples a batch", size, "16 to 256"),
            figure("noise of the loss", evidence.loss_curve.noise),
        ],
        curves=[curve("loss", evidence.loss)],
        why="The gradient of one example points where that example wants, not where all do.",
        fix="Take batches of 32.",
        changes=changes,
        disproof="With batches of 32 the loss is as restless.",
    )


def _large(evidence: Evidence, size: float) -> Finding | None:
    steps, loss = evidence.script.steps, evidence.loss_curve
    if not (size >= _LARGE) or not 0 < steps < _UPDATES or not loss.finite or evidence.script.ended != "finished":
        return None
    kinds = {optimizer.kind for optimizer in evidence.script.optimizers}
    falling = loss.still_falling or loss.fall < 0.5 or (steps < 12 and loss.fall < 0.9)
    if "LBFGS" in kinds or not falling or evidence.outcome.reached > 0.95:
        return None
    share = size / max(1.0, _examples(evidence, size))
    place, changes = _line(evidence, size, 32)
    return make_finding(
        "batch_size",
        severity="fault" if evidence.outcome.poor or evidence.outcome.short else "warning",
        certainty=0.62 + 0.15 * (share >= 0.25) + 0.05 * (steps < 20),
        title=f"Batches of {size:,.0f} leave {steps} updates in the whole run",
        place=place,
        since=0,
        evidence=[
            figure("examples a batch", size, "16 to 256"),
            figure("updates in all", steps, "hundreds and more"),
            figure("share of the first loss that is gone", loss.fall),
        ],
        curves=[curve("loss", evidence.loss)],
        why="A network moves a little with each update, and so few of them do not take it anywhere.",
        fix="Take batches of 32, which give many more updates from the same number of epochs.",
        changes=changes,
        disproof="With smaller batches and as many epochs it is no better.",
    )


def _examples(evidence: Evidence, size: float) -> float:
    lengths = [loader.length for loader in evidence.script.loaders if loader.trained and loader.length > 0]
    if lengths:
        return float(max(lengths))
    if evidence.script.epochs and math.isfinite(evidence.script.epoch_steps):
        return size * evidence.script.epoch_steps
    seen = evidence.examples("train")
    return float(len(np.unique(flat_rows(seen), axis=0))) if seen is not None else size


def _line(evidence: Evidence, size: float, better: int) -> tuple[CodeLine | None, list[LineChange]]:
    """The line that says how many examples a batch has."""
    for loader in evidence.script.loaders:
        if loader.trained and loader.batch_size == size:
            code = evidence.code(loader.place.file)
            for call in code.calls("DataLoader"):
                if call.lineno <= loader.place.line <= (call.end_lineno or call.lineno):
                    return loader.place, [code.with_argument(call, "batch_size", str(better), 1)]
            return loader.place, []
    code = evidence.code(evidence.main_file)
    for call in code.calls("split", "DataLoader", "chunk"):
        for given in [*call.args, *(one.value for one in call.keywords if one.arg == "batch_size")]:
            named = named_number(code, _name_of(given)) if _name_of(given) else given
            if named is not None and getattr(named, "value", None) == int(size):
                return evidence.place(code.file, named.lineno), [code.replaced(named, str(better))]
    for name in ("batch_size", "batch", "BATCH_SIZE", "BATCH", "bs", "B"):
        found = named_number(code, name)
        if found is not None and getattr(found, "value", None) == int(size):
            return evidence.place(code.file, found.lineno), [code.replaced(found, str(better))]
    return None, []


def _name_of(node: object) -> str:
    """The name that a node is, empty for others."""
    return str(getattr(node, "id", ""))


RULE = Rule("batch_size", find, explains=("train_eval_mode", "undertrained", "overfitting"), needs=("steps",))
