"""The loss does not measure the task.
A distance between class labels and outputs says little of which class is likeliest, and an absolute one is least where
all outputs are 0: with k classes k − 1 of k entries of a one-hot row are 0 already. Where the network learned well all
the same it is no fault. Binary cross-entropy of targets outside [0, 1] has no lower bound.
"""

from __future__ import annotations

import math

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.looks import flat_targets, swap_name
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import call_name
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import ScriptLoss

__all__ = ["RULE", "find"]

_DISTANCES = ("mse", "l1", "smooth_l1", "huber", "rmse", "log_cosh")
_BINARY = ("bce", "bce_with_logits", "soft_margin")
_FEW = 20
"""Whole targets with no more distinct values than this may be classes."""
_LEARNED = 0.9
"""Accuracy above which a distance did its work all the same."""
_SAID = ("acc", "correct", "f1", "precision", "recall", "auc", "error rate")


def find(evidence: Evidence) -> Finding | None:
    """Targets that the loss is not made for."""
    for loss in evidence.script.losses:
        found = (
            _unbounded(evidence, loss)
            or _distance(evidence, loss)
            or _multi_hot(evidence, loss)
            or _margin(evidence, loss)
        )
        if found is not None:
            return found
    return _signed(evidence)


def _unbounded(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """BCE of targets outside [0, 1]."""
    if loss.kind not in ("bce", "bce_with_logits"):
        return None
    values = flat_targets(evidence, loss)
    outside = float(((values < -1e-6) | (values > 1 + 1e-6)).mean()) if len(values) else 0.0
    if outside < 0.01:
        return None
    classes = len(np.unique(values)) <= _FEW and bool(np.all(values == values.round()))
    new = {"BCEWithLogitsLoss": "MSELoss", "BCELoss": "MSELoss"}
    new |= {"binary_cross_entropy_with_logits": "mse_loss", "binary_cross_entropy": "mse_loss"}
    signed = classes and set(np.unique(values)) <= {-1.0, 1.0}
    return _finding(
        evidence,
        loss,
        certainty=0.94,
        title="Binary cross-entropy on targets outside [0, 1]",
        why="For targets outside [0, 1] this loss has no lower bound: it falls below 0 while the outputs run away.",
        fix="Map the targets −1 and 1 to 0 and 1."
        if signed
        else "Use cross-entropy over classes."
        if classes
        else "Use a distance such as the mean squared error.",
        figures=[
            figure("targets outside [0, 1]", outside, "0", "share"),
            figure("loss at the end", evidence.outcome.loss_last, "0 or more"),
        ],
        changes=() if classes else _renamed(evidence, loss, new),
    )


def _distance(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """A distance between outputs and class labels."""
    if loss.kind not in _DISTANCES:
        return None
    values = np.unique(flat_targets(evidence, loss))
    few = 2 <= len(values) <= _FEW and bool(np.all(values == values.round()))
    if not few or not (loss.target_one_hot or set(values) <= {0.0, 1.0} or _is_judged_by_class(evidence)):
        return None
    score = _accuracy(evidence)
    if math.isnan(score):
        score = evidence.outcome.reported
    if score > _LEARNED or (loss.target_one_hot and evidence.outcome.reached > _LEARNED):
        return None
    adversarial = len(evidence.script.optimizers) > 1 and not _is_judged_by_class(evidence)
    if adversarial or (math.isnan(score) and not _is_judged_by_class(evidence)):
        return None
    absolute = loss.kind == "l1"
    binary = set(values) <= {0.0, 1.0} and not loss.target_one_hot
    new = {"MSELoss": "BCEWithLogitsLoss", "L1Loss": "BCEWithLogitsLoss", "SmoothL1Loss": "BCEWithLogitsLoss"}
    new |= {"mse_loss": "binary_cross_entropy_with_logits", "l1_loss": "binary_cross_entropy_with_logits"}
    if not binary:
        new = {"MSELoss": "CrossEntropyLoss", "L1Loss": "CrossEntropyLoss", "SmoothL1Loss": "CrossEntropyLoss"}
        new |= {"mse_loss": "cross_entropy", "l1_loss": "cross_entropy", "smooth_l1_loss": "cross_entropy"}
    changes = _renamed(evidence, loss, new) if binary or loss.target_one_hot else ()
    if loss.last_operation in ("sigmoid", "softmax"):
        changes = ()
    return _finding(
        evidence,
        loss,
        certainty=(0.9 if absolute else 0.8) if loss.target_one_hot or not binary else (0.8 if absolute else 0.65),
        title=f"A distance ({loss.kind}) between outputs and class labels",
        why="Outputs near 0 are near all class labels; which class is likeliest hardly counts in the distance."
        if loss.target_one_hot
        else "Class numbers are names: a distance between them says that class 3 is nearer to 4 than to 7.",
        fix="Use binary cross-entropy on the logit." if binary else "Use cross-entropy on one logit a class.",
        figures=[
            figure("distinct targets", len(values)),
            figure("accuracy", score, f"{evidence.outcome.reachable:.2f} can be reached"),
            figure("loss at the end", evidence.outcome.loss_last),
        ],
        changes=changes,
        severity="fault" if score < _LEARNED or math.isnan(score) else "warning",
    )


def _accuracy(evidence: Evidence) -> float:
    """Of the network on the training examples, as classes even where the loss takes numbers."""
    seen = evidence.examples("train")
    if seen is None:
        return math.nan
    rows = evidence.outcome.late(seen)
    predictions, targets = seen.predictions[rows], seen.targets[rows]
    predictions = predictions.reshape(len(predictions), -1) if len(predictions) else predictions
    targets = targets.reshape(len(targets), -1) if len(targets) else targets
    if not len(targets) or predictions.shape != targets.shape or not np.isfinite(predictions).all():
        return math.nan
    if targets.shape[1] > 1:
        return float((predictions.argmax(1) == targets.argmax(1)).mean())
    values = np.unique(targets)
    if len(values) == 2:
        return float(((predictions > values.mean()) == (targets > values.mean())).mean())
    return float((predictions.round() == targets).mean())


def _is_judged_by_class(evidence: Evidence) -> bool:
    """Whether the script itself reports an accuracy or picks a class."""
    if any(word in name.lower() for name in evidence.metric_names for word in _SAID):
        return True
    return any(code.calls("argmax", "accuracy_score") for code in evidence.codes)


def _multi_hot(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """Cross-entropy with several labels a row."""
    seen = evidence.examples("train")
    if loss.kind not in ("cross_entropy", "categorical") or seen is None or seen.targets.ndim != 2:
        return None
    targets = seen.targets
    if targets.shape[1] != loss.classes or targets.shape[1] < 2 or loss.target_one_hot:
        return None
    values = set(np.unique(targets))
    sums = targets.sum(axis=1)
    if not values <= {0.0, 1.0} or float((np.abs(sums - 1) > 1e-6).mean()) < 0.05:
        return None
    new = {"CrossEntropyLoss": "BCEWithLogitsLoss", "cross_entropy": "binary_cross_entropy_with_logits"}
    return _finding(
        evidence,
        loss,
        certainty=0.93,
        title="Cross-entropy over labels that do not exclude each other",
        why="Its classes compete for one unit of probability; rows with several labels, or none, cannot be met.",
        fix="Use binary cross-entropy with logits, one for each label.",
        figures=[
            figure("labels a row", float(sums.mean()), "1"),
            figure("rows without exactly one", float((np.abs(sums - 1) > 1e-6).mean()), "0", "share"),
        ],
        changes=_renamed(evidence, loss, new),
    )


def _margin(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """Margin losses take −1 and 1."""
    if loss.kind not in ("hinge_embedding", "soft_margin", "hinge"):
        return None
    values = set(np.unique(flat_targets(evidence, loss)))
    if not values or not values <= {0.0, 1.0} or 0.0 not in values:
        return None
    return _finding(
        evidence,
        loss,
        certainty=0.85,
        title="A margin loss on labels 0 and 1",
        why="This loss multiplies output and label and takes labels −1 and 1: examples of label 0 say nothing.",
        fix="Map the labels to −1 and 1, or use binary cross-entropy.",
        figures=[figure("least label", 0.0, "−1")],
        changes=(),
    )


def _signed(evidence: Evidence) -> Finding | None:
    """A mean of signed differences: it falls without end, and no square or absolute value holds it."""
    loss = evidence.main_loss
    if loss is None or loss.kind != "custom" or not loss.graph:
        return None
    head = [node.rstrip("0123456789").removesuffix("Backward") for node in loss.graph[:3]]
    averaged = next((place for place, node in enumerate(head) if node in ("Mean", "Sum")), len(head))
    signed = "Sub" in head[averaged:] and loss.target is not None  # a difference of two means is another matter
    if not signed or not loss.last < min(0.0, loss.first):
        return None
    return _finding(
        evidence,
        loss,
        certainty=0.85,
        title="The loss is a mean of signed differences",
        why="Errors of both signs cancel, and the least loss is minus infinity.",
        fix="Square the differences, or take their absolute value.",
        figures=[figure("loss at the end", loss.last, "0 or more")],
        changes=(),
    )


def _renamed(evidence: Evidence, loss: ScriptLoss, new: dict[str, str]) -> tuple[LineChange, ...]:
    """The loss's function or module under another name."""
    code = evidence.code(loss.place.file)
    for call in code.calls(*new, line=loss.place.line):
        return (swap_name(code, call, new[call_name(call.func)]),)
    for other in evidence.codes:
        for call in other.calls(*new):
            if call_name(call.func)[:1].isupper():
                return (swap_name(other, call, new[call_name(call.func)]),)
    return ()


def _finding(
    evidence: Evidence,
    loss: ScriptLoss,
    *,
    certainty: float,
    title: str,
    why: str,
    fix: str,
    figures: list,
    changes: tuple[LineChange, ...],
    severity: str = "fault",
) -> Finding:
    return make_finding(
        "wrong_loss",
        severity=severity,  # pyright: ignore[reportArgumentType]
        certainty=certainty,
        title=title,
        place=loss.place,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss)],
        why=why,
        fix=fix,
        changes=changes,
        disproof="With the loss proposed the metric comes out no better.",
    )


RULE = Rule(
    "wrong_loss",
    find,
    explains=(
        "undersized_network",
        "lr_too_low",
        "undertrained",
        "label_corruption",
        "saturated_activation",
        "unscaled_targets",
        "loss_sign_flipped",
    ),
    needs=("losses",),
)
