"""A series over steps, and what rules ask of one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["EMPTY", "Series"]

_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class Series:
    """Values over steps, in the order in which they were recorded; non-finite values are kept."""

    x: np.ndarray  # steps
    y: np.ndarray  # float64

    def __len__(self) -> int:
        return len(self.y)

    @property
    def finite(self) -> Series:
        """The same without what is not finite."""
        kept = np.isfinite(self.y)
        return Series(self.x[kept], self.y[kept])

    @property
    def first(self) -> float:
        """The first finite value; nan where there is none."""
        values = self.finite.y
        return float(values[0]) if len(values) else _NAN

    @property
    def last(self) -> float:
        """The last finite value; nan where there is none."""
        values = self.finite.y
        return float(values[-1]) if len(values) else _NAN

    @property
    def median(self) -> float:
        """The median of the finite values; nan where there are none."""
        values = self.finite.y
        return float(np.median(values)) if len(values) else _NAN

    @property
    def lowest(self) -> float:
        """The least finite value; nan where there is none."""
        values = self.finite.y
        return float(values.min()) if len(values) else _NAN

    @property
    def highest(self) -> float:
        """The largest finite value; nan where there is none."""
        values = self.finite.y
        return float(values.max()) if len(values) else _NAN

    def begin(self, count: int = 3) -> float:
        """The median of the first ``count`` finite values."""
        values = self.finite.y[:count]
        return float(np.median(values)) if len(values) else _NAN

    def end(self, share: float = 0.1, least: int = 5) -> float:
        """The mean of the last finite values: a share of them, at least ``least``."""
        values = self.finite.y
        count = max(least, round(share * len(values)))
        return float(np.mean(values[-count:])) if len(values) else _NAN

    def part(self, low: float, high: float) -> Series:
        """What lies between two shares of the series, such as 0.5 and 1 for its second half."""
        start, stop = round(low * len(self)), round(high * len(self))
        return Series(self.x[start:stop], self.y[start:stop])

    def smooth(self, parts: int = 40) -> Series:
        """Means over up to so many equal stretches: what a person sees as the curve."""
        kept = self.finite
        if len(kept) <= parts:
            return kept
        edges = np.linspace(0, len(kept), parts + 1).round().astype(int)
        x = np.array([kept.x[a:b].mean() for a, b in pairwise(edges)])
        y = np.array([kept.y[a:b].mean() for a, b in pairwise(edges)])
        return Series(x, y)

    def before(self, step: int) -> Series:
        """The part before a step."""
        kept = self.x < step
        return Series(self.x[kept], self.y[kept])

    @property
    def slope(self) -> float:
        """The least-squares slope over the whole stretch, in units of y from its begin to its end; nan if too short."""
        kept = self.finite
        if len(kept) < 3 or kept.x[-1] == kept.x[0]:
            return _NAN
        along = (kept.x - kept.x[0]) / (kept.x[-1] - kept.x[0])
        return float(np.polyfit(along, kept.y, 1)[0])


EMPTY = Series(np.empty(0), np.empty(0))
"""A series of nothing."""
