"""The loss is a sum over the batch, so that gradients and steps grow with its size.
For plain gradient descent a sum over n examples is the same as a mean with n times the rate. Adam and its kin divide by
the gradient's own size and do not notice; a run that comes out well chose its rate for the sum. So this is a fault only
where the optimiser feels it and the run came out badly.
"""

from __future__ import annotations

import math

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import ScriptLoss

__all__ = ["RULE", "find"]

_SCALE_FREE = (
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Rprop",
    "Lion",
    "Adafactor",
)
_LEAST_BATCH = 4
_MILD = 0.3
"""Below this score's share a scale-free optimiser's run is bad enough that the sum is worth a word."""


def find(evidence: Evidence) -> Finding | None:
    """A sum over at least four examples, with a bad outcome."""
    for loss in evidence.script.losses:
        if loss.reduction != "sum" or loss.prediction is None or loss.kind == "policy_gradient":
            continue
        rows = loss.prediction.shape[0] if loss.prediction.shape else 1
        factor = loss.scale if math.isfinite(loss.scale) and loss.scale > 0 else 1.0
        if rows * factor < _LEAST_BATCH:
            continue
        return _weigh(evidence, loss, rows)
    return None


def _weigh(evidence: Evidence, loss: ScriptLoss, rows: int) -> Finding:
    outcome = evidence.outcome
    optimizer = evidence.main_optimizer
    free = optimizer is not None and optimizer.kind in _SCALE_FREE
    bad = outcome.poor or _jumps(evidence) or _is_nan(evidence)
    severity = "fault" if bad and not free else "warning" if bad else "note"
    certainty = 0.93 if severity == "fault" else 0.45
    norm = evidence.column("gradient_norm")
    return make_finding(
        "loss_reduction_sum",
        severity=severity,
        certainty=certainty,
        title=f"The loss is summed over {rows} examples",
        place=loss.place,
        since=0,
        evidence=[
            figure("examples summed", rows, "their mean"),
            figure("loss at the start", outcome.loss_first, f"{outcome.loss_first / rows:.4g} an example"),
            figure("loss at the end", outcome.loss_last),
            figure("gradient norm at the start", norm.begin(3)),
        ],
        curves=[curve("loss", evidence.loss), curve("gradient norm", norm)],
        why=f"Gradients, and with them the steps, are {rows} times those of the mean, and change with the batch size.",
        fix="Take the mean over the batch.",
        changes=_change(evidence, loss),
        disproof="The same run with the mean and the same rate ends no better.",
    )


def _jumps(evidence: Evidence) -> bool:
    """Whether the loss kept jumping by more than it fell."""
    smooth = evidence.loss.smooth()
    if len(smooth) < 8:
        return False
    tail = smooth.part(0.5, 1.0)
    return bool(
        tail.highest > 2 * max(abs(tail.lowest), 1e-9) and tail.highest > 0.5 * abs(evidence.outcome.loss_first)
    )


def _is_nan(evidence: Evidence) -> bool:
    values = evidence.loss.y
    return bool(len(values)) and not math.isfinite(float(values[-1]))


def _change(evidence: Evidence, loss: ScriptLoss) -> tuple[LineChange, ...]:
    for code in evidence.codes:
        for call in code.calls():
            for keyword in call.keywords:
                if keyword.arg == "reduction" and code.segment(keyword.value).strip("'\"") == "sum":
                    return (code.replaced(keyword.value, '"mean"'),)
    code = evidence.code(loss.place.file)
    for line in dict.fromkeys((loss.place.line, loss.backward.line)):
        for call in code.calls("sum", line=line) if line else []:
            text = code.segment(call)
            if text.endswith(".sum()"):
                if loss.kind in ("nll", "categorical"):
                    return (code.replaced(call, f"{text[: -len('.sum()')]}.sum(-1).mean()"),)
                return (code.replaced(call, f"{text[: -len('.sum()')]}.mean()"),)
    return ()


RULE = Rule(
    "loss_reduction_sum",
    find,
    explains=(
        "lr_too_high",
        "exploding_gradient",
        "dead_relu",
        "saturated_activation",
        "nan_origin",
        "undersized_network",
        "optimizer_settings",
    ),
    needs=("losses",),
)
