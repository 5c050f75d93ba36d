"""Where the first NaN or infinity came from, when the watch could not name it: read from the recorded calls."""

from __future__ import annotations

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.series import Series
from pellucid.diagnosis.wiring import Wiring
from pellucid.results.watched_script import NonFiniteOrigin, ScriptCall

__all__ = ["find_origin", "is_computed"]

_STEEP_AT_ZERO = ("sqrt", "rsqrt", "norm", "cdist", "pairwise_distance", "std", "dist")
"""Their slope at 0 is infinite, or 0 ÷ 0: one zero among their outputs makes the whole gradient NaN."""
_ON_PURPOSE = ("masked_fill", "full", "full_like", "fill", "where", "triu", "tril", "setitem", "zeros")
"""They make infinities for masks."""


def find_origin(evidence: Evidence) -> NonFiniteOrigin | None:
    """The watch's own answer; else read from the recorded calls, by what a learned step saw, else by what can fail.

    A gradient that is not finite under a finite loss came from the backward pass,
    a loss that is not from the forward pass.
    """
    told = evidence.script.nonfinite
    if told is not None and not (told.phase == "data" and is_computed(evidence, told)):
        return told
    loss, norm = evidence.loss, evidence.column("gradient_norm")
    step = _first_spoiled(loss)
    if step < 0 and len(loss) and not len(loss.finite):
        step = int(loss.x[0])
    gradient = _first_spoiled(norm)
    if step < 0 and (gradient < 0 or not _weights_are_spoiled(evidence)):
        return None
    if any(
        facts.nonfinite > 0 for call in evidence.calls() for facts in call.inputs if facts.origin in ("input", "target")
    ):
        return None
    seen = _seen_forward(evidence, step)
    if seen is not None:
        return seen
    backward = gradient >= 0 and (step < 0 or gradient < step)
    return _candidate(evidence, gradient if backward else step, "backward" if backward else "forward")


def _weights_are_spoiled(evidence: Evidence) -> bool:
    norms = [p.final_norm for model in evidence.script.models for p in model.parameters]
    return any(not np.isfinite(norm) for norm in norms)


def is_computed(evidence: Evidence, told: NonFiniteOrigin) -> bool:
    """Whether a tensor at the door was not data after all.

    What goes into a second model was computed by the first; a target that is read back as prediction less difference
    is as spoiled as the prediction.
    """
    if _seen_forward(evidence, -1) is not None and told.what != "target":
        return True
    if told.what != "target":
        return False
    target, prediction = (evidence.series("train", what, "nonfinite") for what in ("target", "prediction"))
    at = dict(zip(prediction.x.tolist(), prediction.y.tolist(), strict=True))
    hit = [(x, y) for x, y in zip(target.x.tolist(), target.y.tolist(), strict=True) if y > 0]
    return bool(hit) and all(at.get(x, 0.0) >= y for x, y in hit)


def _first_spoiled(series: Series) -> int:
    """The first step whose value is not finite; −1 for none. A value that was never taken is no such value."""
    hit = series.x[~np.isfinite(series.y)]
    if not len(hit) or len(hit) == len(series.y):
        return -1
    return int(hit[0])


def _seen_forward(evidence: Evidence, step: int) -> NonFiniteOrigin | None:
    """The first call of a learned step that made NaN out of finite numbers."""
    for wiring in evidence.wirings("train"):
        for call in wiring.calls:
            if call.reaches_loss and _makes(call) and (step < 0 or call.step >= step):
                return _origin(call, call.step, "forward", f"{call.function} of finite numbers is not finite")
    return None


def _candidate(evidence: Evidence, step: int, phase: str) -> NonFiniteOrigin | None:
    """The likeliest operation: one that stood at its singular point, else one that has such a point and no guard."""
    for wiring in evidence.wirings("train"):
        for call in wiring.calls:
            if call.reaches_loss and _is_steep(call) and call.outputs[0].minimum == 0:
                return _origin(call, step, phase, f"the slope of {call.function} at 0 is not finite")
    for wiring in evidence.wirings("train"):
        for call in wiring.calls:
            open_log = call.function in ("log", "log2", "log10") and not _is_guarded(wiring, call)
            steep = _is_steep(call) and not _is_guarded(wiring, call)
            if call.reaches_loss and (open_log or steep):
                return _origin(
                    call, step, phase, f"{call.function} is not finite at 0, and nothing keeps its input away"
                )
    for wiring in evidence.wirings("train"):
        for call in wiring.calls:
            if call.reaches_loss and call.function in ("div", "reciprocal", "acos", "asin", "atanh") and _divides(call):
                return _origin(call, step, phase, f"{call.function} has a point at which it is not finite")
    return None


def _divides(call: ScriptCall) -> bool:
    """Whether the divisor is a tensor that was computed."""
    return call.function != "div" or (len(call.inputs) > 1 and call.inputs[1].origin == "activation")


def _is_steep(call: ScriptCall) -> bool:
    power = call.settings.get("exponent")
    root = call.function == "pow" and isinstance(power, int | float) and power < 1
    return (call.function in _STEEP_AT_ZERO or root) and bool(
        call.outputs and call.inputs and call.inputs[0].requires_grad
    )


def _is_guarded(wiring: Wiring, call: ScriptCall) -> bool:
    """Whether a constant was added to its input, or it was clamped."""
    fed = wiring.computed_from(call)
    return fed is not None and fed.function in ("add", "clamp", "clamp_min", "maximum", "softplus", "exp")


def _makes(call: ScriptCall) -> bool:
    finite = bool(call.inputs) and all(facts.nonfinite == 0 for facts in call.inputs)
    return finite and any(facts.nonfinite > 0 for facts in call.outputs) and call.function not in _ON_PURPOSE


def _origin(call: ScriptCall, step: int, phase: str, detail: str) -> NonFiniteOrigin:
    return NonFiniteOrigin(
        step=step,
        phase=phase,
        what=call.function,
        module=call.module,
        place=call.place,
        inputs_finite=True,
        kind="nan",
        detail=detail,
    )
