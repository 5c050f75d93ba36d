"""Lines that standardise a script's inputs, where the source says plainly which tensors they are and which rows train.

Only scripts are changed that call the network, or a ``TensorDataset``, with tensors of the top level: ``net(X[b])``,
``TensorDataset(Xtr, ytr)``. Figures are those of the training part: of the tensor trained on, or, where one tensor
holds both parts, of the rows before the first that is only evaluated; by column, or of all entries where the inputs
are no table of columns that all vary. Everything else is left to the person.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.augmenting import held_out_name
from pellucid.diagnosis.source_changes import SourceCode, call_name
from pellucid.results.diagnosis import LineChange

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["standardised_inputs"]

_FLAT = 1e-6
"""Of the largest column's spread: a column that varies less may be constant but for rounding."""


def standardised_inputs(evidence: Evidence) -> tuple[LineChange, ...]:
    """Lines to add before the first use of the inputs; empty where the source leaves a doubt."""
    code = evidence.code(evidence.main_file)
    models = {model.name for model in evidence.trained_models}
    given = [
        call.args[0]
        for call in code.calls(*models, "TensorDataset")
        if call.args and (call_name(call.func) == "TensorDataset" or ast.unparse(call.func) in models)
    ]
    given = [one for one in given if not _is_local(code, one)]
    names = list(dict.fromkeys(name for one in given if (name := _base(one))))
    if not names or len(names) > 2 or any(not _base(one) for one in given):
        return ()
    held = [name for name in names if held_out_name(name)] if len(names) == 2 else []
    if len(names) == 2 and len(held) != 1:
        held = [name for name in names if not _is_trained(code, evidence, name)]
    if len(names) == 2 and len(held) != 1:
        return ()
    train = next(name for name in names if name not in held)
    part = train if held else _training_rows(given, train)
    line = _place(code, names)
    if not part or line < 0:
        return ()
    by = "0" if _is_table(evidence) else ""
    figures = f"input_mean, input_std = {part}.mean({by}), {part}.std({by})"
    scaled = [f"{name} = ({name} - input_mean) / input_std" for name in (train, *held)]
    return (code.added_before(line, figures, *scaled),)


def _is_table(evidence: Evidence) -> bool:
    """Whether an example is a row of columns that all vary."""
    seen = evidence.examples("train")
    if seen is None or len(seen.shape) != 1 or seen.features != seen.inputs.shape[-1]:
        return False
    spread = np.asarray(seen.inputs, dtype=np.float64).std(axis=0)
    return bool(np.isfinite(spread).all() and spread.min() > _FLAT * spread.max())


def _base(node: ast.expr) -> str:
    """The name of ``X`` or ``X[…]``; empty for anything else."""
    inner = node.value if isinstance(node, ast.Subscript) else node
    return inner.id if isinstance(inner, ast.Name) else ""


def _is_local(code: SourceCode, node: ast.expr) -> bool:
    """Whether it is a loop's or a function's own name, such as a batch of a loader."""
    name = _base(node)
    for outer in code.around(node):
        if isinstance(outer, ast.For) and name in {
            one.id for one in ast.walk(outer.target) if isinstance(one, ast.Name)
        }:
            return True
        if isinstance(outer, ast.FunctionDef | ast.Lambda) and name in {one.arg for one in outer.args.args}:
            return True
    return False


def _is_trained(code: SourceCode, evidence: Evidence, name: str) -> bool:
    """Whether the innermost loop around the backward pass takes rows of it."""
    loss = evidence.main_loss
    loop = code.loop_around(loss.backward.line) if loss is not None else None
    return loop is not None and any(
        isinstance(one, ast.Subscript) and _base(one) == name for one in ast.walk(loop) if isinstance(one, ast.expr)
    )


def _training_rows(given: list[ast.expr], name: str) -> str:
    """``X[:314]`` where rows from 314 on are given elsewhere: what lies before them is trained on."""
    for one in given:
        if isinstance(one, ast.Subscript) and isinstance(one.slice, ast.Slice):
            first = one.slice.lower
            if one.slice.upper is None and isinstance(first, ast.Constant) and isinstance(first.value, int):
                return f"{name}[:{first.value}]"
    return ""


def _place(code: SourceCode, names: list[str]) -> int:
    """The line of the first statement of the top level after the last that assigns one of the names; −1: in doubt."""
    body = code.tree.body
    assigning = [index for index, node in enumerate(body) if isinstance(node, ast.Assign) and _assigns(node, names)]
    if not assigning or len({name for index in assigning for name in _assigns(body[index], names)}) < len(names):
        return -1
    first, last = assigning[0], assigning[-1]
    between = [node for node in body[first:last] if not isinstance(node, ast.Assign) or not _assigns(node, names)]
    if any(_mentions(node, names) for node in between) or last + 1 >= len(body):
        return -1
    return body[last + 1].lineno


def _assigns(node: ast.stmt, names: list[str]) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name) and one.id in names}


def _mentions(node: ast.AST, names: list[str]) -> bool:
    return any(isinstance(one, ast.Name) and one.id in names for one in ast.walk(node))
