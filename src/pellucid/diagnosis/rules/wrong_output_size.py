"""The output units do not match the classes.
A class number must be one of the columns; a single unit tells two classes apart and no more. torch says so itself where
a target exceeds the columns; where one unit meets labels of three or more values it does not.
"""

from __future__ import annotations

import math
import re

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.looks import flat_targets, raised
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import ScriptLoss

__all__ = ["RULE", "find"]

_BINARY = ("bce", "bce_with_logits", "soft_margin")
_CLASS = ("cross_entropy", "nll", "categorical")
_DISTANCES = ("mse", "l1", "smooth_l1", "huber", "rmse")
_MOST_CLASSES = 100
_SPARE = 4
"""Columns no target ever names are a fault of size only when there are many more of them than classes."""


def find(evidence: Evidence) -> Finding | None:
    """A target out of bounds, one unit for several classes, columns without a target."""
    if raised(evidence, "is out of bounds", "target out of bounds", "class values must be"):
        return _out_of_bounds(evidence)
    for loss in evidence.script.losses:
        found = (
            _one_unit(evidence, loss)
            or _one_column(evidence, loss)
            or _one_for_many(evidence, loss)
            or _columns(evidence, loss)
        )
        if found is not None:
            return found
    return None


def _out_of_bounds(evidence: Evidence) -> Finding:
    number = re.search(r"-?\d+", evidence.script.error)
    worst = float(number[0]) if number else math.nan
    loss = evidence.main_loss
    columns = loss.classes if loss is not None else _last_width(evidence)
    wanted = int(worst) + 1 if worst >= 0 else 0
    figures = [figure("target", worst, f"0 to {columns - 1}"), figure("output units", columns, f"{wanted} or more")]
    return _finding(
        evidence,
        certainty=0.97,
        title=f"Target {worst:g} has no output unit",
        why=f"The loss looks up column {worst:g} of {columns}, which is not there.",
        fix="Give the last layer one unit a class, with classes numbered from 0.",
        figures=figures,
        changes=_widen(evidence, columns, wanted) if wanted else (),
        place=evidence.script.error_place,
    )


def _one_unit(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """Labels 0, 1, 2 … against one unit with a loss of two classes."""
    if loss.kind not in _BINARY or loss.classes > 1:
        return None
    values = np.unique(flat_targets(evidence, loss))
    whole = len(values) > 2 and bool(np.all(values == values.round())) and values.min() >= 0
    if not whole or len(values) > _MOST_CLASSES:
        return None
    classes = int(values.max()) + 1
    figures = [figure("classes among the targets", len(values), "2 at most"), figure("output units", 1, f"{classes}")]
    return _finding(
        evidence,
        certainty=0.96,
        title=f"One output unit for {len(values)} classes",
        why="One unit says yes or no; it has no way to name a third class, and targets above 1 drive the loss below 0.",
        fix=f"Use {classes} output units with cross-entropy.",
        figures=figures,
        changes=(),  # the loss, its targets' type and every squeeze on the way would have to change with the layer
        loss=loss,
    )


def _one_column(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """Cross-entropy over a single column is 0 whatever the weights."""
    flat = loss.prediction is not None and len(loss.prediction.shape) < 2
    if loss.kind not in ("cross_entropy", "categorical") or loss.classes != 1 or flat:
        return None
    figures = [figure("output units", 1, "one a class"), figure("loss at the end", evidence.outcome.loss_last)]
    return _finding(
        evidence,
        certainty=0.95,
        title="Cross-entropy over a single output unit",
        why="A softmax over one unit is 1 for every example, so the loss and its gradient are 0.",
        fix="Use two output units, or one with binary cross-entropy.",
        figures=figures,
        changes=_widen(evidence, 1, 2) if _numbers_classes(loss) else (),
        loss=loss,
    )


def _one_for_many(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """One number against several: the distance spreads it over all of them."""
    if loss.kind not in _DISTANCES or loss.prediction is None or loss.target is None:
        return None
    given, wanted = loss.prediction.shape, loss.target.shape
    if len(given) != 2 or len(wanted) != 2 or given[0] != wanted[0] or given[1] != 1 or wanted[1] < 2:
        return None
    return _finding(
        evidence,
        certainty=0.93,
        title=f"One output unit for {wanted[1]} targets an example",
        why="The single output is held against each of the targets, so that it can do no better than their mean.",
        fix=f"Give the last layer {wanted[1]} units.",
        figures=[figure("output units", 1, f"{wanted[1]}"), figure("targets an example", wanted[1])],
        changes=_widen(evidence, 1, wanted[1]),
        loss=loss,
    )


def _numbers_classes(loss: ScriptLoss) -> bool:
    """Whether the targets are numbers of two classes: then cross-entropy takes another column as it stands."""
    target = loss.target
    return target is not None and len(target.shape) == 1 and target.dtype.startswith("int") and target.maximum <= 1


def _columns(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """Many columns that no target names, or fewer columns than targets of a distance."""
    if loss.kind not in _CLASS or loss.classes < 2 or loss.prediction is None or len(loss.prediction.shape) != 2:
        return None
    values = np.unique(flat_targets(evidence, loss))
    if loss.target_one_hot or not len(values) or len(values) >= 64 or not np.all(values == values.round()):
        return None
    named = int(values.max()) + 1
    if loss.classes < _SPARE * max(2, named) or len(flat_targets(evidence, loss)) < 20 * named:
        return None
    figures = [figure("output units", loss.classes, f"{named}"), figure("largest class among the targets", named - 1)]
    return _finding(
        evidence,
        certainty=0.55,
        title=f"{loss.classes} output units for {named} classes",
        why="Units that no target names only learn to stay silent.",
        fix=f"Give the last layer {named} units.",
        figures=figures,
        changes=_widen(evidence, loss.classes, named),
        loss=loss,
        severity="fault" if evidence.outcome.poor else "warning",
    )


def _last_width(evidence: Evidence) -> int:
    """The output size of the last linear layer, as its settings say it."""
    for _, module in reversed(list(evidence.modules())):
        if match := re.search(r"out_features=(\d+)", module.settings):
            return int(match[1])
    for model in evidence.script.models:
        for module in reversed(model.modules):
            if match := re.search(r"out_features=(\d+)", module.settings):
                return int(match[1])
    return 0


def _widen(evidence: Evidence, old: int, new: int) -> tuple[LineChange, ...]:
    """The last ``Linear(…, old)`` of the source with ``new`` units."""
    import ast

    for code in evidence.codes:
        for call in reversed(code.calls("Linear", "LazyLinear")):
            place = 1 if len(call.args) > 1 else 0
            given = call.args[place] if len(call.args) > place else None
            for keyword in call.keywords:
                given = keyword.value if keyword.arg == "out_features" else given
            if isinstance(given, ast.Constant) and given.value == old:
                return (code.replaced(given, str(new)),)
    return ()


def _finding(
    evidence: Evidence,
    *,
    certainty: float,
    title: str,
    why: str,
    fix: str,
    figures: list,
    changes: tuple[LineChange, ...],
    loss: ScriptLoss | None = None,
    place: object = None,
    severity: str = "fault",
) -> Finding:
    where = place if place is not None else loss.place if loss is not None else None
    if changes:
        where = evidence.place(changes[0].file, changes[0].line)
    return make_finding(
        "wrong_output_size",
        severity=severity,  # pyright: ignore[reportArgumentType]
        certainty=certainty,
        title=title,
        place=where,  # pyright: ignore[reportArgumentType]
        layer=loss.last_module if loss is not None else "",
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss)],
        why=why,
        fix=fix,
        changes=changes,
        disproof="Every target names a unit of the output.",
    )


RULE = Rule(
    "wrong_output_size",
    find,
    explains=(
        *("wrong_loss", "undersized_network", "output_activation_mismatch", "label_corruption", "loss_sign_flipped"),
        *("wrong_metric", "undertrained", "vanishing_gradient"),
    ),
)
