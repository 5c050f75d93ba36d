"""The batch already holds NaN or infinity before the network touches it. Seen or not: no threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.nonfinite import find_origin, is_computed
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding
    from pellucid.results.watched_script import CodeLine

__all__ = ["RULE", "find"]


def find(evidence: Evidence) -> Finding | None:
    """A non-finite value in inputs or targets."""
    origin = evidence.script.nonfinite
    made, told = find_origin(evidence), evidence.script.nonfinite
    if made is not None and made.phase != "data" and made.inputs_finite:
        return None  # finite data; what follows from it is not
    if told is not None and is_computed(evidence, told):
        return None
    traced = origin is not None and origin.phase == "data"
    shares = {name: _share(evidence, name) for name in ("input", "target")}
    what = max(shares, key=lambda name: shares[name])
    if not traced and not shares[what] > 0:
        return None
    if traced and origin is not None and origin.what in shares:
        what = origin.what
    broken = not evidence.loss_curve.finite or (traced and not np.isfinite(evidence.loss.y).all())
    first = _first_step(evidence, what) if origin is None or not traced else origin.step
    return make_finding(
        "nan_in_data",
        severity="fault" if broken or traced else "warning",
        certainty=0.97 if traced or broken else 0.7,
        title=f"The {what}s hold values that are not finite before the network touches them",
        place=origin.place if origin is not None and traced else _entry(evidence),
        since=first,
        evidence=[
            figure(f"share of {what}s not finite", shares[what], "0"),
            figure("first seen at step", first),
        ],
        curves=[curve("loss", evidence.loss.finite)],
        why="One NaN in a batch makes the loss NaN, its gradient NaN, and with one update every weight NaN.",
        fix="Fill or drop the rows with missing values before training, for instance by the column's mean.",
        disproof="Every entry of inputs and targets is finite.",
    )


def _share(evidence: Evidence, subject: str) -> float:
    values = [evidence.series(phase, subject, "nonfinite").highest for phase in ("train", "evaluation")]
    for seen in evidence.script.examples:
        entries = seen.inputs if subject == "input" else seen.targets
        values.append(float((~np.isfinite(entries)).mean()) if entries.size else 0.0)
    return max([value for value in values if not np.isnan(value)], default=0.0)


def _first_step(evidence: Evidence, subject: str) -> int:
    series = evidence.series("train", subject, "nonfinite")
    hit = series.x[series.y > 0]
    return int(hit[0]) if len(hit) else -1


def _entry(evidence: Evidence) -> CodeLine | None:
    return evidence.trained_models[0].place if evidence.trained_models else None


RULE = Rule(
    "nan_in_data", find, explains=("nan_origin", "exploding_gradient", "dead_relu", "lr_too_high", "undertrained")
)
