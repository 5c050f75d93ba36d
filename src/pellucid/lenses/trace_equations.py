"""A rule's sum of terms as an equation of an explanation."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pellucid.capture.tape_values import Value
from pellucid.core.rules.sums import Factor, Sum, Term
from pellucid.lenses.trace_calls import Call
from pellucid.lenses.trace_names import Names
from pellucid.lenses.trace_symbols import Symbols, plain
from pellucid.results.explanation import EntryReference, Equation, ExplainedFactor, ExplainedTerm

__all__ = ["MOST_TERMS", "Wording", "Writer", "product_equation"]

MOST_TERMS = 6
"""Terms shown; the rest are summed and stated."""


_ALIASES = {("cross_entropy", "q"): "y", ("cross_entropy", "-q"): "-y"}
"""Targets are y here, as in the books."""

_ATTENTION = "scaled_dot_product_attention"
_LETTERS = {(_ATTENTION, "query"): "q", (_ATTENTION, "key"): "k", (_ATTENTION, "value"): "v"}
"""Letters that an argument's role gives."""


@dataclass(frozen=True)
class Wording:
    """What an equation says besides its numbers."""

    title: str
    words: str = ""
    formula: str = ""
    formula_latex: str = ""
    labels: Mapping[str, str] | None = None  # a term's label, as the rule gives it, to what a reader is shown


@dataclass(eq=False)
class Writer:
    """Turns sums of one explanation into equations, with one set of letters."""

    symbols: Symbols
    names: Names
    examples: int = 0  # the batch's size, where gradients add up over examples

    def equation(
        self, call: Call, total: Sum, left: tuple[str, str], wording: Wording, *, value: float, local: str = ""
    ) -> Equation:
        """A sum with its largest terms, the remainder and the rounding stated.

        Args:
            call: The step whose arguments the factors name.
            total: The rule's sum.
            left: The symbol of the left side, plain and LaTeX.
            wording: Title, words and formula.
            value: The number that the framework computed; ``total.value`` where it computed none.
            local: What to write for a local derivative.
        """
        count = MOST_TERMS if len(total.terms) > MOST_TERMS + 1 else MOST_TERMS + 1
        shown, rest = total.largest(count)
        labels = wording.labels or {}
        terms = tuple(self.term(call, term, local, labels) for term in shown)
        return Equation(
            title=wording.title,
            words=wording.words,
            formula=wording.formula,
            formula_latex=wording.formula_latex,
            symbol=left[0],
            latex=left[1],
            form="sum",
            terms=terms,
            others=len(total.terms) - len(shown),
            others_value=rest,
            rounding=value - total.value if math.isfinite(value) else 0.0,
            value=value,
            symbols=self.symbols.meanings(),
        )

    def then(self, call: Call, total: Sum, inner: tuple[str, str], left: tuple[str, str], value: float) -> Equation:
        """What the operation makes of its sum."""
        latex = total.then
        text = _put_in(plain(latex), inner[0])
        factor = ExplainedFactor(text, _put_in(latex, f"{{{inner[1]}}}"), value, None)
        return Equation(
            title=f"Then {call.step.op}",
            words="",
            formula=text,
            formula_latex=factor.latex,
            symbol=left[0],
            latex=left[1],
            form="sum",
            terms=(ExplainedTerm("", (factor,), value),),
            others=0,
            others_value=0.0,
            rounding=0.0,
            value=value,
        )

    def term(self, call: Call, term: Term, local: str = "", labels: Mapping[str, str] | None = None) -> ExplainedTerm:
        """One term with its factors' symbols; a product of +1 and one other number shows the other number alone."""
        factors = tuple(self.factor(call, factor, local) for factor in term.factors if not self._is_seed(call, factor))
        names = {factor.name for factor in term.factors}
        known = {plain(name) for name in names}
        label = "" if set(plain(term.label).split(" · ")) <= known else plain(term.label)
        label = (labels or {}).get(term.label, label)
        if not label and self.examples:
            label = self._example(call, term)
        return ExplainedTerm(label, factors, term.value)

    def factor(self, call: Call, factor: Factor, local: str = "") -> ExplainedFactor:
        """One factor: an argument's entry, an output's, a gradient's, or a number of the rule's own."""
        value, gradient = self._value_of(call, factor.name)
        if value is not None and factor.index is None and not gradient:
            return ExplainedFactor(*self.symbols.of(value), factor.value, None)
        if value is None or factor.index is None:
            text, latex = self._own(call, factor, local)
            return ExplainedFactor(text, latex, factor.value, None)
        index = factor.index
        if not gradient and (call.step.op, factor.name) in _LETTERS:
            self.symbols.prefer(value, _LETTERS[call.step.op, factor.name])
        text, latex = self.symbols.gradient(value, index) if gradient else self.symbols.entry(value, index)
        return ExplainedFactor(text, latex, factor.value, self.names.reference(value, index, gradient=gradient))

    def _is_seed(self, call: Call, factor: Factor) -> bool:
        """Whether the factor is the loss's slope by itself, the 1 with which backpropagation starts."""
        value, gradient = self._value_of(call, factor.name)
        return gradient and factor.value == 1.0 and value is call.tape.loss

    def _value_of(self, call: Call, name: str) -> tuple[Value | None, bool]:
        """The value that a factor's name means, and whether its gradient is meant."""
        stem, _, place = name.rstrip("]").partition("[")
        at = int(place) if place.isdigit() else 0
        if stem in ("grad", "output") and name not in call.addresses and at < len(call.made):
            return call.made[at], stem == "grad"
        return call.addresses.get(name), False

    def _own(self, call: Call, factor: Factor, local: str) -> tuple[str, str]:
        """The symbol of a rule's own quantity; an argument's name inside it stands for that argument's entry."""
        factor = factor._replace(name=_ALIASES.get((call.step.op, factor.name), factor.name))
        if local and factor.name.startswith(r"\partial"):
            return local, rf"\text{{{local}}}"
        inside = next((name for name in call.addresses if re.search(rf"\b{re.escape(name)}(?!\w)", factor.name)), None)
        if inside is not None and factor.index is not None and len(factor.index) == len(call.addresses[inside].shape):
            text, latex = self.symbols.entry(call.addresses[inside], factor.index)
            text = re.sub(rf"\b{re.escape(inside)}(?!\w)", lambda _: text, plain(factor.name)).replace("exp(", "e^(")
            return text, re.sub(rf"\b{re.escape(inside)}(?!\w)", lambda _: f"{{{latex}}}", factor.name)
        inner = re.fullmatch(r"exp\((\w+)( - m)?\)", factor.name)
        if inner is not None and factor.index is not None:
            places, rest = ",".join(map(str, factor.index)), inner[2] or ""
            power = rf"\mathrm{{{inner[1]}}}_{{{places}}}{rest}"
            return f"e^({inner[1]}[{places}]{rest})".replace("-", "−"), rf"e^{{{power}}}"
        text = plain(factor.name)
        places = ",".join(map(str, factor.index)) if factor.index else ""
        latex = factor.name if "\\" in factor.name or len(factor.name) == 1 else rf"\text{{{factor.name}}}"
        return (f"{text}[{places}]", f"{{{latex}}}_{{{places}}}") if places else (text, latex)

    def _example(self, call: Call, term: Term) -> str:
        """``example 2`` where the upstream gradient's first axis is the batch."""
        for factor in term.factors:
            value, gradient = self._value_of(call, factor.name)
            if gradient and value is not None and factor.index and value.shape[0] == self.examples:
                return f"example {factor.index[0]}"
        return ""


def product_equation(
    title: str, words: str, left: tuple[str, str], factors: list[tuple[str, str, str, float, EntryReference | None]]
) -> Equation:
    """A product, a factor a line: (symbol, LaTeX, what it is, value, where to walk on)."""
    terms = tuple(
        ExplainedTerm(label, (ExplainedFactor(symbol, latex, value, reference),), value)
        for symbol, latex, label, value, reference in factors
    )
    value = math.prod(term.value for term in terms)
    return Equation(title, words, "", "", left[0], left[1], "product", terms, 0, 0.0, 0.0, value)


def _put_in(then: str, inner: str) -> str:
    """A function of ``s`` (or of ``x``) with the inner quantity put in its place."""
    return re.sub(r"(?<![A-Za-z\\])[sx](?![A-Za-z])", lambda _: inner, then)
