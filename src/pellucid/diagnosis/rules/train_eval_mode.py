"""Dropout or batch normalisation is in the wrong mode, in evaluation or in training.
Only layers that behave differently count: dropout with p > 0, and batch normalisation that keeps running figures. A
network with frozen batch normalisation in an otherwise training model is a habit of fine-tuning. A second network that
only answers the first (adversarial pairs) samples in training mode by custom; that is a warning.
"""

from __future__ import annotations

import ast
import math
import re

from pellucid.diagnosis.evidence import NOWHERE, Evidence
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.source_changes import SourceCode, call_name
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptCall, ScriptModel, ScriptModule

__all__ = ["RULE", "find"]

_MOST = 0.5
_FUNCTIONAL = (
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
    "feature_dropout",
)
_SHORT = 0.99
"""Of training forwards in training mode: below, some ran in evaluation mode."""


def find(evidence: Evidence) -> Finding | None:
    """Layers that run in the wrong mode in a phase."""
    return _functional(evidence) or _always_on(evidence) or _evaluation(evidence) or _training(evidence)


def _is_moody(module: ScriptModule) -> bool:
    """Whether it does different things in its two modes."""
    if "Dropout" in module.kind:
        chance = re.search(r"p=([\d.]+)", module.settings)
        return chance is None or float(chance[1]) > 0
    if "BatchNorm" in module.kind or "InstanceNorm" in module.kind:
        return "track_running_stats=False" not in module.settings and "Instance" not in module.kind
    if module.kind in ("LSTM", "GRU", "RNN", "MultiheadAttention"):
        return bool(re.search(r"dropout=0?\.[0-9]*[1-9]", module.settings))
    return module.kind == "RReLU"


def _functional(evidence: Evidence) -> Finding | None:
    """``F.dropout(x, p)`` in evaluation: its ``training`` is True unless it is told otherwise."""
    for call in evidence.calls(*_FUNCTIONAL, phase="evaluation"):
        on = call.settings.get("training", True)
        chance = call.settings.get("p", 0.5)
        off = chance == 0 if isinstance(chance, int | float) else False
        if on in (True, "True") and not off and not call.training:
            code = evidence.code(call.place.file)
            changes = []
            for made in code.calls(*_FUNCTIONAL, line=call.place.line):
                if not any(keyword.arg == "training" for keyword in made.keywords):
                    changes.append(made)
            made_new = [c for c in evidence.codes for c in c.calls("Dropout") if _in_forward(evidence, c)]
            fix = "Pass training=self.training, or use nn.Dropout made in __init__."
            return _finding(
                evidence,
                certainty=0.95,
                title="Dropout stays on in evaluation",
                place=call.place,
                changes=_with_training(code, changes) if not made_new else (),
                figures=[
                    figure("evaluations with dropout at work", 1.0, "0", "share"),
                    figure("p", chance if isinstance(chance, int | float) else math.nan),
                ],
                layer=call.module,
                why="F.dropout drops whatever mode the model is in, so that evaluation is as noisy as training.",
                fix=fix,
            )
    return None


def _always_on(evidence: Evidence) -> Finding | None:
    """By the source: ``F.dropout`` without ``training``, or a module made within ``forward``, ran in training."""
    models = [model for model in evidence.trained_models if model.evaluation_calls > 0]
    if not models or any(
        module.name == "" and module.evaluated_mode > 0 for model in models for module in model.modules
    ):
        return None
    for call in evidence.calls(*_FUNCTIONAL, phase="train"):
        if not call.reaches_loss or call.model < 0 or _follows_the_mode(evidence, call):
            continue
        code = evidence.code(call.place.file)
        bare = [made for made in code.calls(*_FUNCTIONAL, line=call.place.line) if _has_no_mode(made)]
        fresh = [
            made
            for made in code.calls("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", line=call.place.line)
            if _in_forward(evidence, made)
        ]
        if not bare and not fresh:
            continue
        chance = call.settings.get("p", 0.5)
        return _finding(
            evidence,
            certainty=0.94,
            title="Dropout stays on in evaluation",
            place=call.place,
            changes=_with_training(code, bare),
            figures=[figure("p", chance if isinstance(chance, int | float) else math.nan, "0 in evaluation")],
            layer=call.module,
            why="It drops whatever mode the model is in, so that evaluation is as noisy as training.",
            fix="Pass training=self.training, or use an nn.Dropout made in __init__.",
        )
    return None


def _follows_the_mode(evidence: Evidence, call: ScriptCall) -> bool:
    """Whether dropout at that line was seen to be off in an evaluation."""
    return any(
        other.place == call.place and other.settings.get("training", True) in (False, "False")
        for other in evidence.calls(*_FUNCTIONAL, phase="evaluation")
    )


def _has_no_mode(made: ast.Call) -> bool:
    """Whether it is a function's call, which would need to be told the mode; a module of that name knows it."""
    is_module = ast.unparse(made.func).startswith("self.")
    return not is_module and len(made.args) < 3 and not any(keyword.arg == "training" for keyword in made.keywords)


def _in_forward(evidence: Evidence, call: ast.Call) -> bool:
    for code in evidence.codes:
        for outer in code.around(call):
            if isinstance(outer, ast.FunctionDef):
                return outer.name == "forward"
    return False


def _with_training(code: SourceCode, calls: list[ast.Call]) -> tuple[LineChange, ...]:
    """All calls of a line with ``training=self.training``; one change, since they share the line."""
    if not calls:
        return ()
    lines = {call.lineno for call in calls}
    if len(lines) > 1 or any((call.end_lineno or call.lineno) != call.lineno for call in calls):
        return (code.with_argument(calls[0], "training", "self.training"),)
    text = code.lines[calls[0].lineno - 1]
    for call in sorted(calls, key=lambda one: -(one.end_col_offset or 0)):
        end = len(text.encode()[: call.end_col_offset or 0].decode()) - 1
        text = f"{text[:end]}, training=self.training{text[end:]}"
    return (LineChange(code.file, calls[0].lineno, (code.lines[calls[0].lineno - 1],), (text,)),)


def _evaluation(evidence: Evidence) -> Finding | None:
    for model in evidence.trained_models:
        wrong = [
            module
            for module in model.modules
            if _is_moody(module) and module.evaluated_mode > 0 and module.trained_mode > 0
        ]
        if not wrong or model.evaluation_calls == 0 or _is_sampled(evidence, model):
            continue
        share = max(module.evaluated_mode for module in wrong)
        norms = any("BatchNorm" in module.kind for module in wrong)
        adversarial = len(evidence.script.optimizers) > 1 and len(evidence.trained_models) > 1
        certainty = 0.9 if share > _MOST else 0.6
        place, changes = _eval_call(evidence, model)
        severity = "warning" if adversarial or share <= 0.25 else "fault"
        return _finding(
            evidence,
            certainty=certainty,
            title=f"{wrong[0].kind} is in training mode during evaluation",
            place=place,
            changes=changes,
            figures=[
                figure("evaluations in training mode", share, "0", "share"),
                figure("layers concerned", len(wrong)),
            ],
            layer=wrong[0].name,
            why="Batch normalisation then uses the evaluated batch's own statistics, and changes its running ones."
            if norms
            else "Dropout then drops units at random while the network is judged.",
            fix="Call model.eval() before evaluating and model.train() before training.",
            severity=severity,
        )
    return None


def _is_sampled(evidence: Evidence, model: ScriptModel) -> bool:
    """Whether dropout is left on to be averaged over: the model as a whole evaluates, or is asked again and again."""
    root = next((module for module in model.modules if module.name == ""), None)
    moody = [module for module in model.modules if _is_moody(module)]
    if root is not None and root.evaluated_mode == 0 and any(module.evaluated_mode > 0.5 for module in moody):
        return True
    if any("Norm" in module.kind for module in moody):
        return False
    for code in evidence.codes:
        for node in ast.walk(code.tree):
            if not isinstance(node, ast.ListComp | ast.GeneratorExp):
                continue
            over = node.generators[0].iter
            again = isinstance(over, ast.Call) and call_name(over.func) == "range"
            counter = ast.unparse(node.generators[0].target)
            asked = [
                one for one in ast.walk(node.elt) if isinstance(one, ast.Call) and ast.unparse(one.func) == model.name
            ]
            if (
                again
                and asked
                and not any(isinstance(one, ast.Name) and one.id == counter for one in ast.walk(node.elt))
            ):
                return True
    return False


def _training(evidence: Evidence) -> Finding | None:
    for model in evidence.trained_models:
        wrong = [module for module in model.modules if _is_moody(module) and module.trained_mode < _SHORT]
        if not wrong:
            continue
        root = next((module for module in model.modules if module.name == ""), None)
        others = [m for m in model.modules if not _is_moody(m) and m.trained_mode == m.trained_mode and m.calls > 0]
        frozen = (
            root is not None and root.trained_mode >= _SHORT and all("BatchNorm" in module.kind for module in wrong)
        )
        if frozen or (
            others and all(m.trained_mode >= _SHORT for m in others) and all("Batch" in w.kind for w in wrong)
        ):
            continue
        share = 1 - min(module.trained_mode for module in wrong)
        place, changes = _train_call(evidence, model)
        return _finding(
            evidence,
            certainty=0.9 if share > _MOST else 0.8,
            title=f"{wrong[0].kind} is in evaluation mode during training",
            place=place,
            changes=changes,
            figures=[
                figure("training steps in evaluation mode", share, "0", "share"),
                figure("layers concerned", len(wrong)),
            ],
            layer=wrong[0].name,
            why="Dropout does nothing and batch normalisation neither uses nor updates the batch's statistics.",
            fix="Call model.train() at the start of every epoch.",
            severity="fault" if share > 0.25 else "warning",
        )
    return None


def _name(model: ScriptModel) -> str:
    return model.name if model.name.replace(".", "_").isidentifier() else "model"


def _eval_call(evidence: Evidence, model: ScriptModel) -> tuple[CodeLine, tuple[LineChange, ...]]:
    """``model.eval()`` before the evaluation, and ``model.train()`` at the head of the loop if nothing calls it."""
    calls = [
        c
        for c in evidence.calls(phase="evaluation")
        if c.place.line and (c.model == -1 or c.module == "" or c.training)
    ]
    place = _outside_model(evidence, calls)
    if not place.line:
        return NOWHERE, ()
    code = evidence.code(place.file)
    statement = code.statement_at(place.line)
    if statement is None:
        return place, ()
    line = statement.lineno
    for outer in code.around(statement):
        if isinstance(outer, ast.With) and "grad" in ast.unparse(outer.items[0].context_expr):
            line = outer.lineno
            break
        if isinstance(outer, ast.FunctionDef | ast.ClassDef):
            break
    name = _name(model)
    changes = [code.added_before(line, f"{name}.eval()")]
    if not any(ast.unparse(call.func) == f"{name}.train" for call in code.calls("train")):
        loss = evidence.main_loss
        loop = code.loop_around(loss.backward.line) if loss is not None and loss.backward.file == place.file else None
        if loop is not None:
            changes.insert(0, code.added_before(loop.body[0].lineno, f"{name}.train()"))
    return evidence.place(place.file, line), tuple(sorted(changes, key=lambda one: one.line))


def _outside_model(evidence: Evidence, calls: list) -> CodeLine:
    """The first line of an evaluation that lies outside any class."""
    for call in calls:
        code = evidence.code(call.place.file)
        statement = code.statement_at(call.place.line)
        if statement is not None and not any(isinstance(outer, ast.ClassDef) for outer in code.around(statement)):
            return call.place
    return NOWHERE


def _train_call(evidence: Evidence, model: ScriptModel) -> tuple[CodeLine, tuple[LineChange, ...]]:
    loss = evidence.main_loss
    place = loss.backward if loss is not None else NOWHERE
    code = evidence.code(place.file)
    loop = code.loop_around(place.line) if place.line else None
    if loop is None:
        return place, ()
    return place, (code.added_before(loop.body[0].lineno, f"{_name(model)}.train()"),)


def _finding(
    evidence: Evidence,
    *,
    certainty: float,
    title: str,
    place: CodeLine,
    changes: tuple[LineChange, ...],
    figures: list,
    layer: str,
    why: str,
    fix: str,
    severity: str = "fault",
) -> Finding:
    return make_finding(
        "train_eval_mode",
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
        disproof="The layers' training flag is False in evaluation and True in training.",
    )


RULE = Rule("train_eval_mode", find, explains=("data_leakage", "overfitting", "train_test_mismatch"), needs=("models",))
