"""Append the cells of one planar mesh to those of another, under new numbers. Compiled."""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pellucid.core.compiled import compiled_bare, compiled_into

__all__ = ["Addition", "MeshArrays", "Numbering", "append_mesh", "number_rest"]


class MeshArrays(NamedTuple):
    """A mesh with numbers at its vertices; room for more behind them, where one is being made."""

    xy: np.ndarray
    ring_start: np.ndarray
    ring_vertex: np.ndarray
    ring_edge: np.ndarray
    edge_vertex: np.ndarray
    edge_cell: np.ndarray
    edge_kink: np.ndarray
    values: np.ndarray


class Numbering(NamedTuple):
    """Under which numbers vertices and edges are appended.

    Attributes:
        vertex: Of each vertex.
        edge: Of each edge.
        kink: What bends at edges whose own mark is a code: of the edge that is the code minus the mark.
    """

    vertex: np.ndarray
    edge: np.ndarray
    kink: np.ndarray


class Addition(NamedTuple):
    """Where a mesh begins in the whole, and what is there already.

    Attributes:
        vertices: Vertices below this number are there.
        edges: Edges below this number are there.
        cells: The number of the first cell.
        ring: Where the first ring begins.
        known: So many of the first vertices are there, and only lack their values.
        code: Edges marked with this or less are pieces of others.
        near: How far apart two copies of a vertex may be.
    """

    vertices: int
    edges: int
    cells: int
    ring: int
    known: int
    code: int
    near: float


@compiled_bare
def number_rest(numbers, first):
    """Number what has none yet in order. Returns the next number."""
    for place in range(len(numbers)):
        if numbers[place] < 0:
            numbers[place] = first
            first += 1
    return first


@compiled_bare
def append_mesh(whole, added, of, at):
    """Write a mesh behind others. Returns whether it fits those that are there."""
    fits = _append_vertices(whole, added, of, at) & _append_edges(whole, added, of, at)
    for place in range(len(added.ring_vertex)):
        whole.ring_vertex[at.ring + place] = of.vertex[added.ring_vertex[place]]
        whole.ring_edge[at.ring + place] = of.edge[added.ring_edge[place]]
    for cell in range(1, len(added.ring_start)):
        whole.ring_start[at.cells + cell] = added.ring_start[cell] + at.ring
    return fits


@compiled_into
def _append_vertices(whole, added, of, at):
    """Write vertices and their values; those that another mesh brought must lie where it has them."""
    fits = True
    for vertex in range(len(added.xy)):
        number = of.vertex[vertex]
        again = number < at.vertices
        if again and vertex >= at.known:
            fits &= abs(whole.xy[number, 0] - added.xy[vertex, 0]) <= at.near
            fits &= abs(whole.xy[number, 1] - added.xy[vertex, 1]) <= at.near
            continue
        if not again:
            whole.xy[number, 0], whole.xy[number, 1] = added.xy[vertex, 0], added.xy[vertex, 1]
        for output in range(added.values.shape[1]):
            whole.values[number, output] = added.values[vertex, output]
    return fits


@compiled_into
def _append_edges(whole, added, of, at):
    """Write edges; those that another mesh brought must have the same ends."""
    fits = True
    for edge in range(len(added.edge_kink)):
        number, mark = of.edge[edge], added.edge_kink[edge]
        start, end = of.vertex[added.edge_vertex[edge, 0]], of.vertex[added.edge_vertex[edge, 1]]
        if number >= at.edges:
            whole.edge_vertex[number, 0], whole.edge_vertex[number, 1] = start, end
            whole.edge_cell[number, 0] = whole.edge_cell[number, 1] = -1
            whole.edge_kink[number] = mark if mark > at.code else of.kink[at.code - mark]
        fits &= whole.edge_vertex[number, 0] == start
        fits &= whole.edge_vertex[number, 1] == end
        for side in range(2):
            if added.edge_cell[edge, side] >= 0:
                whole.edge_cell[number, side] = added.edge_cell[edge, side] + at.cells
    return fits
