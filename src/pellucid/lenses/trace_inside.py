"""What happens inside one operation: the named quantities that a rule unrolls it into (gates, scores, weights)."""

from __future__ import annotations

import re
from dataclasses import replace

from pellucid.core.rules.base import Rule
from pellucid.core.rules.sums import Factor, Sum
from pellucid.errors import SettingsError
from pellucid.lenses.trace_calls import Call, Calls
from pellucid.lenses.trace_equations import Wording, Writer
from pellucid.lenses.trace_names import Names, check_index
from pellucid.lenses.trace_recurrence import memory_through_time, split_label
from pellucid.lenses.trace_symbols import Symbols
from pellucid.lenses.trace_words import inside_wording
from pellucid.results.explanation import Equation, Explanation

__all__ = ["explain_inside", "inside_shapes", "unfold"]

_DEEPEST = 4
_MOST_SEEN = 64
"""How many quantities are followed back, one from the other."""


def inside_shapes(call: Call) -> dict[str, tuple[int, ...]]:
    """The quantities inside a step by name, with their shapes; none where its rule needs none."""
    if call.rule is None:
        return {}
    return {name: tuple(tensor.shape) for name, tensor in call.rule.intermediates(call.arguments).items()}


def explain_inside(calls: Calls, names: Names, step: int, name: str, index: object) -> Explanation:
    """One entry of a quantity inside a step, and what it is made of inside the step.

    Args:
        calls: The tape's calls.
        names: The tape's names.
        step: Which step.
        name: Which quantity, such as ``weights`` of an attention.
        index: Which entry.

    Raises:
        SettingsError: the step has no such quantity, or the quantity no such entry.
    """
    call = calls.of(step)
    shapes = inside_shapes(call)
    if name not in shapes or call.rule is None:
        shown = ", ".join(repr(one) for one in shapes) or "nothing: its numbers are its output"
        raise SettingsError(f"{call.place} holds no {name!r}", place=name, remedy=f"inside it is {shown}")
    where = check_index(f"{name} of {call.place}", shapes[name], index)
    writer = Writer(Symbols(calls.tape), names)
    total = call.rule.intermediate_entry(call.arguments, name, where)
    equations = _equations(writer, call, name, where, total)
    equations += unfold(writer, call, total, seen={(name, where)})
    label = split_label(name)
    if label is not None and len(where) == 2:
        memory = memory_through_time(writer, call, label[0], label[1], where)
        equations += [] if memory is None else [memory]
    number = float(call.rule.intermediates(call.arguments)[name][where])
    from pellucid.lenses.trace_values import source_of, walk_on_from

    file, line, text = source_of(call.step)
    error = abs(number - total.result)
    return Explanation(
        title=f"{name}[{', '.join(map(str, where))}] inside {call.place}",
        symbol=f"{name}[{','.join(map(str, where))}]",
        latex=rf"\mathrm{{{name}}}_{{{','.join(map(str, where))}}}",
        value=number,
        equations=tuple(equations),
        notes=(total.note,) if total.note else (),
        source_file=file,
        source_line=line,
        source_text=text,
        verified="",
        error=error,
        walk_on=walk_on_from(equations),
    )


def unfold(
    writer: Writer, call: Call, total: Sum, *, seen: set[tuple[str, tuple[int, ...]]] | None = None
) -> list[Equation]:
    """Equations for the quantities inside the step that a sum mentions, the largest first, followed back.

    Args:
        writer: Writes the explanation's equations.
        call: The step.
        total: A sum of its rule.
        seen: What has been told already.
    """
    rule = call.rule
    if rule is None:
        return []
    inside = inside_shapes(call)
    told = set() if seen is None else seen
    last = next(iter(told))[1] if told else ()
    equations: list[Equation] = []
    for _ in range(_DEEPEST):
        found = _mentioned(total, inside, told, last)
        if found is None:
            break
        told.add(found)
        name, index = found
        last = index
        total = rule.intermediate_entry(call.arguments, name, index)
        equations += _equations(writer, call, name, index, total)
    return equations


def _mentioned(
    total: Sum, inside: dict[str, tuple[int, ...]], told: set[tuple[str, tuple[int, ...]]], last: tuple[int, ...]
) -> tuple[str, tuple[int, ...]] | None:
    """The quantity inside the step that a sum's largest terms name first and that was not told yet.

    One with the same index as the last goes first: an attention weight leads on to its own score.
    """
    found = [
        (name, factor.index)
        for term in total.terms[:_MOST_SEEN]
        for factor in term.factors
        if factor.index is not None and (name := _which(factor, inside)) is not None
    ]
    new = [one for one in found if one not in told]
    return next((one for one in new if one[1] == last), new[0] if new else None)


def _which(factor: Factor, inside: dict[str, tuple[int, ...]]) -> str | None:
    """The quantity that a factor names, itself or inside a function: ``exp(score - m)`` names ``scores``."""
    if factor.index is None:
        return None
    if factor.name in inside:
        return factor.name
    for name, shape in inside.items():
        stem = re.escape(name.removesuffix("s"))
        if len(shape) == len(factor.index) and re.search(rf"(?<![A-Za-z]){stem}s?(?![A-Za-z])", factor.name):
            return name
    return None


def _equations(writer: Writer, call: Call, name: str, index: tuple[int, ...], total: Sum) -> list[Equation]:
    """One quantity as its sum, and what is made of the sum."""
    assert isinstance(call.rule, Rule)
    places = ",".join(map(str, index))
    left = (f"{name}[{places}]", rf"\mathrm{{{name}}}_{{{places}}}")
    title, words, formula = inside_wording(call.step.op, name)
    wording = Wording(title, words, formula, "")
    if not total.then:
        return [writer.equation(call, total, left, wording, value=total.value)]
    first = writer.equation(call, total, ("s", "s"), replace(wording, formula=""), value=total.value)
    then = writer.then(call, total, ("s", "s"), left, total.result)
    return [first, replace(then, title=f"And {name}[{places}]")]
