"""The chain rule for one entry: every path's product, their sum, and the strongest path back to the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pellucid.capture.tape_values import Value
from pellucid.core.rules.sums import Factor, Sum, Term, column, single
from pellucid.errors import SettingsError
from pellucid.lenses.trace_calls import Call, Calls
from pellucid.lenses.trace_equations import Wording, Writer, product_equation
from pellucid.lenses.trace_lessons import gradient_lesson
from pellucid.lenses.trace_names import Names
from pellucid.lenses.trace_symbols import Symbols, entry_text
from pellucid.lenses.trace_values import sentence, source_of, walk_on_from
from pellucid.lenses.trace_words import gradient_wording
from pellucid.results.explanation import EntryReference, Equation, Explanation

__all__ = ["Use", "explain_gradient", "uses_of"]

_MOST_HOPS = 8
_MOST_GROUPED = 64


@dataclass(frozen=True)
class Use:
    """One step that reads a value, and as which argument."""

    call: Call
    argument: str

    def paths(self, index: tuple[int, ...]) -> Sum | None:
        """The chain rule through this use; None where no rule knows it."""
        rule = self.call.rule
        if rule is None or not rule.differentiable:
            return None
        return rule.gradient_entry(self.call.arguments, self.call.outputs, self.call.gradients, self.argument, index)


def uses_of(calls: Calls, value: Value) -> list[Use]:
    """Every use of a value through which the loss's gradient comes back."""
    found: list[Use] = []
    for index in dict.fromkeys(value.consumers):
        call = calls.of(index)
        if value in call.made or not call.step.grad_enabled or all(one is None for one in call.gradients):
            continue
        found += [Use(call, address) for address, item in call.addresses.items() if item is value]
    return found


def explain_gradient(calls: Calls, names: Names, value: Value, index: tuple[int, ...]) -> Explanation:
    """The slope of the loss by one entry.

    Args:
        calls: The tape's calls.
        names: The tape's names.
        value: Whose gradient.
        index: Which entry, checked.

    Raises:
        SettingsError: no gradient reaches the value.
    """
    name = names.of(value)
    if value.gradient is None:
        raise SettingsError(f"no gradient of the loss reaches {name}", place=name, remedy=_why_none(calls, value))
    number = float(value.gradient[index])
    symbols = Symbols(calls.tape)
    writer = Writer(symbols, names, _batch(calls, value))
    own = symbols.entry(value, index)
    left = symbols.gradient(value, index)
    equations, notes, found = _paths(writer, calls, value, index, number)
    chain = _strongest(writer, calls, value, index, left) if equations else None
    equations += [] if chain is None else [chain]
    steps = [calls.tape.steps[one] for one in dict.fromkeys(value.consumers)]
    file, line, text = source_of(steps[0] if steps else None)
    error = abs(number - found) if found is not None else float("nan")
    verified = f"automatic differentiation gives {number:.6g}; these terms differ from it by {error:.1g}."
    notes.append(
        f"Read it as a slope: raising {own[0]} by a small ε changes the loss by about {number:.4g}·ε. Training moves "
        "against it.".replace("-", "−")
    )
    return Explanation(
        title=f"the loss's gradient by {entry_text(name, index)}",
        symbol=left[0],
        latex=left[1],
        value=number,
        equations=tuple(equations),
        notes=tuple(notes),
        source_file=file,
        source_line=line,
        source_text=text,
        verified=verified.replace("-", "−") if found is not None else "",
        error=error,
        walk_on=walk_on_from(equations, _own_reference(calls, names, value, index)),
    )


def _paths(
    writer: Writer, calls: Calls, value: Value, index: tuple[int, ...], number: float
) -> tuple[list[Equation], list[str], float | None]:
    """Equations for all uses, what else is to be said, and their sum (None where a use has no rule)."""
    left = writer.symbols.gradient(value, index)
    if value is calls.tape.loss:
        return [], ["This is the loss itself: moving it by ε moves it by ε. Here backpropagation starts."], 1.0
    uses = uses_of(calls, value)
    sums = [use.paths(index) for use in uses]
    known = [(use, total) for use, total in zip(uses, sums, strict=True) if total is not None]
    notes = [
        f"{use.call.place} is opaque: its share is known only from the total."
        for use, total in zip(uses, sums, strict=True)
        if total is None
    ]
    if not known:
        return [], notes, None
    equations: list[Equation] = []
    whole = sum(total.value for _, total in known)
    if len(uses) > 1:
        blocks = [single(_use_label(use), column(_use_label(use), None, total.value)) for use, total in known]
        if len(known) < len(uses):
            blocks.append(single("through opaque steps", column("through opaque steps", None, number - whole)))
        wording = Wording(
            f"{len(uses)} uses add up",
            "The same number is used in several places; the loss feels it through each, and the shares add up.",
        )
        equations.append(writer.equation(known[0][0].call, Sum.of(blocks), left, wording, value=number))
    for use, total in sorted(known, key=lambda item: -abs(item[1].value))[:2]:
        wording = gradient_wording(use.call.step.op, use.argument, len(total.terms) > 1)
        side = left if len(uses) == 1 else (f"share of {use.call.place}", r"\text{share}")
        shown = number if len(uses) == 1 else total.value
        local = _slope(writer, use, value, index)
        equation = writer.equation(use.call, total, side, wording, value=shown, local=local)
        told, words = gradient_lesson(writer, use.call, use.argument, index, total, equation=equation)
        if total.note and not words:
            notes.append(sentence(total.note))
        equations += told
        notes += words
    return equations, notes, whole if len(known) == len(uses) else None


def _use_label(use: Use) -> str:
    return f"through {use.call.place}"


def _slope(writer: Writer, use: Use, value: Value, index: tuple[int, ...]) -> str:
    """The local derivative of a function of one number: ``relu′(z[0,3])``."""
    if len(use.call.addresses) != 1 or use.call.made[0].shape != value.shape:
        return ""
    return f"{use.call.step.op}′({writer.symbols.entry(value, index)[0]})"


def _strongest(
    writer: Writer, calls: Calls, value: Value, index: tuple[int, ...], left: tuple[str, str]
) -> Equation | None:
    """The largest term at every step followed back to the loss, as one product."""
    factors: list[tuple[str, str, str, float, EntryReference | None]] = []
    at, where = value, index
    for _ in range(_MOST_HOPS):
        hop = _largest(calls, at, where)
        if hop is None:
            break
        use, term = hop
        upstream = next((factor for factor in term.factors if factor.name.startswith("grad")), None)
        if upstream is None or upstream.index is None:
            break
        place = int(upstream.name.rstrip("]").partition("[")[2] or 0)
        label, slope = f"through {use.call.place}", _slope(writer, use, at, where)
        whole = _whole_slope(use, where, upstream)
        if whole is None:
            for factor in term.factors:
                if factor is not upstream:
                    shown = writer.factor(use.call, factor, slope)
                    factors.append((shown.symbol, shown.latex, label, factor.value, shown.reference))
        else:
            above, below = (writer.symbols.entry(*one) for one in ((use.call.made[place], upstream.index), (at, where)))
            latex = rf"\frac{{\partial {above[1]}}}{{\partial {below[1]}}}"
            factors.append((f"∂{above[0]}/∂{below[0]}", latex, label, whole, None))
        at, where = use.call.made[place], upstream.index
        if at is calls.tape.loss:
            break
    if len(factors) < 2:
        return None
    if at.gradient is not None and at is not calls.tape.loss:
        text, latex = writer.symbols.gradient(at, where)
        reference = writer.names.reference(at, where, gradient=True)
        factors.append((text, latex, "what comes back from there on", float(at.gradient[where]), reference))
    factors.reverse()
    words = (
        "Of all paths from the loss back to this number, the one that carries most at every step: the factors of the "
        "chain rule in the order in which backpropagation multiplies them."
    )
    writer.symbols.meanings()
    return product_equation(
        "The strongest path, factor by factor", words, (f"share of {left[0]}", r"\text{share}"), factors
    )


def _whole_slope(use: Use, index: tuple[int, ...], upstream: Factor) -> float | None:
    """The local slope by one output entry where several terms make it up; None where the largest one is all."""
    total = use.paths(index)
    if total is None or len(total.terms) > _MOST_GROUPED:
        return None
    same = [
        math.prod(factor.value for factor in term.factors if factor[:2] != upstream[:2])
        for term in total.terms
        if any(factor[:2] == upstream[:2] for factor in term.factors)
    ]
    return math.fsum(same) if len(same) > 1 else None


def _largest(calls: Calls, value: Value, index: tuple[int, ...]) -> tuple[Use, Term] | None:
    """The largest term over all uses of one entry."""
    best: tuple[Use, Term] | None = None
    for use in uses_of(calls, value):
        total = use.paths(index)
        if total is not None and len(total.terms):
            term = total.terms[0]
            if best is None or abs(term.value) > abs(best[1].value):
                best = use, term
    return best


def _batch(calls: Calls, value: Value) -> int:
    """The number of examples, if the gradient of a parameter adds up over them."""
    inputs = [one for one in calls.tape.values if one.origin == "input" and one.shape]
    return inputs[0].shape[0] if inputs and value.origin == "parameter" else 0


def _own_reference(calls: Calls, names: Names, value: Value, index: tuple[int, ...]) -> EntryReference | None:
    """The update of a parameter, or how the value came about."""
    name = names.of(value)
    if value.origin == "parameter" and name in calls.tape.updates:
        return EntryReference("update", name, index, f'trace.update("{name}", {index!r})')
    return None if value.producer is None else names.reference(value, index)


def _why_none(calls: Calls, value: Value) -> str:
    if calls.tape.loss is None:
        return "give trace() a loss, so that there is something to differentiate"
    if not value.dtype.is_floating_point:
        return "ask about a floating-point value: integers have no slope"
    if value.origin == "parameter" and not value.requires_grad:
        return "the parameter is frozen: call requires_grad_() on it to see its gradient"
    return (
        "the loss does not depend on it (it is detached, unused, or frozen); ask about a value that leads to the loss"
    )
