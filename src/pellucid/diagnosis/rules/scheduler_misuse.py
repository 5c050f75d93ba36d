"""The schedule of the learning rate does not do what is meant.

Judged by the recorded rate itself. It is spent when it falls below a hundredth of its largest before half of the
run and stays there (a schedule meant for the run ends low at its end; a schedule stepped per batch though meant per
epoch is there after a few dozen batches). It never gets going when a one-cycle or warm-up is stepped once an epoch.
It grows a hundredfold, or swings through several cosine periods an epoch. Or a scheduler was made and never
stepped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.rivals import ending
from pellucid.diagnosis.rule import Rule, curve, figure, make_finding
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import CodeLine, ScriptScheduler

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence
    from pellucid.results.diagnosis import Finding

__all__ = ["RULE", "find"]

_SPENT = 0.01
_EARLY = 0.5
_LEAST_STEPS = 20
_NEVER = 0.1
"""Of the schedule's own steps: one that came no further has hardly begun."""
_SWINGS = 3
_WELL = 0.95
"""Of the reachable: below, such a schedule has cost something."""


def find(evidence: Evidence) -> Finding | None:
    """A recorded rate that is spent early, never gets going, grows or swings."""
    rates = evidence.column("learning_rate").finite
    if len(rates) < _LEAST_STEPS:
        return None
    scheduler = max(evidence.script.schedulers, key=lambda one: one.calls, default=None)
    for judge in (_spent, _unfinished, _grown, _swinging, _never):
        said = judge(evidence, rates.y, scheduler)
        if said is not None:
            title, severity, certainty = said
            return _finding(evidence, scheduler, title, severity, certainty)
    return None


_Said = tuple[str, str, float] | None


def _spent(evidence: Evidence, rates: np.ndarray, scheduler: ScriptScheduler | None) -> _Said:
    top = float(rates.max())
    low = rates < _SPENT * top
    after = len(rates) - int(np.argmin(low[::-1])) if not low.all() else 0  # the first step of the last low stretch
    if not low[-1] or after > _EARLY * len(rates) or top <= 0:
        return None
    two_phases = scheduler is None and len(np.unique(rates)) <= 2
    if two_phases and not ending(evidence):
        return None
    good = evidence.outcome.reached > 0.98 and not ending(evidence) and evidence.outcome.task != "regression"
    each = scheduler is not None and scheduler.calls_per_update > 0.5
    title = (
        f"The learning rate is spent after {after:,} of {len(rates):,} updates: it has "
        f"fallen from {top:.3g} to {rates[-1]:.2g}"
    )
    return title, "warning" if good else "fault", 0.9 if each else 0.8


def _unfinished(evidence: Evidence, rates: np.ndarray, scheduler: ScriptScheduler | None) -> _Said:
    if scheduler is None or scheduler.calls_per_update > 0.5:
        return None
    total = scheduler.settings.get("total_steps") or scheduler.settings.get("total_iters")
    if scheduler.kind not in ("OneCycleLR", "LinearLR", "LambdaLR", "CyclicLR") or not isinstance(total, int | float):
        return None
    if scheduler.calls >= _NEVER * total or total < 2 * _LEAST_STEPS:
        return None
    title = (
        f"{scheduler.kind} is laid out for {total:g} steps and was stepped "
        f"{scheduler.calls} times: it is still at its beginning"
    )
    return title, "fault" if ending(evidence) or evidence.loss_curve.still_falling else "warning", 0.85


def _grown(evidence: Evidence, rates: np.ndarray, scheduler: ScriptScheduler | None) -> _Said:
    if not (rates[-1] > 100 * rates[0] > 0) or rates.argmax() < 0.95 * (len(rates) - 1):
        return None
    title = f"The learning rate grew from {rates[0]:.2g} to {rates[-1]:.2g}"
    return title, "fault" if ending(evidence) else "warning", 0.85


def _swinging(evidence: Evidence, rates: np.ndarray, scheduler: ScriptScheduler | None) -> _Said:
    """A cosine whose period is so many updates as was meant in epochs swings up again."""
    if scheduler is None or scheduler.kind != "CosineAnnealingLR" or scheduler.calls_per_update < 0.5:
        return None
    period = scheduler.settings.get("T_max")
    if not isinstance(period, int | float) or not period > 0 or scheduler.calls < _SWINGS * period:
        return None
    title = (
        f"The cosine schedule of {period:g} steps is stepped every update and swings "
        f"{scheduler.calls / period / 2:.0f} times"
    )
    spoilt = bool(ending(evidence)) or evidence.outcome.reached < _WELL
    return title, "fault" if spoilt else "warning", 0.8


def _never(evidence: Evidence, rates: np.ndarray, scheduler: ScriptScheduler | None) -> _Said:
    if scheduler is not None and scheduler.calls == 0 and np.ptp(rates) == 0:
        spoilt = bool(ending(evidence)) or evidence.loss_curve.wild
        return f"{scheduler.kind} is made and never stepped", "fault" if spoilt else "warning", 0.7
    return _held_down(evidence, rates, scheduler)


def _held_down(evidence: Evidence, rates: np.ndarray, scheduler: ScriptScheduler | None) -> _Said:
    """A rate that fell to a tenth within the first tenth of the run, though there were epochs enough to fall slowly."""
    if scheduler is None or scheduler.calls_per_update < 0.5 or rates[0] <= 0:
        return None
    early = rates[max(1, len(rates) // 10)]
    if early > 0.1 * rates.max() or rates.argmax() > 0.05 * len(rates):
        return None
    title = (
        f"The learning rate falls to {early:.2g} within the first tenth of the run, as "
        f"{scheduler.kind} is stepped every update"
    )
    return title, "fault" if ending(evidence) or evidence.outcome.reached < _WELL else "warning", 0.75


def _finding(
    evidence: Evidence, scheduler: ScriptScheduler | None, title: str, severity: str, certainty: float
) -> Finding:
    rates = evidence.column("learning_rate")
    place = scheduler.place if scheduler is not None else _assigned_line(evidence)
    each = scheduler is not None and scheduler.calls_per_update > 0.5
    figures = [
        figure("learning rate at the start", rates.first),
        figure("learning rate at the end", rates.last),
        figure("loss at the end", evidence.loss_curve.last),
    ]
    if scheduler is not None:
        figures.insert(
            0,
            figure(f"steps of {scheduler.kind} an update", scheduler.calls_per_update, "1 over the steps of an epoch"),
        )
    epochs = (
        "Step the scheduler once an epoch, after the loop over batches."
        if each
        else "Step the scheduler as often as its length counts."
    )
    return make_finding(
        "scheduler_misuse",
        severity="fault" if severity == "fault" else "warning",
        certainty=certainty,
        title=title,
        place=place,
        since=0,
        evidence=figures,
        curves=[curve("learning rate", rates), curve("loss", evidence.loss)],
        why="The rate is not what the schedule was meant to give, and most updates are made with a wrong one.",
        fix=epochs if scheduler is not None else "Lower the rate once an epoch, and not at every update.",
        changes=_moved_out(evidence, scheduler) if each and scheduler is not None else [],
        disproof="With the schedule as meant, it trains no better.",
    )


def _moved_out(evidence: Evidence, scheduler: ScriptScheduler) -> list[LineChange]:
    """The call of ``step`` moved to the end of the loop around the loop over batches."""
    code = evidence.code(scheduler.place.file)
    statement, loop = code.statement_at(scheduler.place.line), code.loop_around(scheduler.place.line)
    if statement is None or loop is None or ".step(" not in code.lines[scheduler.place.line - 1]:
        return []
    if code.loop_around(loop.lineno) in (None, loop):
        return []
    end = loop.end_lineno or loop.lineno
    indent = " " * loop.col_offset
    text = code.lines[statement.lineno - 1].strip()
    added = LineChange(code.file, end + 1, (), (indent + text,))
    return [code.without_lines(statement.lineno, statement.end_lineno or statement.lineno), added]


def _assigned_line(evidence: Evidence) -> CodeLine | None:
    """Where the script sets a group's rate itself."""
    for source in evidence.script.sources:
        for number, line in enumerate(source.text.splitlines(), 1):
            if '["lr"]' in line or "['lr']" in line:
                return evidence.place(source.path, number)
    return None


RULE = Rule(
    "scheduler_misuse",
    find,
    explains=("lr_too_low", "undertrained", "lr_too_high", "vanishing_gradient", "undersized_network"),
    needs=("steps",),
)
