"""Why a weight moves by just this much: the optimiser's rule with its numbers, term by term."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pellucid.capture.tape_values import Update, Value
from pellucid.core.rules.updates import Line, write_move
from pellucid.lenses.trace_calls import Calls
from pellucid.lenses.trace_names import Names
from pellucid.lenses.trace_symbols import entry_text
from pellucid.lenses.trace_values import walk_on_from
from pellucid.results.explanation import (
    EntryReference,
    Equation,
    ExplainedFactor,
    ExplainedTerm,
    Explanation,
    SymbolMeaning,
)
from pellucid.results.trace_check import CheckedStep, Verdict

__all__ = ["check_updates", "explain_update"]


def explain_update(calls: Calls, names: Names, value: Value, index: tuple[int, ...]) -> Explanation:
    """The move of one entry of a parameter, as exact terms that add up to it.

    Args:
        calls: The tape's calls.
        names: The tape's names.
        value: The parameter.
        index: Which entry, checked.
    """
    update = calls.tape.updates[value.name]
    before, after = float(update.before[index]), float(update.after[index])
    moved = after - before
    gradient = names.reference(value, index, gradient=True)
    lines = _lines(update, index)
    notes: list[str] = []
    equations: list[Equation] = []
    error, verified = math.nan, ""
    if update.gradient is None:
        notes.append(f"No gradient reached {value.name}, so {update.kind} leaves it where it is.")
    elif lines is None:
        notes.append(f"{update.kind} is opaque: no rule says how it makes its move, so only the move is shown.")
    else:
        total = float(lines[-1].value())
        equations = [_equation(line, gradient, float(line.value())) for line in lines[:-1]]
        equations.append(_equation(lines[-1], gradient, moved))
        error = abs(total - moved)
        verified = (
            f"{update.kind} itself, run on a copy, moves it from {before:.8g} to {after:.8g}, by {moved:.6g}; the "
            "terms "
            f"differ from that by {error:.1g}, the rounding of {str(update.before.dtype).removeprefix('torch.')}."
        ).replace("-", "−")
        notes += _lessons(update, index)
    return Explanation(
        title=f"{update.kind}'s update of {entry_text(value.name, index)}",
        symbol="Δw",
        latex=r"\Delta w",
        value=moved,
        equations=tuple(equations),
        notes=tuple(notes),
        source_file="",
        source_line=0,
        source_text="",
        verified=verified,
        error=error,
        walk_on=walk_on_from(equations, gradient),
    )


def _lines(update: Update, index: tuple[int, ...] | None) -> list[Line] | None:
    """The optimiser's rule for one entry, or for the whole tensor; None where no gradient came or no rule knows it."""
    if update.gradient is None:
        return None
    shape = update.before.shape

    def pick(item: Any) -> Any:
        held = isinstance(item, Tensor) and index is not None and item.shape == shape
        return item[index] if held else item

    state = {name: pick(item) for name, item in update.state_before.items()}
    return write_move(update.kind, update.settings, state, pick(update.before), pick(update.gradient))


def _equation(line: Line, gradient: EntryReference | None, value: float) -> Equation:
    """A line of the rule as an equation; the move is the one observed, so that storing it may show as rounding."""
    terms = tuple(
        ExplainedTerm(
            label,
            tuple(
                ExplainedFactor(symbol, latex, float(number), gradient if symbol == "g" else None)
                for symbol, latex, number in factors
            ),
            math.prod(float(number) for _, _, number in factors),
        )
        for label, factors in line.terms
    )
    return Equation(
        title=line.title,
        words=line.words,
        formula=line.formula,
        formula_latex=line.formula_latex,
        symbol=line.symbol,
        latex=line.latex,
        form="sum",
        terms=terms,
        others=0,
        others_value=0.0,
        rounding=value - math.fsum(term.value for term in terms),
        value=value,
        symbols=tuple(SymbolMeaning(*meaning) for meaning in line.meanings),
    )


def _lessons(update: Update, index: tuple[int, ...]) -> list[str]:
    """What a newcomer should see in this very move."""
    assert update.gradient is not None
    said: list[str] = []
    first = not update.state_before
    gradient = float(update.gradient[index])
    if update.kind in ("Adam", "AdamW", "NAdam", "RAdam") and first:
        said.append(
            "This is the first step: after the correction for the empty start, m̂ is the gradient itself and v̂ its "
            "square, "
            "so the step is about the learning rate, whatever the gradient's size; only its sign counts."
        )
    if gradient == 0:
        said.append("The gradient is exactly 0 here: what moves the weight is decay or momentum alone.")
    if update.settings.get("weight_decay") and update.kind == "AdamW":
        said.append("The decay pulls every weight towards 0 in proportion to its size, apart from what the loss wants.")
    return said


def check_updates(calls: Calls) -> list[CheckedStep]:
    """Each parameter's terms against the move that the optimiser itself made on a copy."""
    found: list[CheckedStep] = []
    for name, update in calls.tape.updates.items():
        if update.gradient is None:
            continue
        lines = _lines(update, None)
        nan = math.nan
        if lines is None:
            found.append(CheckedStep(-1, name, "", "update terms", "opaque", nan, nan, f"no rule for {update.kind}"))
            continue
        moved = update.after.double() - update.before.double()
        ours = torch.as_tensor(lines[-1].value()).expand(moved.shape)
        error = (ours - moved).abs()
        bound = _rounding(update, lines)
        worst = float((error - bound).max()) if error.numel() else 0.0
        at = int((error / bound).argmax()) if error.numel() else 0
        exact = not bool(error.any())
        verdict: Verdict = "bit-equal" if exact else "within bound" if worst <= 0 else "disagrees"
        largest, allowed = (float(one.reshape(-1)[at]) if error.numel() else 0.0 for one in (error, bound))
        found.append(CheckedStep(-1, name, "", "update terms", verdict, largest, allowed, ""))
    return found


def _rounding(update: Update, lines: list[Line]) -> Tensor:
    """What rounding the weight and the move in their own format may cost.

    The weight is rounded where it is shrunk (the factor 1 − lr·λ, and the product) and where the move is added; the
    move passes through twelve operations, and where terms cancel on the way, as a gradient and the momentum may, their
    rounding stays.
    """
    unit = torch.finfo(update.before.dtype).eps / 2
    size = sum(product.abs() for product in lines[-1].products())
    for line in lines[:-1]:
        left, value = sum(product.abs() for product in line.products()), line.value().abs()
        size = size * torch.where(value > 0, left / value, 1.0)
    return unit * (3 * update.before.double().abs() + 24 * size) + torch.finfo(update.before.dtype).tiny
