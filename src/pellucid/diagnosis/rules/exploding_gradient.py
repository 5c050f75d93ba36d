"""The gradient grows without bound. A symptom, mostly of a step, a loss or weights of a wrong size.

A gradient norm a thousand times its early median, or one that becomes infinite, together with a loss that diverges:
noise moves gradients by a factor of ten (Pascanu et al. 2013 clip at such a multiple of the usual norm).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.rivals import ending, ending_said
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_GROWN = 1e3
_HUGE = 1e4


def find(evidence: Evidence) -> Finding | None:
    """A gradient norm that grows a thousandfold, with a loss that diverges."""
    norms = evidence.column("gradient_norm")
    if len(norms) < 3 or ending(evidence) not in ("diverged", "stuck", "wild"):
        return None
    early = norms.begin(3)
    most, broken = norms.highest, not np.isfinite(norms.y).all()
    grown = most / max(early, 1e-12)
    if not (grown > _GROWN or early > _HUGE or (broken and most > 30 * early)):
        return None
    where = np.flatnonzero(~(norms.y < 30 * max(early, 1e-12)))
    return make_finding(
        "exploding_gradient",
        severity="fault",
        certainty=0.6 + 0.1 * min(1.0, math.log10(max(grown, 1.0)) / 6),
        title=f"The gradient explodes: its norm goes from {early:.3g} to {most:.3g}; {ending_said(evidence)}",
        since=int(norms.x[where[0]]) if len(where) else 0,
        place=evidence.main_loss.backward if evidence.main_loss is not None else None,
        evidence=[
            figure("gradient norm at the start", early),
            figure("largest gradient norm", most, "within ten times the start"),
            figure("share of updates with a gradient not finite", float((~np.isfinite(norms.y)).mean()), "0"),
        ],
        curves=[curve("gradient norm", norms.finite), curve("loss", evidence.loss.finite)],
        why="Each step makes the next gradient larger, until numbers overflow.",
        fix="Clip by torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0) before the step, and lower the rate.",
        disproof="With clipped gradients the loss diverges as well.",
    )


RULE = Rule("exploding_gradient", find, explains=("nan_origin", "dead_relu"), needs=("steps",))
