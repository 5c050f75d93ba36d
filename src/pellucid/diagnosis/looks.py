"""What several rules look up: the prediction's last call, the spread of targets, and changes of an activation."""

from __future__ import annotations

import ast

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.source_changes import SourceCode, call_name
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import CodeLine, ScriptCall, ScriptLoss

__all__ = ["clearing_calls", "drop_activation", "flat_targets", "last_call", "raised", "swap_activation", "swap_name"]

_CLASSES = {
    "softmax": ("Softmax", "Softmax2d"),
    "log_softmax": ("LogSoftmax",),
    "relu": ("ReLU",),
    "relu6": ("ReLU6",),
    "leaky_relu": ("LeakyReLU",),
    "elu": ("ELU",),
    "selu": ("SELU",),
    "gelu": ("GELU",),
    "silu": ("SiLU",),
    "sigmoid": ("Sigmoid",),
    "hardsigmoid": ("Hardsigmoid",),
    "tanh": ("Tanh",),
    "hardtanh": ("Hardtanh",),
    "softplus": ("Softplus",),
    "dropout": ("Dropout",),
}


def last_call(evidence: Evidence, loss: ScriptLoss) -> ScriptCall | None:
    """The call that made the loss's prediction, in the first learned training step."""
    for wiring in evidence.wirings("train"):
        made = [
            call
            for call in wiring.calls
            if call.function == loss.last_operation and call.module == loss.last_module and call.reaches_loss
        ]
        if made:
            return made[-1]
    return None


def flat_targets(evidence: Evidence, loss: ScriptLoss | None) -> np.ndarray:
    """The finite targets of the sample as one vector; those of the loss's distinct values where there is no sample."""
    seen = evidence.examples("train")
    if seen is not None and len(seen.targets):
        values = np.asarray(seen.targets, dtype=np.float64).reshape(-1)
        return values[np.isfinite(values)]
    return np.asarray(loss.target_values if loss is not None else (), dtype=np.float64)


def raised(evidence: Evidence, *fragments: str) -> bool:
    """Whether the script died of an error that says one of these."""
    said = evidence.script.error.lower()
    return evidence.script.ended == "failed" and any(fragment.lower() in said for fragment in fragments)


def clearing_calls(evidence: Evidence) -> list[tuple[SourceCode, ast.AST]]:
    """Where the source clears gradients: ``zero_grad()``, ``p.grad = None``, ``p.grad.zero_()``."""
    found: list[tuple[SourceCode, ast.AST]] = []
    for code in evidence.codes:
        found.extend((code, call) for call in code.calls("zero_grad"))
        for call in code.calls("zero_", "fill_"):
            if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value).endswith(".grad"):
                found.append((code, call))
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Assign) and any(ast.unparse(target).endswith(".grad") for target in node.targets):
                found.append((code, node))
    return found


def drop_activation(evidence: Evidence, operation: str, place: CodeLine) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """The line that applies an activation last, and the change that takes it out."""
    for code, call, is_module in _applications(evidence, operation, place):
        where = evidence.place(code.file, call.lineno)
        change = _taken_out(code, call) if is_module else code.unwrapped(call)
        return where, (change,)
    return place, ()


def swap_activation(
    evidence: Evidence, operation: str, place: CodeLine, function: str, module: str
) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """The line that applies an activation last, and the change that puts another in its stead.

    Args:
        evidence: Of the run.
        operation: The function's name, such as ``softmax``.
        place: Where it was called.
        function: What stands instead, such as ``torch.sigmoid``, of one argument.
        module: The module that stands instead, such as ``nn.Sigmoid()``.
    """
    for code, call, is_module in _applications(evidence, operation, place):
        where = evidence.place(code.file, call.lineno)
        if is_module:
            prefix = ast.unparse(call.func).rpartition(".")[0]
            name = module.removeprefix("nn.")
            return where, (code.replaced(call, f"{prefix}.{name}" if prefix else name),)
        inner = code.unwrapped(call)
        given = call.args[0] if call.args else None
        text = code.segment(given) if given is not None else ""
        if isinstance(call.func, ast.Attribute) and text not in "\n".join(inner.after):
            text = code.segment(call.func.value)
        return where, (code.replaced(call, f"{function}({text})"),) if text else ()
    return place, ()


def swap_name(code: SourceCode, call: ast.Call, name: str, arguments: str | None = None) -> LineChange:
    """A call with another function's or class's last name; its arguments stay unless others are given."""
    prefix = ast.unparse(call.func).rpartition(".")[0]
    text = code.segment(call)
    rest = text[len(code.segment(call.func)) :] if arguments is None else f"({arguments})"
    return code.replaced(call, (f"{prefix}.{name}" if prefix else name) + rest)


def _applications(evidence: Evidence, operation: str, place: CodeLine) -> list[tuple[SourceCode, ast.Call, bool]]:
    """Calls of a function, then makings of its module; those on the line of the call first."""
    found: list[tuple[SourceCode, ast.Call, bool]] = []
    for code in evidence.codes:
        here = place.line if code.file == place.file else 0
        if here:
            found.extend((code, call, False) for call in reversed(code.calls(operation, line=here)))
        modules = code.calls(*_CLASSES.get(operation, ()))
        found.extend((code, call, True) for call in reversed(modules))
        if not here and not found:
            found.extend((code, call, False) for call in reversed(code.calls(operation)))
    return found


def _taken_out(code: SourceCode, call: ast.Call) -> LineChange:
    """A module taken out of the list it stands in; else replaced by one that passes its input on."""
    parent = code.parents.get(call)
    if isinstance(parent, ast.Call) and call_name(parent.func) in ("append", "add_module"):
        statement = code.statement(call)
        if statement is not None:
            return code.without_lines(statement.lineno, statement.end_lineno or statement.lineno)
    alone = isinstance(parent, ast.Call) and call_name(parent.func) != "Sequential"
    change = None if alone else code.without_element(call)
    if change is not None:
        return change
    prefix = ast.unparse(call.func).rpartition(".")[0]
    return code.replaced(call, f"{prefix}.Identity()" if prefix else "torch.nn.Identity()")
