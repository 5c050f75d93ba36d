"""What of a trace was verified, by which oracle, with which error, and what could not be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pellucid.results.base import Result

__all__ = ["CheckedStep", "Oracle", "TraceCheck", "Verdict"]

Oracle = Literal["forward replay", "backward against autograd", "central differences", "update terms"]
Verdict = Literal["bit-equal", "within bound", "disagrees", "opaque", "not comparable"]


@dataclass(frozen=True)
class CheckedStep:
    """One step (or one parameter's update) against one oracle."""

    step: int  # −1 for an update
    name: str  # "linear", or the parameter
    module: str
    oracle: Oracle
    verdict: Verdict
    error: float  # worst absolute difference; nan where nothing was compared
    bound: float  # the rounding allowed; nan where nothing was compared
    detail: str  # the entry at fault, or why nothing was compared


@dataclass(frozen=True, eq=False)
class TraceCheck(Result):
    """The proof behind a trace: every step's numbers, recomputed by our own rules and by oracles that are not ours."""

    schema: ClassVar[str] = "trace_check/1"

    model: str
    checks: tuple[CheckedStep, ...]
    steps: int  # operations that ran
    opaque: tuple[str, ...]  # names of operations without a rule, most frequent first
    opaque_steps: int
    bound: str  # how the bound is derived, a sentence
    agrees: bool  # nothing disagrees
