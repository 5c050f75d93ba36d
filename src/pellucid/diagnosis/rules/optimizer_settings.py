"""A setting of the optimiser other than its rate is wrong.

Looked at, with the authors' values beside: Adam's eps (1e-8; rounds to 0 in half precision, whose least number is
6e-8; above 0.01 it swallows the gradient's size, so that steps are far smaller than lr), its betas (0.9 and 0.999,
Kingma & Ba 2015; β₁ above 0.99 or β₂ below β₁² do not converge, Reddi et al. 2018), momentum (0.9; 0.99 and more
overshoots for a hundred steps), and an optimiser made anew every few steps, which forgets its averages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.diagnosis.edits import find_call, set_argument
from pellucid.diagnosis.rates import number
from pellucid.diagnosis.rivals import ending, ending_said
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import OptimizerGroup, ScriptOptimizer

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_HALF_EPS = 6e-8
_LARGE_EPS = 1e-2
_MOMENTUM = 0.985
_FIRST_BETA = 0.985
_SECOND_BETA = 0.5
_REMADE = 5
_RATIO = 0.2
"""Instances over steps: an optimiser for at most five steps."""
_ADAM = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")


@dataclass(frozen=True)
class _Odd:
    name: str
    value: float
    expected: str
    keyword: str
    better: str
    sure: float
    always: bool  # wrong whatever comes out
    why: str


def find(evidence: Evidence) -> Finding | None:
    """An odd setting of an optimiser, with a bad end."""
    end = ending(evidence)
    short = bool(end) or evidence.outcome.short
    for optimizer in evidence.script.optimizers:
        if not optimizer.steps:
            continue
        if _remade(optimizer):
            return _made_anew(evidence, optimizer, short)
        for group in optimizer.groups:
            odd = next(_odd_settings(optimizer, group), None)
            if odd is not None and (short or odd.always or evidence.loss_curve.still_falling):
                return _finding(evidence, optimizer, odd, short)
    return None


def _odd_settings(optimizer: ScriptOptimizer, group: OptimizerGroup) -> Iterator[_Odd]:
    eps, momentum = number(group, "eps"), number(group, "momentum")
    if optimizer.half and eps < _HALF_EPS:
        why = "In half precision it rounds to 0, so that a gradient of 0 is divided by 0."
        yield _Odd("eps", eps, "1e-4 in half precision", "eps", "1e-4", 0.92, True, why)
    if eps >= _LARGE_EPS and optimizer.kind in (*_ADAM, "RMSprop"):
        why = "It outweighs the gradient's own size, so that steps are many times smaller than the rate."
        yield _Odd("eps", eps, "1e-8", "eps", "1e-8", 0.8 + 0.1 * (eps >= 0.1), False, why)
    if momentum >= _MOMENTUM:
        why = (
            f"Steps of the past add up {1 / max(1e-9, 1 - momentum):.0f}-fold, so that it overshoots for as many steps."
        )
        yield _Odd("momentum", momentum, "0.9", "momentum", "0.9", 0.85, False, why)
    if momentum < 0:
        yield _Odd("momentum", momentum, "0.9", "momentum", "0.9", 0.9, True, "It undoes the step before.")
    dampening = number(group, "dampening")
    if dampening >= 0.9 and momentum > 0:
        why = "It takes all but a trace of the gradient out of every step."
        yield _Odd("dampening", dampening, "0", "dampening", "0", 0.8, False, why)
    yield from _odd_betas(optimizer, group)
    alpha = number(group, "alpha")
    if optimizer.kind == "RMSprop" and alpha < _SECOND_BETA:
        yield _Odd("alpha", alpha, "0.99", "alpha", "0.99", 0.7, False, "The running size follows single batches.")


def _odd_betas(optimizer: ScriptOptimizer, group: OptimizerGroup) -> Iterator[_Odd]:
    said = group.settings.get("betas")
    if optimizer.kind not in _ADAM or not isinstance(said, str):
        return
    try:
        first, second = (float(part) for part in said.strip("()[] ").split(",")[:2])
    except ValueError:
        return
    if first >= _FIRST_BETA and second >= first**2 - 0.02:
        why = (
            f"The gradient is averaged over {1 / max(1e-9, 1 - first):.0f} steps, so that the "
            "direction is long out of date."
        )
        yield _Odd("β₁", first, "0.9", "betas", "(0.9, 0.999)", 0.82, False, why)
    elif second < max(_SECOND_BETA, first**2 - 0.02):
        why = (
            "The running size of the gradient is shorter than its mean's, so that steps are "
            "anything but of the rate's size."
        )
        yield _Odd("β₂", second, "0.999", "betas", "(0.9, 0.999)", 0.78, True, why)


def _remade(optimizer: ScriptOptimizer) -> bool:
    stateful = optimizer.kind != "SGD" or any(number(group, "momentum") > 0 for group in optimizer.groups)
    return stateful and optimizer.instances >= _REMADE and optimizer.instances >= _RATIO * optimizer.steps


def _finding(evidence: Evidence, optimizer: ScriptOptimizer, odd: _Odd, short: bool) -> Finding:
    return make_finding(
        "optimizer_settings",
        severity="fault" if short else "warning",
        certainty=odd.sure - (0.0 if short else 0.15),
        title=f"{optimizer.kind} with {odd.name} = {odd.value:g}: {ending_said(evidence)}",
        place=optimizer.place,
        since=0,
        evidence=[
            figure(odd.name, odd.value, odd.expected),
            figure("loss at the start", evidence.loss_curve.first),
            figure("loss at the end", evidence.loss_curve.last),
        ],
        curves=[curve("loss", evidence.loss)],
        why=odd.why,
        fix=f"Give {optimizer.kind} {odd.keyword}={odd.better}.",
        changes=set_argument(evidence, optimizer.place, optimizer.kind, odd.keyword, odd.better),
        disproof=f"With {odd.keyword}={odd.better} it trains no better.",
    )


def _made_anew(evidence: Evidence, optimizer: ScriptOptimizer, short: bool) -> Finding:
    each = optimizer.steps / max(1, optimizer.instances)
    return make_finding(
        "optimizer_settings",
        severity="fault" if short or each < 1.5 else "warning",
        certainty=0.9 if short else 0.75,
        title=f"{optimizer.kind} is made anew every {each:.3g} steps and forgets its averages each time",
        place=optimizer.place,
        since=0,
        evidence=[
            figure("optimisers made", optimizer.instances, "1"),
            figure("updates", optimizer.steps),
            figure("loss at the end", evidence.loss_curve.last),
        ],
        curves=[curve("loss", evidence.loss)],
        why="Momentum and running sizes start from nothing each time, so that every step is a first step.",
        fix="Make the optimiser once, before the loop.",
        changes=_moved_out(evidence, optimizer),
        disproof="Made once, it trains no better.",
    )


def _moved_out(evidence: Evidence, optimizer: ScriptOptimizer) -> list[LineChange]:
    """Out of its outermost loop, where it stands at top level in one line."""
    found = find_call(evidence, optimizer.place, optimizer.kind)
    if found is None:
        return []
    code, call = found
    code = evidence.code(code.file)
    statement = code.statement_at(call.lineno)
    loop = code.loop_around(call.lineno)
    while loop is not None and (outer := code.loop_around(loop.lineno)) is not None and outer is not loop:
        loop = outer
    if statement is None or loop is None or statement.lineno != (statement.end_lineno or 0):
        return []
    text = code.lines[statement.lineno - 1].strip()
    return [code.added_before(loop.lineno, text), code.without_lines(statement.lineno, statement.lineno)]


RULE = Rule(
    "optimizer_settings",
    find,
    explains=(
        "nan_origin",
        "undertrained",
        "lr_too_low",
        "lr_too_high",
        "exploding_gradient",
        "dead_relu",
        "vanishing_gradient",
    ),
    needs=("optimizers",),
)
