"""Why a network does not learn: findings with evidence, or that nothing was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pellucid.results.base import Result
from pellucid.results.watched_script import CodeLine

__all__ = ["Diagnosis", "EvidenceCurve", "EvidenceFigure", "Finding", "LineChange", "TriedChange", "Where"]

Severity = Literal["fault", "warning", "note"]


@dataclass(frozen=True)
class Where:
    """What a finding points at; a text is empty and a line number 0 where it has none."""

    layer: str
    parameter: str
    place: CodeLine


@dataclass(frozen=True)
class EvidenceFigure:
    """One figure that speaks for the finding."""

    name: str  # "loss at step 0"
    value: float
    expected: str  # "about 2.303 = log 10 for 10 classes"; '' where nothing is expected
    unit: str


@dataclass(frozen=True)
class EvidenceCurve:
    """A small picture: one series, and a level to compare it with."""

    name: str
    x: np.ndarray
    y: np.ndarray
    x_name: str
    level: float  # nan for none
    level_name: str

    def __repr__(self) -> str:
        return f"EvidenceCurve({self.name!r}, {len(self.y)} points)"


@dataclass(frozen=True)
class LineChange:
    """A change of the user's source. ``before`` is empty where lines are added, ``after`` where they are taken out."""

    file: str
    line: int  # the first line that changes, counted from 1; with nothing before: what is added goes before it
    before: tuple[str, ...]  # whole lines as they stand, indentation included
    after: tuple[str, ...]


@dataclass(frozen=True)
class TriedChange:
    """What happened when the change was tried."""

    metric: str  # "accuracy", "loss" …
    higher_is_better: bool
    before: np.ndarray
    after: np.ndarray
    x: np.ndarray
    x_after: np.ndarray
    x_name: str
    improved: bool
    said: str  # "accuracy 0.09 → 0.95 after 600 steps"

    def __repr__(self) -> str:
        return f"TriedChange({self.said!r}, improved={self.improved})"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, why it is thought so, and what to do."""

    code: str  # of the closed list
    kind: Literal["cause", "symptom"]
    severity: Severity
    certainty: float  # 0–1
    title: str  # one line, in the user's words
    where: Where
    since_step: int  # −1 unknown
    evidence: tuple[EvidenceFigure, ...]
    curves: tuple[EvidenceCurve, ...]
    why: str  # one sentence
    fix: str  # one sentence, an imperative
    changes: tuple[LineChange, ...]  # the fix as a change of source, where it can be one
    disproof: str  # what would prove it wrong
    symptoms: tuple[str, ...]  # codes and titles of what it explains
    tried: TriedChange | None

    def __repr__(self) -> str:
        place = self.where.place
        at = f", {place.file}:{place.line}" if place.line else ""
        return f"Finding({self.code!r}, {self.severity}, {self.certainty:.2f}{at}: {self.title!r})"


@dataclass(frozen=True, eq=False)
class Diagnosis(Result):
    """The findings, most certain first."""

    schema: ClassVar[str] = "diagnosis/1"

    run: str
    verdict: Literal["healthy", "faulty"]  # faulty: at least one finding is a fault
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]  # codes whose rule had what it needs
    unchecked: tuple[str, ...]  # codes whose rule had not, with what was missing
    steps: int
    coverage: str  # one sentence: what the watch saw
