"""The graph is cut: parameters that are to learn get no gradient.
A cut alone is no fault: targets, momentum encoders and one half of an adversarial pair are cut on purpose, and their
parameters either are not trained or get gradients some other way. The rule asks for parameters that an optimiser holds,
that train, that ran on the way to the loss, and that never saw a gradient.
"""

from __future__ import annotations

import ast

from pellucid.diagnosis.evidence import NOWHERE, Evidence
from pellucid.diagnosis.looks import raised
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode, call_name
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptCall, ScriptParameter

__all__ = ["RULE", "find"]

_CUTS = ("detach", "detach_", "data", "numpy", "item", "tolist", "from_numpy", "tensor", "as_tensor", "Tensor")
_NO_GRAPH = "does not require grad"


def find(evidence: Evidence) -> Finding | None:
    """Parameters in an optimiser that run and get no gradient."""
    if raised(evidence, _NO_GRAPH):
        every = [p for model in evidence.script.models for p in model.parameters]
        if every and not any(p.trainable for p in every):
            return None
        return _finding(evidence, [p for p in every if p.trainable], 0.92, evidence.script.error_place)
    return _held_without_gradient(evidence)


def _held_without_gradient(evidence: Evidence) -> Finding | None:
    held = [p for model in evidence.script.models for p in model.parameters if p.optimizer >= 0 and p.trainable]
    stepped = {i for i, optimizer in enumerate(evidence.script.optimizers) if optimizer.steps > 0}
    cut = [p for p in held if not p.got_gradient and p.optimizer in stepped and not p.moved > 0]
    if not cut:
        return None
    if len(cut) == len(held):
        # Nothing learns at all: the loss hangs on a leaf of its own.
        return _finding(evidence, cut, 0.9, NOWHERE)
    modules = {p.module for p in cut}
    ran = {call.module for call in evidence.calls(phase="train")}
    cut = [p for p in cut if p.module in ran or p.used]
    if not cut:
        return None
    calls = _cut_calls(evidence, modules)
    if not calls and not _source_cuts(evidence):
        return None
    place = calls[0].place if calls else NOWHERE
    return _finding(evidence, cut, 0.93 if calls else 0.75, place)


def _cut_calls(evidence: Evidence, modules: set[str]) -> list[ScriptCall]:
    """Calls of a training step that give something without a graph although a trained parameter went in before."""
    for wiring in evidence.wirings("train"):
        found = [
            call
            for call in wiring.calls
            if call.function in ("detach", "data", "numpy", "tensor", "item", "tolist", "as_tensor", "from_numpy")
            and any(facts.requires_grad for facts in call.inputs)
        ]
        if found:
            return found
        found = [
            call
            for call in wiring.calls
            if call.module in modules
            and any(facts.origin == "parameter" and facts.requires_grad for facts in call.inputs)
            and call.outputs
            and not any(facts.requires_grad for facts in call.outputs)
        ]
        if found:
            return found
    return []


def _source_cuts(evidence: Evidence) -> list[tuple[SourceCode, ast.AST]]:
    """Where the source cuts a graph, evaluation under ``no_grad`` left out."""
    found: list[tuple[SourceCode, ast.AST]] = []
    for code in evidence.codes:
        for node in ast.walk(code.tree):
            named = isinstance(node, ast.Call) and call_name(node.func) in _CUTS
            data = isinstance(node, ast.Attribute) and node.attr == "data"
            if (named or data) and not _is_quiet(code, node):
                found.append((code, node))
    return found


def _is_quiet(code: SourceCode, node: ast.AST) -> bool:
    """Whether it stands in a ``print``, an f-string or at the top of the script, where it only prepares or reports."""
    around = list(code.around(node))
    if any(isinstance(outer, ast.JoinedStr | ast.AugAssign) for outer in around):
        return True
    if any(isinstance(outer, ast.Call) and call_name(outer.func) in ("print", "append") for outer in around):
        return True
    return not any(isinstance(outer, ast.For | ast.While | ast.FunctionDef) for outer in around)


def _finding(evidence: Evidence, cut: list[ScriptParameter], certainty: float, place: CodeLine) -> Finding:
    layers = list(dict.fromkeys(p.module or p.name for p in cut))
    where, changes = _correction(evidence, place)
    worst = cut[0] if cut else None
    return make_finding(
        "detached_graph",
        severity="fault",
        certainty=certainty,
        title=f"{', '.join(layers[:3])}{' and more' if len(layers) > 3 else ''}: no gradient comes through"
        if layers
        else "The loss has no graph",
        place=where,
        layer=worst.module if worst is not None else "",
        parameter=worst.name if worst is not None else "",
        since=0,
        evidence=[
            figure("parameters held by an optimiser that never saw a gradient", len(cut), "0"),
            figure(
                "their way, relative to their size",
                max((p.moved for p in cut if p.moved == p.moved), default=0.0),
                "above 0",
            ),
        ],
        curves=[curve("loss", evidence.loss)],
        why="Something between these parameters and the loss has no graph, so backward() stops there.",
        fix="Keep the tensor itself: no detach(), .data, .item(), numpy or no_grad on the way to the loss.",
        changes=changes,
        disproof="The parameters' .grad is a tensor after backward().",
    )


def _correction(evidence: Evidence, place: CodeLine) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """The cut taken out of its line."""
    candidates = _source_cuts(evidence)
    here = [(code, node) for code, node in candidates if code.file == place.file and _spans(node, place.line)]
    for code, node in here or candidates:
        where = evidence.place(code.file, getattr(node, "lineno", 0))
        if (
            isinstance(node, ast.Call)
            and call_name(node.func) in ("detach", "detach_")
            and isinstance(node.func, ast.Attribute)
        ):
            return where, (code.replaced(node, code.segment(node.func.value)),)
        if isinstance(node, ast.Attribute):
            return where, (code.replaced(node, code.segment(node.value)),)
        if isinstance(node, ast.Call) and call_name(node.func) in ("tensor", "as_tensor", "Tensor") and node.args:
            inner = code.segment(node.args[0]).removesuffix(".item()")
            return where, (code.replaced(node, inner),) if place.line == node.lineno else ()
        return where, ()
    quiet = _no_grad(evidence)
    return (quiet, ()) if not place.line and quiet.line else (place, ())


def _spans(node: ast.AST, line: int) -> bool:
    return getattr(node, "lineno", 0) <= line <= (getattr(node, "end_lineno", 0) or 0)


def _no_grad(evidence: Evidence) -> CodeLine:
    for code in evidence.codes:
        for call in code.calls("no_grad", "inference_mode"):
            if any(isinstance(outer, ast.ClassDef) for outer in code.around(call)):
                return evidence.place(code.file, call.lineno)
    return NOWHERE


RULE = Rule(
    "detached_graph",
    find,
    explains=(
        "undersized_network",
        "undertrained",
        "lr_too_low",
        "vanishing_gradient",
        "frozen_layers",
        "label_corruption",
    ),
    needs=("models",),
)
