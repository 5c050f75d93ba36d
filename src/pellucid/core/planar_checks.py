"""Checks of convex cells: their areas and widths, and are values at their vertices affine on each? Compiled."""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

# Compiled functions take arrays, not objects, and plain comparisons.

from __future__ import annotations

import numpy as np

from pellucid.core.compiled import compiled, compiled_into

__all__ = ["affine_residual", "cell_areas", "mean_inside", "widths"]


@compiled
def affine_residual(xy, ring_start, ring_vertex, values):
    """The largest difference, over all cells, of a vertex's values from those of the affine map through three others.

    The three are those of a cell that span the most; the difference is weighed down by how far a thin triangle has to
    be carried on, since it magnifies rounding by as much.
    """
    worst = 0.0
    for cell in range(len(ring_start) - 1):
        first, last = ring_start[cell], ring_start[cell + 1]
        if last - first < 4:
            continue
        a = ring_vertex[first]
        best, b, c = 0.0, -1, -1
        for place in range(first + 1, last - 1):
            for other in range(place + 1, last):
                area = abs(_cross(xy, a, ring_vertex[place], ring_vertex[other]))
                if area > best:
                    best, b, c = area, ring_vertex[place], ring_vertex[other]
        if b < 0:
            continue
        for place in range(first, last):
            vertex = ring_vertex[place]
            beta, gamma = _cross(xy, a, vertex, c) / best, _cross(xy, a, b, vertex) / best
            if _cross(xy, a, b, c) < 0:
                beta, gamma = -beta, -gamma
            carried = max(1.0, abs(1.0 - beta - gamma) + abs(beta) + abs(gamma))
            for output in range(values.shape[1]):
                expected = (
                    (1.0 - beta - gamma) * values[a, output] + beta * values[b, output] + gamma * values[c, output]
                )
                worst = max(worst, abs(expected - values[vertex, output]) / carried)
    return worst


@compiled_into
def _cross(xy, a, b, c):
    """Twice the area of a triangle of vertices."""
    return (xy[b, 0] - xy[a, 0]) * (xy[c, 1] - xy[a, 1]) - (xy[b, 1] - xy[a, 1]) * (xy[c, 0] - xy[a, 0])


@compiled
def cell_areas(xy, ring_start, ring_vertex):
    """The area of every cell, from coordinates relative to its own first vertex."""
    found = np.zeros(len(ring_start) - 1)
    for cell in range(len(found)):
        first, last = ring_start[cell], ring_start[cell + 1]
        for place in range(first + 1, last - 1):
            found[cell] += _cross(xy, ring_vertex[first], ring_vertex[place], ring_vertex[place + 1]) / 2
    return found


@compiled
def mean_inside(xy, ring_start, ring_vertex, values):
    """A point inside each cell as a mean of its vertices, that count more and more along the ring, and of their values.

    ``ring_start`` may be that of some of the cells.
    """
    cells = len(ring_start) - 1
    points, means = np.zeros((cells, 2)), np.zeros((cells, values.shape[1]))
    for cell in range(cells):
        first, corners = ring_start[cell], ring_start[cell + 1] - ring_start[cell]
        total = corners * (corners + 1) / 2
        for place in range(corners):
            share, vertex = (place + 1) / total, ring_vertex[first + place]
            points[cell, 0] += share * xy[vertex, 0]
            points[cell, 1] += share * xy[vertex, 1]
            for number in range(values.shape[1]):
                means[cell, number] += share * values[vertex, number]
    return points, means


@compiled
def widths(xy, ring_start, ring_vertex, areas):
    """Of each cell its area over its longest reach from its first vertex."""
    found = np.empty(len(areas))
    for cell in range(len(areas)):
        a, reach = ring_vertex[ring_start[cell]], 0.0
        for place in range(ring_start[cell] + 1, ring_start[cell + 1]):
            b = ring_vertex[place]
            reach = max(reach, (xy[b, 0] - xy[a, 0]) ** 2 + (xy[b, 1] - xy[a, 1]) ** 2)
        found[cell] = areas[cell] / max(np.sqrt(reach), 1e-300)
    return found
