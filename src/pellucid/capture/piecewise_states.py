"""The states of a resumable network over a plane, carried from kink to kink with the cells."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pellucid.capture.network_pool import NetworkPool
from pellucid.capture.piecewise_resume import ResumableProgram
from pellucid.capture.piecewise_stages import Stage
from pellucid.core.planar_carry import carry_values, owners_of_vertices, widest_corners
from pellucid.core.planar_mesh import PlanarMesh

__all__ = ["CarriedStates"]

_NUMBERS = 1 << 18
"""How many numbers of states are computed at once: larger arrays are handed out anew each time, page by page."""


@dataclass(eq=False)
class _Level:
    """The cells before one kink, on each of which the state before it is affine.

    Attributes:
        kink: The number of the kink; the number of kinks for the outputs.
        xy: The cells' vertices.
        corners: Three of each cell's corners.
        owners: Of each vertex a cell of the level before in which it lies.
        kept: The states at the vertices, where there was room to keep them.
        known: Which of these are written.
    """

    kink: int
    xy: np.ndarray
    corners: np.ndarray
    owners: np.ndarray
    kept: np.ndarray | None
    known: np.ndarray


class CarriedStates:
    """What is alive before each kink, at any point of a plane.

    Before the first kink everything is affine in (s, t). On a cell that the kinks before one left, the state before
    that kink is affine too, so its value at a point is a combination of those at three corners of the cell; and these
    follow from the states one kink earlier by the network's own operations in between.

    Args:
        resumable: The network.
        points: From (s, t) to points of the network's space.
        cells: The first cells: the rectangle.
        room: How many bytes of states to keep; what is not kept is computed again where it is needed.
        workers: How many threads may ask at once; each runs a network of its own.
    """

    def __init__(
        self,
        resumable: ResumableProgram,
        points: Callable[[np.ndarray], Tensor],
        cells: PlanarMesh,
        *,
        room: int,
        workers: int = 1,
    ) -> None:
        self.resumable, self._room, self.workers = resumable, room, workers
        self._networks = NetworkPool(resumable, resumable.copied, workers)
        low, high = cells.xy.min(0), cells.xy.max(0)
        frame = np.array([low, [high[0], low[1]], [low[0], high[1]]])
        start = resumable.start(points(frame), 0).numpy()
        self._base, self._slopes = start[0], (start[1:] - start[0]) / (high - low)[:, None]
        self._low = low
        self.levels: list[_Level] = []
        self.enter(0, cells, np.zeros(cells.cells, np.int32))

    def enter(self, kink: int, cells: PlanarMesh, parents: np.ndarray) -> None:
        """The cells before the next kink; ``parents`` are the cells of the level before that each is a part of."""
        size = self.resumable.sizes[kink]
        needed = 8 * size * len(cells.xy)
        kept = None
        if kink and needed <= self._room:
            self._room -= needed
            kept = np.empty((len(cells.xy), size))
        corners = widest_corners(cells.xy, cells.ring_start, cells.ring_vertex)
        owners = owners_of_vertices(cells, parents)
        if self.levels:  # vertices that keep their numbers are kept once
            before = self.levels[-1].xy
            if np.array_equal(before, cells.xy[: len(before)]):
                for level in self.levels:
                    level.xy = cells.xy if level.xy is before else level.xy
        known = np.zeros(0 if kept is None else len(cells.xy), bool)
        self.levels.append(_Level(kink, cells.xy, corners, owners, kept, known))

    def at_vertices_of(self, stage: Stage, vertices: np.ndarray) -> np.ndarray:
        """The quantities of a stage of the present kink, at vertices of its cells."""
        return self._quantities(stage, len(vertices), lambda part: self.at_vertices(vertices[part]))

    def inside_of(self, stage: Stage, xy: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """The same at points in cells of the present level."""
        level = len(self.levels) - 1
        return self._quantities(stage, len(xy), lambda part: self._inside(level, xy[part], owners[part]))

    def _quantities(self, stage: Stage, count: int, state: Callable[[slice], np.ndarray]) -> np.ndarray:
        found, kink = np.empty((count, stage.units)), self.levels[-1].kink
        for part in _parts(count, self.resumable.sizes[kink]):
            given = torch.from_numpy(state(part))
            entries = self._networks.use(partial(ResumableProgram.entries, state=given, kink=kink))
            found[part] = stage.compare(entries).numpy()
        return found

    def outputs(self) -> np.ndarray:
        """The network's outputs at all vertices, once every kink has cut."""
        here = self.levels[-1]
        found, step = np.empty((len(here.xy), self.resumable.sizes[-1])), 8192
        order = np.argsort(here.owners, kind="stable")  # neighbours follow from the same states
        parts = [order[first : first + step] for first in range(0, len(order), step)]

        def run(part: np.ndarray) -> None:
            found[part] = self.at_vertices(part)

        with ThreadPoolExecutor(self.workers) as pool:
            for _ in pool.map(run, parts):
                pass
        return found

    def at_vertices(self, vertices: np.ndarray, level: int = -1) -> np.ndarray:
        """The states at vertices of a level's cells; of the last level by default."""
        level %= len(self.levels)
        here = self.levels[level]
        if not level:
            return self._first(here.xy[vertices])
        if here.kept is None:
            return self._compute(level, vertices)
        missing = vertices[~here.known[vertices]]
        if len(missing):
            here.kept[missing] = self._compute(level, missing)
            here.known[missing] = True
        return here.kept[vertices]

    def _compute(self, level: int, vertices: np.ndarray) -> np.ndarray:
        """The states at vertices from those one kink earlier."""
        here, before = self.levels[level], self.levels[level - 1]
        found = np.empty((len(vertices), self.resumable.sizes[here.kink]))
        for part in _parts(len(vertices), self.resumable.sizes[before.kink]):
            some = vertices[part]
            state = torch.from_numpy(self._inside(level - 1, here.xy[some], here.owners[some]))
            found[part] = self._advance(state, before.kink, here.kink)
        return found

    def _advance(self, state: Tensor, kink: int, to: int) -> np.ndarray:
        return self._networks.use(lambda network: network.advance(state, kink, to)).numpy()

    def _inside(self, level: int, xy: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """The states at points in cells of a level."""
        if not level:
            return self._first(xy)
        here = self.levels[level]
        needed, corners = np.unique(here.corners[owners], return_inverse=True)
        found = np.empty((len(xy), self.resumable.sizes[here.kink]))
        values = self.at_vertices(needed, level)
        carry_values(xy, here.xy[needed], corners.reshape(-1, 3), values, found)
        return found

    def _first(self, xy: np.ndarray) -> np.ndarray:
        """The states before the first kink."""
        found = (xy - self._low) @ self._slopes
        found += self._base
        return found


def _parts(count: int, size: int) -> list[slice]:
    """Rows of a size in batches."""
    step = max(64, _NUMBERS // max(size, 1))
    return [slice(first, min(first + step, count)) for first in range(0, count, step)]
