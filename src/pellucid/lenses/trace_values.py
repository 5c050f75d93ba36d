"""How one entry of a value came about, in equations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pellucid.capture.tape_values import Step, Value
from pellucid.core.rules.sums import Sum
from pellucid.lenses.trace_calls import Call, Calls
from pellucid.lenses.trace_equations import Wording, Writer
from pellucid.lenses.trace_lessons import value_lesson
from pellucid.lenses.trace_names import Names
from pellucid.lenses.trace_symbols import Symbols, entry_text
from pellucid.lenses.trace_words import value_wording
from pellucid.results.explanation import EntryReference, Equation, Explanation

__all__ = ["explain_value", "sentence", "source_of", "walk_on_from"]

_MOST_REFERENCES = 5
_POINTWISE = frozenset(
    [
        "relu",
        "relu6",
        "leaky_relu",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "mish",
        "sigmoid",
        "tanh",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "softplus",
        "softsign",
        "logsigmoid",
        "threshold",
    ]
)


def explain_value(calls: Calls, names: Names, value: Value, index: tuple[int, ...], title: str = "") -> Explanation:
    """One entry as the terms that it was made of, then the activation that follows it.

    Args:
        calls: The tape's calls.
        names: The tape's names.
        value: What is explained.
        index: Which entry, checked.
        title: What it is called; its name and index unless given.
    """
    tape = calls.tape
    writer = Writer(Symbols(tape), names)
    symbol, latex = writer.symbols.entry(value, index)
    number = float(tape.read(value)[index])
    notes: list[str] = []
    equations: list[Equation] = []
    verified, error = "", float("nan")
    step = tape.steps[value.producer] if value.producer is not None else None
    if step is None:
        notes.append(f"{names.of(value)} is given, not computed: nothing to add up here.")
    else:
        call = calls.of(step.index)
        if call.rule is None or step.identity:
            notes.append(_unexplained(call))
        else:
            total = call.rule.entry(call.arguments, call.outputs, index, _place(call, value))
            equations = _equations(writer, call, total, (symbol, latex), number)
            equations, more = value_lesson(writer, call, index, total, equations)
            notes += more or ([sentence(total.note)] if total.note else [])
            error = abs(number - total.result)
            off = f"{error:.1g}".replace("-", "−")
            verified = f"recomputed from these terms in double precision; the framework's number differs by {off}."
    equations += _activation(calls, writer, value, index)
    if len(equations) > 1 and equations[-1].title.startswith("Then "):
        symbol, latex, number = equations[-1].symbol, equations[-1].latex, equations[-1].value
    file, line, text = source_of(step)
    return Explanation(
        title=title or entry_text(names.of(value), index),
        symbol=symbol,
        latex=latex,
        value=number,
        equations=tuple(equations),
        notes=tuple(notes),
        source_file=file,
        source_line=line,
        source_text=text,
        verified=verified,
        error=error,
        walk_on=walk_on_from(equations, names.reference(value, index, gradient=True)),
    )


def source_of(step: Step | None) -> tuple[str, int, str]:
    """File, line and text of the user's line that ran a step."""
    source = step.source if step is not None else None
    return ("", 0, "") if source is None else (_short(source.file), source.line, source.text)


def _short(file: str) -> str:
    """A path as a person would say it: from the package's name on, or from the working folder."""
    inside = file.partition("site-packages/")[2]
    return inside or str(Path(file).relative_to(Path.cwd()) if Path(file).is_relative_to(Path.cwd()) else file)


def walk_on_from(equations: list[Equation], *more: EntryReference | None) -> tuple[EntryReference, ...]:
    """The entries that the largest terms name, each once, and ``more``."""
    found: dict[str, EntryReference] = {}
    for equation in equations:
        for term in equation.terms:
            for factor in term.factors:
                if factor.reference is not None and factor.reference.kind == "value":
                    found.setdefault(factor.reference.call, factor.reference)
    for equation in equations:
        for term in equation.terms:
            for factor in term.factors:
                if factor.reference is not None:
                    found.setdefault(factor.reference.call, factor.reference)
    kept = list(found.values())[: _MOST_REFERENCES - len(more)]
    return (*kept, *(one for one in more if one is not None and one not in kept))


def _equations(writer: Writer, call: Call, total: Sum, left: tuple[str, str], number: float) -> list[Equation]:
    """The sum, and what the operation makes of it."""
    assert call.rule is not None
    wording = _in_letters(writer, call, value_wording(call.step.op, call.rule))
    if not total.then:
        return [writer.equation(call, total, left, wording, value=number)]
    if len(total.terms) == 1 and len(total.terms[0].factors) == 1:
        inner = writer.factor(call, total.terms[0].factors[0])
        writer.symbols.meanings()
        equation = writer.then(call, total, (inner.symbol, inner.latex), left, number)
        given = f"{inner.symbol} is {total.value:.5g}".replace("-", "−")
        return [replace(equation, title=wording.title, words=wording.words or f"{given}.")]
    first = writer.equation(call, total, ("s", "s"), replace(wording, formula="", formula_latex=""), value=total.value)
    return [first, writer.then(call, total, ("s", "s"), left, number)]


def _in_letters(writer: Writer, call: Call, wording: Wording) -> Wording:
    """The formula of a weighted sum in the letters of its own equation."""
    weight, taken = call.addresses.get("weight"), call.addresses.get("input")
    if call.step.op != "linear" or weight is None or taken is None:
        return wording
    a, w = writer.symbols.of(taken), writer.symbols.of(weight)
    bias = call.addresses.get("bias")
    b = writer.symbols.of(bias) if bias is not None else ("", "")
    last = (f" + {b[0]}", f" + {b[1]}") if bias is not None else ("", "")
    return replace(wording, formula=f"Σⱼ {a[0]}ⱼ·{w[0]}ⱼ{last[0]}", formula_latex=rf"\sum_j {a[1]}_j {w[1]}_j{last[1]}")


def _activation(calls: Calls, writer: Writer, value: Value, index: tuple[int, ...]) -> list[Equation]:
    """The pointwise function that this entry goes into, if it goes into nothing else."""
    consumers = dict.fromkeys(value.consumers)
    if len(consumers) != 1:
        return []
    call = calls.of(next(iter(consumers)))
    if call.step.op not in _POINTWISE or call.rule is None or not call.made or call.made[0].shape != value.shape:
        return []
    out = call.made[0]
    total = call.rule.entry(call.arguments, call.outputs, index)
    inner, left = writer.symbols.entry(value, index), writer.symbols.entry(out, index)
    number = float(calls.tape.read(out)[index])
    if not total.then:
        total = replace(total, then=call.rule.formula.partition("=")[2])
    writer.symbols.meanings()
    return [writer.then(call, total, inner, left, number)]


def _place(call: Call, value: Value) -> int:
    return call.made.index(value) if value in call.made else 0


def _unexplained(call: Call) -> str:
    if call.step.identity:
        return f"{call.step.op} hands its input on as it is."
    return f"{call.step.function} is opaque: no rule says how it makes its numbers, so only the numbers are shown."


def sentence(note: str) -> str:
    """A rule's remark as a sentence."""
    text = (note if note[1:2] in (" ", "=") else note[:1].upper() + note[1:]).replace(" - ", " − ")
    return text if text.endswith((".", "!", "?")) else f"{text}."
