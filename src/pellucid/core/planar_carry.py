"""Carry values from the corners of convex cells to points inside them, where they are affine. Compiled."""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

# Compiled functions take arrays, not objects, and plain comparisons.

from __future__ import annotations

import numpy as np

from pellucid.core.compiled import compiled
from pellucid.core.planar_mesh import PlanarMesh

__all__ = ["carry_along", "carry_values", "owners_of_vertices", "widest_corners"]


@compiled
def widest_corners(xy, ring_start, ring_vertex):
    """Three corners of each cell that span much of it: the first, that farthest from it, that farthest from their line.

    Every point of the cell is a combination of the three with factors of a few at most, so that no error grows.
    """
    found = np.empty((len(ring_start) - 1, 3), np.int32)
    for cell in range(len(found)):
        first, last = ring_start[cell], ring_start[cell + 1]
        a = b = ring_vertex[first]
        reach = -1.0
        for place in range(first + 1, last):
            vertex = ring_vertex[place]
            size = (xy[vertex, 0] - xy[a, 0]) ** 2 + (xy[vertex, 1] - xy[a, 1]) ** 2
            if size > reach:
                reach, b = size, vertex
        c, widest = ring_vertex[last - 1], -1.0
        for place in range(first, last):
            vertex = ring_vertex[place]
            if vertex in (a, b):
                continue
            size = abs(
                (xy[b, 0] - xy[a, 0]) * (xy[vertex, 1] - xy[a, 1]) - (xy[vertex, 0] - xy[a, 0]) * (xy[b, 1] - xy[a, 1])
            )
            if size > widest:
                widest, c = size, vertex
        found[cell, 0], found[cell, 1], found[cell, 2] = a, b, c
    return found


def owners_of_vertices(mesh: PlanarMesh, cells: np.ndarray) -> np.ndarray:
    """Of every vertex a number of one of the cells around it; ``cells`` gives each cell's number."""
    owners = np.zeros(len(mesh.xy), np.int32)
    owners[mesh.ring_vertex] = np.repeat(cells, np.diff(mesh.ring_start))
    return owners


@compiled
def carry_values(points, corner_xy, corners, values, found):
    """Write the values at points: those of the affine map through three corners of each.

    Args:
        points: n × 2.
        corner_xy: The coordinates of corners.
        corners: Of each point its three corners; n × 3.
        values: The values at the corners.
        found: n × values, to be written.
    """
    for index in range(len(points)):
        a, b, c = corners[index, 0], corners[index, 1], corners[index, 2]
        bx, by = corner_xy[b, 0] - corner_xy[a, 0], corner_xy[b, 1] - corner_xy[a, 1]
        cx, cy = corner_xy[c, 0] - corner_xy[a, 0], corner_xy[c, 1] - corner_xy[a, 1]
        px, py = points[index, 0] - corner_xy[a, 0], points[index, 1] - corner_xy[a, 1]
        area = bx * cy - cx * by
        beta = gamma = 0.0
        if area != 0.0:
            beta, gamma = (px * cy - cx * py) / area, (bx * py - px * by) / area
        alpha = 1.0 - beta - gamma
        for number in range(values.shape[1]):
            found[index, number] = alpha * values[a, number] + beta * values[b, number] + gamma * values[c, number]


@compiled
def carry_along(values, between, share, found):
    """Write the values at new vertices, each of which lies between two vertices that come before it.

    Args:
        values: The values at the vertices that are not new.
        between: Of each new vertex the two; n × 2.
        share: How far along the way from one to the other it lies.
        found: n × values, to be written.
    """
    known = len(values)
    for index in range(len(found)):
        start, end, part = between[index, 0], between[index, 1], share[index]
        before = values[start] if start < known else found[start - known]
        after = values[end] if end < known else found[end - known]
        for number in range(values.shape[1]):
            found[index, number] = (1.0 - part) * before[number] + part * after[number]
