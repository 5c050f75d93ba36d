"""A curve from its values and one-sided slopes at points, with points added where cubics do not yet follow it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import numpy as np

__all__ = ["Interval", "refine"]

Interval = tuple[float, float, float, float]
"""Value and right slope at the left end, value and left slope at the right end."""


def refine(
    knots: np.ndarray,
    ends: Callable[[float, float], Interval],
    value: Callable[[float], float],
    tolerance: float,
    most: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Halve the interval whose cubic is farthest from the curve until all are close, or there are enough points.

    Args:
        knots: Rising; the curve may bend at them.
        ends: Value and inner slope at both ends of an interval.
        value: The curve at a point.
        tolerance: Of the difference halfway, as a share of the values' range.
        most: At most so many points.

    Returns:
        The points; their value, left slope and right slope (nan at the ends); the largest difference seen halfway.

    >>> def ends(a, b):
    ...     return a**3, 3 * a**2, b**3, 3 * b**2
    >>> points, _, error = refine(np.array([0.0, 1.0]), ends, lambda w: w**3, 1e-9, 9)
    >>> points.tolist(), error
    ([0.0, 1.0], 0.0)
    """
    pieces: dict[tuple[float, float], Interval] = {}
    heap: list[tuple[float, float, float]] = []

    def look(low: float, high: float) -> None:
        piece = pieces[low, high] = ends(low, high)
        middle = 0.5 * (low + high)
        cubic = 0.5 * (piece[0] + piece[2]) + (high - low) * (piece[1] - piece[3]) / 8
        apart = abs(value(middle) - cubic)
        heapq.heappush(heap, (-apart if np.isfinite(apart) else 0.0, low, high))

    for low, high in itertools.pairwise(knots):
        look(float(low), float(high))
    seen = [one for piece in pieces.values() for one in (piece[0], piece[2]) if np.isfinite(one)]
    scale = max(np.ptp(seen), 1e-12 * np.abs(seen).max()) if seen else 0.0
    while heap and -heap[0][0] > tolerance * scale and len(pieces) + 1 < most:
        _, low, high = heapq.heappop(heap)
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        del pieces[low, high]
        look(low, middle)
        look(middle, high)
    order = sorted(pieces)
    points = np.array([low for low, _ in order] + [order[-1][1]])
    table = np.full((len(points), 3), np.nan)
    for place, key in enumerate(order):
        first, rise, last, end = pieces[key]
        table[place, [0, 2]] = first, rise
        table[place + 1, [0, 1]] = last, end
    return points, table, -heap[0][0] if heap else 0.0
