"""Find the convex cell that a point lies in. Compiled."""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingParameterType=false, reportUnknownParameterType=false

# Compiled functions take arrays, not objects, and plain comparisons.
# ruff: noqa: PLR0917

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["locate"]


def locate(xy: np.ndarray, ring_start: np.ndarray, ring_vertex: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The cell of each point; −1 for a point in none.

    >>> square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    >>> locate(square, np.array([0, 4]), np.arange(4), np.array([[0.2, 0.9], [2.0, 0.0]]))
    array([ 0, -1])
    """
    found = np.full(len(points), -1, np.int64)
    cells = len(ring_start) - 1
    low = np.minimum.reduceat(xy[ring_vertex], ring_start[:-1], axis=0)
    high = np.maximum.reduceat(xy[ring_vertex], ring_start[:-1], axis=0)
    corner, size = low.min(0), np.maximum(np.ptp(xy[ring_vertex], axis=0), 1e-300)
    side = max(1, int(np.sqrt(cells)))
    first = np.clip(((low - corner) / size * side).astype(np.int64), 0, side - 1)
    last = np.clip(((high - corner) / size * side).astype(np.int64), 0, side - 1)
    start = np.zeros(side * side + 1, np.int64)
    _count(first, last, side, start)
    start = np.cumsum(start)
    listed = np.empty(start[-1], np.int64)
    _fill(first, last, side, start[:-1].copy(), listed)
    inside = np.isfinite(points).all(1)
    places = np.zeros(points.shape, np.int64)
    places[inside] = np.clip(np.floor((points[inside] - corner) / size * side), -1, side).astype(np.int64)
    # A point on the slice's far border is in the last square; one beyond it fails the test of every cell there.
    places = np.clip(places, 0, side - 1)
    _find(xy, ring_start, ring_vertex, points, places, side, start, listed, found, 1e-12 * float(size.max()))
    return found


@njit(cache=True, nogil=True)
def _count(first, last, side, start):
    for cell in range(len(first)):
        for row in range(first[cell, 1], last[cell, 1] + 1):
            for column in range(first[cell, 0], last[cell, 0] + 1):
                start[row * side + column + 1] += 1


@njit(cache=True, nogil=True)
def _fill(first, last, side, free, listed):
    for cell in range(len(first)):
        for row in range(first[cell, 1], last[cell, 1] + 1):
            for column in range(first[cell, 0], last[cell, 0] + 1):
                square = row * side + column
                listed[free[square]] = cell
                free[square] += 1


@njit(cache=True, nogil=True)
def _find(xy, ring_start, ring_vertex, points, places, side, start, listed, found, slack):
    """The listed cell in which a point lies deepest."""
    for index in range(len(points)):
        best = -slack
        square = places[index, 1] * side + places[index, 0]
        for at in range(start[square], start[square + 1]):
            cell = listed[at]
            depth = np.inf
            for place in range(ring_start[cell], ring_start[cell + 1]):
                a = ring_vertex[place]
                b = ring_vertex[place + 1 if place + 1 < ring_start[cell + 1] else ring_start[cell]]
                dx, dy = xy[b, 0] - xy[a, 0], xy[b, 1] - xy[a, 1]
                gap = dx * (points[index, 1] - xy[a, 1]) - dy * (points[index, 0] - xy[a, 0])
                depth = min(depth, gap / max(np.hypot(dx, dy), 1e-300))
            if depth >= best:
                best, found[index] = depth, cell
