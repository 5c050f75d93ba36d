"""One published measure of collapse, and what every table of such measures can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.results.base import Result

if TYPE_CHECKING:
    import pandas

__all__ = ["CollapseQuantities", "CollapseQuantity"]


@dataclass(frozen=True)
class CollapseQuantity:
    """One published measure."""

    name: str  # a key, e.g. "nc1"
    group: str  # what it speaks of: "variability", "centres", "classifier", "duality", "decision" …
    label: str  # e.g. "within-class variability"
    formula: str  # plain text
    value: float  # nan where it is not defined; ``note`` says why
    collapsed: float  # what it is in full collapse
    error: float  # how far rounding can have moved it; nan where that was not estimated
    source: str  # authors, year
    note: str  # the convention, or why there is no value; '' for nothing to say
    low: float = float("nan")  # of a 95 % bootstrap interval; nan where none was asked for
    high: float = float("nan")


class CollapseQuantities(Result):
    """A result whose heart is a table of measures."""

    quantities: tuple[CollapseQuantity, ...]

    def __getitem__(self, name: str) -> float:
        """A measure by its name, e.g. ``result["nc1"]``."""
        for one in self.quantities:
            if one.name == name:
                return one.value
        raise KeyError(name)

    def table(self) -> pandas.DataFrame:
        """Every measure: value, what collapse would give, rounding error, interval, formula, convention and source."""
        return self.to_frame()
