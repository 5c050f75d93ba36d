"""Write finished cells and new edges of a planar mesh. Compiled."""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false

# Compiled functions take arrays, not objects, and plain comparisons.
# ruff: noqa: PLR0917

from __future__ import annotations

import numpy as np

from pellucid.core.compiled import compiled_into

__all__ = ["FULL_OUTPUT", "FULL_WORDS", "descend", "emit", "emit_two", "link", "set_bit"]

FULL_OUTPUT, FULL_WORDS = 1, 3
"""What there was no room for: the mesh, the patterns."""


@compiled_into
def set_bit(words, row, unit, on):
    """Set or clear a quantity's bit in a pattern."""
    mask = np.uint64(1) << np.uint64(unit & 63)
    if on:
        words[row, unit >> 6] |= mask
    else:
        words[row, unit >> 6] &= ~mask


@compiled_into
def descend(out, vertex, start, end, share):
    """Write between which two older vertices a new one lies, and how far along, where that is wanted."""
    if len(out.share) > 0:
        out.between[vertex, 0], out.between[vertex, 1], out.share[vertex] = start, end, share


@compiled_into
def link(out, count, start, end, kink):
    """Write one new edge."""
    edge = count[1]
    out.edge_vertex[edge, 0], out.edge_vertex[edge, 1], out.edge_kink[edge] = start, end, kink
    out.edge_cell[edge, 0] = out.edge_cell[edge, 1] = -1
    count[1] += 1


@compiled_into
def emit(out, count, room, ring, size, depth, parent):
    """Write a finished cell. Returns 0, or what there was no room for."""
    cell, at = count[2], count[3]
    if cell + 1 >= len(out.ring_start) or at + size > len(out.ring_vertex):
        return FULL_OUTPUT
    if cell >= len(out.words):
        return FULL_WORDS
    for place in range(size):
        vertex, edge = room.ring_vertex[ring + place], room.ring_edge[ring + place]
        out.ring_vertex[at + place], out.ring_edge[at + place] = vertex, edge
        out.edge_cell[edge, 0 if out.edge_vertex[edge, 0] == vertex else 1] = cell
    for word in range(out.words.shape[1]):
        out.words[cell, word] = room.words[depth, word]
    out.parent[cell] = parent
    count[2], count[3] = cell + 1, at + size
    out.ring_start[cell + 1] = at + size
    return 0


@compiled_into
def emit_two(out, count, room, ring, size, depth, chord, offset, parent):
    """Write the two cells into which one chord divides a ring. Returns 0, or what there was no room for."""
    cell, at, edge = count[2], count[3], count[1]
    if cell + 2 >= len(out.ring_start) or at + size + 2 > len(out.ring_vertex) or edge + 1 > len(out.edge_kink):
        return FULL_OUTPUT
    if cell + 1 >= len(out.words):
        return FULL_WORDS
    start, end = room.chord_from[chord], room.chord_to[chord]
    p, q, unit = min(start, end), max(start, end), room.line_unit[room.chord_line[chord]]
    a, b = room.ring_vertex[ring + p], room.ring_vertex[ring + q]
    link(out, count, a, b, offset + unit)
    for word in range(out.words.shape[1]):
        out.words[cell, word] = out.words[cell + 1, word] = room.words[depth, word]
    set_bit(out.words, cell, unit, start > end)
    set_bit(out.words, cell + 1, unit, start < end)
    for step in range(size):  # from q around to p, then from p to q
        place = q + step if q + step < size else q + step - size
        vertex, side = room.ring_vertex[ring + place], room.ring_edge[ring + place]
        if place == p:
            out.ring_vertex[at], out.ring_edge[at] = a, edge
            out.edge_cell[edge, 0] = cell
            at += 1
            cell += 1
            out.ring_start[cell] = at
        out.ring_vertex[at], out.ring_edge[at] = vertex, side
        out.edge_cell[side, 0 if out.edge_vertex[side, 0] == vertex else 1] = cell
        at += 1
    out.ring_vertex[at], out.ring_edge[at] = b, edge
    out.edge_cell[edge, 1] = cell
    out.parent[cell - 1] = out.parent[cell] = parent
    out.ring_start[cell + 1] = at + 1
    count[2], count[3] = cell + 1, at + 1
    return 0
