"""The objective is maximised.
A loss whose parts are known carries its sign from the recorded calls. Else the run must show it: the loss falls below
anything its kind allows, or rises steadily, while the predictions get worse than chance. ``_BELOW_CHANCE`` asks for an
accuracy under half of what guessing gives, which a network that learned nothing does not show.
"""

from __future__ import annotations

import ast
import math

from pellucid.diagnosis.evidence import NOWHERE, Evidence
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.diagnosis.series import Series
from pellucid.results.diagnosis import Finding, LineChange
from pellucid.results.watched_script import CodeLine, ScriptLoss

__all__ = ["RULE", "find"]

_BELOW_CHANCE = 0.5
_FELL_MUCH = 3.0
"""A loss that ends so many times its first size below zero has no floor."""
_BOTTOMLESS = 10.0
"""Times its first size, below zero."""
_LIKELIHOODS = ("nll", "categorical", "bce", "bce_with_logits", "cross_entropy")
_UNBOUNDED = ("gaussian_nll", "poisson_nll")
"""Proper losses that may have either sign."""
_BOUNDED = (
    *_LIKELIHOODS,
    "mse",
    "l1",
    "smooth_l1",
    "huber",
    "rmse",
    "log_cosh",
    "hinge",
    *_UNBOUNDED,
)


def find(evidence: Evidence) -> Finding | None:
    """A loss that enters negated, an optimiser or an update by hand that climbs, a loss with no floor."""
    return (
        _negated(evidence)
        or _maximised(evidence)
        or _uphill(evidence)
        or _no_floor(evidence)
        or _bottomless_summand(evidence)
    )


def _negated(evidence: Evidence) -> Finding | None:
    several = len(evidence.script.optimizers) > 1
    for loss in evidence.script.losses:
        if loss.sign != -1 or loss.kind not in _BOUNDED:
            continue
        if loss.kind in _LIKELIHOODS and not _is_log_probability(loss):
            continue
        falls = _falls_below_zero(evidence.loss) or (loss.last < min(0.0, loss.first) and _is_worse(evidence))
        if several and not (falls and _is_worse(evidence)):
            continue  # adversarial pairs maximise on purpose
        alone = not loss.others or all(kind == "penalty" for kind in loss.others)
        if alone and loss.kind not in _UNBOUNDED and loss.first > 0 and loss.last > 0:
            continue  # its negative would be below zero: another minus, or a quotient, turns it back
        certainty = 0.96 if alone and (falls or _is_worse(evidence)) else 0.85 if alone else 0.8 if falls else 0.5
        severity = "fault" if falls or _is_worse(evidence) or alone else "warning"
        return _finding(
            evidence,
            place=loss.place,
            certainty=certainty,
            severity=severity,
            title=f"The {loss.kind.replace('_', ' ')} loss enters with a minus sign",
            changes=_sign_change(evidence, loss),
        )
    return None


def _is_log_probability(loss: ScriptLoss) -> bool:
    """Whether log-probabilities, as against raw outputs that merely look negated, went in."""
    if loss.kind != "nll":
        return True
    return (
        loss.last_operation == "log_softmax" or loss.log_rows_sum_to_one > 0.9 or math.isnan(loss.log_rows_sum_to_one)
    )


def _maximised(evidence: Evidence) -> Finding | None:
    for optimizer in evidence.script.optimizers:
        if not any(group.settings.get("maximize") is True for group in optimizer.groups):
            continue
        loss = evidence.main_loss
        if loss is None or loss.sign == -1 or not (loss.kind in _BOUNDED or _is_worse(evidence)):
            continue
        code = evidence.code(optimizer.place.file)
        calls = code.calls(optimizer.kind, line=optimizer.place.line)
        changes = tuple(code.with_argument(call, "maximize", "False") for call in calls[:1])
        return _finding(
            evidence,
            place=optimizer.place,
            certainty=0.94,
            severity="fault",
            title="The optimiser climbs: maximize=True",
            changes=changes,
        )
    return None


def _uphill(evidence: Evidence) -> Finding | None:
    """``w += lr * w.grad`` and its like, where no minus stands."""
    for code in evidence.codes:
        for node in ast.walk(code.tree):
            text, change = "", None
            if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
                text = code.segment(node.value)
                whole = code.segment(node)
                change = code.replaced(node, whole.replace("+=", "-=", 1))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_":
                text = ", ".join(code.segment(given) for given in [*node.args, *(k.value for k in node.keywords)])
                change = code.replaced(node, code.segment(node).replace(".add_(", ".sub_(", 1))
            if ".grad" not in text or "-" in text or ".grad" in _target(node) or change is None:
                continue
            if not _is_worse(evidence) and not evidence.outcome.loss_fall < 0:
                continue
            place = evidence.place(code.file, node.lineno)  # pyright: ignore[reportAttributeAccessIssue]
            return _finding(
                evidence,
                place=place,
                certainty=0.93,
                severity="fault",
                title="The update goes up the gradient",
                changes=(change,),
            )
    return None


def _target(node: ast.AST) -> str:
    if isinstance(node, ast.AugAssign):
        return ast.unparse(node.target)
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def _no_floor(evidence: Evidence) -> Finding | None:
    """A loss of unknown make that falls without end while predictions get worse."""
    loss = evidence.main_loss
    if loss is None or len(evidence.script.optimizers) > 1 or loss.sign == 1:
        return None
    picked = any(node.startswith("Gather") for node in loss.graph[:8])
    if picked and any(node.startswith("Mul") for node in loss.graph[:5]) and loss.kind in ("custom", "policy_gradient"):
        return None  # log-probabilities of actions, weighted by what they brought
    negated = any(node.startswith("Neg") for node in loss.graph[:6]) or loss.kind == "custom"
    if not negated or not _falls_below_zero(evidence.loss):
        return None
    worse = _is_worse(evidence)
    if not worse and evidence.outcome.best_score > evidence.outcome.chance:
        return None
    place, changes = (loss.place, _sign_change(evidence, loss))
    return _finding(
        evidence,
        place=place,
        certainty=0.85 if worse else 0.6,
        severity="fault",
        title="The loss falls below zero without end",
        changes=changes,
    )


def _bottomless_summand(evidence: Evidence) -> Finding | None:
    """A distance or a cross-entropy that has a floor, and beside it a summand that has none and takes the sum along."""
    loss = evidence.main_loss
    if loss is None or len(evidence.script.optimizers) > 1 or loss.sign != 1 or not loss.terms:
        return None
    floored = loss.kind in _BOUNDED and loss.kind not in _UNBOUNDED
    values = evidence.loss
    if not floored or not values.end() < -_BOTTOMLESS * abs(values.begin()) or not _falls_below_zero(values):
        return None
    return _finding(
        evidence,
        place=loss.backward,
        certainty=0.85,
        severity="fault",
        title=f"A summand beside the {loss.kind.replace('_', ' ')} falls without end: it enters with the wrong sign",
        changes=(),
    )


def _falls_below_zero(series: Series) -> bool:
    smooth = series.smooth()
    if len(smooth) < 3:
        return False
    first, last = abs(smooth.y[0]), smooth.y[-1]
    goes_on = abs(last) > first and smooth.part(0.5, 1).slope < -0.1 * abs(last)
    return bool(last < 0 and (abs(last) > _FELL_MUCH * max(first, 1e-9) or goes_on))


def _is_worse(evidence: Evidence) -> bool:
    """Whether predictions ended below chance, or further from the targets than a constant."""
    outcome = evidence.outcome
    score = outcome.best_score
    if outcome.task == "regression":
        return math.isfinite(score) and score < -1.0
    if math.isnan(score):
        score = outcome.reported
    balance = 1 / outcome.classes if outcome.classes else outcome.chance
    return math.isfinite(score) and math.isfinite(balance) and score < _BELOW_CHANCE * balance


def _sign_change(evidence: Evidence, loss: ScriptLoss) -> tuple[LineChange, ...]:
    """The minus in front taken out; one put in front of a likelihood that has none."""
    code = evidence.code(loss.place.file)
    for line in dict.fromkeys((loss.place.line, loss.backward.line)):
        minus = [
            node
            for node in ast.walk(code.tree)
            if isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and node.lineno == line
            and not isinstance(node.operand, ast.Constant)
        ]
        if minus and line:
            return (code.replaced(minus[0], code.segment(minus[0].operand)),)
    for line in dict.fromkeys((loss.place.line, loss.backward.line)):
        statement = code.statement_at(line) if line else None
        if (
            isinstance(statement, ast.Assign | ast.Return)
            and statement.value is not None
            and not isinstance(statement.value, ast.Tuple)
        ):
            return (code.replaced(statement.value, f"-({code.segment(statement.value)})"),)
    return ()


def _finding(
    evidence: Evidence, *, place: CodeLine, certainty: float, severity: str, title: str, changes: tuple[LineChange, ...]
) -> Finding:
    outcome = evidence.outcome
    figures = [
        figure("loss at the start", outcome.loss_first),
        figure("loss at the end", outcome.loss_last, "lower, and not below the loss's own floor"),
    ]
    if math.isfinite(outcome.best_score):
        figures.append(
            figure("score at the end", outcome.best_score, f"above {outcome.chance:.2f}, which a constant reaches")
        )
    return make_finding(
        "loss_sign_flipped",
        severity=severity,  # pyright: ignore[reportArgumentType]
        certainty=certainty,
        title=title,
        place=place if place.line else NOWHERE,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss, level=0.0, level_name="zero")],
        why="Every step makes the errors larger: the quantity that should fall is maximised.",
        fix="Turn the sign, so that a better prediction gives a lower loss.",
        changes=changes,
        disproof="Predictions get better as training goes on.",
    )


RULE = Rule(
    "loss_sign_flipped",
    find,
    explains=(
        *("exploding_gradient", "lr_too_high", "saturated_activation", "dead_relu", "label_corruption", "wrong_loss"),
        *("nan_origin", "undersized_network", "wrong_metric", "unscaled_targets", "undertrained"),
    ),
    needs=("losses",),
)
