"""Softmax in front of a loss that applies it itself.
Cross-entropy takes logits. Given the rows of a softmax, whose entries lie in [0, 1], its own softmax cannot get further
from uniform than e : 1 : … : 1, so that the loss of k classes stays above log(e + k − 1) − 1 and its gradient is small.
"""

from __future__ import annotations

import math

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.looks import drop_activation, last_call
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.wiring import VIEWS
from pellucid.results.diagnosis import Finding
from pellucid.results.watched_script import ScriptCall, ScriptLoss

__all__ = ["RULE", "find"]

_SOFT = ("softmax", "log_softmax")
_ROWS = 0.98
"""Rows that sum to 1 within rounding: all of them where a softmax was applied, hardly any by chance."""


def find(evidence: Evidence) -> Finding | None:
    """Cross-entropy on probabilities, a sigmoid before BCE with logits, or one softmax after another."""
    for loss in evidence.script.losses:
        if loss.kind == "cross_entropy" and loss.classes > 1 and _is_soft(loss):
            return _finding(evidence, loss, "softmax", last_call(evidence, loss), 0.96)
    return _second_softmax(evidence) or _sigmoid_twice(evidence)


def _is_soft(loss: ScriptLoss) -> bool:
    if loss.last_operation == "softmax":
        return True
    return loss.rows_sum_to_one >= _ROWS and loss.last_operation in ("div", "normalize", "exp")


def _second_softmax(evidence: Evidence) -> Finding | None:
    """A softmax whose input is the output of another, on the way to the loss."""
    for wiring in evidence.wirings("train")[:1]:
        for call in wiring.calls:
            if call.function not in _SOFT or not call.reaches_loss:
                continue
            before = next(wiring.sources(call, lambda fed: fed.function in VIEWS), None)
            if (
                before is not None
                and before.function == "softmax"
                and before.settings.get("dim") == call.settings.get("dim")
            ):
                loss = evidence.main_loss
                return _finding(evidence, loss, "softmax", before, 0.93) if loss is not None else None
    return None


def _sigmoid_twice(evidence: Evidence) -> Finding | None:
    for loss in evidence.script.losses:
        if loss.kind == "bce_with_logits" and loss.last_operation == "sigmoid":
            return _finding(evidence, loss, "sigmoid", last_call(evidence, loss), 0.9)
    return None


def _finding(evidence: Evidence, loss: ScriptLoss, name: str, call: ScriptCall | None, certainty: float) -> Finding:
    place, changes = drop_activation(evidence, name, call.place if call is not None else loss.place)
    classes = max(2, loss.classes)
    floor = math.log(math.e + classes - 1) - 1 if name == "softmax" else math.log1p(math.exp(-1))
    facts = loss.prediction
    figures = [
        figure("lowest loss that can be reached", floor, "0"),
        figure("loss at the end", evidence.outcome.loss_last, "well below the floor"),
        figure("largest entry given to the loss", facts.maximum if facts is not None else math.nan, "unbounded logits"),
    ]
    return make_finding(
        "softmax_before_ce",
        severity="fault",
        certainty=certainty,
        title=f"{name.capitalize()} is applied twice: by the network and by the loss",
        place=place,
        layer=loss.last_module,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss, level=floor, level_name="lowest that can be reached")],
        why=f"The loss applies {name} to what it is given; given values in [0, 1] it cannot fall below {floor:.3f} "
        "and its gradient stays small.",
        fix=f"Give the loss the raw outputs: take the {name} out of the network.",
        changes=changes,
        disproof="The values given to the loss leave the interval from 0 to 1.",
    )


RULE = Rule(
    "softmax_before_ce",
    find,
    explains=("vanishing_gradient", "lr_too_low", "undertrained", "saturated_activation", "undersized_network"),
    needs=("losses",),
)
