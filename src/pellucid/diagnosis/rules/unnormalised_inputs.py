"""Features reach the network raw: columns of tens or thousands where about one is expected.

A column ten times its usual size makes the first layer's gradient ten times as large and the largest stable rate a
hundred times smaller (LeCun et al. 1998, "Efficient BackProp", §4.3). The inputs are judged as they stand at the
model's door; a network that normalises them itself before its first weights is left alone, and so are token
numbers. With a good end the same is only a warning.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.edits import trees
from pellucid.diagnosis.input_change import standardised_inputs
from pellucid.diagnosis.rivals import LARGE_INPUT, ending, ending_said
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.watched_script import CodeLine

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.diagnosis.input_scale import InputScale
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_HUGE_INPUT = 50.0
"""Grey levels up to 255 and raw tables lie above, whole digits up to 16 below."""
_LEVEL = 3.0
"""|mean| / std of columns that all lie to one side: a ridge that gradient descent walks along."""


def find(evidence: Evidence) -> Finding | None:
    """Input columns far larger than 1."""
    scale = evidence.input_scale
    if not scale.known or scale.rms_most < LARGE_INPUT:
        return None
    end, outcome = ending(evidence), evidence.outcome
    short = bool(end) or _uneven_end(evidence) or (outcome.short and scale.rms_most >= _HUGE_INPUT)
    if not short and not outcome.reached < 0.9 and scale.rms_most < _HUGE_INPUT:
        return None
    size = min(1.0, math.log10(scale.rms_most / LARGE_INPUT) / 2)
    certainty = 0.68 + 0.2 * size + (0.05 if scale.ratio > 100 and scale.columns < 200 else 0.0)
    certainty -= 0.0 if end else 0.1
    return _finding(evidence, scale, certainty, short)


def _uneven_end(evidence: Evidence) -> bool:
    """Whether the first loss was many times what an answer without knowledge gives: a second sign of wrong scales."""
    loss = evidence.loss_curve
    return math.isfinite(loss.constant) and loss.first > 10 * loss.constant and loss.last > 0.3 * loss.constant


def _finding(evidence: Evidence, scale: InputScale, certainty: float, short: bool) -> Finding:
    name = _data_name(evidence)
    place = name[1] if name else evidence.trained_models[0].place if evidence.trained_models else None
    figures = [
        figure("largest column's root mean square", scale.rms_most, "about 1"),
        figure("its largest |mean|", scale.mean_most, "about 0"),
        figure("largest entry", scale.largest),
        figure("largest column over smallest", scale.ratio, "below 10"),
    ]
    return make_finding(
        "unnormalised_inputs",
        severity="fault" if short else "warning",
        certainty=certainty,
        title=f"The inputs are not normalised: columns of size {scale.rms_most:.3g} reach the network",
        place=place,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss)],
        why=f"Large columns drown the others and make the gradient as much larger; {ending_said(evidence)}.",
        fix="Standardise the inputs with mean and standard deviation of the training part "
        "before they reach the network.",
        changes=standardised_inputs(evidence),
        disproof="Standardised inputs train no better.",
    )


def _data_name(evidence: Evidence) -> tuple[str, CodeLine] | None:
    """The name that the model is called with, and its last assignment at top level."""
    import ast

    for file, tree in trees(evidence):
        names = {
            node.args[0].value.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Subscript)
            and isinstance(node.args[0].value, ast.Name)
        }
        lines = [
            node.lineno
            for node in tree.body
            if isinstance(node, ast.Assign)
            and any(isinstance(part, ast.Name) and part.id in names for aim in node.targets for part in ast.walk(aim))
        ]
        if lines:
            return "", evidence.place(file, int(np.max(lines)))
    return None


RULE = Rule(
    "unnormalised_inputs",
    find,
    explains=(
        "dead_relu",
        "saturated_activation",
        "exploding_gradient",
        "vanishing_gradient",
        "undertrained",
        "undersized_network",
        "lr_too_high",
        "lr_too_low",
        "nan_origin",
    ),
    needs=("steps",),
)
