"""Join neighbouring cells of a planar mesh that are one cell after all. Compiled."""

# Every name in a compiled function is a number or an array that numba infers.
# pyright: reportUnknownMemberType=false, reportUntypedFunctionDecorator=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

# Compiled functions take arrays, not objects, and plain comparisons.
# ruff: noqa: PLR0917

from __future__ import annotations

import numpy as np

from pellucid.core.compiled import compiled
from pellucid.core.planar_mesh import PlanarMesh

__all__ = ["merge_cells"]


def merge_cells(mesh: PlanarMesh, kept: np.ndarray) -> tuple[PlanarMesh, np.ndarray]:
    """Take out edges, and join the cells on both of their sides.

    Args:
        mesh: The cells.
        kept: Of each edge, whether it stays. What is joined must be a disk.

    Returns:
        The coarser mesh, without the vertices at which it has no corner any more; and of each of its cells, one
        cell of the finer mesh that lies in it.
    """
    group = np.arange(mesh.cells, dtype=np.int32)
    _join(mesh.edge_cell, kept, group)
    straight = _straight_vertices(mesh, kept)
    ring_start = np.zeros(mesh.cells + 1, np.int32)
    ring_vertex = np.empty(len(mesh.ring_vertex), np.int32)
    member = np.empty(mesh.cells, np.int32)
    cells = _trace(
        mesh.ring_start, mesh.ring_vertex, mesh.ring_edge, mesh.edge_cell, kept, group, straight,
        ring_start, ring_vertex, member,
    )  # fmt: skip
    return _rebuild(mesh, kept, straight, ring_start[: cells + 1], ring_vertex, group, member[:cells])


def _rebuild(
    mesh: PlanarMesh,
    kept: np.ndarray,
    straight: np.ndarray,
    ring_start: np.ndarray,
    ring_vertex: np.ndarray,
    group: np.ndarray,
    member: np.ndarray,
) -> tuple[PlanarMesh, np.ndarray]:
    """The mesh of the new rings: vertices and edges numbered anew."""
    ring_vertex = ring_vertex[: ring_start[-1]].copy()
    cells, sizes = len(member), np.diff(ring_start)
    following = np.arange(1, len(ring_vertex) + 1)
    following[ring_start[1:] - 1] = ring_start[:-1]
    ends = np.stack([ring_vertex, ring_vertex[following]], 1)
    low, high = ends.min(1).astype(np.int64), ends.max(1).astype(np.int64)
    keys, first, ring_edge = np.unique(low * len(mesh.xy) + high, return_index=True, return_inverse=True)
    edge_vertex = ends[first].astype(np.int32)
    owner = np.repeat(np.arange(cells, dtype=np.int32), sizes)
    edge_cell = np.full((len(keys), 2), -1, np.int32)
    ahead = edge_vertex[ring_edge, 0] == ring_vertex
    edge_cell[ring_edge[ahead], 0] = owner[ahead]
    edge_cell[ring_edge[~ahead], 1] = owner[~ahead]
    kink_of = _kinks_of(mesh, kept, ring_vertex, following, edge_vertex, first)
    used = np.zeros(len(mesh.xy), bool)
    used[ring_vertex] = True
    number = (np.cumsum(used) - 1).astype(np.int32)
    merged = PlanarMesh(
        mesh.xy[used],
        ring_start.astype(np.int32),
        number[ring_vertex],
        ring_edge.astype(np.int32),
        number[edge_vertex],
        edge_cell,
        kink_of,
    )
    return merged, member


def _kinks_of(
    mesh: PlanarMesh,
    kept: np.ndarray,
    ring_vertex: np.ndarray,
    following: np.ndarray,
    edge_vertex: np.ndarray,
    first: np.ndarray,
) -> np.ndarray:
    """What bends at every new edge: the kink of the old edge with which it begins, on the old mesh's half edges."""
    old = mesh.edge_vertex[kept]
    xy = mesh.xy
    # A new edge begins with an old one that leaves the same vertex in the same direction.
    starts = np.concatenate([old[:, 0], old[:, 1]])
    ends = np.concatenate([old[:, 1], old[:, 0]])
    kinks = np.tile(mesh.edge_kink[kept], 2)
    order = np.argsort(starts, kind="stable")
    starts, ends, kinks = starts[order], ends[order], kinks[order]
    reach = np.searchsorted(starts, np.arange(len(xy) + 1))
    found = np.empty(len(edge_vertex), np.int32)
    _match(xy, edge_vertex, reach, ends, kinks, found)
    return found


@compiled
def _match(xy, edge_vertex, reach, ends, kinks, found):
    """The kink of the old half edge that points most nearly along each new edge."""
    for edge in range(len(edge_vertex)):
        start, end = edge_vertex[edge, 0], edge_vertex[edge, 1]
        dx, dy = xy[end, 0] - xy[start, 0], xy[end, 1] - xy[start, 1]
        best = -np.inf
        for place in range(reach[start], reach[start + 1]):
            other = ends[place]
            ex, ey = xy[other, 0] - xy[start, 0], xy[other, 1] - xy[start, 1]
            size = np.hypot(ex, ey)
            along = 2.0 if other == end else (dx * ex + dy * ey) / (size * np.hypot(dx, dy) + 1e-300)
            if along > best:
                best, found[edge] = along, kinks[place]


def _straight_vertices(mesh: PlanarMesh, kept: np.ndarray) -> np.ndarray:
    """The vertices that only two of the kept edges meet at, in one line: no corner of anything."""
    ends = mesh.edge_vertex[kept]
    degree = np.bincount(ends.ravel(), minlength=len(mesh.xy))
    before = np.bincount(mesh.edge_vertex.ravel(), minlength=len(mesh.xy))
    total = np.zeros((len(mesh.xy), 2))
    vectors = mesh.xy[ends[:, 1]] - mesh.xy[ends[:, 0]]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    np.add.at(total, ends[:, 0], vectors)
    np.add.at(total, ends[:, 1], -vectors)
    return (degree == 2) & (before > 2) & (np.linalg.norm(total, axis=1) < 1e-6)


@compiled
def _root(group, cell):
    """The cell that stands for a group."""
    while group[cell] != cell:
        group[cell] = group[group[cell]]
        cell = group[cell]
    return cell


@compiled
def _join(edge_cell, kept, group):
    """Number the groups of cells that no kept edge parts; the lowest cell stands for each."""
    for edge in range(len(kept)):
        if not kept[edge] and edge_cell[edge, 0] >= 0 and edge_cell[edge, 1] >= 0:
            a, b = _root(group, edge_cell[edge, 0]), _root(group, edge_cell[edge, 1])
            group[max(a, b)] = min(a, b)
    for cell in range(len(group)):
        group[cell] = _root(group, cell)


@compiled
def _trace(ring_start, ring_vertex, ring_edge, edge_cell, kept, group, straight, new_start, new_vertex, member):
    """Follow each group's outline anticlockwise. Returns how many groups there are."""
    cells = at = 0
    for cell in range(len(group)):
        if group[cell] != cell:
            continue
        here, place = _outline_start(ring_start, ring_edge, kept, group, cell)
        first_cell, first_place = here, place
        begin = at
        while True:
            vertex = ring_vertex[place]
            if not straight[vertex]:
                new_vertex[at] = vertex
                at += 1
            here, place = _next(ring_start, ring_edge, edge_cell, kept, here, place)
            if here == first_cell and place == first_place:
                break
        if at - begin < 3:
            at = begin
            continue
        member[cells] = cell
        cells += 1
        new_start[cells] = at
    return cells


@compiled
def _outline_start(ring_start, ring_edge, kept, group, cell):
    """A cell of a group, and a place in its ring whose edge stays."""
    for other in range(cell, len(group)):
        if group[other] == cell:
            for place in range(ring_start[other], ring_start[other + 1]):
                if kept[ring_edge[place]]:
                    return other, place
    return cell, ring_start[cell]


@compiled
def _next(ring_start, ring_edge, edge_cell, kept, here, place):
    """The next edge of an outline: around each inner vertex past the edges that go."""
    place = place + 1 if place + 1 < ring_start[here + 1] else ring_start[here]
    while not kept[ring_edge[place]]:
        edge = ring_edge[place]
        here = edge_cell[edge, 1] if edge_cell[edge, 0] == here else edge_cell[edge, 0]
        place = ring_start[here]
        while ring_edge[place] != edge:
            place += 1
        place = place + 1 if place + 1 < ring_start[here + 1] else ring_start[here]
    return here, place
