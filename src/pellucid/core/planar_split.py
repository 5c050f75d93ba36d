"""Cut convex cells by all the straight lines that cross each. Compiled.

A cell is a ring of vertices; a line across it is a chord between two of them. One chord divides the ring in two; the
others fall to one side, or cross it: then the crossing becomes a vertex that both sides share, and the chord two
chords. So which line crosses which is decided by the order around the ring alone, and numbers only sort crossings along
a chord.
"""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false

# Compiled functions take arrays, not objects, and plain comparisons.
# ruff: noqa: PLR0915, PLR0917, PLR1714, SIM109

from __future__ import annotations

import numpy as np

from pellucid.core.compiled import compiled_bare, compiled_into
from pellucid.core.planar_emit import FULL_OUTPUT, descend, emit, emit_two, link, set_bit
from pellucid.core.planar_signs import count_trailing

__all__ = ["split_cells"]

_FULL_SCRATCH = 2


@compiled_bare
def split_cells(mesh, block, cuts, out, count, room, weld, offset, cell):
    """Cut the cells of a block from ``cell`` on.

    Returns the next cell to cut and what there was no room for: 0 nothing, 1 the mesh, 2 scratch, 3 the patterns.
    """
    before = room.before
    while cell < block.last_cell:
        for number in range(len(count)):
            before[number] = count[number]
        chords, length = _ring_with_chords(mesh, block, cuts, out, room, cell, count)
        status = _FULL_SCRATCH
        if chords >= 0:
            status = _arrange(out, count, room, chords, length, weld, offset, cell)
        if status != 0:
            for number in range(len(count)):
                count[number] = before[number]
            return cell, status
        cell += 1
    return cell, 0


@compiled_into
def _ring_with_chords(mesh, block, cuts, out, room, cell, count):
    """Write a cell's ring, with the vertices that its edges gained, and the chords across it into the scratch room."""
    first, last = mesh.ring_start[cell], mesh.ring_start[cell + 1]
    corners = last - first
    words = block.positive.shape[1]
    for word in range(words):
        above, below = np.uint64(0), np.uint64(0)
        for place in range(first, last):
            at = block.stamp[mesh.ring_vertex[place]]
            above |= block.positive[at, word]
            below |= block.negative[at, word]
        room.words[0, word] = above
        room.crossed[word] = above & below
    length = 0
    for place in range(first, last):
        edge, vertex = mesh.ring_edge[place], mesh.ring_vertex[place]
        slots, base = cuts.slots[edge], cuts.base[edge]
        if length + slots + 1 > len(room.ring_vertex) or corners > len(room.corner):
            return -1, 0
        room.corner[place - first] = length
        ahead = mesh.edge_vertex[edge, 0] == vertex
        room.ring_vertex[length] = vertex
        room.ring_edge[length] = base if ahead else base + slots
        length += 1
        for slot in range(slots):
            room.ring_vertex[length] = cuts.vertex[edge] + (slot if ahead else slots - 1 - slot)
            room.ring_edge[length] = base + (slot + 1 if ahead else slots - 1 - slot)
            length += 1
    chords = 0
    for word in range(words):
        bits = room.crossed[word]
        while bits != 0:
            unit = 64 * word + count_trailing(bits)
            bits &= bits - np.uint64(1)
            if chords + 1 > len(room.chord_from):
                return -1, 0
            down, up = _ends(mesh, block, cuts, room, first, corners, unit)
            if down < 0 or up < 0:
                count[6] += 1
                continue
            # From where it becomes positive, anticlockwise to where it becomes negative.
            room.chord_from[chords], room.chord_to[chords], room.chord_line[chords] = up, down, chords
            room.line_unit[chords] = unit
            start, end = room.ring_vertex[up], room.ring_vertex[down]
            room.line[chords, 0], room.line[chords, 1] = out.xy[start, 0], out.xy[start, 1]
            room.line[chords, 2], room.line[chords, 3] = out.xy[end, 0], out.xy[end, 1]
            room.line_end[chords, 0], room.line_end[chords, 1] = start, end
            chords += 1
    return chords, length


@compiled_into
def _sign(block, mesh, place, unit):
    """−1, 0 or 1: the sign of a quantity at a corner."""
    at = block.stamp[mesh.ring_vertex[place]]
    bit = np.uint64(unit & 63)
    word = unit >> 6
    return np.int64((block.positive[at, word] >> bit) & np.uint64(1)) - np.int64(
        (block.negative[at, word] >> bit) & np.uint64(1)
    )


@compiled_into
def _ends(mesh, block, cuts, room, first, corners, unit):
    """Where a quantity becomes negative and where positive on the way around: places in the ring; −1 for none."""
    down = up = -1
    start = 0
    while start < corners and _sign(block, mesh, first + start, unit) == 0:
        start += 1
    if start == corners:
        return down, up
    previous, zero, before = _sign(block, mesh, first + start, unit), -1, start
    for step in range(1, corners + 1):
        here = start + step if start + step < corners else start + step - corners
        sign = _sign(block, mesh, first + here, unit)
        if sign == 0:
            zero = here if zero < 0 else zero
            before = here
            continue
        if sign != previous:
            at = room.corner[zero] if zero >= 0 else _crossing_at(mesh, cuts, room, first, before, unit)
            if sign < 0:
                down = at
            else:
                up = at
        previous, zero, before = sign, -1, here
    return down, up


@compiled_into
def _crossing_at(mesh, cuts, room, first, corner, unit):
    """The place in the ring of the vertex at which a quantity passes zero on the edge after a corner."""
    edge = mesh.ring_edge[first + corner]
    for index in range(cuts.cross_start[edge], cuts.cross_start[edge] + cuts.cross_count[edge]):
        if cuts.cross_unit[index] == unit:
            slot = cuts.cross_slot[index]
            if mesh.edge_vertex[edge, 0] != mesh.ring_vertex[first + corner]:
                slot = cuts.slots[edge] - 1 - slot
            return room.corner[corner] + 1 + slot
    return -1


@compiled_into
def _arrange(out, count, room, chords, length, weld, offset, cell):
    """Divide the ring in the scratch room by its chords, depth first. Returns 0, or what lacked room."""
    room.stack[0, 0], room.stack[0, 1], room.stack[0, 2], room.stack[0, 3] = 0, length, 0, chords
    depth = 1
    while depth > 0:
        depth -= 1
        ring, size = room.stack[depth, 0], room.stack[depth, 1]
        chord, chords = room.stack[depth, 2], room.stack[depth, 3]
        chords = _drop_flat(out, room, chord, chords, ring, size, depth)
        if chords == 0:
            status = emit(out, count, room, ring, size, depth, cell)
            if status != 0:
                return status
            continue
        if chords == 1:
            status = emit_two(out, count, room, ring, size, depth, chord, offset, cell)
            if status != 0:
                return status
            continue
        if depth + 2 > len(room.stack) or size > len(room.old_vertex) or chords > len(room.old_from):
            return _FULL_SCRATCH
        status = _divide(out, count, room, depth, chords, weld, offset)
        if status != 0:
            return status
        depth += 2
    return 0


@compiled_into
def _drop_flat(out, room, chord, chords, ring, size, depth):
    """Forget chords that cut nothing off (their ends are one vertex, or neighbours). Returns the rest."""
    kept = 0
    for index in range(chord, chord + chords):
        start, end, line = room.chord_from[index], room.chord_to[index], room.chord_line[index]
        unit = room.line_unit[line]
        if start == end:
            set_bit(room.words, depth, unit, _side(out, room, ring, size, line) > 0)
        elif end == start + 1 or (end == 0 and start == size - 1):
            set_bit(room.words, depth, unit, False)
        elif start == end + 1 or (start == 0 and end == size - 1):
            set_bit(room.words, depth, unit, True)
        else:
            room.chord_from[chord + kept], room.chord_to[chord + kept] = start, end
            room.chord_line[chord + kept] = line
            kept += 1
    return kept


@compiled_into
def _side(out, room, ring, size, line):
    """On which side of a line the middle of a ring lies: above zero on the right of the way along it."""
    x = y = 0.0
    for place in range(ring, ring + size):
        x += out.xy[room.ring_vertex[place], 0] / size
        y += out.xy[room.ring_vertex[place], 1] / size
    ax, ay, bx, by = room.line[line, 0], room.line[line, 1], room.line[line, 2], room.line[line, 3]
    return (by - ay) * (x - ax) - (bx - ax) * (y - ay)


@compiled_into
def _crossing_place(room, line, other):
    """How far along a line, as a share of it, another crosses it."""
    ax, ay, bx, by = room.line[other, 0], room.line[other, 1], room.line[other, 2], room.line[other, 3]
    dx, dy = bx - ax, by - ay
    before = dx * (room.line[line, 1] - ay) - dy * (room.line[line, 0] - ax)
    after = dx * (room.line[line, 3] - ay) - dy * (room.line[line, 2] - ax)
    gap = before - after
    return 0.5 if gap == 0.0 else min(max(before / gap, 0.0), 1.0)


@compiled_into
def _divide(out, count, room, depth, chords, weld, offset):
    """Divide the ring on top of the stack by its middle chord, into two on the stack. 0, or what lacks room."""
    ring, size, chord = room.stack[depth, 0], room.stack[depth, 1], room.stack[depth, 2]
    for at in range(size):
        room.old_vertex[at], room.old_edge[at] = room.ring_vertex[ring + at], room.ring_edge[ring + at]
    for at in range(chords):
        room.old_from[at], room.old_to[at] = room.chord_from[chord + at], room.chord_to[chord + at]
        room.old_line[at] = room.chord_line[chord + at]
    pivot = chords // 2
    p, q = min(room.old_from[pivot], room.old_to[pivot]), max(room.old_from[pivot], room.old_to[pivot])
    links = _chain(out, count, room, pivot, chords, p, q, weld, offset)
    if links < 0:
        return FULL_OUTPUT
    inner = links - 1  # the new vertices on the chord
    first_size, second_size = q - p + 1 + inner, size - q + p + 1 + inner
    second_ring, second_chord = ring + first_size, chord + chords
    if (
        second_ring + second_size > len(room.ring_vertex)
        or second_chord + chords > len(room.chord_from)
        or max(first_size, second_size) > len(room.old_vertex)
    ):
        return _FULL_SCRATCH
    _write_first(room, ring, p, q, inner)
    _write_second(room, second_ring, p, q, size, inner)
    for word in range(room.words.shape[1]):
        room.words[depth + 1, word] = room.words[depth, word]
    unit, turned = room.line_unit[room.old_line[pivot]], room.old_from[pivot] > room.old_to[pivot]
    set_bit(room.words, depth, unit, not turned)
    set_bit(room.words, depth + 1, unit, turned)
    ours, theirs = _share(room, depth, pivot, chords, p, q, size, inner, chord, second_chord)
    room.stack[depth, 0], room.stack[depth, 1] = ring, first_size
    room.stack[depth, 2], room.stack[depth, 3] = chord, ours
    room.stack[depth + 1, 0], room.stack[depth + 1, 1] = second_ring, second_size
    room.stack[depth + 1, 2], room.stack[depth + 1, 3] = second_chord, theirs
    return 0


@compiled_into
def _chain(out, count, room, pivot, chords, p, q, weld, offset):
    """The chord as a chain of edges, with a vertex wherever another chord crosses it. Returns its edges; −1: no room.

    ``crossing[i]`` tells where chord i crosses: −1 nowhere, 0 at p, 1 … at an inner vertex, one more than these at q.
    """
    line, turned = room.old_line[pivot], room.old_from[pivot] > room.old_to[pivot]
    found = 0
    for index in range(chords):
        room.crossing[index] = -1
        start, end = room.old_from[index], room.old_to[index]
        if start == p or start == q or end == p or end == q or (p < start < q) == (p < end < q):
            continue
        place = _crossing_place(room, line, room.old_line[index])
        place = 1.0 - place if turned else place
        at = found
        while at > 0 and room.places[at - 1] > place:
            room.places[at], room.order[at] = room.places[at - 1], room.order[at - 1]
            at -= 1
        room.places[at], room.order[at] = place, index
        found += 1
    vertices, edges = count[0], count[1]
    if vertices + found > len(out.xy) or edges + found + 1 > len(out.edge_kink):
        return -1
    xy = out.xy
    start, end = room.old_vertex[p], room.old_vertex[q]
    ax, ay, bx, by = room.line[line, 0], room.line[line, 1], room.line[line, 2], room.line[line, 3]
    from_end, to_end = room.line_end[line, 0], room.line_end[line, 1]
    if turned:
        ax, ay, bx, by = bx, by, ax, ay
        from_end, to_end = to_end, from_end
    previous, inner = start, 0
    closing = found
    for rank in range(found):
        t = room.places[rank]
        x, y = ax + t * (bx - ax), ay + t * (by - ay)
        if abs(x - xy[previous, 0]) + abs(y - xy[previous, 1]) <= weld:
            room.crossing[room.order[rank]] = inner
            count[5] += 1
            continue
        if abs(x - xy[end, 0]) + abs(y - xy[end, 1]) <= weld:
            closing = rank
            break
        xy[count[0], 0], xy[count[0], 1] = x, y
        descend(out, count[0], from_end, to_end, t)
        link(out, count, previous, count[0], offset + room.line_unit[line])
        previous = count[0]
        count[0] += 1
        inner += 1
        room.crossing[room.order[rank]] = inner
    for rank in range(closing, found):
        room.crossing[room.order[rank]] = inner + 1
        count[5] += 1
    link(out, count, previous, end, offset + room.line_unit[line])
    room.chain[0], room.chain[1] = vertices, edges
    return inner + 1


@compiled_into
def _write_first(room, ring, p, q, inner):
    """The ring from p to q, and back along the chain."""
    at = ring
    for place in range(p, q):
        room.ring_vertex[at], room.ring_edge[at] = room.old_vertex[place], room.old_edge[place]
        at += 1
    room.ring_vertex[at], room.ring_edge[at] = room.old_vertex[q], room.chain[1] + inner
    for back in range(inner):
        at += 1
        room.ring_vertex[at] = room.chain[0] + inner - 1 - back
        room.ring_edge[at] = room.chain[1] + inner - 1 - back


@compiled_into
def _write_second(room, ring, p, q, size, inner):
    """The ring from q around to p, and along the chain."""
    at = ring
    for place in range(q, size + p):
        old = place if place < size else place - size
        room.ring_vertex[at], room.ring_edge[at] = room.old_vertex[old], room.old_edge[old]
        at += 1
    room.ring_vertex[at], room.ring_edge[at] = room.old_vertex[p], room.chain[1]
    for ahead in range(inner):
        at += 1
        room.ring_vertex[at], room.ring_edge[at] = room.chain[0] + ahead, room.chain[1] + 1 + ahead


@compiled_into
def _share(room, depth, pivot, chords, p, q, size, inner, chord, second_chord):
    """Hand the other chords to the two rings, those that cross the chain to both. Returns how many each got."""
    ours = theirs = 0
    for index in range(chords):
        if index == pivot:
            continue
        start, end, line = room.old_from[index], room.old_to[index], room.old_line[index]
        unit, crossing = room.line_unit[line], room.crossing[index]
        start_first, end_first = p <= start <= q, p <= end <= q
        start_second, end_second = start <= p or start >= q, end <= p or end >= q
        # The places in either ring; those of the crossing where an end lies on the other side.
        if crossing >= 0:
            place_first = 0 if crossing == 0 else q - p + inner + 1 - crossing
            place_second = size - q + p + crossing if crossing <= inner else 0
            from_first, to_first = (start - p, place_first) if start_first else (place_first, end - p)
            from_second = place_second if start_first else (start - q if start >= q else start + size - q)
            to_second = (end - q if end >= q else end + size - q) if start_first else place_second
            in_first = in_second = True
        else:
            in_first, in_second = start_first and end_first, start_second and end_second
            from_first, to_first = start - p, end - p
            from_second = start - q if start >= q else start + size - q
            to_second = end - q if end >= q else end + size - q
        if crossing < 0 and in_first and in_second:  # it lies on the chain
            same = start == room.old_from[pivot]
            ahead = room.old_from[pivot] < room.old_to[pivot]
            set_bit(room.words, depth, unit, same == ahead)
            set_bit(room.words, depth + 1, unit, same != ahead)
            continue
        if in_first:
            room.chord_from[chord + ours], room.chord_to[chord + ours] = from_first, to_first
            room.chord_line[chord + ours] = line
            ours += 1
        else:
            set_bit(room.words, depth, unit, from_second > to_second)
        if in_second:
            at = second_chord + theirs
            room.chord_from[at], room.chord_to[at], room.chord_line[at] = from_second, to_second, line
            theirs += 1
        else:
            set_bit(room.words, depth + 1, unit, start > end)
    return ours, theirs
