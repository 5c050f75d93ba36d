"""Divide a plane by the kinks of a network depth first: each operation runs once at each vertex.

A state, all that is alive before a kink, is affine along the edges and lines on which the kink makes new vertices; so
there it follows from the states at two older ones, and no operation before runs again. Where the states would take much
memory, the cells are taken apart into patches, and each patch goes through all the kinks that follow before the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from pellucid.capture.network_pool import NetworkPool
from pellucid.capture.piecewise_resume import ResumableProgram
from pellucid.core.planar_carry import carry_along
from pellucid.core.planar_mesh import PlanarMesh
from pellucid.core.planar_partition import Division, Scratch, divide_known
from pellucid.core.planar_patches import Deepened, Patch, PatchJoin, take_patches
from pellucid.errors import SettingsError

__all__ = ["DepthFirst"]

_NUMBERS = 1 << 18
"""How many numbers of states an operation is given at once."""

_ROOM = 3 << 18
"""How many numbers the states of a patch may have before it is taken apart."""

_PATCHES = 3
"""Into how many patches, at least."""

_LEAST = 64
"""How many cells a patch has at least."""


class DepthFirst:
    """A network, all of whose kinks are thresholds, over the cells of a plane.

    Args:
        resumable: The network.
        scales: The size of each quantity, kink by kink.
        extent: The size of the plane's part.
        max_cells: The most cells to make.
        outputs: Whether the network's outputs at the vertices are wanted.
        workers: How many patches are worked on at once.
    """

    def __init__(
        self,
        resumable: ResumableProgram,
        scales: Sequence[np.ndarray],
        *,
        extent: float,
        max_cells: int,
        outputs: bool,
        workers: int = 1,
    ) -> None:
        self.kinks = resumable.program.kinks
        self._scales, self._extent, self._max_cells, self._workers = scales, extent, max_cells, workers
        self._memory = _Memory()
        self._outputs = resumable.sizes[-1] if outputs else 0
        self._sizes = resumable.sizes
        self._networks = NetworkPool(resumable, resumable.copied, workers)
        self._scratch = NetworkPool(Scratch(), Scratch, workers)
        self._offsets = np.cumsum([0, *(kink.quantities for kink in self.kinks)])

    def run(self, mesh: PlanarMesh, points: Tensor) -> Deepened:
        """Divide cells by all kinks; ``points`` are the network's inputs at their vertices.

        Raises:
            SettingsError: there are too many cells.
            PatchesApartError: rounding made two patches disagree about an edge that they share.
        """
        state = self._networks.use(lambda network: network.start(points, 0)).numpy()
        return self._deepen(mesh, state, 0, self._workers)

    def _deepen(self, mesh: PlanarMesh, state: np.ndarray, kink: int, workers: int) -> Deepened:
        parents: list[np.ndarray] = []
        words: list[np.ndarray] = []
        welded = unclear = 0
        shared = [np.empty(0, np.int32)]
        while kink < len(self.kinks):
            if state.size > _ROOM and mesh.cells >= _PATCHES * _LEAST:
                rest = self._in_patches(mesh, state, kink, workers)
                welded, unclear = welded + rest.welded, unclear + rest.unclear
                self._memory.give(state)
                shared.append(rest.welded_between)
                parents, words = [*parents, *rest.parents], [*words, *rest.words]
                return Deepened(rest.mesh, parents, words, rest.values, welded, unclear, np.concatenate(shared))
            found = self._divide(mesh, state, kink)
            shared.append(np.repeat(mesh.edge_kink, found.welded_on))
            state, before = self._carry(state, found, kink), state
            self._memory.give(before)
            mesh, kink = found.mesh, kink + 1
            parents.append(found.parent)
            words.append(found.words)
            welded, unclear = welded + found.welded, unclear + found.unclear
        return Deepened(mesh, parents, words, state, welded, unclear, np.concatenate(shared))

    def _divide(self, mesh: PlanarMesh, state: np.ndarray, kink: int) -> Division:
        quantities = self._entries(state, kink)
        return self._scratch.use(lambda scratch: divide_known(
            mesh, quantities, self._scales[kink], extent=self._extent, offset=int(self._offsets[kink]),
            max_cells=self._max_cells, scratch=scratch,
        ))  # fmt: skip

    def _entries(self, state: np.ndarray, kink: int) -> np.ndarray:
        """What decides where a kink bends."""
        given = torch.from_numpy(state)
        return np.ascontiguousarray(self._networks.use(lambda network: network.entries(given, kink)).numpy())

    def _carry(self, state: np.ndarray, found: Division, kink: int) -> np.ndarray:
        """The states before the next kink, or the outputs, at old and new vertices."""
        size = self._sizes[kink + 1] if kink + 1 < len(self.kinks) else self._outputs
        rows, last = len(state) + len(found.share), kink + 1 == len(self.kinks)
        if not size:
            return np.empty((rows, size))
        after = np.empty((rows, size)) if last else self._memory.take(rows, size)
        new = self._memory.take(len(found.share), state.shape[1])
        carry_along(state, found.between, found.share, new)
        step = max(256, _NUMBERS // state.shape[1])
        for given, first in ((state, 0), (new, len(state))):
            for start in range(0, len(given), step):
                part = torch.from_numpy(given[start : start + step])
                after[first + start : first + start + len(part)] = self._networks.use(
                    lambda network, part=part: network.advance(part, kink, kink + 1, spent=True)
                ).numpy()
        self._memory.give(new)
        return after

    def _in_patches(self, mesh: PlanarMesh, state: np.ndarray, kink: int, workers: int) -> Deepened:
        """The kinks from one on, patch by patch."""
        count = min(max(_PATCHES, _PATCHES * state.size // _ROOM), mesh.cells // _LEAST)
        join = PatchJoin(mesh, len(self.kinks) - kink, self._outputs, self._max_cells + 1024)
        patches = take_patches(mesh, count)

        def deepen(patch: Patch) -> Deepened:
            own = self._memory.take(len(patch.vertices), state.shape[1])
            np.take(state, patch.vertices, axis=0, out=own, mode="clip")
            return self._deepen(patch.mesh, own, kink, 1)

        for patch, found in zip(patches, _each(deepen, patches, workers), strict=True):
            if join.cells + found.mesh.cells > self._max_cells:
                raise SettingsError(
                    f"the slice has more than {self._max_cells:,} cells",
                    place="max_cells",
                    remedy="give a larger max_cells, or a smaller slice",
                )
            join.add(patch, found)
        return join.whole()


class _Memory:
    """Hands out arrays again and again: an allocator keeps far more of them than are in use when threads free them."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []
        self._lock = Lock()

    def take(self, rows: int, size: int) -> np.ndarray:
        """An array whose numbers are any."""
        needed = rows * size
        with self._lock:
            fitting = [one for one in self._free if len(one) >= needed]
            best = min(fitting, key=len, default=None)
            gone = max(self._free, key=len, default=None) if best is None else best  # a larger one takes its place
            self._free = [one for one in self._free if one is not gone]
        if best is None:
            best = np.empty(needed + needed // 8)
        return best[:needed].reshape(rows, size)

    def give(self, array: np.ndarray) -> None:
        """Take an array back; a very large one, or one that came from elsewhere, is let go."""
        whole = array.base
        if isinstance(whole, np.ndarray) and whole.base is None and whole.ndim == 1 and len(whole) <= 4 * _ROOM:
            with self._lock:
                self._free.append(whole)


def _each(what: Callable[[Patch], Deepened], patches: Sequence[Patch], workers: int) -> Iterator[Deepened]:
    """The results in order, as many at once as there are workers, and no more ahead than that."""
    if workers == 1:
        yield from map(what, patches)
        return
    with ThreadPoolExecutor(workers) as pool:
        coming: deque[Future[Deepened]] = deque()
        try:
            for patch in patches:
                coming.append(pool.submit(what, patch))
                if len(coming) > workers:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for one in coming:
                one.cancel()
