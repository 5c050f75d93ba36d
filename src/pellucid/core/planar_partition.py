"""Divide the cells of a planar mesh by quantities that are affine on each of them, block by block."""

# numba's compiled functions have no types that a checker could read.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

# Compiled functions take arrays, not objects, and plain comparisons.
# ruff: noqa: PLR0917

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pellucid.core.planar_mesh import PlanarMesh
from pellucid.core.planar_signs import cross_edges, gather_vertices, pack_signs
from pellucid.core.planar_split import split_cells
from pellucid.errors import SettingsError

__all__ = ["Division", "Scratch", "divide", "divide_known"]

_NUMBERS = 1 << 20
"""How many quantities are held at once."""

_ROUNDING = 1e-13
"""Below this share of its size a quantity counts as zero, below this share of the slice two points as one."""


_SMALL = 1 << 15
"""For how many cells there is room that is used again and again."""

_WORDS = 16
"""How many words of 64 bits the patterns of as many cells may have there."""


@dataclass(frozen=True, eq=False)
class Division:
    """A finer mesh, and how it came from the coarser one.

    Attributes:
        mesh: The finer mesh; the coarser one's vertices keep their places.
        parent: Of each cell, the cell of the coarser mesh that it is a part of.
        words: Of each cell, one bit a quantity: whether it is positive there; cells × words of 64 bits.
        welded: How many vertices fell together with another: where more than two lines meet, or two coincide.
        unclear: How many lines could not be told to cross a cell or not, and were left out there.
        evaluated: At how many vertices the quantities were computed.
        between: Of each new vertex the two vertices between which it lies, where ``divide_known`` made it; both come
            before it. On the way from one to the other everything is affine that was so on the coarser cells.
        share: How far along that way.
        welded_on: Of each edge of the coarser mesh how many vertices fell together there.
    """

    mesh: PlanarMesh
    parent: np.ndarray
    words: np.ndarray
    welded: int
    unclear: int
    evaluated: int
    between: np.ndarray
    share: np.ndarray
    welded_on: np.ndarray


class _Mesh(NamedTuple):
    ring_start: np.ndarray
    ring_vertex: np.ndarray
    ring_edge: np.ndarray
    edge_vertex: np.ndarray
    edge_kink: np.ndarray


class _Block(NamedTuple):
    first: int
    last: int
    last_cell: int
    stamp: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    quantities: np.ndarray


class _Cuts(NamedTuple):
    base: np.ndarray
    vertex: np.ndarray
    slots: np.ndarray
    cross_start: np.ndarray
    cross_count: np.ndarray
    cross_unit: np.ndarray
    cross_slot: np.ndarray


class _Out(NamedTuple):
    xy: np.ndarray
    ring_start: np.ndarray
    ring_vertex: np.ndarray
    ring_edge: np.ndarray
    edge_vertex: np.ndarray
    edge_cell: np.ndarray
    edge_kink: np.ndarray
    parent: np.ndarray
    words: np.ndarray
    between: np.ndarray
    share: np.ndarray


class _Room(NamedTuple):
    words: np.ndarray
    crossed: np.ndarray
    corner: np.ndarray
    ring_vertex: np.ndarray
    ring_edge: np.ndarray
    chord_from: np.ndarray
    chord_to: np.ndarray
    chord_line: np.ndarray
    line: np.ndarray
    line_unit: np.ndarray
    line_end: np.ndarray
    old_vertex: np.ndarray
    old_edge: np.ndarray
    old_from: np.ndarray
    old_to: np.ndarray
    old_line: np.ndarray
    crossing: np.ndarray
    places: np.ndarray
    order: np.ndarray
    stack: np.ndarray
    chain: np.ndarray
    before: np.ndarray


def divide(
    mesh: PlanarMesh,
    evaluate: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scale: np.ndarray,
    *,
    extent: float,
    offset: int = 0,
    max_cells: int = 2_000_000,
    ahead: int = 0,
) -> Division:
    """Cut every cell along the lines on which a quantity is zero.

    Args:
        mesh: The cells. On each of them every quantity must be affine.
        evaluate: The quantities at some vertices: their coordinates, n × 2, and numbers in, n × units out.
        scale: The size of each quantity; what is smaller by 13 orders of magnitude counts as zero.
        extent: The size of the plane's part; two points nearer than 1e-13 of it are one.
        offset: The number of the first quantity among all kinks.
        max_cells: The most cells to make.
        ahead: How many blocks are evaluated in threads of their own while one is cut.

    Raises:
        SettingsError: there are more cells than that.
    """
    return _Dividing(mesh, evaluate, scale, extent, offset, max_cells).run(ahead)


def divide_known(
    mesh: PlanarMesh,
    quantities: np.ndarray,
    scale: np.ndarray,
    *,
    extent: float,
    offset: int = 0,
    max_cells: int = 2_000_000,
    scratch: Scratch | None = None,
) -> Division:
    """The same where the quantities at all vertices are at hand; it also tells between which vertices new ones lie.

    With ``scratch`` a mesh that is not large takes no new memory but that of its result.
    """

    def divided(within: Scratch | None) -> Division:
        return _Dividing(
            mesh, lambda *_: quantities, scale, extent, offset, max_cells, known=quantities, scratch=within
        ).run(0)  # fmt: skip

    if scratch is not None and len(mesh.edge_kink) <= _SMALL:
        try:
            return divided(scratch)
        except _FullError:
            pass
    return divided(None)


class Scratch:
    """Room in which meshes that are not large are divided, one after another."""

    def __init__(self) -> None:
        self.out = _make_out(_SMALL, np.empty((_SMALL, _WORDS), np.uint64), told=True)
        self.cross = np.empty(4 * _SMALL, np.int32), np.empty(4 * _SMALL, np.int32)
        self.rooms: dict[int, _Room] = {}

    def out_of(self, width: int) -> _Out:
        """Room for a mesh with patterns of so many words."""
        words = self.out.words.reshape(-1)
        rows = min(_SMALL, len(words) // width)
        return self.out._replace(words=words[: rows * width].reshape(rows, width))


class _FullError(Exception):
    """What there is room for has been used up."""


class _Dividing:
    """The state of one division."""

    def __init__(
        self,
        mesh: PlanarMesh,
        evaluate: Callable[[np.ndarray, np.ndarray], np.ndarray],
        scale: np.ndarray,
        extent: float,
        offset: int,
        max_cells: int,
        known: np.ndarray | None = None,
        scratch: Scratch | None = None,
    ) -> None:
        self.mesh, self.evaluate, self.offset, self.max_cells, self.known = mesh, evaluate, offset, max_cells, known
        self.tolerance, self.weld = scale * _ROUNDING, extent * _ROUNDING
        self.units, self.width = len(scale), max(1, -(-len(scale) // 64))
        self.scratch, edges = scratch, len(mesh.edge_kink)
        if scratch is None:
            most = max(max_cells + 1024, 2 * mesh.cells + 1024, 1 << 23)
            words = np.empty((min(most, 2 * mesh.cells + 1024), self.width), np.uint64)
            self.out = _make_out(most, words, told=known is not None)
            cross = np.empty(4 * most, np.int32), np.empty(4 * most, np.int32)
        else:
            self.out, cross = scratch.out_of(self.width), scratch.cross
        self.cuts = _Cuts(
            np.full(edges, -1, np.int32), np.empty(edges, np.int32), np.zeros(edges, np.int32),
            np.empty(edges, np.int32), np.empty(edges, np.int32), *cross,
        )  # fmt: skip
        self.out.xy[: len(mesh.xy)] = mesh.xy
        self.out.ring_start[0] = 0
        self.count = np.array([len(mesh.xy), 0, 0, 0, 0, 0, 0], dtype=np.int64)
        self.evaluated = 0

    def run(self, ahead: int) -> Division:
        mesh = self.mesh
        coarse = _Mesh(mesh.ring_start, mesh.ring_vertex, mesh.ring_edge, mesh.edge_vertex, mesh.edge_kink)
        rooms = {} if self.scratch is None else self.scratch.rooms
        room, cell = rooms.get(self.width) or _make_room(1 << 10, self.width), 0
        blocks = self._blocks_ahead(coarse, ahead) if ahead else self._blocks(coarse)
        for block in blocks if self.known is None else [self._whole(coarse, self.known)]:
            self.evaluated += len(block.quantities)
            room = self._run_block(coarse, block, room, cell)
            cell = block.last_cell
        rooms[self.width] = room
        return self._finish()

    def _whole(self, coarse: _Mesh, known: np.ndarray) -> _Block:
        """All cells as one block."""
        return self._signed(0, len(coarse.ring_vertex), self.mesh.cells, np.arange(len(known), dtype=np.int32), known)

    def _blocks(self, coarse: _Mesh) -> Iterator[_Block]:
        stamp = np.full(len(self.mesh.xy), -1, np.int32)
        for first, last in self._ranges():
            block, vertices = self._block(coarse, stamp, first, last)
            yield block
            stamp[vertices] = -1

    def _blocks_ahead(self, coarse: _Mesh, workers: int) -> Iterator[_Block]:
        """The blocks, the next ones made while one is cut."""
        stamps = [np.full(len(self.mesh.xy), -1, np.int32) for _ in range(workers + 1)]
        coming: deque[Future[tuple[_Block, np.ndarray]]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            for first, last in [*self._ranges(), *[(0, 0)] * workers]:
                if last:
                    coming.append(pool.submit(self._block, coarse, stamps.pop(), first, last))
                if coming and (not stamps or not last):
                    block, vertices = coming.popleft().result()
                    yield block
                    block.stamp[vertices] = -1
                    stamps.append(block.stamp)

    def _ranges(self) -> list[tuple[int, int]]:
        cells = self.mesh.cells
        step = min(max(_NUMBERS // max(self.units, 1), 64), 16_384)
        return [(first, min(first + step, cells)) for first in range(0, cells, step)]

    def _block(self, coarse: _Mesh, stamp: np.ndarray, first: int, last: int) -> tuple[_Block, np.ndarray]:
        """The quantities at the vertices of a run of cells, and these vertices."""
        start, end = int(coarse.ring_start[first]), int(coarse.ring_start[last])
        vertices = np.empty(end - start, np.int32)
        vertices = vertices[: gather_vertices(coarse.ring_vertex, start, end, stamp, vertices)]
        quantities = np.ascontiguousarray(self.evaluate(self.mesh.xy[vertices], vertices), dtype=np.float64)
        return self._signed(start, end, last, stamp, quantities), vertices

    def _signed(self, start: int, end: int, last: int, stamp: np.ndarray, quantities: np.ndarray) -> _Block:
        positive = np.empty((len(quantities), self.width), np.uint64)
        negative = np.empty((len(quantities), self.width), np.uint64)
        pack_signs(quantities, self.tolerance, positive, negative)
        return _Block(start, end, last, stamp, positive, negative, quantities)

    def _run_block(self, coarse: _Mesh, block: _Block, room: _Room, cell: int) -> _Room:
        units, places = np.empty(self.units + 1, np.int32), np.empty(self.units + 1)
        if not cross_edges(coarse, block, self.cuts, self.out, self.count, self.weld, units, places):
            raise self._no_room()
        out = self.out
        while cell < block.last_cell:
            cell, lacking = split_cells(coarse, block, self.cuts, out, self.count, room, self.weld, self.offset, cell)
            if lacking == 1 or self.count[2] > self.max_cells or (lacking == 3 and self.scratch is not None):
                raise self._no_room()
            if lacking == 2:
                room = _make_room(2 * len(room.ring_vertex), self.width)
            elif lacking == 3:  # by an eighth: what is added is written with zeros
                out.words.resize((len(out.words) * 9 // 8 + 4096, self.width), refcheck=False)
        return room

    def _finish(self) -> Division:
        vertices, edges, cells, ring = (int(number) for number in self.count[:4])
        before = len(self.mesh.xy)
        self.mesh = self.mesh.__class__(*[np.empty(0)] * 7)  # let go of the coarser mesh
        out = self.out
        sizes = (2 * vertices, cells + 1, ring, ring, 2 * edges, 2 * edges, edges, cells, cells * self.width)
        sizes = (*sizes, 2 * vertices * (self.known is not None), vertices * (self.known is not None))
        if self.scratch is not None:
            shapes = zip(out, sizes, strict=True)
            out = _Out(*(array[: size // array.shape[1] if array.ndim == 2 else size].copy() for array, size in shapes))
        else:
            for array, size in zip(out, sizes, strict=True):
                shape = (size // array.shape[1], array.shape[1]) if array.ndim == 2 else (size,)
                array.resize(shape, refcheck=False)
        finer = PlanarMesh(
            out.xy, out.ring_start, out.ring_vertex, out.ring_edge, out.edge_vertex, out.edge_cell, out.edge_kink
        )
        welded, unclear = int(self.count[5]), int(self.count[6])
        return Division(
            finer, out.parent, out.words, welded, unclear, self.evaluated, out.between[before:], out.share[before:],
            self.cuts.cross_count - self.cuts.slots,
        )  # fmt: skip

    def _no_room(self) -> Exception:
        if self.scratch is not None and self.count[2] <= self.max_cells:
            return _FullError()
        return SettingsError(
            f"the slice has more than {self.max_cells:,} cells",
            place="max_cells",
            remedy="give a larger max_cells, or a smaller slice",
        )


def _make_out(most: int, words: np.ndarray, *, told: bool) -> _Out:
    """Room for a mesh of so many cells: pages that are never written take no memory, large arrays go back at once."""
    new = 2 * most if told else 0
    return _Out(
        np.empty((2 * most, 2)), np.empty(most + 1, np.int32), np.empty(6 * most, np.int32),
        np.empty(6 * most, np.int32), np.empty((3 * most, 2), np.int32), np.empty((3 * most, 2), np.int32),
        np.empty(3 * most, np.int32), np.empty(most, np.int32), words, np.empty((new, 2), np.int32), np.empty(new),
    )  # fmt: skip


def _make_room(size: int, width: int) -> _Room:
    """Scratch room for rings and chords of a size."""

    def whole(count: int = size) -> np.ndarray:
        return np.empty(count, np.int32)

    return _Room(
        np.empty((size // 2, width), np.uint64), np.empty(width, np.uint64), whole(), whole(), whole(),
        whole(), whole(), whole(), np.empty((size, 4)), whole(),
        np.empty((size, 2), np.int32), whole(), whole(), whole(), whole(), whole(), whole(), np.empty(size), whole(),
        np.empty((size // 2, 4), np.int32), np.empty(2, np.int32), np.empty(7, np.int64),
    )  # fmt: skip
