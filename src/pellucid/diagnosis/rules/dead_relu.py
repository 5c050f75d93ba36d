"""ReLU units that put out 0 for every example, and so get no gradient. A symptom, unless the layer starts that way.

Some zeros are what ReLU is for: half of them at the start. A layer of which nine tenths of the units are 0 for a
whole batch, or whose entries are 0 to 98 %, passes next to nothing on; Lu et al. 2019 ("Dying ReLU") call it dead
when all are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.series import Series
from pellucid.results.watched_script import CodeLine

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_DEAD_UNITS = 0.9
_DEAD_ENTRIES = 0.98
_RELU = ("relu", "relu_", "relu6", "clamp_min", "threshold")


def find(evidence: Evidence) -> Finding | None:
    """A layer whose ReLU units are nearly all dead."""
    found = max([*_of_layers(evidence), *_of_calls(evidence)], key=lambda one: one[1], default=None)
    if found is None:
        return None
    layer, share, since, place, series = found
    short = bool(ending(evidence)) or evidence.outcome.short
    return make_finding(
        "dead_relu",
        severity="fault" if short else "note",
        certainty=(0.82 if since == 0 else 0.62) + (0.08 if share > 0.995 else 0.0),
        title=f"{share:.0%} of {layer or 'a ReLU layer'} is 0 whatever the "
        f"input{' from the first step on' if since == 0 else ''}",
        layer=layer,
        since=since,
        place=place,
        evidence=[
            figure("share that is 0", share, "about 0.5"),
            figure("dead since step", since),
            figure("loss at the end", evidence.loss_curve.last),
        ],
        curves=[curve("share of dead units", series), curve("loss", evidence.loss.finite)],
        why="A unit below 0 for every example has slope 0, so that no gradient brings it back.",
        fix="Use LeakyReLU, or weights and a rate that keep units alive (He's initial values, a lower rate).",
        disproof="On other examples the units give values above 0.",
    )


_Found = tuple[str, float, int, CodeLine | None, Series]


def _of_layers(evidence: Evidence) -> list[_Found]:
    found: list[_Found] = []
    place = evidence.trained_models[0].place if evidence.trained_models else None
    for name in evidence.layer_names:
        dead = evidence.layer(name, "dead_units").finite
        if not len(dead) or not _is_relu(evidence, name):
            continue
        share = dead.end(0.3, 2)
        if share > _DEAD_UNITS:
            since = dead.x[dead.y > _DEAD_UNITS]
            found.append((name, float(share), int(since[0]) if len(since) else 0, place, dead))
    return found


def _is_relu(evidence: Evidence, name: str) -> bool:
    """Whether a layer's zeros are those of a rectifier: it is one, or one follows it."""
    kinds = [module.kind for _, module in evidence.modules() if module.name == name]
    return any("ReLU" in kind for kind in kinds) or not any(
        word in kind for kind in kinds for word in ("Dropout", "Embedding", "Flatten", "Pool")
    )


def _of_calls(evidence: Evidence) -> list[_Found]:
    found: list[_Found] = []
    relus = [call for call in evidence.calls(*_RELU, phase="train") if call.outputs and call.reaches_loss is not None]
    late = max((call.step for call in relus), default=0)
    for call in relus:
        zero = call.outputs[0].zero
        if call.step != late or not zero > _DEAD_ENTRIES:
            continue
        same = [one for one in relus if one.place == call.place and one.module == call.module]
        early = [one.step for one in same if one.outputs[0].zero > _DEAD_ENTRIES]
        series = Series(*_columns([(one.step, one.outputs[0].zero) for one in same]))
        found.append((call.module, float(zero), int(min(early, default=0)), call.place, series))
    return [one for one in found if math.isfinite(one[1])]


def _columns(pairs: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:

    values = np.array(sorted(pairs), dtype=np.float64).reshape(-1, 2)
    return values[:, 0], values[:, 1]


RULE = Rule("dead_relu", find, explains=("vanishing_gradient", "undertrained"), needs=("models",))
