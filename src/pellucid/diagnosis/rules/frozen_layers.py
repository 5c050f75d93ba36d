"""``requires_grad`` is off where learning is needed.
A frozen part that was trained before is a habit of transfer learning; one that still looks as torch draws it never
learned anything, and the last layer of a network has to fit the task whatever came before. Random features that stay
fixed can carry a wide network some way, so that a fault needs a run that came out short, unless it is the last layer.
"""

from __future__ import annotations

import ast

from pellucid.diagnosis.evidence import NOWHERE, Evidence
from pellucid.diagnosis.looks import raised
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptParameter

__all__ = ["RULE", "find"]

_MUCH = 0.05
"""Share of a model's entries below which a frozen part is of no account, unless it is the last layer."""
_NO_GRAPH = "does not require grad"


def find(evidence: Evidence) -> Finding | None:
    """Parameters that train nothing although they took part in training and look freshly drawn."""
    every = [p for _, p in evidence.parameters() if p.module != "?"]
    if raised(evidence, _NO_GRAPH):
        every = [p for model in evidence.script.models for p in model.parameters]
        if every and not any(p.trainable for p in every):
            return _finding(evidence, every, every, 0.93, "fault")
        return None
    frozen = [p for p in every if not p.trainable and (p.used or _ran(evidence, p)) and _is_fresh(p)]
    if not frozen or not any(p.trainable for p in every):
        return None
    live = [p for p in every if p.trainable and p.got_gradient]
    share = sum(map(_size, frozen)) / max(1, sum(map(_size, every)))
    last = _is_last(evidence, frozen, live)
    if share < _MUCH and not last:
        return None
    outcome = evidence.outcome
    short = outcome.poor or outcome.reached < 0.9
    severity = "fault" if last or short else "warning"
    certainty = 0.9 if last else 0.85 if short else 0.65
    return _finding(evidence, frozen, every, certainty, severity)


def _ran(evidence: Evidence, parameter: ScriptParameter) -> bool:
    """Whether its module ran in a learned training step."""
    return any(call.module == parameter.module and call.reaches_loss for call in evidence.calls(phase="train"))


def _is_fresh(parameter: ScriptParameter) -> bool:
    """As torch draws weights; vectors say nothing and go with their matrices."""
    if len(parameter.shape) < 2:
        return False
    embedding = 0.9 < parameter.initial_std < 1.1 and abs(parameter.initial_mean) < 0.1
    return parameter.initial_uniform or embedding


def _is_last(evidence: Evidence, frozen: list[ScriptParameter], live: list[ScriptParameter]) -> bool:
    """Whether the layer that makes the prediction is among the frozen ones."""
    loss = evidence.main_loss
    if loss is None:
        return False
    return any(p.module == loss.last_module for p in frozen) and not any(p.module == loss.last_module for p in live)


def _size(parameter: ScriptParameter) -> int:
    size = 1
    for axis in parameter.shape:
        size *= axis
    return size


def _finding(
    evidence: Evidence, frozen: list[ScriptParameter], every: list[ScriptParameter], certainty: float, severity: str
) -> Finding:
    place, changes = _line(evidence, frozen)
    layers = list(dict.fromkeys(p.module or p.name for p in frozen))
    worst = max(frozen, key=_size)
    return make_finding(
        "frozen_layers",
        severity=severity,  # pyright: ignore[reportArgumentType]
        certainty=certainty,
        title=f"{', '.join(layers[:3])}{' and more' if len(layers) > 3 else ''}: frozen at the random start",
        place=place,
        layer=worst.module,
        parameter=worst.name,
        since=0,
        evidence=[
            figure("frozen entries that look freshly drawn", sum(map(_size, frozen)), "0"),
            figure("share of all", sum(map(_size, frozen)) / max(1, sum(map(_size, every))), "0", "share"),
        ],
        curves=[curve("loss", evidence.loss)],
        why="requires_grad is off, so these weights keep the values they were drawn with.",
        fix="Leave requires_grad on where the network has to learn.",
        changes=changes,
        disproof="The frozen weights were loaded from a trained network.",
    )


def _line(evidence: Evidence, frozen: list[ScriptParameter]) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """The line that switches gradients off: what mentions a frozen layer comes first."""
    names = {part for p in frozen for part in (p.module or p.name).split(".") if not part.isdigit()}
    found: list[tuple[bool, SourceCode, ast.stmt, LineChange]] = []
    for code in evidence.codes:
        for node in ast.walk(code.tree):
            statement = code.statement(node) if isinstance(node, ast.expr) else None
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).endswith(".requires_grad_")
                and statement is not None
            ):
                given = node.args[0] if node.args else None
                if isinstance(given, ast.Constant) and given.value is False:
                    found.append((_mentions(code, statement, names), code, statement, code.replaced(given, "True")))
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.value.value is False:
                switched = any(ast.unparse(target).endswith(".requires_grad") for target in node.targets)
                if switched:
                    found.append((_mentions(code, node, names), code, node, code.replaced(node.value, "True")))
    if not found:
        return NOWHERE, ()
    _, code, statement, change = max(found, key=lambda one: one[0])
    return evidence.place(code.file, statement.lineno), (change,)


def _mentions(code: SourceCode, statement: ast.AST, names: set[str]) -> bool:
    """Whether the statement, or the loop around it, speaks of one of the layers."""
    around = next((outer for outer in code.around(statement) if isinstance(outer, ast.For)), None)
    text = code.segment(statement) + (ast.unparse(around.iter) if around is not None else "")
    return any(name in text for name in names)


RULE = Rule(
    "frozen_layers",
    find,
    explains=("undersized_network", "undertrained", "lr_too_low", "vanishing_gradient", "detached_graph"),
    needs=("models",),
)
