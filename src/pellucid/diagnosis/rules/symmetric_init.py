"""Units of a layer start equal, and equal units get equal gradients: the layer stays one unit for ever.

Weights are symmetric when no entry differs between units (standard deviation over units exactly 0, Goodfellow et
al. 2016, §8.4). The last layer may start so, and any weight whose units part later (the B of LoRA, the zero start
of a residual branch); what counts is a hidden layer that is still symmetric, or of which no later sight is to be
had. In ``x @ w`` the units are the columns: they stay equal where the next weight starts constant as well.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from pellucid.diagnosis.edits import trees
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import CodeLine, ScriptParameter

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_TINY = 1e-6
"""Of the weights' size: rounding alone parts equal units by less."""
_EARLY, _EARLY_STEPS = 0.1, 20
"""Of the run, and updates: noise, dropout or what differs in the next layer parts units well before."""
_CONSTANT = ("ones_", "zeros_", "constant_", "fill_", "zero_", "ones", "zeros", "full")


def find(evidence: Evidence) -> Finding | None:
    """A hidden layer whose units are all equal."""
    hidden = [one for one in _symmetric(evidence) if not _is_last(evidence, one) and not _parted(evidence, one)]
    if not hidden:
        return None
    parameter = hidden[0]
    spread = evidence.last(f"layer:{parameter.module}", "unit_spread")
    place = _place(evidence)
    return make_finding(
        "symmetric_init",
        severity="fault",
        certainty=0.97,
        title=f"All {_units(evidence, parameter)} units of {parameter.module or parameter.name} start "
        "with the same weights and stay equal",
        place=place,
        layer=parameter.module,
        parameter=parameter.name,
        since=0,
        evidence=[
            figure("spread over units at the start", parameter.initial_unit_spread, "above 0"),
            figure("spread over units at the end", spread, "above 0"),
            figure("layers that start so", len(hidden)),
            figure("loss at the end", evidence.loss_curve.last),
        ],
        curves=[curve("loss", evidence.loss)],
        why="Equal units compute the same and get the same gradient, so that the layer can do no more than one unit.",
        fix="Draw the weights at random, for instance by nn.init.kaiming_normal_, or leave PyTorch's own.",
        changes=_change(evidence, place),
        disproof="The rows of the weight differ after the first updates.",
    )


def _symmetric(evidence: Evidence) -> list[ScriptParameter]:
    return [
        parameter
        for model, parameter in evidence.parameters()
        if len(parameter.shape) >= 2
        and parameter.shape[0] > 1
        and parameter.trainable
        and parameter.used
        and parameter.initial_unit_spread == 0
        and not any(m.name == parameter.module and m.kind.startswith("Embedding") for m in model.modules)
    ]


def _is_last(evidence: Evidence, parameter: ScriptParameter) -> bool:
    """Whether it is the last weight that the signal passes."""
    weights = [one for _, one in evidence.parameters() if len(one.shape) >= 2 and one.used]
    if len(weights) < 2:
        return True
    loss = evidence.main_loss
    if loss is not None and loss.last_module and loss.last_module == parameter.module:
        return True
    return weights[-1].name == parameter.name


def _is_applied_from_the_right(evidence: Evidence, parameter: ScriptParameter) -> bool:
    """Whether it is an (inputs, units) matrix of ``x @ w``, whose units are its columns."""
    return any(
        len(call.inputs) > 1 and call.inputs[1].origin == "parameter" and call.inputs[1].shape == parameter.shape
        for call in evidence.calls("matmul", "mm", phase="train")
    )


def _units(evidence: Evidence, parameter: ScriptParameter) -> int:
    return parameter.shape[1 if _is_applied_from_the_right(evidence, parameter) else 0]


def _is_constant(parameter: ScriptParameter) -> bool:
    return parameter.initial_std <= _TINY * abs(parameter.initial_mean)


def _columns_stay(evidence: Evidence, parameter: ScriptParameter) -> bool:
    """Whether columns are equal for ever: they start so, and the next weight hands each the same gradient."""
    following = [
        other
        for _, other in evidence.parameters()
        if len(other.shape) == 2 and other.shape[0] == parameter.shape[1] and other.name != parameter.name
    ]
    return (
        len(parameter.shape) == 2
        and _is_constant(parameter)
        and any(_is_constant(other) for other in following)
        and _is_applied_from_the_right(evidence, parameter)
    )


def _parted(evidence: Evidence, parameter: ScriptParameter) -> bool:
    if _columns_stay(evidence, parameter):
        return False  # what is watched are its rows, which differ as the inputs do
    series = evidence.series("train", f"layer:{parameter.module}", "unit_spread").finite
    if not len(series):
        return False
    size = max(parameter.final_norm, parameter.initial_norm, 1e-12) / max(1, parameter.shape[0]) ** 0.5
    early = series.y[series.x <= max(_EARLY_STEPS, _EARLY * evidence.script.steps)]
    reached = float(early[-1]) if len(early) else series.last  # later, rounding alone has parted them
    return bool(reached > 1e-3 * size and reached > _TINY)


def _calls(evidence: Evidence) -> list[tuple[str, ast.Call]]:
    return [
        (file, node)
        for file, tree in trees(evidence)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in _CONSTANT
        if "bias" not in ast.unparse(node)
    ]


def _place(evidence: Evidence) -> CodeLine | None:
    calls = _calls(evidence)
    return evidence.place(calls[0][0], calls[0][1].lineno) if calls else None


def _change(evidence: Evidence, place: CodeLine | None) -> list[LineChange]:
    changes: list[LineChange] = []
    for file, node in _calls(evidence):
        owner = ast.unparse(node.func).rsplit(".", 1)
        if place is not None and node.lineno == place.line and owner[0].endswith("init") and node.args:
            text = f"{owner[0]}.kaiming_normal_({ast.unparse(node.args[0])})"
            changes.append(evidence.code(file).replaced(node, text))
    return changes[:1]


RULE = Rule(
    "symmetric_init",
    find,
    explains=(
        "undersized_network",
        "undertrained",
        "vanishing_gradient",
        "dead_relu",
        "bad_init",
        "saturated_activation",
        "lr_too_low",
    ),
    needs=("models",),
)
