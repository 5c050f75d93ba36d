"""Take a planar mesh apart into patches, and put it together once the patches' cells have been divided further.

Each patch is divided by itself. An edge between two patches is divided twice, by the same lines in the same order: so
the pieces that both patches made of it are paired by their order along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pellucid.core.planar_append import Addition, MeshArrays, Numbering, append_mesh, number_rest
from pellucid.core.planar_mesh import PlanarMesh
from pellucid.core.planar_signs import gather_vertices

__all__ = ["Deepened", "Patch", "PatchJoin", "PatchesApartError", "take_patches"]

_NEAR = 1e-9
"""How near two patches' copies of a vertex must be, as a share of the edge on which it lies."""


class PatchesApartError(Exception):
    """Two patches divided the edge between them in different ways, as rounding may have it."""


@dataclass(frozen=True, eq=False)
class Deepened:
    """Cells that one or more divisions left.

    Attributes:
        mesh: The cells; the vertices of the mesh that was divided keep their places.
        parents: Of each division and each of its cells, the cell of the division before that it is a part of.
        words: Of each division its patterns; cells × words of 64 bits.
        values: Some numbers at each vertex; none where there are none.
        welded: How many vertices fell together with another.
        unclear: How many lines were left out of a cell.
        welded_between: What bends at the edges on which they did, once for each: for edges to other patches the codes.
    """

    mesh: PlanarMesh
    parents: list[np.ndarray]
    words: list[np.ndarray]
    values: np.ndarray
    welded: int
    unclear: int
    welded_between: np.ndarray


@dataclass(frozen=True, eq=False)
class Patch:
    """Some cells of a mesh as a mesh of their own.

    Attributes:
        mesh: The cells. What bends at an edge to another patch is replaced by a code, the lower the later its number.
        first: The number of the first of its cells; they follow each other.
        vertices: Which vertices of the whole mesh its own are.
        edges: The same of its edges.
    """

    mesh: PlanarMesh
    first: int
    vertices: np.ndarray
    edges: np.ndarray


def _code_of(mesh: PlanarMesh) -> int:
    """The code of the first edge: below all that the mesh has already."""
    return min(int(mesh.edge_kink.min()), -1) - 1


def take_patches(mesh: PlanarMesh, count: int) -> list[Patch]:
    """Take a mesh apart into patches of cells that follow each other; these lie beside each other for the most part."""
    stamps = np.full(len(mesh.xy), -1, np.int32), np.full(len(mesh.edge_kink), -1, np.int32)
    ends = [mesh.cells * number // count for number in range(count + 1)]
    code = _code_of(mesh)
    return [_take(mesh, (first, last), code, stamps) for first, last in pairwise(ends)]


def _take(mesh: PlanarMesh, cells: tuple[int, int], code: int, stamps: tuple[np.ndarray, np.ndarray]) -> Patch:
    (first, last), (vertex_stamp, edge_stamp) = cells, stamps
    start, end = int(mesh.ring_start[first]), int(mesh.ring_start[last])
    vertices = np.empty(end - start, np.int32)
    vertices = vertices[: gather_vertices(mesh.ring_vertex, start, end, vertex_stamp, vertices)].copy()
    edges = np.empty(end - start, np.int32)
    edges = edges[: gather_vertices(mesh.ring_edge, start, end, edge_stamp, edges)].copy()
    sides = mesh.edge_cell[edges]
    ours = (sides >= first) & (sides < last)
    shared = (sides >= 0).all(1) & ~ours.all(1)
    taken = PlanarMesh(
        mesh.xy[vertices],
        mesh.ring_start[first : last + 1] - mesh.ring_start[first],
        vertex_stamp[mesh.ring_vertex[start:end]],
        edge_stamp[mesh.ring_edge[start:end]],
        vertex_stamp[mesh.edge_vertex[edges]],
        np.where(ours, sides - first, -1).astype(np.int32),
        np.where(shared, code - edges, mesh.edge_kink[edges]).astype(np.int32),
    )
    vertex_stamp[vertices] = edge_stamp[edges] = -1
    return Patch(taken, first, vertices, edges)


class _Pieces(NamedTuple):
    """The pieces of edges to other patches, ordered by edge and along it.

    Attributes:
        edge: Which edges of the patch they are.
        origin: Which edge of the mesh that was taken apart each is a piece of.
        rank: Its place along that one.
        seen: Whether an earlier patch has brought it.
    """

    edge: np.ndarray
    origin: np.ndarray
    rank: np.ndarray
    seen: np.ndarray


class PatchJoin:
    """Puts patches together, one after another, in their order.

    Args:
        mesh: The mesh that was taken apart.
        divisions: How often the patches were divided.
        outputs: How many values each vertex has.
        most: The most cells.
    """

    def __init__(self, mesh: PlanarMesh, divisions: int, outputs: int, most: int) -> None:
        self.mesh, self._code = mesh, _code_of(mesh)
        edges = len(mesh.edge_kink)
        # Pages that are never written take no memory; large arrays go back to the system at once.
        most = max(most, 1 << 23)
        self._whole = MeshArrays(
            np.empty((2 * most, 2)), np.empty(most + 1, np.int32),
            np.empty(6 * most, np.int32), np.empty(6 * most, np.int32),
            np.empty((3 * most, 2), np.int32), np.empty((3 * most, 2), np.int32), np.empty(3 * most, np.int32),
            np.empty((2 * most, outputs)),
        )  # fmt: skip
        self._whole.ring_start[0] = 0
        self._parents: list[list[np.ndarray]] = [[] for _ in range(divisions)]
        self._words: list[list[np.ndarray]] = [[] for _ in range(divisions)]
        self._counts = np.zeros(divisions, np.int64)
        self._whole.xy[: len(mesh.xy)] = mesh.xy
        self.cells = self._ring = self._edges = 0
        self._vertices = len(mesh.xy)
        self._pieces, self._piece = np.zeros(edges, np.int32), np.empty(edges, np.int32)
        self._piece_vertex = np.empty(edges, np.int32)
        self._welded = self._unclear = 0
        self._welded_between = [np.empty(0, np.int32)]

    def add(self, patch: Patch, found: Deepened) -> None:
        """Add a patch whose cells have been divided.

        Raises:
            PatchesApartError: it does not fit those that it touches.
        """
        finer = found.mesh
        pieces = self._along(finer)
        begins = self._vertices, self._edges, self.cells, self._ring
        numbers = self._number(patch, finer, pieces)
        near = _NEAR * float(np.ptp(patch.mesh.xy, axis=0).max())
        at = Addition(*begins, len(patch.vertices), self._code, near)
        if not append_mesh(self._whole, _arrays(finer, found.values), numbers, at):
            raise PatchesApartError
        self._ring, self.cells = self._ring + len(finer.ring_vertex), self.cells + finer.cells
        before = patch.first
        for division, parent in enumerate(found.parents):
            self._parents[division].append(parent + np.int32(before))
            self._words[division].append(found.words[division])
            before = int(self._counts[division])
            self._counts[division] += len(parent)
        self._count_welded(found, pieces.origin[pieces.seen])
        self._unclear += found.unclear

    def _count_welded(self, found: Deepened, seen: np.ndarray) -> None:
        """Vertices that fell together count once, also where two patches saw them."""
        codes = found.welded_between
        again = np.isin(self._code - codes[codes <= self._code], seen)
        self._welded += found.welded - int(again.sum())
        self._welded_between.append(codes[codes > self._code])

    def _along(self, finer: PlanarMesh) -> _Pieces:
        mesh = self.mesh
        border = np.flatnonzero(finer.edge_kink <= self._code)
        origin = self._code - finer.edge_kink[border]
        start = mesh.xy[mesh.edge_vertex[origin, 0]]
        way = mesh.xy[mesh.edge_vertex[origin, 1]] - start
        place = ((finer.xy[finer.edge_vertex[border, 0]] - start) * way).sum(1)
        order = np.lexsort((place, origin))
        border, origin = border[order], origin[order]
        begins = np.flatnonzero(np.diff(origin, prepend=-1))
        rank = np.arange(len(origin)) - np.repeat(begins, np.diff(begins, append=len(origin)))
        return _Pieces(border, origin, rank, self._pieces[origin] > 0)

    def _number(self, patch: Patch, finer: PlanarMesh, pieces: _Pieces) -> Numbering:
        """The numbers of a patch's vertices and edges in the whole."""
        border, origin, rank, seen = pieces
        begins = np.flatnonzero(rank == 0)
        counts = np.diff(begins, append=len(rank))
        edges, old = origin[begins], seen[begins]
        if not np.array_equal(self._pieces[edges[old]], counts[old]):
            raise PatchesApartError
        new, many = edges[~old], counts[~old]
        self._pieces[new] = many
        self._piece[new] = self._edges + np.cumsum(many) - many
        self._piece_vertex[new] = self._vertices + np.cumsum(many - 1) - (many - 1)
        first_vertex, first_edge = self._vertices + int((many - 1).sum()), self._edges + int(many.sum())

        vertex_of, edge_of = np.full(len(finer.xy), -1, np.int32), np.full(len(finer.edge_kink), -1, np.int32)
        edge_of[border] = self._piece[origin] + rank
        inner = rank > 0
        vertex_of[finer.edge_vertex[border[inner], 0]] = self._piece_vertex[origin[inner]] + rank[inner] - 1
        vertex_of[: len(patch.vertices)] = patch.vertices
        self._vertices = number_rest(vertex_of, first_vertex)
        self._edges = number_rest(edge_of, first_edge)
        return Numbering(vertex_of, edge_of, self.mesh.edge_kink)

    def whole(self) -> Deepened:
        """All patches as one mesh. To be called once."""
        vertices, edges, outputs = self._vertices, self._edges, self._whole.values.shape[1]
        sizes = (
            (vertices, 2),
            self.cells + 1,
            self._ring,
            self._ring,
            (edges, 2),
            (edges, 2),
            edges,
            (vertices, outputs),
        )
        for array, size in zip(self._whole, sizes, strict=True):
            array.resize(size, refcheck=False)
        *arrays, values = self._whole
        mesh = PlanarMesh(*arrays)
        parents = [_joined(parts) for parts in self._parents]
        words = [_joined(parts) for parts in self._words]
        between = np.concatenate(self._welded_between)
        return Deepened(mesh, parents, words, values, self._welded, self._unclear, between)


def _arrays(mesh: PlanarMesh, values: np.ndarray) -> MeshArrays:
    return MeshArrays(
        mesh.xy, mesh.ring_start, mesh.ring_vertex, mesh.ring_edge, mesh.edge_vertex, mesh.edge_cell, mesh.edge_kink,
        values,
    )  # fmt: skip


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Arrays one after another; each is let go of once it is copied."""
    found = np.empty((sum(len(part) for part in parts), *parts[0].shape[1:]), parts[0].dtype)
    last = len(found)
    while parts:
        part = parts.pop()
        found[last - len(part) : last] = part
        last -= len(part)
    return found
