"""An operation makes NaN or infinity out of finite numbers.
The watch names the first operation that does. Where a divergence went before (gradients, weights or the loss grown by
more than ``_GREW`` over their size at the start), the operation only broke first, and the cause is sought elsewhere.
"""

from __future__ import annotations

import ast
import math

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.nonfinite import find_origin
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, NonFiniteOrigin

__all__ = ["RULE", "find"]

_GREW = 1e3
_SINGULAR = (
    "log",
    "sqrt",
    "div",
    "pow",
    "norm",
    "rsqrt",
    "reciprocal",
    "acos",
    "asin",
    "atanh",
    "exp",
    "softmax",
    "std",
    "cdist",
    "var",
)
_PHASES = ("forward", "loss", "backward")


def find(evidence: Evidence) -> Finding | None:
    """The first non-finite value, if an operation made it."""
    origin = find_origin(evidence)
    if origin is None or not origin.inputs_finite or origin.phase not in _PHASES:
        return None
    grew = _growth(evidence, origin.step)
    named = any(origin.what.lower().startswith(name) or f" {name}" in origin.what.lower() for name in _SINGULAR)
    if grew > _GREW and not named:
        return None
    certainty = 0.95 if named and grew < _GREW else 0.75 if named else 0.6
    stays = _stays(evidence, origin)
    place, changes = _guard(evidence, origin)
    return make_finding(
        "nan_origin",
        severity="fault" if stays else "warning",
        certainty=certainty,
        title=f"{origin.what} gives {'NaN' if origin.kind == 'nan' else 'infinity'} in the {_where(origin)}",
        place=place,
        layer=origin.module,
        since=origin.step,
        evidence=[
            figure("step of the first non-finite value", origin.step),
            figure("growth of loss and gradients before it", grew, f"below {_GREW:g} where training was sound"),
        ],
        curves=[
            curve("loss until then", evidence.loss.before(origin.step + 1)),
            curve("gradient norm", evidence.column("gradient_norm")),
        ],
        why=f"{origin.detail.capitalize() or origin.what}: from there on every weight that it reaches is NaN.",
        fix="Keep the operation away from its singular point: a small constant, a clamp, or the fused stable form.",
        changes=changes,
        disproof="The inputs of the operation were not finite already.",
    )


def _where(origin: NonFiniteOrigin) -> str:
    return {"forward": "forward pass", "loss": "loss", "backward": "backward pass"}[origin.phase]


def _growth(evidence: Evidence, step: int) -> float:
    """By how much loss or gradient norm had grown before the step, against their start."""
    grown = 1.0
    for series in (evidence.loss, evidence.column("gradient_norm")):
        before = series.before(step).finite
        if len(before) >= 3 and before.first:
            grown = max(grown, float(np.max(np.abs(before.y[-3:]))) / max(abs(before.begin(3)), 1e-12))
    return grown


def _stays(evidence: Evidence, origin: NonFiniteOrigin) -> bool:
    """Whether the run is spoiled: the loss is NaN from there on, weights are NaN, or gradients stay so."""
    values = evidence.loss.y
    if len(values) and not math.isfinite(float(values[-1])):
        return True
    norms = [p.final_norm for model in evidence.script.models for p in model.parameters]
    return (
        any(not math.isfinite(norm) for norm in norms)
        or evidence.script.ended == "failed"
        or origin.phase == "backward"
    )


def _guard(evidence: Evidence, origin: NonFiniteOrigin) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """The singular call of the line with a guard inside; log of softmax as log_softmax."""
    code = evidence.code(origin.place.file)
    if not origin.place.line:
        return origin.place, ()
    for call in code.calls("log", line=origin.place.line):
        inner = call.args[0] if call.args else call.func.value if isinstance(call.func, ast.Attribute) else None
        if inner is None:
            continue
        text = code.segment(inner)
        if (
            isinstance(inner, ast.Call)
            and "softmax" in ast.unparse(inner.func)
            and "log" not in ast.unparse(inner.func)
        ):
            return origin.place, (code.replaced(call, text.replace("softmax(", "log_softmax(", 1)),)
        return origin.place, (code.replaced(inner, f"({text}).clamp_min(1e-8)"),)
    for call in code.calls("sqrt", line=origin.place.line):
        inner = call.args[0] if call.args else call.func.value if isinstance(call.func, ast.Attribute) else None
        if inner is not None:
            text = code.segment(inner)
            return origin.place, (code.replaced(inner, f"{text} + 1e-8" if call.args else f"({text} + 1e-8)"),)
    for node in ast.walk(code.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and node.lineno == origin.place.line:
            return origin.place, (code.replaced(node.right, f"({code.segment(node.right)} + 1e-8)"),)
    return origin.place, ()


RULE = Rule(
    "nan_origin",
    find,
    explains=("nan_in_data", "exploding_gradient", "undertrained", "dead_relu", "lr_too_high", "wrong_metric"),
)
