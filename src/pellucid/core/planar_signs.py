"""Signs of many quantities at vertices as packed bits, and where quantities pass zero along edges. Compiled."""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false

# Compiled functions take arrays, not objects, and plain comparisons.
# ruff: noqa: PLR0917

from __future__ import annotations

import numpy as np

from pellucid.core.compiled import compiled, compiled_bare
from pellucid.core.planar_emit import descend

__all__ = ["count_trailing", "cross_edges", "gather_vertices", "knock_out", "pack_signs"]


@compiled_bare
def gather_vertices(ring_vertex, first, last, stamp, vertices):
    """The vertices of a run of rings, each once; ``stamp`` says which place each one has. Returns how many."""
    count = 0
    for place in range(first, last):
        vertex = ring_vertex[place]
        if stamp[vertex] < 0:
            stamp[vertex] = count
            vertices[count] = vertex
            count += 1
    return count


@compiled
def pack_signs(quantities, tolerance, positive, negative):
    """One bit for each quantity and vertex: above the tolerance, and below its negative."""
    rows, units = quantities.shape
    above, below = np.zeros(64, np.uint8), np.zeros(64, np.uint8)
    above_words, below_words = above.view(np.uint64), below.view(np.uint64)
    gather = np.uint64(0x0102040810204080)  # the lowest bits of eight bytes, into one byte
    for word in range(positive.shape[1]):
        first = 64 * word
        last = min(64, units - first)
        above[:], below[:] = 0, 0
        for row in range(rows):
            for unit in range(last):
                above[unit] = quantities[row, first + unit] > tolerance[first + unit]
                below[unit] = quantities[row, first + unit] < -tolerance[first + unit]
            plus, minus = np.uint64(0), np.uint64(0)
            for byte in range(8):
                shift = np.uint64(8 * byte)
                plus |= ((above_words[byte] * gather) >> np.uint64(56)) << shift
                minus |= ((below_words[byte] * gather) >> np.uint64(56)) << shift
            positive[row, word], negative[row, word] = plus, minus


@compiled_bare
def count_trailing(word):
    """The place of the lowest bit that is set."""
    count = 0
    while word & np.uint64(0xFF) == 0:
        word >>= np.uint64(8)
        count += 8
    while word & np.uint64(1) == 0:
        word >>= np.uint64(1)
        count += 1
    return count


@compiled_bare
def _crossings(a, b, positive, negative, quantities, units, places):
    """The quantities that pass zero between two vertices, and where, sorted along the way. Returns how many."""
    count = 0
    for word in range(positive.shape[1]):
        bits = (positive[a, word] & negative[b, word]) | (negative[a, word] & positive[b, word])
        while bits != 0:
            unit = 64 * word + count_trailing(bits)
            bits &= bits - np.uint64(1)
            before, after = quantities[a, unit], quantities[b, unit]
            place = before / (before - after)
            at = count
            while at > 0 and places[at - 1] > place:
                places[at], units[at] = places[at - 1], units[at - 1]
                at -= 1
            places[at], units[at] = place, unit
            count += 1
    return count


@compiled_bare
def cross_edges(mesh, block, cuts, out, count, weld, units, places):
    """Divide every edge of a block's cells that is not divided yet; both of its cells will find the same vertices.

    Returns whether there was room.
    """
    xy = out.xy
    for place in range(block.first, block.last):
        edge = mesh.ring_edge[place]
        if cuts.base[edge] >= 0:
            continue
        start, end = mesh.edge_vertex[edge, 0], mesh.edge_vertex[edge, 1]
        a, b = block.stamp[start], block.stamp[end]
        found = _crossings(a, b, block.positive, block.negative, block.quantities, units, places)
        if (
            count[0] + found > len(xy)
            or count[1] + found + 1 > len(out.edge_kink)
            or count[4] + found > len(cuts.cross_unit)
        ):
            return False
        length = np.sqrt((xy[end, 0] - xy[start, 0]) ** 2 + (xy[end, 1] - xy[start, 1]) ** 2)
        cuts.base[edge], cuts.vertex[edge] = count[1], count[0]
        cuts.cross_start[edge], cuts.cross_count[edge] = count[4], found
        slots, previous = 0, start
        for index in range(found):
            if slots == 0 or (places[index] - places[index - 1]) * length > weld:
                new, t = count[0], places[index]
                xy[new, 0] = xy[start, 0] + t * (xy[end, 0] - xy[start, 0])
                xy[new, 1] = xy[start, 1] + t * (xy[end, 1] - xy[start, 1])
                descend(out, new, start, end, t)
                out.edge_vertex[count[1], 0], out.edge_vertex[count[1], 1] = previous, new
                out.edge_kink[count[1]] = mesh.edge_kink[edge]
                out.edge_cell[count[1], 0] = out.edge_cell[count[1], 1] = -1
                previous = new
                count[0] += 1
                count[1] += 1
                slots += 1
            else:
                count[5] += 1
            cuts.cross_unit[count[4]], cuts.cross_slot[count[4]] = units[index], slots - 1
            count[4] += 1
        out.edge_vertex[count[1], 0], out.edge_vertex[count[1], 1] = previous, end
        out.edge_kink[count[1]] = mesh.edge_kink[edge]
        out.edge_cell[count[1], 0] = out.edge_cell[count[1], 1] = -1
        count[1] += 1
        cuts.slots[edge] = slots
    return True


@compiled_bare
def knock_out(words, starts, left, found):
    """Which member of each group is left after all rounds, row by row.

    Args:
        words: Each row has the bits of all rounds: whether the first of a pair wins, group by group.
        starts: In which word each round begins.
        left: Room for the members of a group.
        found: Rows × groups, to be written.
    """
    for row in range(len(found)):
        for group in range(found.shape[1]):
            count = len(left)
            for member in range(count):
                left[member] = member
            for start in starts:
                half = count // 2
                for pair in range(half):
                    place = group * half + pair
                    word = words[row, start + (place >> 6)]
                    first_wins = (word >> np.uint64(place & 63)) & np.uint64(1)
                    left[pair] = left[2 * pair] if first_wins else left[2 * pair + 1]
                if count % 2:
                    left[half] = left[count - 1]
                count = half + count % 2
            found[row, group] = left[0]
