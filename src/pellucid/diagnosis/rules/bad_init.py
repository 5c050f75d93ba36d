"""Random weights that start at a wrong scale.

std · √fan_in is what a layer multiplies its signal by: 1.41 in He's scheme (He et al. 2015), 1 in Xavier's (Glorot
& Bengio 2010), 0.58 in PyTorch's own. Above 5 the signal grows fivefold a layer and units saturate or logits
explode; below 0.05 it dies out. A mean far from 0 is as bad: mean · √fan_in of the spread pushes every unit to one
side. Only weights that are no PyTorch default count, with a first loss far from its expected value or a bad end.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING

from pellucid.diagnosis.curves import first_loss_expected
from pellucid.diagnosis.edits import trees
from pellucid.diagnosis.rivals import ending, ending_said, strange_weights
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.watched_script import CodeLine, ScriptParameter

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_ONE_SIDED = 1.0
"""|mean| / std of the weights: every weight on one side of 0."""
_MANY = 8
"""Fan-in from which a one-sided mean adds up."""
_FAR = 3.0
"""The first loss over its expected value."""
_ABSURD = 20.0
"""The same, where the weights are wrong whatever comes of them: logits of such a size are no one's choice."""


def find(evidence: Evidence) -> Finding | None:
    """Weights of a wrong scale at the start, and a bad end or first loss."""
    strange = strange_weights(evidence) or _one_sided(evidence)
    if not strange:
        return None
    parameter, scale = strange[0]
    loss = evidence.main_loss
    expected = first_loss_expected(loss) if loss is not None else float("nan")
    first = evidence.loss_curve.first
    far = math.isfinite(expected) and first > _FAR * expected
    end = ending(evidence)
    short = bool(end) or evidence.outcome.short or first > _ABSURD * expected
    if not short and not far:
        return None
    width = min(1.0, abs(math.log10(scale / 1.4)) / 2) if scale > 0 else 0.0
    certainty = 0.62 + 0.2 * width + (0.08 if far else 0.0) - (0.0 if short else 0.15)
    if scale == 0 or not strange_weights(evidence):
        certainty = 0.6
    return _finding(evidence, parameter, expected, certainty, short)


def _one_sided(evidence: Evidence) -> list[tuple[ScriptParameter, float]]:
    return [
        (parameter, parameter.initial_scale)
        for _, parameter in evidence.parameters()
        if len(parameter.shape) >= 2
        and parameter.used
        and math.prod(parameter.shape[1:]) >= _MANY
        and parameter.initial_unit_spread > 0
        and abs(parameter.initial_mean) > _ONE_SIDED * parameter.initial_std
    ]


def _finding(evidence: Evidence, parameter: ScriptParameter, expected: float, certainty: float, short: bool) -> Finding:
    scale = parameter.initial_scale
    first = evidence.loss_curve.first
    figures = [
        figure(f"std · √fan_in of {parameter.name}", scale, "0.58 (PyTorch) to 1.41 (He)"),
        figure("its mean over its std", parameter.initial_mean / max(parameter.initial_std, 1e-300), "about 0"),
    ]
    said = f"about {expected:.3g} for a network that knows nothing" if math.isfinite(expected) else ""
    figures.append(figure("loss at the start", first, said))
    place = _place(evidence)
    size = "wide" if scale > 1.5 else "one-sided" if scale > 0.2 else "narrow"
    return make_finding(
        "bad_init",
        severity="fault" if short else "warning",
        certainty=certainty,
        title=f"The weights of {parameter.name} start too {size} (std {parameter.initial_std:.3g})",
        place=place,
        layer=parameter.module,
        parameter=parameter.name,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss)],
        why="The signal changes its size by that factor in every layer, and the gradient "
        f"with it; {ending_said(evidence)}.",
        fix="Leave PyTorch's own initial values, or use nn.init.kaiming_normal_.",
        changes=_change(evidence, place),
        disproof="With He's initial values it trains no better.",
    )


def _lines(evidence: Evidence) -> list[tuple[str, ast.Call]]:
    found = []
    for file, tree in trees(evidence):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                drawn = name.split(".")[-1]
                if drawn.endswith("_") and drawn.split("_")[0] in ("normal", "uniform", "trunc", "constant", "fill"):
                    found.append((file, node))
    return found


def _place(evidence: Evidence) -> CodeLine | None:
    lines = _lines(evidence)
    return evidence.place(lines[0][0], lines[0][1].lineno) if lines else None


def _change(evidence: Evidence, place: CodeLine | None) -> list:
    """The drawing of weights replaced by He's."""
    if place is None:
        return []
    for file, node in _lines(evidence):
        name = ast.unparse(node.func)
        if node.lineno == place.line and name.split(".")[-2:-1] == ["init"] and node.args:
            code = evidence.code(file)
            owner = name.rsplit(".", 1)[0]
            return [code.replaced(node, f"{owner}.kaiming_normal_({ast.unparse(node.args[0])})")]
    return []


RULE = Rule(
    "bad_init",
    find,
    explains=(
        "overfitting",
        "dead_relu",
        "saturated_activation",
        "exploding_gradient",
        "vanishing_gradient",
        "undertrained",
        "lr_too_low",
        "lr_too_high",
        "nan_origin",
    ),
    needs=("models",),
)
