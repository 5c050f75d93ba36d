"""Gradients die out on their way to the input: early layers hardly change. A symptom, of depth, saturation or narrow
weights.

Compared are the gradients' root mean squares per weight, of the first hidden layer over the last: in a healthy
network of any depth they lie within a factor of a hundred (Glorot & Bengio 2010, fig. 7, within ten at the start);
a thousandth and less means that the early layers stand still while the late ones are trained.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_VANISHED = 1e-3
_LEAST_LAYERS = 3


def find(evidence: Evidence) -> Finding | None:
    """Gradients of the first layers a thousand times below those of the last."""
    sizes = _sizes(evidence)
    if len(sizes) < _LEAST_LAYERS or not evidence.loss_curve.finite:
        return None
    names = list(sizes)
    first, last = sizes[names[0]], max(sizes[names[-1]], sizes[names[-2]])
    if not last > 0 or not first < _VANISHED * last:
        return None
    ratio = first / last
    short = bool(ending(evidence)) or evidence.outcome.short
    strength = min(1.0, -math.log10(max(ratio, 1e-12) / _VANISHED) / 4)
    return make_finding(
        "vanishing_gradient",
        severity="fault" if short else "note",
        certainty=0.62 + 0.2 * strength,
        title=f"The gradient dies out towards the input: {names[0]} gets {ratio:.1g} of what {names[-1]} gets",
        layer=names[0],
        since=0,
        place=evidence.trained_models[0].place if evidence.trained_models else None,
        evidence=[
            figure(f"gradient per weight in {names[0]}", first),
            figure(f"gradient per weight in {names[-1]}", last),
            figure("first over last", ratio, "0.01 to 100"),
            figure("layers with weights", len(names)),
        ],
        curves=[
            curve(f"gradient of {names[0]}", evidence.layer(names[0], "gradient_norm")),
            curve("loss", evidence.loss),
        ],
        why="Layers near the input get no word of what they should change, and stay as they were drawn.",
        fix="Use ReLU-like units, He or Xavier weights, normalisation or residual "
        "connections, so that each layer keeps the signal's size.",
        disproof="The early layers' weights move as much as the late ones'.",
    )


def _sizes(evidence: Evidence) -> dict[str, float]:
    """Root mean square of the gradient a weight, early in the run, by layer with a matrix in the order of the network.
    Root mean square of the gradient a weight, early in the run, by layer with a matrix in the order of the network."""
    counts: dict[str, int] = {}
    for _, one in evidence.parameters():
        if len(one.shape) >= 2 and one.used and one.trainable:
            counts[one.module] = counts.get(one.module, 0) + math.prod(one.shape)
    found: dict[str, float] = {}
    for name, count in counts.items():
        series = evidence.layer(name, "gradient_norm").finite
        if not len(series):
            series = evidence.series("train", f"layer:{name}", "gradient_norm").finite
        if len(series):
            found[name] = float(np.median(series.y[:6])) / math.sqrt(count)
    return found


RULE = Rule("vanishing_gradient", find, explains=("undertrained",), needs=("models",))
