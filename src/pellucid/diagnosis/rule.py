"""What a rule is: a code of the closed list, what it needs, and a pure function from evidence to a finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid.diagnosis.codes import CODES, Kind
from pellucid.diagnosis.series import Series
from pellucid.results.diagnosis import EvidenceCurve, EvidenceFigure, Finding, LineChange, Where
from pellucid.results.watched_script import CodeLine

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["SEVERITIES", "Rule", "curve", "figure", "make_finding", "rank_of"]

SEVERITIES = ("fault", "warning", "note")
"""The gravest first."""

_CURVE_POINTS = 200
"""Points of a finding's picture: more are not seen at its size."""


@dataclass(frozen=True)
class Rule:
    """How one code is found. ``rules/<code>.py`` holds one of them under the name ``RULE``."""

    code: str
    find: Callable[[Evidence], Finding | None]
    explains: tuple[str, ...] = ()  # codes that this cause brings about: they drop beneath it
    needs: tuple[str, ...] = ()  # of ``Evidence.missing``

    @property
    def kind(self) -> Kind:
        """Cause or symptom."""
        return CODES[self.code]


def figure(name: str, value: float, expected: str = "", unit: str = "") -> EvidenceFigure:
    """One figure that speaks for a finding."""
    return EvidenceFigure(name, float(value), expected, unit)


def curve(
    name: str, series: Series, *, x_name: str = "step", level: float = float("nan"), level_name: str = ""
) -> EvidenceCurve:
    """A small picture of a series, thinned by means to at most 200 points."""
    thin = series.smooth(_CURVE_POINTS)
    return EvidenceCurve(
        name, np.asarray(thin.x, np.float64), np.asarray(thin.y, np.float64), x_name, float(level), level_name
    )


def make_finding(
    code: str,
    *,
    severity: Literal["fault", "warning", "note"],
    certainty: float,
    title: str,
    why: str,
    fix: str,
    disproof: str,
    place: CodeLine | None = None,
    layer: str = "",
    parameter: str = "",
    since: int = -1,
    evidence: Sequence[EvidenceFigure] = (),
    curves: Sequence[EvidenceCurve] = (),
    changes: Sequence[LineChange] = (),
) -> Finding:
    """A finding; its kind follows from its code."""
    return Finding(
        code=code,
        kind=CODES[code],
        severity=severity,
        certainty=float(min(1.0, max(0.0, certainty))),
        title=title,
        where=Where(layer, parameter, place or CodeLine("", 0, "", "")),
        since_step=int(since),
        evidence=tuple(evidence),
        curves=tuple(one for one in curves if len(one.x)),
        why=why,
        fix=fix,
        changes=tuple(changes),
        disproof=disproof,
        symptoms=(),
        tried=None,
    )


def rank_of(finding: Finding) -> tuple[int, float, str]:
    """What findings are sorted by: severity, then certainty."""
    return SEVERITIES.index(finding.severity), -finding.certainty, finding.code
