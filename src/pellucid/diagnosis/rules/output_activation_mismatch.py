"""The last activation keeps the network from giving what the loss needs.
What each activation can give is its range; what a loss needs follows from its formula: logits of both signs for the
cross-entropies that take logits, probabilities for ``BCELoss``, their logarithms for ``NLLLoss``, and for distances the
range of the targets. The rule compares the two. A share of 2 % of targets out of reach is asked for, so that a few
outliers or noise around a bound are no fault.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.looks import drop_activation, flat_targets, last_call, raised, swap_activation, swap_name
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import call_name
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptLoss

__all__ = ["RULE", "find"]

_RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0, 1),
    "hardsigmoid": (0, 1),
    "softmax": (0, 1),
    "tanh": (-1, 1),
    "hardtanh": (-1, 1),
    "softsign": (-1, 1),
    "relu": (0, math.inf),
    "relu6": (0, 6),
    "softplus": (0, math.inf),
    "elu": (-1, math.inf),
    "abs": (0, math.inf),
    "square": (0, math.inf),
    "logsigmoid": (-math.inf, 0),
    "log_softmax": (-math.inf, 0),
}
_LOGIT_LOSSES = ("cross_entropy", "bce_with_logits", "multi_margin", "multilabel_soft_margin")
_DISTANCES = ("mse", "l1", "smooth_l1", "huber", "rmse", "log_cosh")
_OUT_OF_REACH = 0.02
_MARGIN = 0.02
"""Of the targets' spread: how far beyond a bound a target must lie to count."""
_SUMS = 0.98


def find(evidence: Evidence) -> Finding | None:
    """The first loss whose prediction cannot be what it needs."""
    if raised(evidence, "all elements of input should be between 0 and 1"):
        return _no_probabilities(evidence)
    for loss in evidence.script.losses:
        found = (
            _one_column(evidence, loss)
            or _logits(evidence, loss)
            or _probabilities(evidence, loss)
            or _logarithms(evidence, loss)
            or _distance(evidence, loss)
        )
        if found is not None:
            return found
    return None


def _one_column(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """A softmax over a single unit is always 1, its logarithm always 0."""
    facts = loss.prediction
    flat = facts is not None and len(facts.shape) < 2
    if loss.last_operation not in ("softmax", "log_softmax") or loss.classes != 1 or flat:
        return None
    place, changes = _swap(evidence, loss, "torch.sigmoid", "nn.Sigmoid()")
    return _finding(
        evidence,
        loss,
        certainty=0.97,
        title="Softmax on a single output unit",
        why="A softmax over one unit gives 1 whatever comes in, so nothing reaches the weights.",
        fix="Use a sigmoid on the single unit.",
        place=place,
        changes=changes,
    )


def _logits(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    name = loss.last_operation
    if loss.kind not in _LOGIT_LOSSES or name not in _RANGES or name in ("softmax", "log_softmax"):
        return None
    certainty = {"relu": 0.93, "sigmoid": 0.95}.get(name, 0.85)
    if name in ("elu", "softplus"):
        certainty = 0.7
    place, changes = _drop(evidence, loss)
    return _finding(
        evidence,
        loss,
        certainty=certainty,
        title=f"{name} on the logits",
        why=f"The loss needs logits of both signs and any size; {name} leaves only those in {_words(_RANGES[name])}.",
        fix=f"Give the loss the raw outputs: take the {name} after the last layer out.",
        place=place,
        changes=changes,
    )


def _probabilities(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """Losses of probabilities: BCE, and −Σ t·log p."""
    name, columns = loss.last_operation, loss.classes
    if loss.kind == "bce":
        if name == "softmax" and columns > 1 and not loss.target_one_hot and loss.rows_sum_to_one >= _SUMS:
            place, changes = _swap(evidence, loss, "torch.sigmoid", "nn.Sigmoid()")
            return _finding(
                evidence,
                loss,
                certainty=0.85,
                title="Softmax over labels that do not exclude each other",
                why="The rows of a softmax sum to 1, and several labels of a row may be 1 at once.",
                fix="Use a sigmoid for each label.",
                place=place,
                changes=changes,
            )
        if name in ("relu", "tanh", "clamp", "hardtanh", "linear", "leaky_relu", "elu", "conv2d", "batch_norm", "add"):
            place, changes = _swap(evidence, loss, "torch.sigmoid", "nn.Sigmoid()")
            return _finding(
                evidence,
                loss,
                certainty=0.85,
                title=f"{name} before a loss of probabilities",
                why=f"The loss takes probabilities; {name} gives others, and at its bound no gradient.",
                fix="Use a sigmoid on the output, or a loss that takes logits.",
                place=place,
                changes=changes,
            )
    if loss.kind == "categorical" and columns > 1 and loss.rows_sum_to_one < 0.5 and name in _RANGES:
        place, changes = _swap(evidence, loss, "torch.softmax", "nn.Softmax(dim=-1)", dim="-1")
        return _finding(
            evidence,
            loss,
            certainty=0.85,
            title=f"{name} where classes exclude each other",
            why="The loss rewards the right class alone; without a softmax all classes can become likely at once.",
            fix="Use a softmax over the classes.",
            place=place,
            changes=changes,
        )
    return None


def _logarithms(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    """NLL takes logarithms of probabilities."""
    if loss.kind not in ("nll", "kl_div") or loss.log_rows_sum_to_one >= 0.5 or loss.last_operation == "log_softmax":
        return None
    if math.isnan(loss.log_rows_sum_to_one) or (loss.kind == "kl_div" and loss.last_operation in ("log", "logsigmoid")):
        return None
    what = "probabilities" if loss.rows_sum_to_one >= _SUMS else "raw outputs"
    changes: tuple[LineChange, ...] = ()
    place = loss.place
    if loss.last_operation == "softmax":
        place, changes = _swap(evidence, loss, "torch.log_softmax", "nn.LogSoftmax(dim=1)", dim="1")
    elif loss.kind == "nll":
        code = evidence.code(place.file)
        makings = code.calls("nll_loss", line=place.line) or code.calls("NLLLoss")
        new = {"nll_loss": "cross_entropy", "NLLLoss": "CrossEntropyLoss"}
        changes = tuple(swap_name(code, call, new[call_name(call.func)]) for call in makings[:1])
    return _finding(
        evidence,
        loss,
        certainty=0.95,
        title=f"{what.capitalize()} given to a loss that takes log-probabilities",
        why=f"The negative log-likelihood of {what} is no likelihood: it falls without end, or stays between −1 and 0.",
        fix="Use log-softmax, or cross-entropy on the raw outputs.",
        place=place,
        changes=changes,
    )


def _distance(evidence: Evidence, loss: ScriptLoss) -> Finding | None:
    name = loss.last_operation
    if loss.kind not in _DISTANCES or name not in _RANGES:
        return None
    low, high = _RANGES[name]
    values = flat_targets(evidence, loss)
    if not len(values):
        return None
    margin = _MARGIN * max(float(values.std()), 1e-6)
    outside = float(((values < low - margin) | (values > high + margin)).mean())
    if outside < _OUT_OF_REACH:
        return None
    place, changes = _drop(evidence, loss)
    found = _finding(
        evidence,
        loss,
        certainty=min(0.95, 0.8 + outside / 4),
        title=f"{name} on the output cannot reach the targets",
        why=f"{name} gives values in {_words((low, high))}, and {outside:.0%} of the targets lie outside.",
        fix=f"Take the {name} after the last layer out.",
        place=place,
        changes=changes,
    )
    extra = (
        figure("targets out of reach", outside, "0", "share"),
        figure("least target", float(values.min()), f"at least {low:g}"),
        figure("largest target", float(values.max()), f"at most {high:g}"),
    )
    return dataclasses.replace(found, evidence=extra + found.evidence)


def _no_probabilities(evidence: Evidence) -> Finding:
    loss = evidence.main_loss
    changes: tuple[LineChange, ...] = ()
    for code in evidence.codes:
        for call in [*code.calls("BCELoss"), *code.calls("binary_cross_entropy")][:1]:
            new = {"BCELoss": "BCEWithLogitsLoss", "binary_cross_entropy": "binary_cross_entropy_with_logits"}
            changes = (swap_name(code, call, new[call_name(call.func)]),)
    return _finding(
        evidence,
        loss,
        certainty=0.97,
        title="Values given to BCE are no probabilities",
        why="Binary cross-entropy takes values between 0 and 1; the network gives others, and torch refuses.",
        fix="Put a sigmoid on the output, or use the loss that takes logits.",
        place=evidence.script.error_place,
        changes=changes,
    )


def _drop(evidence: Evidence, loss: ScriptLoss) -> tuple[CodeLine, tuple[LineChange, ...]]:
    call = last_call(evidence, loss)
    return drop_activation(evidence, loss.last_operation, call.place if call is not None else loss.place)


def _swap(
    evidence: Evidence, loss: ScriptLoss, function: str, module: str, dim: str = ""
) -> tuple[CodeLine, tuple[LineChange, ...]]:
    call = last_call(evidence, loss)
    place = call.place if call is not None else loss.place
    found, changes = swap_activation(evidence, loss.last_operation, place, function, module)
    if dim:
        changes = tuple(
            LineChange(one.file, one.line, one.before, tuple(_with_dim(text, function, dim) for text in one.after))
            for one in changes
        )
    return found, changes


def _with_dim(text: str, function: str, dim: str) -> str:
    """``torch.softmax(x)`` with its axis; the text as it is where the function does not stand in it."""
    start = text.find(function + "(")
    if start < 0:
        return text
    depth, place = 0, start + len(function)
    for place in range(start + len(function), len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            break
    return f"{text[:place]}, dim={dim}{text[place:]}"


def _words(bounds: tuple[float, float]) -> str:
    low, high = bounds
    if math.isinf(high):
        return f"[{low:g}, ∞)"
    return f"(−∞, {high:g}]" if math.isinf(low) else f"[{low:g}, {high:g}]"


def _finding(
    evidence: Evidence,
    loss: ScriptLoss | None,
    *,
    certainty: float,
    title: str,
    why: str,
    fix: str,
    place: CodeLine,
    changes: tuple[LineChange, ...],
) -> Finding:
    figures = []
    if loss is not None and loss.prediction is not None:
        figures.append(figure("least value given to the loss", loss.prediction.minimum))
        figures.append(figure("largest value given to the loss", loss.prediction.maximum))
        if loss.prediction.zero > 0.05:
            figures.append(figure("values at exactly 0", loss.prediction.zero, "hardly any", "share"))
    spread = evidence.series("train", "prediction", "row_spread")
    if len(spread) and np.isfinite(spread.last):
        figures.append(figure("spread of predictions over examples", spread.last, "that of the targets"))
    return make_finding(
        "output_activation_mismatch",
        severity="fault",
        certainty=certainty,
        title=title,
        place=place,
        layer=loss.last_module if loss is not None else "",
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss)],
        why=why,
        fix=fix,
        changes=changes,
        disproof="Without the activation the loss ends no lower.",
    )


RULE = Rule(
    "output_activation_mismatch",
    find,
    explains=(
        "dead_relu",
        "vanishing_gradient",
        "saturated_activation",
        "unscaled_targets",
        "undertrained",
        "lr_too_low",
        "undersized_network",
        "label_corruption",
        "wrong_metric",
    ),
)
