"""Where the largest of several values changes, for values that are affine on each cell of a planar mesh. Compiled."""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingParameterType=false, reportUnknownParameterType=false

# Compiled functions take arrays, not objects, and plain comparisons.
# ruff: noqa: PLR0917, SIM110

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["boundary_segments", "distance_to_segments", "join_segments"]


def boundary_segments(
    xy: np.ndarray, ring_start: np.ndarray, ring_vertex: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The segments on which the two largest values tie.

    Returns:
        Segments × 2 ends × 2 coordinates; and segments × 2, the two values' places, the lower first.
    """
    room = 1024
    while True:
        ends, pairs = np.empty((room, 2, 2)), np.empty((room, 2), np.int64)
        count = _segments(xy, ring_start, ring_vertex, np.ascontiguousarray(values), ends, pairs)
        if count <= room:
            return ends[:count].copy(), pairs[:count].copy()
        room = count


def join_segments(ends: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """Segments that share ends as lines: the points of each, and whether it is closed.

    >>> join_segments(np.array([[[0.0, 0], [1, 0]], [[2, 1], [1, 0]]]))[0][0].tolist()
    [[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]]
    """
    if not len(ends):
        return []
    flat = ends.reshape(-1, 2)
    points, number = np.unique(flat, axis=0, return_inverse=True)
    links = number.reshape(-1, 2)
    meets: dict[int, list[int]] = {}
    for segment, (a, b) in enumerate(links.tolist()):
        meets.setdefault(a, []).append(segment)
        meets.setdefault(b, []).append(segment)
    used = np.zeros(len(links), bool)
    lines = []
    starts = [point for point, here in meets.items() if len(here) != 2]
    for start in [*starts, *meets]:
        for first in meets[start]:
            if not used[first]:
                path = _follow(links, meets, used, start, first)
                lines.append((points[path], len(path) > 2 and path[0] == path[-1]))
    return lines


def _follow(links: np.ndarray, meets: dict[int, list[int]], used: np.ndarray, start: int, segment: int) -> list[int]:
    """The points of a line from one of its points on, until it ends, forks or closes."""
    path = [start]
    while True:
        used[segment] = True
        a, b = links[segment].tolist()
        path.append(b if path[-1] == a else a)
        ahead = [one for one in meets[path[-1]] if not used[one]]
        if len(meets[path[-1]]) != 2 or not ahead or path[-1] == start:
            return path
        segment = ahead[0]


def distance_to_segments(points: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The Euclidean distance of each point from the nearest segment; infinite without segments."""
    return _distances(np.ascontiguousarray(points, dtype=np.float64), np.ascontiguousarray(ends, dtype=np.float64))


@njit(cache=True, nogil=True)
def _distances(points, ends):
    found = np.full(len(points), np.inf)
    for index in range(len(points)):
        x, y = points[index, 0], points[index, 1]
        best = np.inf
        for segment in range(len(ends)):
            ax, ay = ends[segment, 0, 0], ends[segment, 0, 1]
            dx, dy = ends[segment, 1, 0] - ax, ends[segment, 1, 1] - ay
            size = dx * dx + dy * dy
            t = 0.0 if size == 0.0 else min(max(((x - ax) * dx + (y - ay) * dy) / size, 0.0), 1.0)
            gap = (ax + t * dx - x) ** 2 + (ay + t * dy - y) ** 2
            best = min(best, gap)
        found[index] = np.sqrt(best)
    return found


@njit(cache=True, nogil=True)
def _segments(xy, ring_start, ring_vertex, values, ends, pairs):
    """Write the segments that there is room for; returns how many there are."""
    count, outputs = 0, values.shape[1]
    able = np.empty(outputs, np.int64)
    hit, tied = np.empty((2, 2)), np.empty((2, outputs))
    for cell in range(len(ring_start) - 1):
        first, last = ring_start[cell], ring_start[cell + 1]
        if _one_winner(ring_vertex, values, first, last):
            continue
        ables = _able(ring_vertex, values, first, last, able)
        for i in range(ables):
            for j in range(i + 1, ables):
                a, b = able[i], able[j]
                if not _across(xy, ring_vertex, values, first, last, a, b, hit, tied):
                    continue
                if not _clip(hit, tied, able, ables, a, b):
                    continue
                if count < len(ends):
                    ends[count] = hit
                    pairs[count, 0], pairs[count, 1] = a, b
                count += 1
    return count


@njit(cache=True, nogil=True)
def _one_winner(ring_vertex, values, first, last):
    """Whether the same value is the largest at all corners, and so everywhere."""
    winner = np.argmax(values[ring_vertex[first]])
    for place in range(first + 1, last):
        if np.argmax(values[ring_vertex[place]]) != winner:
            return False
    return True


@njit(cache=True, nogil=True)
def _able(ring_vertex, values, first, last, able):
    """The values that may be the largest somewhere: some corner exceeds the best lowest corner. Returns how many."""
    bar, count = -np.inf, 0
    for output in range(values.shape[1]):
        low = np.inf
        for place in range(first, last):
            low = min(low, values[ring_vertex[place], output])
        bar = max(bar, low)
    for output in range(values.shape[1]):
        high = -np.inf
        for place in range(first, last):
            high = max(high, values[ring_vertex[place], output])
        if high >= bar:
            able[count] = output
            count += 1
    return count


@njit(cache=True, nogil=True)
def _across(xy, ring_vertex, values, first, last, a, b, hit, tied):
    """Where two values tie across a cell: two points on its ring, and all values there. False if they do not."""
    found = 0
    for place in range(first, last):
        start, end = ring_vertex[place], ring_vertex[place + 1 if place + 1 < last else first]
        if start > end:  # both cells of an edge compute the same point
            start, end = end, start
        before, after = values[start, a] - values[start, b], values[end, a] - values[end, b]
        if (before >= 0) == (after >= 0):
            continue
        if found == 2:
            return False
        t = before / (before - after)
        hit[found, 0] = xy[start, 0] + t * (xy[end, 0] - xy[start, 0])
        hit[found, 1] = xy[start, 1] + t * (xy[end, 1] - xy[start, 1])
        for output in range(values.shape[1]):
            tied[found, output] = values[start, output] + t * (values[end, output] - values[start, output])
        found += 1
    return found == 2


@njit(cache=True, nogil=True)
def _clip(hit, tied, able, ables, a, b):
    """Keep the part of the way on which no other value is larger. False if nothing is left."""
    low, high = 0.0, 1.0
    for index in range(ables):
        c = able[index]
        if c in (a, b):
            continue
        start, end = tied[0, a] - tied[0, c], tied[1, a] - tied[1, c]
        if start < 0 and end < 0:
            return False
        if start < 0:
            low = max(low, start / (start - end))
        elif end < 0:
            high = min(high, start / (start - end))
    if low >= high:
        return False
    ax, ay, bx, by = hit[0, 0], hit[0, 1], hit[1, 0], hit[1, 1]
    if low > 0.0:
        hit[0, 0], hit[0, 1] = ax + low * (bx - ax), ay + low * (by - ay)
    if high < 1.0:
        hit[1, 0], hit[1, 1] = ax + high * (bx - ax), ay + high * (by - ay)
    return True
