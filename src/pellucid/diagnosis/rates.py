"""Learning rates: what is usual for which optimiser, how far the weights moved in a step, and the line to change.

Usual rates are those that the optimisers' authors and PyTorch propose, an order of magnitude to both sides: Adam
and its kin 0.001 (Kingma & Ba 2015), RMSprop 0.001–0.01 (Hinton's lecture 6e), Adagrad 0.01 (Duchi et al. 2011),
Adadelta 1 (Zeiler 2012), plain SGD 0.01–0.1 for standardised inputs (Bengio 2012, "Practical recommendations",
§3.1.1), with momentum β counted as lr / (1 − β). An update of about a thousandth of the weights a step is healthy
(Karpathy, CS231n, "ratio of weights to updates").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.edits import set_argument
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import OptimizerGroup, ScriptOptimizer

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["HEALTHY_UPDATE", "Rate", "adaptive", "number", "rate_change", "read_rate", "update_ratio"]

HEALTHY_UPDATE = 1e-3
"""‖Δw‖ / ‖w‖ a step (Karpathy, CS231n): a hundred times more overwrites weights, a hundred times less stands still."""

_NAN = float("nan")

_USUAL: dict[str, tuple[float, float, float]] = {  # least, proposed, most; SGD's with momentum as lr / (1 − β)
    "SGD": (3e-3, 0.05, 2.0),
    "ASGD": (3e-3, 0.05, 2.0),
    "Adam": (1e-4, 1e-3, 0.02),
    "AdamW": (1e-4, 1e-3, 0.02),
    "NAdam": (1e-4, 2e-3, 0.02),
    "RAdam": (1e-4, 1e-3, 0.03),
    "Adamax": (1e-4, 2e-3, 0.03),
    "SparseAdam": (1e-4, 1e-3, 0.05),
    "RMSprop": (1e-4, 1e-3, 0.02),
    "Adagrad": (1e-3, 1e-2, 0.5),
    "Adadelta": (0.05, 1.0, 5.0),
    "LBFGS": (0.05, 1.0, 1.5),
    "Rprop": (1e-5, 1e-2, 0.5),
    "Adafactor": (1e-4, 1e-2, 0.1),
    "Muon": (1e-3, 2e-2, 0.2),
}
_OTHERS = (1e-5, 1e-3, 1.0)
_ADAPTIVE = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam", "RMSprop")
"""A step of theirs moves each weight by about the rate itself, whatever the gradient's size."""


@dataclass(frozen=True)
class Rate:
    """An optimiser's rate as training began, and what is usual for its kind."""

    optimizer: ScriptOptimizer
    value: float  # lr as given
    effective: float  # lr / (1 − momentum) for SGD
    least: float
    proposed: float  # in the units of ``value``
    most: float

    @property
    def excess(self) -> float:
        """How many times the largest usual rate it is; below 1: not too large."""
        return self.effective / self.most

    @property
    def lack(self) -> float:
        """How many times below the least usual rate it is; below 1: not too small."""
        return self.least / self.effective if self.effective > 0 else math.inf

    @property
    def range_said(self) -> str:
        """What is usual, as words."""
        return f"usual for {self.optimizer.kind}: {self.least:g} to {self.most:g}"


def number(group: OptimizerGroup, name: str) -> float:
    """A setting of a group as a number; nan where it has none of the name."""
    value = group.settings.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else _NAN


def adaptive(kind: str) -> bool:
    """Whether steps of this optimiser are about as large as its rate."""
    return kind in _ADAPTIVE


def read_rate(evidence: Evidence) -> Rate | None:
    """The rate of the optimiser that stepped most, in its largest group."""
    optimizer = evidence.main_optimizer
    if optimizer is None or not optimizer.groups:
        return None
    group = max(optimizer.groups, key=lambda one: one.parameters)
    value = number(group, "lr")
    seen = evidence.column("learning_rate").finite.y
    if len(seen) and len(optimizer.groups) == 1:
        value = float(np.median(seen[: max(1, len(seen) // 10)])) if _warmed_up(seen) else float(seen[0])
    if not value > 0:
        return None
    momentum = number(group, "momentum")
    damped = 1 - momentum if optimizer.kind == "SGD" and 0 < momentum < 1 else 1.0
    least, proposed, most = _USUAL.get(optimizer.kind, _OTHERS)
    return Rate(optimizer, value, value / damped, least, proposed * min(1.0, 2 * damped), most)


def _warmed_up(seen: np.ndarray) -> bool:
    """Whether the rate rose from its first value: a warm-up's start says nothing of the rate."""
    return bool(seen.max() > 1.5 * seen[0])


def update_ratio(evidence: Evidence, late: bool = False) -> float:
    """The usual ‖Δw‖/‖w‖ of a step: the median over layers with weights, of their first sampled steps or of all.

    Args:
        evidence: Of the run.
        late: Over the whole run rather than its first steps.
    """
    values = []
    for name in evidence.layer_names:
        series = evidence.layer(name, "update_ratio").finite
        kept = series.y[series.y > 0]
        if len(kept):
            values.append(float(np.median(kept if late else kept[:4])))
    if not values:
        for subject in evidence.subjects("layer:"):
            kept = evidence.series("train", subject, "update_ratio").finite.y
            kept = kept[kept > 0]
            if len(kept):
                values.append(float(np.median(kept if late else kept[:4])))
    return float(np.median(values)) if values else _NAN


def rate_change(evidence: Evidence, rate: Rate, value: float) -> tuple[LineChange, ...]:
    """The user's line with another rate; empty where the line cannot be found."""
    position = 1 if rate.optimizer.kind != "Adafactor" else -1
    return set_argument(evidence, rate.optimizer.place, rate.optimizer.kind, "lr", f"{value:g}", position=position)
