"""A network along a straight line: the exact points at which it bends, and its outputs there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["LineKink", "RegionsOnLine"]


@dataclass(frozen=True)
class LineKink:
    """One operation that bends the network."""

    op: str
    module: str
    first: int  # the number of its first quantity (or group of a maximum) in ``kinks``
    quantities: int
    units: int  # quantity q belongs to unit q modulo units


@dataclass(frozen=True, eq=False)
class RegionsOnLine(Result):
    """The pieces of the way from a (t = 0) to b (t = 1), on each of which the network is linear."""

    schema: ClassVar[str] = "regions_on_line/1"

    model: str
    operations: tuple[LineKink, ...]
    breaks: np.ndarray  # (pieces + 1,) t of every bend, with 0 and 1
    kinks: np.ndarray  # (pieces + 1,) what bends there, numbered through all operations; −1 at the ends
    outputs: np.ndarray  # (pieces + 1, outputs) at the breaks; straight in between
    length: float  # of the way from a to b, in units of the input space
    error: float  # worst |straight line − network| at two points inside each piece, as a share of the outputs' size
    coincident: int  # further bends at the same place as one that is listed
    classes: tuple[str, ...] = ()  # what the outputs are called; empty if nobody said

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return len(self.breaks) - 1

    @property
    def slopes(self) -> np.ndarray:
        """The derivative of each output by t; pieces × outputs."""
        return np.diff(self.outputs, axis=0) / np.diff(self.breaks)[:, None]

    def crossings(self, *, level: float = 0.0) -> np.ndarray:
        """Where the predicted class changes; a network of one output has the classes below and above ``level``."""
        values = self.outputs
        if values.shape[1] == 1:
            values = np.concatenate([np.full_like(values, level), values], 1)
        found: list[float] = []
        for piece in range(self.pieces):
            found += _changes(self.breaks[piece : piece + 2], values[piece : piece + 2])
        return np.unique(np.array(found))


def _changes(ends: np.ndarray, values: np.ndarray) -> list[float]:
    """Where another of some straight lines becomes the largest."""
    found: list[float] = []
    t = 0.0
    rise = values[1] - values[0]
    # Of lines that tie at the start the steepest leads.
    here = int(np.lexsort((rise, values[0]))[-1])
    while True:
        gap, gain = values[0, here] - values[0], rise - rise[here]
        with np.errstate(divide="ignore", invalid="ignore"):
            meet = np.where(gain > 0, gap / gain, np.inf)
        meet[here] = np.inf
        meet[meet < t] = t
        ahead = float(meet.min())
        if ahead > 1.0:
            return found
        tied = np.flatnonzero(meet == ahead)
        here, t = int(tied[rise[tied].argmax()]), ahead
        found.append(float(ends[0] + t * (ends[1] - ends[0])))
