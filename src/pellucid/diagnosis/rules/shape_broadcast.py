"""Prediction (n, 1) meets target (n,): broadcast to n × n, every prediction is held against every target.
The best answer to all targets at once is their mean, so the loss of squares ends at the targets' variance. Read from
the shapes of what meets in the loss: the same number of rows, one tensor with an axis of 1 more than the other, and a
result with more entries than either. Deliberate tables of pairs (``x[:, None] − x[None, :]``) have the same number of
axes on both sides.
"""

from __future__ import annotations

import ast

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.looks import flat_targets, raised
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine

__all__ = ["RULE", "find", "is_spread"]

_MEETINGS = ("sub", "rsub", "mul", "add", "div", "pow", "where", "maximum", "minimum")
_SIZED = (
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "binary_cross_entropy",
    "gaussian_nll_loss",
    "poisson_nll_loss",
)


def find(evidence: Evidence) -> Finding | None:
    """A loss between shapes that spread into a table, or torch's refusal to compare them."""
    if raised(evidence, "that is different to the input size", "target size"):
        return _finding(evidence, evidence.script.error_place, (), (), 0.8)
    for loss in evidence.script.losses:
        if (
            loss.prediction is None
            or loss.target is None
            or loss.kind in ("cross_entropy", "nll", "categorical", "ctc")
        ):
            continue
        if is_spread(loss.prediction.shape, loss.target.shape):
            return _finding(evidence, loss.place, loss.prediction.shape, loss.target.shape, 0.97)
    for call in evidence.calls(*_MEETINGS, *_SIZED, phase="train"):
        if not call.reaches_loss or len(call.inputs) < 2:
            continue
        first, second = call.inputs[:2]
        origins = {first.origin, second.origin}
        if is_spread(first.shape, second.shape) and origins & {"target"} and "activation" in origins:
            return _finding(evidence, call.place, first.shape, second.shape, 0.93)
    return None


def is_spread(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether two shapes of one batch broadcast to more entries than either has.

    >>> is_spread((32, 1), (32,)), is_spread((32, 10), (10,)), is_spread((32, 1), (32, 1)), is_spread((5, 5, 1), (5, 5))
    (True, False, False, True)
    """
    if first == second or not first or not second or len(first) == len(second):
        return False
    try:
        spread = np.broadcast_shapes(first, second)
    except ValueError:
        return False
    long, short = (first, second) if len(first) > len(second) else (second, first)
    squeezed = tuple(size for size in long if size != 1) == tuple(size for size in short if size != 1)
    return squeezed and int(np.prod(spread)) > max(int(np.prod(first)), int(np.prod(second)))


def _finding(
    evidence: Evidence, place: CodeLine, first: tuple[int, ...], second: tuple[int, ...], certainty: float
) -> Finding:
    values = flat_targets(evidence, evidence.main_loss)
    variance = float(values.var()) if len(values) else float("nan")
    outcome = evidence.outcome
    spread = evidence.series("train", "prediction", "std")
    figures = [
        figure("loss at the end", outcome.loss_last, "well below the targets' variance"),
        figure("variance of the targets", variance),
    ]
    if len(spread):
        figures.append(figure("spread of the predictions", spread.last, "that of the targets"))
    shapes = f"{_words(first)} and {_words(second)}" if first else "Prediction and target"
    where, changes = _change(evidence, place, first, second)
    return make_finding(
        "shape_broadcast",
        severity="fault",
        certainty=certainty,
        title=f"{shapes} meet in the loss and broadcast" if first else "Prediction and target have different shapes",
        place=where,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss, level=variance, level_name="variance of the targets")],
        why="Every prediction is compared with every target of the batch, and the answer to all of them is their mean.",
        fix="Give prediction and target the same shape.",
        changes=changes,
        disproof="The two have the same number of entries after broadcasting.",
    )


def _words(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _change(
    evidence: Evidence, place: CodeLine, first: tuple[int, ...], second: tuple[int, ...]
) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """The longer side squeezed, on the line where the two meet."""
    code = evidence.code(place.file)
    if not first or not place.line:
        return place, ()
    pair = _pair(code, place.line)
    if pair is None:
        return place, ()
    longer = pair[0] if len(first) > len(second) else pair[1]
    text = code.segment(longer)
    bare = isinstance(longer, ast.Name | ast.Call | ast.Attribute | ast.Subscript)
    return place, (code.replaced(longer, f"{text if bare else f'({text})'}.squeeze(-1)"),)


def _pair(code: SourceCode, line: int) -> tuple[ast.expr, ast.expr] | None:
    """The two sides that meet on a line: of a subtraction, else of a call with two arguments."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and node.lineno == line:
            return node.left, node.right
    for call in code.calls(line=line):
        if len(call.args) >= 2:
            return call.args[0], call.args[1]
    return None


RULE = Rule(
    "shape_broadcast",
    find,
    explains=(
        *(
            "undersized_network",
            "undertrained",
            "lr_too_low",
            "label_corruption",
            "unscaled_targets",
            "wrong_output_size",
        ),
        *("wrong_metric", "over_regularised", "dead_relu"),
    ),
    needs=("losses",),
)
