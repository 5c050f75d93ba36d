"""Weight decay, a penalty or dropout outweighs the data.

Weight decay λ of an L2 kind pulls with λ·‖w‖ where the data's gradient pulls with ‖g‖: more than that, and weights
shrink whatever the data say. Usual values are 1e-5 to 1e-3 for L2 and 0.01 to 0.1 for AdamW (Loshchilov & Hutter
2019); a decay of 0.02 and 1 from which on it is suspected lies twenty times and ten times above. Dropout of 0.75
and more keeps a quarter (0.5 is the most that is usual, Srivastava et al. 2014); a penalty larger than the data's
loss is one that rules. Each only with a poor score on the training examples: regularisation that helps is none of
it.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid.diagnosis.edits import set_argument, trees
from pellucid.diagnosis.rates import adaptive, number
from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import EvidenceFigure, LineChange
from pellucid.results.watched_script import CodeLine, OptimizerGroup, ScriptOptimizer

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_DECAY = 0.02
_DECOUPLED_DECAY = 1.0
_DROPOUT = 0.75
_PENALTY = 1.0
"""Penalty over the data's loss."""
_SHRUNK = 0.5
_COUPLED_DECAY = 5e-3
"""Of Adam without decoupling: it is divided by the gradient's size like the gradient itself."""
_FAR_ABOVE = 10.0
_HELD = 0.95
"""A decay that dominates shrinks some matrix; where all have grown, the data won."""
_REACHED = 0.85


@dataclass(frozen=True)
class _Heavy:
    what: str
    certainty: float
    place: CodeLine | None
    figures: list[EvidenceFigure]
    fix: str
    changes: tuple[LineChange, ...]


def find(evidence: Evidence) -> Finding | None:
    """A strong regularisation and a poor score on the training examples."""
    loss, outcome = evidence.loss_curve, evidence.outcome
    if outcome.diverged or not loss.finite:
        return None
    low = ending(evidence) in ("stuck", "poor") or outcome.reached < _REACHED or _penalised_low(evidence)
    if not low:
        return _finding(evidence, next(_strong_shrinking(evidence), None), "warning")
    heavy = max(
        [*_decays(evidence), *_penalties(evidence), *_dropouts(evidence)], key=lambda one: one.certainty, default=None
    )
    return _finding(evidence, heavy, "fault")


def _finding(evidence: Evidence, heavy: _Heavy | None, severity: Literal["fault", "warning"]) -> Finding | None:
    if heavy is None:
        return None
    loss, outcome = evidence.loss_curve, evidence.outcome
    shrunk = _shrinking(evidence)
    figures = [*heavy.figures]
    if math.isfinite(shrunk):
        figures.append(figure("weights at the end over those at the start", shrunk, "1 or more"))
    figures.append(figure("score on training examples", outcome.score("train")))
    return make_finding(
        "over_regularised",
        severity=severity,
        certainty=heavy.certainty + (0.05 if shrunk < _SHRUNK else 0.0),
        title=f"{heavy.what} outweighs the data: "
        + ("the network hardly fits its own training examples" if severity == "fault" else "weights shrink to nothing"),
        place=heavy.place,
        since=0,
        evidence=figures,
        curves=[curve("loss", evidence.loss, level=loss.constant, level_name="the best constant answer")],
        why="What pulls the weights to nothing is stronger than what the examples teach.",
        fix=heavy.fix,
        changes=heavy.changes,
        disproof="With that the training loss is no lower.",
    )


def _penalised_low(evidence: Evidence) -> bool:
    """Whether little of the network's answer is left: its predictions differ far less than the targets."""
    score, chance, loss = evidence.outcome.score("train"), evidence.outcome.chance, evidence.loss_curve
    contradicted = score < chance and loss.last < 0.5 * loss.constant
    return math.isfinite(score) and score < chance + 0.5 * (1 - chance) and not contradicted


def _decays(evidence: Evidence) -> Iterator[_Heavy]:
    for optimizer in evidence.script.optimizers:
        for group in optimizer.groups:
            decay = number(group, "weight_decay")
            limit = _DECOUPLED_DECAY if _decoupled(optimizer, group) else _DECAY
            if not decay > limit or (decay < _FAR_ABOVE * limit and not _least_ratio(evidence) < _HELD):
                continue
            certainty = 0.72 + 0.15 * min(1.0, math.log10(decay / limit) / 1.3)
            better = "0.01" if limit == _DECOUPLED_DECAY else "1e-4"
            changes = set_argument(evidence, optimizer.place, optimizer.kind, "weight_decay", better)
            said = [figure("weight decay", decay, f"usual for {optimizer.kind}: {better}")]
            fix = f"Give {optimizer.kind} weight_decay={better}."
            yield _Heavy(f"Weight decay of {decay:g}", certainty, optimizer.place, said, fix, changes)


def _strong_shrinking(evidence: Evidence) -> Iterator[_Heavy]:
    """Where nothing says what the network should reach: a decay that an adaptive step leaves whole, and that tells."""
    loss = evidence.loss_curve
    for optimizer in evidence.script.optimizers:
        for group in optimizer.groups:
            decay = number(group, "weight_decay")
            coupled = adaptive(optimizer.kind) and not _decoupled(optimizer, group)
            unknown = not math.isfinite(evidence.outcome.reached)
            if not (coupled and unknown and decay >= _COUPLED_DECAY and _least_ratio(evidence) < _SHRUNK):
                continue
            if loss.still_falling or not loss.last > 0.1 * loss.constant:
                continue
            changes = set_argument(evidence, optimizer.place, optimizer.kind, "weight_decay", "1e-4")
            said = [figure("weight decay", decay, f"usual for {optimizer.kind}: 1e-4 or less")]
            fix = f"Give {optimizer.kind} weight_decay=1e-4, or use AdamW."
            yield _Heavy(f"Weight decay of {decay:g}", 0.5, optimizer.place, said, fix, changes)


def _decoupled(optimizer: ScriptOptimizer, group: OptimizerGroup) -> bool:
    return optimizer.kind == "AdamW" or bool(group.settings.get("decoupled_weight_decay"))


def _penalties(evidence: Evidence) -> Iterator[_Heavy]:
    share = evidence.series("train", "loss", "penalty").finite
    value = evidence.series("train", "loss", "value").finite
    loss = evidence.main_loss
    if len(share) >= 2 and len(value) >= 2:
        late, whole = float(np.median(share.part(0.5, 1.0).y)), float(np.median(value.part(0.5, 1.0).y))
        first = share.first / max(value.first - share.first, 1e-12)
        data = max(whole - late, 1e-12)
        if late > _PENALTY * data or (first > 3 * _PENALTY and late > 0.3 * data):
            said = [
                figure("penalty over the data's loss at the end", late / data, "below 0.1"),
                figure("the same at the start", first),
            ]
            place = loss.place if loss is not None else None
            line = _penalty_line(evidence)
            yield _Heavy("The penalty", 0.85, line or place, said, "Take a hundredth of the penalty's factor.", ())
    elif (line := _penalty_line(evidence)) is not None and evidence.loss_curve.first > 0:
        yield _Heavy("The penalty in the loss", 0.55, line, [], "Take a hundredth of the penalty's factor.", ())


def _penalty_line(evidence: Evidence) -> CodeLine | None:
    """A line that sums over parameters with a factor, as a penalty does."""
    for file, tree in trees(evidence):
        for node in ast.walk(tree):
            text = ast.unparse(node.value) if isinstance(node, ast.Assign | ast.AugAssign) else ""
            powers = (".abs()", "norm(", "** 2", ".pow(2)", "square(")
            if isinstance(node, ast.stmt) and "parameters()" in text and any(word in text for word in powers):
                return evidence.place(file, node.lineno)
    return None


def _dropouts(evidence: Evidence) -> Iterator[_Heavy]:
    for call in evidence.calls(phase="train"):
        rate = call.settings.get("p")
        if "dropout" not in call.function or not isinstance(rate, int | float) or not rate >= _DROPOUT:
            continue
        if call.settings.get("training") is False or not call.reaches_loss:
            continue
        said = [figure("share dropped", float(rate), "0.1 to 0.5")]
        certainty = 0.7 + 0.6 * (float(rate) - _DROPOUT)
        yield _Heavy(
            f"Dropout of {rate:g}",
            certainty,
            call.place,
            said,
            "Drop 0.2.",
            _less_dropout(evidence, call.place, float(rate)),
        )
        return


def _less_dropout(evidence: Evidence, place: CodeLine, rate: float) -> tuple[LineChange, ...]:
    for file in dict.fromkeys((place.file, evidence.main_file)):
        code = evidence.code(file)
        for call in code.calls("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "dropout"):
            for given in [*call.args, *(one.value for one in call.keywords if one.arg == "p")]:
                if isinstance(given, ast.Constant) and given.value == rate:
                    return (code.replaced(given, "0.2"),)
    return ()


def _least_ratio(evidence: Evidence) -> float:
    """The norm at the end over that at the start, of the matrix that shrank most; nan where none was looked at."""
    return min(_ratios(evidence), default=math.nan)


def _ratios(evidence: Evidence) -> list[float]:
    return [
        one.final_norm / one.initial_norm
        for _, one in evidence.parameters()
        if len(one.shape) >= 2 and one.initial_norm > 0 and math.isfinite(one.final_norm)
    ]


def _shrinking(evidence: Evidence) -> float:
    """The weights' norm at the end over that at the start, the median over matrices."""
    ratios = _ratios(evidence)
    return float(np.median(ratios)) if ratios else math.nan


RULE = Rule(
    "over_regularised",
    find,
    explains=(
        "undertrained",
        "vanishing_gradient",
        "undersized_network",
        "lr_too_low",
        "dead_relu",
        "label_corruption",
    ),
    needs=("steps",),
)
