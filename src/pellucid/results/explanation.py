"""How one number of a trace came about: equations with their real numbers, and where a reader can walk on.

This is the one form that text, LaTeX, HTML and the app's view are drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pellucid.results import rendering
from pellucid.results.base import Result

__all__ = ["EntryReference", "Equation", "ExplainedFactor", "ExplainedTerm", "Explanation", "SymbolMeaning"]


@dataclass(frozen=True)
class EntryReference:
    """One entry that has an explanation of its own; ``trace.follow`` turns it into that explanation's entry."""

    kind: Literal["value", "gradient", "update"]
    name: str  # qualified name of a parameter, buffer, module or input, or "step 4"
    index: tuple[int, ...]
    call: str  # what to type, e.g. 'trace.gradient("fc1.weight", (3, 7))'


@dataclass(frozen=True)
class ExplainedFactor:
    """One number of a product."""

    symbol: str  # plain, e.g. "w[3,7]"
    latex: str  # the same for LaTeX, e.g. "w_{3,7}"
    value: float
    reference: EntryReference | None  # where this number comes from; None for constants


@dataclass(frozen=True)
class ExplainedTerm:
    """One summand: the product of its factors."""

    label: str  # what it stands for, e.g. "example 0"; '' where its factors say it
    factors: tuple[ExplainedFactor, ...]
    value: float


@dataclass(frozen=True)
class SymbolMeaning:
    """What a letter of an equation stands for."""

    symbol: str
    latex: str
    meaning: str


@dataclass(frozen=True)
class Equation:
    """One quantity as the sum (or product) of its parts, all numbers exact in float64 unless ``rounding`` says more.

    In a sum, the terms shown, ``others_value``, and ``rounding`` add up to ``value``. In a product each term
    is one factor, in the order in which they are multiplied.
    """

    title: str  # what happens here, e.g. "The weighted sum"
    words: str  # a sentence or two for a newcomer; '' for none
    formula: str  # the rule, in plain text
    formula_latex: str
    symbol: str  # the left side
    latex: str
    form: Literal["sum", "product"]
    terms: tuple[ExplainedTerm, ...]  # largest first in a sum
    others: int  # how many terms are not shown
    others_value: float  # their sum
    rounding: float  # value − the exact sum: what the framework's floats lost
    value: float
    symbols: tuple[SymbolMeaning, ...] = ()
    approximate: bool = False  # the terms do not determine the value exactly; words say how far


@dataclass(frozen=True, eq=False)
class Explanation(Result):
    """What ``explain()`` says about one entry: its equations in the order in which to read them."""

    schema: ClassVar[str] = "explanation/1"

    title: str  # "fc1, neuron 3, example 0"
    symbol: str  # "relu(z)[0,3]"
    latex: str
    value: float
    equations: tuple[Equation, ...]
    notes: tuple[str, ...]  # what else a newcomer should know, a sentence or two each
    source_file: str  # the user's line that computed it; '' where there is none
    source_line: int
    source_text: str
    verified: str  # what an independent computation says of the value; '' where nothing was compared
    error: float  # |value − that computation|; nan where nothing was compared
    walk_on: tuple[EntryReference, ...]  # entries to look at next, nearest first

    def to_text(self) -> str:
        """The explanation as plain text, numbers aligned, for a terminal."""
        return rendering.render(self, "text")

    def to_latex(self) -> str:
        """The equations as LaTeX ``align*`` environments (they need ``amsmath``)."""
        return rendering.render(self, "latex")

    def to_html(self) -> str:
        """The explanation as an HTML fragment without scripts."""
        return rendering.render(self, "html")
