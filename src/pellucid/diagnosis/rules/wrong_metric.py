"""The metric that the script reports is computed wrongly.
Told from what the evaluation does with the outputs (an argmax over a single column or over the batch, labels compared
with outputs of another shape, raw outputs compared with labels), and from the network's own predictions: where they are
right far more, or far less, often than is reported, the report is wrong.
"""

from __future__ import annotations

import ast
import math

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.outcome import score_rows
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.rules.shape_broadcast import is_spread
from pellucid.diagnosis.series import Series
from pellucid.diagnosis.wiring import VIEWS, Wiring
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptCall

__all__ = ["RULE", "find"]

_APART = 0.15
"""Reported and recomputed accuracy differ by the sample's error, 0.05 at 400 examples, and what training changes."""
_LEAST_ROWS = 40
_NEWEST = 0.5
"""Of the newest step at which examples were seen, and of the run: what is seen of evaluation is mostly of its begin."""
_GOOD = 0.75
_CHOICES = ("argmax", "max", "topk", "argmin", "min")


def find(evidence: Evidence) -> Finding | None:
    """Wrong calls in evaluation first, then figures that do not agree."""
    return _choice(evidence) or _comparison(evidence) or _disagreement(evidence) or _impossible(evidence)


def _evaluation_wirings(evidence: Evidence) -> list[Wiring]:
    return [*evidence.wirings("evaluation"), *evidence.wirings("train")]


def _choice(evidence: Evidence) -> Finding | None:
    """An argmax over one column, or along the batch."""
    for wiring in _evaluation_wirings(evidence):
        for call in wiring.calls:
            if (
                call.function not in ("argmax", "max", "topk")
                or not call.inputs
                or call.model >= 0
                or call.reaches_loss
            ):
                continue
            shape, axis = call.inputs[0].shape, call.settings.get("dim")
            if not isinstance(axis, int) or len(shape) < 2 or not _is_output(wiring, call):
                continue
            axis %= len(shape)
            if shape[axis] == 1:
                changes = _threshold(evidence, call)
                return _finding(
                    evidence,
                    certainty=0.96,
                    title=f"{call.function} over a single column",
                    place=call.place,
                    changes=changes,
                    figures=[figure("columns of the output", 1, "2 or more")],
                    why="The largest of one value is always number 0, so every example counts as class 0.",
                    fix="Compare the single output with its threshold: 0 for logits, 0.5 for probabilities.",
                )
            if axis == 0 and shape[-1] > 1 and len(shape) == 2:
                return _finding(
                    evidence,
                    certainty=0.93,
                    title=f"{call.function} along the batch",
                    place=call.place,
                    changes=_axis_change(evidence, call),
                    figures=[figure("axis", 0, "1")],
                    why="It finds the example with the largest output for each class, not the class of each example.",
                    fix="Take it over the classes: dim=1.",
                )
    return None


def _is_output(wiring: Wiring, call: ScriptCall) -> bool:
    """Whether what it is taken of came from a model, through views and squashing at most."""
    fed = wiring.feeding(call)
    while fed is not None and (
        fed.function in VIEWS or fed.function in ("softmax", "sigmoid", "log_softmax", "exp", "round")
    ):
        if fed.model >= 0:
            return True
        fed = wiring.feeding(fed)
    return fed is not None and fed.model >= 0


def _comparison(evidence: Evidence) -> Finding | None:
    """Labels compared with outputs of another shape, or with raw outputs."""
    for wiring in _evaluation_wirings(evidence):
        for call in wiring.calls:
            if (
                call.function not in ("eq", "ne", "sub", "rsub")
                or len(call.inputs) < 2
                or call.model >= 0
                or call.reaches_loss
            ):
                continue
            first, second = call.inputs[:2]
            if "target" not in (first.origin, second.origin) and call.function not in ("eq", "ne"):
                continue
            if is_spread(first.shape, second.shape):
                return _finding(
                    evidence,
                    certainty=0.92,
                    title=f"The metric compares {first.shape} with {second.shape}",
                    place=call.place,
                    changes=(),
                    figures=[
                        figure(
                            "entries compared",
                            math.prod(np.broadcast_shapes(first.shape, second.shape)),
                            f"{second.shape[0]}",
                        )
                    ],
                    why="The two broadcast: every prediction is compared with every label.",
                    fix="Give both the same shape.",
                )
            if call.function in ("eq", "ne") and _is_raw(wiring, call):
                return _finding(
                    evidence,
                    certainty=0.85,
                    title="The metric compares raw outputs with labels",
                    place=call.place,
                    changes=(),
                    figures=[figure("reported", evidence.outcome.reported)],
                    why="An output is hardly ever exactly a label; it has to be made a class first.",
                    fix="Take the argmax, or compare with the threshold.",
                )
    return None


def _is_raw(wiring: Wiring, call: ScriptCall) -> bool:
    """Whether one side of a comparison is real-valued and the other whole."""
    first, second = call.inputs[:2]
    if math.prod(first.shape) < 8 or first.shape != second.shape:
        return False
    for one, other in ((first, second), (second, first)):
        made = wiring.maker(one, call.order)
        if not one.whole and other.whole and one.dtype.startswith(("float", "bfloat")) and made is not None:
            return True
    return False


def _accuracies(evidence: Evidence) -> list[tuple[str, Series]]:
    """Accuracies that were reported, as shares of 1."""
    found = []
    for name in evidence.metric_names:
        low = name.lower()
        if "acc" in low and "loss" not in low:
            series = evidence.metric(name).finite
            if len(series):
                found.append((name, series))
    return found


def _own_accuracy(evidence: Evidence) -> tuple[float, float, float]:
    """Of the network on the examples of evaluation seen last, and the steps between which they were seen."""
    seen, task = evidence.examples("evaluation"), evidence.outcome.task
    unknown = math.nan, 0.0, 0.0
    if seen is None or task not in ("classes", "binary", "labels") or len(seen.predictions) != len(seen.targets):
        return unknown
    rows = seen.step >= _NEWEST * seen.step.max()
    if not len(seen.targets) or rows.sum() < _LEAST_ROWS or seen.step.max() < _NEWEST * evidence.script.steps:
        return unknown
    own = score_rows(task, seen.predictions[rows], seen.targets[rows])
    first, last = float(seen.step[rows].min()), float(seen.step.max())
    return own, 0.95 * first, max(1.05 * last, last + 1)


def _disagreement(evidence: Evidence) -> Finding | None:
    own, since, until = _own_accuracy(evidence)
    if math.isnan(own):
        return None
    train = evidence.outcome.score("train")
    series = _accuracies(evidence)
    held = [(name, one) for name, one in series if "train" not in name.lower()] or series
    if not held:
        return None
    name, reported = max(held, key=lambda pair: -_distance(_share(pair[1].last), own, train))
    last = _share(reported.last)
    near = (reported.x >= since) & (reported.x <= until)
    lately = [_share(float(value)) for value in reported.y[near]] or [last]  # as old as the rows seen
    apart = min(_distance(value, own, train) for value in [*lately, last])
    if apart < _APART or not 0 <= last <= 1:
        return None
    certainty = min(0.9, 0.55 + apart)
    return _finding(
        evidence,
        certainty=certainty,
        title=f"{name} is reported as {last:.2f}; the predictions are right in {own:.0%}",
        place=_printing(evidence, name),
        changes=(),
        figures=[
            figure(f"{name} as reported", last),
            figure("accuracy of the predictions seen", own, f"{last:.2f} as reported"),
        ],
        why="The number printed is not the share of right predictions.",
        fix="Count right predictions over all examples, and divide by their number.",
        series=reported,
    )


def _share(value: float) -> float:
    return value / 100 if 1.5 < value <= 100 else value


def _distance(reported: float, own: float, train: float) -> float:
    """From the nearer of what can be meant: that on evaluation or on training examples."""
    meant = [score for score in (own, train) if math.isfinite(score)]
    return min(abs(reported - score) for score in meant)


def _impossible(evidence: Evidence) -> Finding | None:
    """An accuracy above 1 that is no percentage, or one that never moves while the network learned."""
    for name, series in _accuracies(evidence):
        percent = series.highest > 1.5
        if series.highest > 100 + 1e-6 or (1.0 + 1e-6 < series.highest <= 1.5) or series.lowest < -1e-6:
            return _finding(
                evidence,
                certainty=0.9,
                title=f"{name} of {series.highest:g} is no accuracy",
                place=_printing(evidence, name),
                changes=(),
                figures=[figure(name, series.highest, "1, or 100 %, at most")],
                why="A share of right predictions lies between 0 and 1.",
                fix="Divide the number of right predictions by the number of examples.",
                series=series,
            )
        train = evidence.outcome.score("train")
        still = len(series) >= 3 and series.highest - series.lowest < 1e-6
        value = _share(series.last) if percent else series.last
        if (
            still
            and evidence.outcome.task in ("classes", "binary")
            and train > _GOOD
            and abs(train - value) > 2 * _APART
        ):
            return _finding(
                evidence,
                certainty=0.85,
                title=f"{name} stays at {series.last:g} while the network learns",
                place=_printing(evidence, name),
                changes=(),
                figures=[figure(name, series.last), figure("accuracy of the training predictions", train)],
                why="The predictions get better and the number printed does not move.",
                fix="Compute it from the predicted classes and the labels of the same examples.",
                series=series,
            )
    return None


def _printing(evidence: Evidence, name: str) -> CodeLine:
    word = name.replace("_", " ").split(" ")[-1]
    for code in evidence.codes:
        for call in code.calls("print"):
            if word in code.segment(call):
                return evidence.place(code.file, call.lineno)
    return CodeLine("", 0, "", "")


def _threshold(evidence: Evidence, call: ScriptCall) -> tuple[LineChange, ...]:
    """``out.argmax(dim=1)`` as ``(out.squeeze(1) > 0)``."""
    code = evidence.code(call.place.file)
    loss = evidence.main_loss
    cut = "0.5" if loss is not None and loss.kind == "bce" else "0"
    for made in code.calls("argmax", line=call.place.line):
        inner = code.segment(made.args[0]) if made.args and not _is_number(made.args[0]) else ""
        if not inner and isinstance(made.func, ast.Attribute):
            inner = code.segment(made.func.value)
        return (code.replaced(made, f"({inner}.squeeze(1) > {cut}).float()"),)
    return ()


def _axis_change(evidence: Evidence, call: ScriptCall) -> tuple[LineChange, ...]:
    code = evidence.code(call.place.file)
    for made in code.calls(call.function, line=call.place.line):
        numbers = [i for i, given in enumerate(made.args) if _is_number(given)]
        keyword = "axis" if any(given.arg == "axis" for given in made.keywords) else "dim"
        return (code.with_argument(made, keyword, "1", numbers[-1] if numbers else -1),)
    return ()


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _finding(
    evidence: Evidence,
    *,
    certainty: float,
    title: str,
    place: CodeLine,
    changes: tuple[LineChange, ...],
    figures: list,
    why: str,
    fix: str,
    series: Series | None = None,
) -> Finding:
    shown = series
    if shown is None:
        shown = next((one for _, one in _accuracies(evidence)), None)
    return make_finding(
        "wrong_metric",
        severity="fault",
        certainty=certainty,
        title=title,
        place=place,
        evidence=figures,
        curves=[curve("as reported", shown)] if shown is not None else [],
        why=why,
        fix=fix,
        changes=changes,
        disproof="The metric recomputed from the stored predictions agrees with the one reported.",
    )


RULE = Rule("wrong_metric", find, explains=("overfitting", "train_test_mismatch", "class_imbalance"), needs=("calls",))
