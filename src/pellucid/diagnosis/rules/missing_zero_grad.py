"""Gradients are never cleared, so that each update follows the sum of all past ones.
The watch looks at the gradients as each backward pass begins, the first since an update: they should be clear.
Accumulation over several backward passes between two updates keeps this; so does a second optimiser, whose own passes
leave gradients for others to clear, in at least half of the looks. Below ``_CLEARED`` no such habit is left.
"""

from __future__ import annotations

import ast
import math

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.looks import clearing_calls
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptOptimizer

__all__ = ["RULE", "find"]

_CLEARED = 0.34
_FEWEST_STEPS = 4


def find(evidence: Evidence) -> Finding | None:
    """An optimiser before whose passes gradients were hardly ever clear; gradients cleared before they are used."""
    for index, optimizer in enumerate(evidence.script.optimizers):
        if optimizer.steps < _FEWEST_STEPS or math.isnan(optimizer.cleared) or optimizer.kind == "LBFGS":
            continue
        if optimizer.cleared < _CLEARED and _gets_gradients(evidence, index):
            return _never(evidence, optimizer)
    if not evidence.script.optimizers and evidence.script.steps >= _FEWEST_STEPS and _by_hand(evidence):
        return _never(evidence, None)
    return _too_early(evidence)


def _by_hand(evidence: Evidence) -> bool:
    """Whether weights are changed in place by their gradients, which nothing clears."""
    if clearing_calls(evidence):
        return False
    for code in evidence.codes:
        if not code.calls("backward"):
            continue
        for node in ast.walk(code.tree):
            in_place = isinstance(node, ast.AugAssign) or (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("sub_", "add_")
            )
            if in_place and ".grad" in code.segment(node):
                return True
    return False


def _gets_gradients(evidence: Evidence, index: int) -> bool:
    held = [p for model in evidence.script.models for p in model.parameters if p.optimizer == index]
    return not held or any(p.got_gradient for p in held)


def _never(evidence: Evidence, optimizer: ScriptOptimizer | None) -> Finding:
    clears = clearing_calls(evidence)
    outcome = evidence.outcome
    norm = evidence.column("gradient_norm")
    cleared = optimizer.cleared if optimizer is not None else 0.0
    certainty = 0.97 if not clears else 0.88
    figures = [
        figure("updates before whose backward pass gradients were clear", cleared, "1", "share"),
        figure("gradient norm at the first step", norm.first),
        figure("gradient norm at the end", norm.end()),
    ]
    place, changes = _insertion(evidence, optimizer)
    title = "Gradients are never cleared" if not clears else "Gradients are hardly ever cleared"
    sparse = bool(clears) and outcome.reached > 0.97
    return make_finding(
        "missing_zero_grad",
        severity="warning" if sparse else "fault",
        certainty=certainty,
        title=title,
        place=place,
        since=1,
        evidence=figures,
        curves=[curve("gradient norm", norm), curve("loss", evidence.loss)],
        why="backward() adds to .grad; without clearing, every update follows the sum of all past gradients instead of "
        "the batch's own.",
        fix="Call zero_grad() of the optimiser before every backward pass.",
        changes=changes,
        disproof="Gradients are zero as the backward pass begins.",
    )


def _insertion(evidence: Evidence, optimizer: ScriptOptimizer | None) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """``zero_grad()`` before the line that goes backward, on what steps nearby."""
    loss = evidence.main_loss
    place = loss.backward if loss is not None else evidence.script.error_place
    code = evidence.code(place.file)
    if not place.line or not code.lines:
        return place, ()
    name = _optimizer_name(code, optimizer)
    if not name and not evidence.script.optimizers:
        return place, _cleared_by_hand(code)
    if not name:
        return place, ()
    return place, (code.added_before(place.line, f"{name}.zero_grad()"),)


def _cleared_by_hand(code: SourceCode) -> tuple[LineChange, ...]:
    """``w.grad.zero_()`` after the last update that reads a gradient, for each weight."""
    updates = [
        node for node in ast.walk(code.tree) if isinstance(node, ast.AugAssign) and ".grad" in code.segment(node.value)
    ]
    if not updates:
        return ()
    last = max(updates, key=lambda node: node.lineno)
    names = list(dict.fromkeys(ast.unparse(node.target).removesuffix(".data") for node in updates))
    return (code.added_after(last.lineno, *(f"{name}.grad.zero_()" for name in names)),)


def _optimizer_name(code: SourceCode, optimizer: ScriptOptimizer | None) -> str:
    """The name the optimiser is given where it is made, else that whose ``step`` is called."""
    if optimizer is not None and optimizer.place.line:
        statement = code.statement_at(optimizer.place.line)
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and optimizer.place.file == code.file:
            return ast.unparse(statement.targets[0])
    names = [
        ast.unparse(call.func.value)
        for call in code.calls("step")
        if isinstance(call.func, ast.Attribute) and "sched" not in ast.unparse(call.func.value).lower()
    ]
    return names[0] if names else ""


def _too_early(evidence: Evidence) -> Finding | None:
    """``backward``, then ``zero_grad``, then ``step``: the update sees nothing."""
    norm = evidence.column("gradient_norm").finite
    if len(norm) < _FEWEST_STEPS or norm.highest > 0:
        return None
    for code in evidence.codes:
        for call in code.calls("zero_grad"):
            loop = code.loop_around(call.lineno)
            if loop is None:
                continue
            passes = [c.lineno for c in code.calls("backward") if loop.lineno <= c.lineno <= (loop.end_lineno or 0)]
            steps = [c.lineno for c in code.calls("step") if loop.lineno <= c.lineno <= (loop.end_lineno or 0)]
            if not any(p < call.lineno for p in passes) or not any(s > call.lineno for s in steps):
                continue
            change = LineChange(
                code.file,
                min(passes),
                (code.lines[min(passes) - 1],),
                (code.lines[call.lineno - 1], code.lines[min(passes) - 1]),
            )
            return make_finding(
                "missing_zero_grad",
                severity="fault",
                certainty=0.9,
                title="Gradients are cleared between the backward pass and the update",
                place=evidence.place(code.file, call.lineno),
                since=0,
                evidence=[figure("gradient norm that the optimiser saw", norm.highest, "above 0")],
                curves=[curve("loss", evidence.loss)],
                why="The optimiser steps with gradients of 0, so the weights never move.",
                fix="Clear gradients before the backward pass.",
                changes=(change, code.without_lines(call.lineno, call.lineno)),
                disproof="The weights move.",
            )
    return None


RULE = Rule(
    "missing_zero_grad",
    find,
    explains=(
        "lr_too_high",
        "exploding_gradient",
        "dead_relu",
        "optimizer_settings",
        "undertrained",
        "saturated_activation",
        "batch_size",
    ),
)
