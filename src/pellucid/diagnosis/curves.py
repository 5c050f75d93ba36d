"""What the loss's curve says: against the best constant answer, its fall, its noise, and whether it goes on falling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.watched_script import ScriptLoss

__all__ = ["LossCurve", "constant_loss", "first_loss_expected", "read_curve", "usual_progress"]

_NAN = float("nan")
_PARTS = 40


@dataclass(frozen=True)
class LossCurve:
    """A loss over the run, read once. Figures are nan where the run is too short for them."""

    constant: float  # the loss of the best constant answer; nan where the loss is not one of the known ones
    first: float
    last: float  # mean of the last tenth
    lowest: float  # of the smoothed curve
    noise: float  # standard deviation over the last quarter, around a line
    fall: float  # share of the first value that is gone at the end
    late_fall: float  # mean of the third quarter minus that of the last
    late_error: float  # standard error of that difference
    rises: float  # the largest rise of the smoothed curve, as a share of the first value
    finite: bool  # whether the last values are

    @property
    def at_chance(self) -> bool:
        """Whether the end is no better than the best constant answer, give or take a tenth."""
        return math.isfinite(self.constant) and self.constant > 0 and not self.last < 0.9 * self.constant

    @property
    def still_falling(self) -> bool:
        """Whether the last quarter lies below the third by more than chance and by at least 2 % of the first value."""
        gain = self.late_fall
        return math.isfinite(gain) and gain > max(3 * self.late_error, 0.02 * abs(self.first))

    @property
    def wild(self) -> bool:
        """Whether the loss still jumps at the end as far as a constant answer lies from a perfect one."""
        level = self.constant if math.isfinite(self.constant) else self.first
        return math.isfinite(self.noise) and self.noise > 0.35 * abs(level) and self.last > 0.35 * abs(level)


def read_curve(evidence: Evidence) -> LossCurve:
    """Read the loss of a run."""
    loss = evidence.loss
    tail = loss.y[-max(1, len(loss) // 20) :]
    smooth = loss.smooth(_PARTS).y
    third, fourth = loss.part(0.5, 0.75).finite.y, loss.part(0.75, 1.0).finite.y
    first, last = loss.begin(), loss.end()
    known = math.isfinite(first) and math.isfinite(last) and first != 0
    late_fall = late_error = noise = _NAN
    if len(third) >= 4 and len(fourth) >= 4:
        late_fall = float(third.mean() - fourth.mean())
        late_error = float(np.sqrt(third.var() / len(third) + fourth.var() / len(fourth)))
        noise = _noise(fourth)
    return LossCurve(
        constant=constant_loss(evidence),
        first=first,
        last=last,
        lowest=float(smooth.min()) if len(smooth) else _NAN,
        noise=noise,
        fall=(first - last) / abs(first) if known else _NAN,
        late_fall=late_fall,
        late_error=late_error,
        rises=_largest_rise(smooth) / abs(first) if known and len(smooth) > 2 else 0.0,
        finite=bool(len(tail)) and bool(np.isfinite(tail).any()),
    )


def usual_progress(curve: LossCurve) -> float:
    """How much of the way from the first loss to 0 was gone; for a loss below its constant answer, from that answer."""
    start = min(curve.first, curve.constant) if math.isfinite(curve.constant) else curve.first
    return 1 - curve.last / start if start > 0 and math.isfinite(curve.last) else _NAN


def first_loss_expected(loss: ScriptLoss) -> float:
    """What a classifier's loss is before it knows anything: log C, or log 2 a label; nan for other losses."""
    if loss.reduction == "sum":
        return _NAN
    if loss.kind in ("cross_entropy", "nll") and loss.classes > 1:
        return math.log(loss.classes)
    return math.log(2) if loss.kind in ("bce", "bce_with_logits") else _NAN


def constant_loss(evidence: Evidence) -> float:
    """The loss of the best answer that is the same for every example, over the examples seen; nan where unknown."""
    loss, seen = evidence.main_loss, evidence.examples("train")
    if loss is None or seen is None or not len(seen.targets) or loss.reduction == "sum" or loss.terms:
        return _NAN
    targets = np.asarray(seen.targets, dtype=np.float64).reshape(len(seen.targets), -1)
    targets = targets[np.isfinite(targets).all(axis=1)]
    if not len(targets):
        return _NAN
    if loss.kind in ("cross_entropy", "nll"):
        return _entropy(targets, loss.target_one_hot)
    if loss.kind in ("bce", "bce_with_logits"):
        share = np.clip(targets.mean(axis=0), 1e-6, 1 - 1e-6)
        return float(-(share * np.log(share) + (1 - share) * np.log(1 - share)).mean())
    return _constant_distance(loss.kind, targets)


def _entropy(targets: np.ndarray, one_hot: bool) -> float:
    if one_hot and targets.shape[1] > 1:
        share = targets.mean(axis=0)
    else:
        share = np.unique(targets.reshape(-1).round(), return_counts=True)[1] / targets.size
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def _constant_distance(kind: str, targets: np.ndarray) -> float:
    if kind == "mse":
        return float(targets.var(axis=0).mean())
    distance = np.abs(targets - np.median(targets, axis=0))
    if kind == "l1":
        return float(distance.mean())
    if kind == "huber":
        return float(np.where(distance < 1, 0.5 * distance**2, distance - 0.5).mean())
    return _NAN


def _noise(values: np.ndarray) -> float:
    """The spread around a straight line."""
    along = np.linspace(-1.0, 1.0, len(values))
    return float((values - np.polyval(np.polyfit(along, values, 1), along)).std())


def _largest_rise(smooth: np.ndarray) -> float:
    """How far the curve rises above its lowest point so far."""
    return float((smooth - np.minimum.accumulate(smooth)).max())
