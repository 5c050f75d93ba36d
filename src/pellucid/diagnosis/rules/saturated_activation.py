"""Sigmoid or tanh units at their bounds for nearly every input: their slope there is next to 0. Mostly a symptom.

Of tanh, a mean square of 0.9 means that the usual unit stands at ±0.95, where its slope is a tenth; of sigmoid the
same about its middle. Trained units are that far out for some inputs; a hidden layer that starts so learns slowly
or not at all (Glorot & Bengio 2010, §3).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.watched_script import ScriptCall, TensorFacts

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_BOUND = 0.9
_LATE = 0.97
"""At the end only, after training that moved units outwards as it should."""


def find(evidence: Evidence) -> Finding | None:
    """A hidden layer of sigmoid or tanh units that stand at their bounds."""
    loss = evidence.main_loss
    calls = [
        call
        for call in evidence.calls("sigmoid", "sigmoid_", "tanh", "tanh_", "hardtanh", phase="train")
        if call.outputs and (loss is None or call.module != loss.last_module or not loss.last_module)
        if not (
            loss is not None
            and call.function.rstrip("_") == loss.last_operation
            and _is_prediction(call, loss.prediction)
        )
    ]
    if not calls:
        return None
    first = min(call.step for call in calls)
    early = [(call, _far_out(call)) for call in calls if call.step == first]
    late = [(call, _far_out(call)) for call in calls if call.step == max(one.step for one in calls)]
    begun, share = max(early, key=lambda one: one[1])
    ended, last = max(late, key=lambda one: one[1])
    if not (share > _BOUND or last > _LATE):
        return None
    call, since = (begun, 0) if share > _BOUND else (ended, ended.step)
    short = bool(ending(evidence)) or evidence.outcome.short
    return make_finding(
        "saturated_activation",
        severity="fault" if short else "note",
        certainty=(0.76 if since == 0 else 0.6) + 0.1 * (max(share, last) > 0.97),
        title=f"The {call.function.rstrip('_')} units of {call.module or 'a layer'} stand at "
        f"their bounds{' from the start' if since == 0 else ''}",
        layer=call.module,
        since=since,
        place=call.place,
        evidence=[
            figure("mean square of the units, on a scale to ±1, at the start", share, "0.1 to 0.5"),
            figure("the same at the end", last, "below 0.9"),
            figure("size of what goes into them", _reach(call), "about 1"),
        ],
        curves=[curve("loss", evidence.loss)],
        why="At the bounds the slope is next to 0, so that the layer and all before it get no gradient.",
        fix="Scale the inputs to mean 0 and deviation 1, take Xavier's initial weights, or ReLU-like units.",
        disproof="The units' inputs lie within ±2 for most examples.",
    )


def _is_prediction(call: ScriptCall, prediction: TensorFacts | None) -> bool:
    out = call.outputs[0]
    return prediction is not None and out.key == prediction.key and math.prod(out.shape) == math.prod(prediction.shape)


def _far_out(call: ScriptCall) -> float:
    """Mean square of the units about their middle, on a scale where the bounds are ±1."""
    out = call.outputs[0]
    mean, std = out.mean, out.std
    if call.function.startswith("sigmoid"):
        mean, std = 2 * mean - 1, 2 * std
    value = mean**2 + std**2
    return float(value) if np.isfinite(value) else 0.0


def _reach(call: ScriptCall) -> float:
    given = call.inputs[0] if call.inputs else None
    return math.hypot(given.mean, given.std) if given is not None else math.nan


RULE = Rule("saturated_activation", find, explains=("vanishing_gradient", "undertrained"), needs=("calls",))
