"""Inputs are almost constant, as after a second scaling: a network sees next to nothing of them.

Inputs that were scaled once have a spread of about 1 (standardised) or 0.3 (to [0, 1]); divided by 255 again, of
0.001. Below 0.02, and small in size too, they are near-constant: twenty steps of a usual rate do not make up for a
factor of 50. That the source scales more than once makes it certain; without any scaling there, raw data of that
size are taken for unnormalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.diagnosis.input_scale import scaling_lines
from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_FLAT = 0.02


def find(evidence: Evidence) -> Finding | None:
    """Inputs whose spread is a fiftieth of 1 or less."""
    scale = evidence.input_scale
    if not scale.known or not 0 < scale.std_most < 5 * _FLAT or scale.spread > 5 * _FLAT:
        return None
    if min(scale.spread, scale.std_most) > _FLAT or scale.std_usual > _FLAT:
        return None
    lines = scaling_lines(evidence)
    short = bool(ending(evidence)) or evidence.outcome.short
    place = lines[-1] if lines else None
    return make_finding(
        "double_normalisation",
        severity="fault" if short else "warning",
        certainty=(0.9 if len(lines) > 1 else 0.75 if lines else 0.6) - (0.0 if short else 0.15),
        title=f"The inputs are almost constant (spread {scale.spread:.2g}), as if they had been scaled twice",
        place=place,
        since=0,
        evidence=[
            figure("spread of the inputs", scale.spread, "0.3 for [0, 1], 1 standardised"),
            figure("usual spread of a column", scale.std_usual, "about 1"),
            figure("largest entry", scale.largest),
            figure("lines that scale", len(lines)),
        ],
        curves=[curve("loss", evidence.loss)],
        why="To inputs that hardly differ a network gives answers that hardly differ, and "
        "its first layer's gradient is as small.",
        fix="Scale the inputs once: take one of the two scalings out."
        if len(lines) > 1
        else "Scale the inputs to a spread of about 1.",
        disproof="With inputs of spread 1 it trains no better.",
    )


RULE = Rule(
    "double_normalisation",
    find,
    explains=("lr_too_low", "undertrained", "vanishing_gradient", "undersized_network", "label_corruption"),
    needs=("steps",),
)
