"""How a run ended badly, and which scales of it are out of the ordinary: what divergence may come from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid.results.watched_script import ScriptParameter

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = [
    "LARGE_INPUT",
    "LARGE_TARGET",
    "Ending",
    "ending",
    "ending_said",
    "odd_scales",
    "strange_weights",
    "target_rms",
]

Ending = Literal["", "diverged", "stuck", "wild", "poor"]

LARGE_INPUT = 10.0
"""Columns this many times their usual size of 1: the first layer's gradient is as many times that of scaled inputs, and
the largest stable rate falls by the square (LeCun et al. 1998, "Efficient BackProp", §4.3 and §5)."""

LARGE_TARGET = 30.0
"""Targets this far from the outputs of about 1 that a fresh network gives: it must first grow there."""

_LARGE_WEIGHT = 5.0
"""std · √fan_in: He's is 1.41 and PyTorch's own 0.58; above 5 the signal grows fivefold a layer."""
_SMALL_WEIGHT = 0.05
"""Below, a signal shrinks twentyfold a layer."""
_NOT_WEIGHTED = ("Embedding", "EmbeddingBag")


def ending(evidence: Evidence) -> Ending:
    """In which way the run ended badly; empty where it did not."""
    curve, outcome = evidence.loss_curve, evidence.outcome
    if outcome.diverged or not curve.finite:
        return "diverged"
    good = math.isfinite(outcome.reached) and outcome.reached > 0.9
    if (curve.at_chance and not good) or curve.last > 1.1 * curve.constant > 0:
        return "stuck"
    if curve.wild:
        return "wild"
    if not math.isfinite(curve.constant) and not good and curve.fall < 0.02:
        return "stuck"
    return "poor" if outcome.poor else ""


def ending_said(evidence: Evidence) -> str:
    """The same in words of the loss."""
    curve = evidence.loss_curve
    if not curve.finite:
        return "the loss became NaN or infinite"
    return {
        "diverged": f"the loss went from {curve.first:.3g} to {curve.last:.3g}",
        "stuck": f"the loss stayed at {curve.last:.3g}, what a constant answer gives",
        "wild": f"the loss still jumps around {curve.last:.3g} at the end",
        "poor": f"the loss only came from {curve.first:.3g} to {curve.last:.3g}",
        "": f"the loss came from {curve.first:.3g} to {curve.last:.3g}",
    }[ending(evidence)]


def target_rms(evidence: Evidence) -> float:
    """The root mean square of regression targets; nan for other tasks."""
    seen = evidence.examples("train")
    if evidence.outcome.task != "regression":
        return float("nan")
    if seen is not None and len(seen.targets):
        kept = np.asarray(seen.targets, dtype=np.float64)
        kept = kept[np.isfinite(kept)]
        if kept.size:
            return float(np.sqrt(np.square(kept).mean()))
    return math.hypot(evidence.first("target", "mean"), evidence.first("target", "std"))


def strange_weights(evidence: Evidence) -> list[tuple[ScriptParameter, float]]:
    """Weights that began far too wide or too narrow, with their std · √fan_in, the strangest first."""
    found = []
    for model, parameter in evidence.parameters():
        scale = parameter.initial_scale
        kinds = {module.name: module.kind for module in model.modules}
        weighted = len(parameter.shape) >= 2 and kinds.get(parameter.module) not in _NOT_WEIGHTED
        strange = scale > _LARGE_WEIGHT or scale < _SMALL_WEIGHT
        if weighted and parameter.used and math.isfinite(scale) and strange and parameter.initial_unit_spread > 0:
            found.append((parameter, scale))
    return sorted(found, key=lambda one: -abs(math.log10(max(one[1], 1e-30))))


def odd_scales(evidence: Evidence) -> list[str]:
    """Codes whose own sign is there, and which bring divergence or a standstill about at a usual rate."""
    found = []
    scale, optimizer, loss = evidence.input_scale, evidence.main_optimizer, evidence.main_loss
    if scale.known and scale.rms_most > LARGE_INPUT:
        found.append("unnormalised_inputs")
    if target_rms(evidence) > LARGE_TARGET:
        found.append("unscaled_targets")
    if loss is not None and loss.reduction == "sum":
        found.append("loss_reduction_sum")
    if any(value > _LARGE_WEIGHT for _, value in strange_weights(evidence)):
        found.append("bad_init")
    if optimizer is not None and optimizer.cleared < 0.5:
        found.append("missing_zero_grad")
    return found
