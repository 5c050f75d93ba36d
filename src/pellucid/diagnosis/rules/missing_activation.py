"""No non-linearity between layers with weights: together they are one linear map.
Followed along the recorded calls, from each layer's input back to the layer that made it. What a stack may leave out by
design is spared: a narrow layer between two wide ones (a code, a low-rank factor), grouped convolutions in front of
pointwise ones, layers whose input is a product of two activations, and a stem that a residual path takes as well.
"""

from __future__ import annotations

import ast
import math

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode, call_name
from pellucid.diagnosis.wiring import ACTIVATIONS, CONTRACTIONS, NONLINEAR, VIEWS, Wiring
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptCall

__all__ = ["RULE", "find"]

_PASSED = VIEWS | {
    *(
        "dropout",
        "feature_dropout",
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "batch_norm",
        "avg_pool1d",
        "avg_pool2d",
        "mean",
    ),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "sum", "pad", "interpolate", "pixel_shuffle", "identity"),
}
"""Linear in their input: what lies behind them still counts as the layer before."""

_JOINS = ("mul", "div", "add", "sub", "cat")
"""What a gate, a residual or a bypass joins two activations by."""

_WELL = 0.9
"""Of the way to what can be reached: a linear network that comes so far was enough."""


def find(evidence: Evidence) -> Finding | None:
    """Activations whose result is thrown away; layers with weights back to back."""
    return _thrown_away(evidence) or _back_to_back(evidence)


def _thrown_away(evidence: Evidence) -> Finding | None:
    """``F.relu(x)`` as a statement of its own: not in place, so nothing of it stays."""
    for code in evidence.codes:
        for node in ast.walk(code.tree):
            if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
                continue
            call = node.value
            inplace = any(keyword.arg == "inplace" for keyword in call.keywords)
            if call_name(call.func) not in ACTIVATIONS or inplace or not _ran(evidence, code, node.lineno):
                continue
            given = code.segment(call.args[0]) if call.args else ""
            if not given and isinstance(call.func, ast.Attribute):
                given = code.segment(call.func.value)
            change = (code.replaced(node, f"{given} = {code.segment(call)}"),) if given.isidentifier() else ()
            return _finding(
                evidence,
                title="The result of an activation is thrown away",
                place=evidence.place(code.file, node.lineno),
                certainty=0.93,
                severity="fault",
                figures=[],
                changes=change,
                why="The function gives a new tensor and leaves its argument as it is, so the layers stay linear.",
                fix="Assign the result.",
            )
    return None


def _ran(evidence: Evidence, code: SourceCode, line: int) -> bool:
    return any(call.place.line == line and call.place.file == code.file for call in evidence.script.calls)


def _back_to_back(evidence: Evidence) -> Finding | None:
    wirings = evidence.wirings("train")
    if not wirings:
        return None
    wiring = wirings[0]
    layers = [call for call in wiring.calls if _is_layer(call) and call.reaches_loss]
    if len(layers) < 2:
        return None
    pairs = [(before, call) for call in layers for before in _layers_before(wiring, call)]
    wide = [(before, call) for before, call in pairs if not _is_by_design(wiring, before, call)]
    whole = not any(call.function in NONLINEAR and call.reaches_loss and call.module for call in wiring.calls) and not (
        any(
            call.function in NONLINEAR and call.reaches_loss and _between(wiring, call, layers) for call in wiring.calls
        )
    )
    if not (wide or (whole and pairs)):
        return None
    before, call = (wide or pairs)[0]
    outcome = evidence.outcome
    well = outcome.reached > _WELL or outcome.best_score > 0.97
    short = outcome.poor or outcome.reached < _WELL
    if whole:
        severity, certainty = ("fault", 0.88) if short else ("warning", 0.5 if well else 0.8)
    else:
        severity, certainty = ("fault", 0.75) if outcome.poor else ("warning", 0.45 if well else 0.55)
    figures = [
        figure("layers with weights", len(layers)),
        figure("of them fed by another without a non-linearity", len({id(second) for _, second in pairs}), "0"),
    ]
    if math.isfinite(outcome.best_score):
        figures.append(figure("score reached", outcome.best_score, f"{outcome.reachable:.2f} can be reached"))
    names = f"{before.module or before.function} and {call.module or call.function}"
    place, changes = _insertion(evidence, wiring, before, call)
    return _finding(
        evidence,
        title="No activation anywhere: the network is one linear map" if whole else f"No activation between {names}",
        place=place,
        certainty=certainty,
        severity=severity,
        figures=figures,
        changes=changes,
        why="Two linear layers in a row can do no more than one: their weights multiply out to a single matrix.",
        fix=f"Put a non-linearity such as ReLU between {names}.",
        layer=call.module,
    )


def _is_layer(call: ScriptCall) -> bool:
    """Whether it is linear in one activation, with a parameter for its weights."""
    if call.function not in CONTRACTIONS:
        return False
    kinds = [facts.origin for facts in call.inputs]
    return "parameter" in kinds and kinds.count("activation") + kinds.count("input") >= 1


def _layers_before(wiring: Wiring, call: ScriptCall) -> list[ScriptCall]:
    def passes(fed: ScriptCall) -> bool:
        if fed.function in _JOINS:  # of two activations: a gate, a residual, a bypass
            live = [
                facts for facts in fed.inputs if facts.origin in ("activation", "input") and math.prod(facts.shape) > 1
            ]
            return len(live) < 2
        return fed.function in _PASSED

    return [fed for fed in wiring.sources(call, passes) if _is_layer(fed)]


def _between(wiring: Wiring, call: ScriptCall, layers: list[ScriptCall]) -> bool:
    """Whether it stands between two of the layers."""
    return layers[0].order < call.order < layers[-1].order


def _width(call: ScriptCall, output: bool) -> int:
    facts = call.outputs[0] if output else call.inputs[0]
    if not facts.shape:
        return 1
    axis = 1 if call.function.startswith("conv") and len(facts.shape) > 2 else -1
    return facts.shape[axis]


def _is_by_design(wiring: Wiring, before: ScriptCall, call: ScriptCall) -> bool:
    """A narrow code between two wider layers; a grouped convolution; a stem also carried past the next layer."""
    if any(user.function in _JOINS for user in wiring.users(before) if user is not call and user.reaches_loss):
        return len(wiring.users(before)) > 1
    if before.function.startswith("conv_transpose"):
        return True  # it enlarges, and what follows mixes
    groups = before.settings.get("groups", 1)
    if isinstance(groups, int) and groups > 1:
        return True
    middle = _width(before, output=True)
    return middle < min(_width(before, output=False), _width(call, output=True))


def _insertion(
    evidence: Evidence, wiring: Wiring, before: ScriptCall, call: ScriptCall
) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """An activation after the first of two layers: in the ``Sequential`` that holds it, or around its call."""
    sequential = _within_sequential(evidence, wiring)
    if sequential is not None:
        return sequential
    for code in evidence.codes:
        if code.file != before.place.file:
            continue
        attribute = before.module.rpartition(".")[2]
        for made in code.calls(attribute, line=before.place.line):
            if isinstance(made.func, ast.Attribute):
                change = code.replaced(made, f"torch.relu({code.segment(made)})")
                return evidence.place(code.file, made.lineno), (change,)
    return call.place, ()


def _within_sequential(evidence: Evidence, wiring: Wiring) -> tuple[CodeLine, tuple[LineChange, ...]] | None:
    """All places of a ``Sequential`` where a layer follows a layer."""
    for code in evidence.codes:
        for made in code.calls("Sequential"):
            names = [call_name(given.func) if isinstance(given, ast.Call) else "" for given in made.args]
            weights = [name.startswith(("Linear", "Conv", "LazyLinear", "LazyConv")) for name in names]
            gaps = [i for i in range(len(names) - 1) if weights[i] and weights[i + 1]]
            if not gaps:
                continue
            first = made.args[0]
            prefix = ast.unparse(first.func).rpartition(".")[0] if isinstance(first, ast.Call) else ""
            relu = f"{prefix}.ReLU()" if prefix else "torch.nn.ReLU()"
            text = code.segment(made)
            for i in reversed(gaps):
                inner = code.segment(made.args[i])
                start = text.rfind(inner, 0, len(text)) if i == len(names) - 1 else _nth(text, code, made, i)
                text = text[: start + len(inner)] + f", {relu}" + text[start + len(inner) :]
            return evidence.place(code.file, made.lineno), (code.replaced(made, text),)
    return None


def _nth(text: str, code: SourceCode, made: ast.Call, index: int) -> int:
    """Where an argument stands in the text of its call."""
    place = len(code.segment(made.func)) + 1
    for argument in made.args[: index + 1]:
        inner = code.segment(argument)
        place = text.index(inner, place)
        if argument is made.args[index]:
            return place
        place += len(inner)
    return place


def _finding(
    evidence: Evidence,
    *,
    title: str,
    place: CodeLine,
    certainty: float,
    severity: str,
    figures: list,
    changes: tuple[LineChange, ...],
    why: str,
    fix: str,
    layer: str = "",
) -> Finding:
    return make_finding(
        "missing_activation",
        severity=severity,  # pyright: ignore[reportArgumentType]
        certainty=certainty,
        title=title,
        place=place,
        layer=layer,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss)],
        why=why,
        fix=fix,
        changes=changes,
        disproof="A linear model reaches as much on these data.",
    )


RULE = Rule("missing_activation", find, explains=("undersized_network", "undertrained", "lr_too_low"), needs=("calls",))
