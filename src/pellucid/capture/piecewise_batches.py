"""A piecewise-affine program at many points: in batches, several at once where torch may use several threads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pellucid.capture.network_pool import NetworkPool
from pellucid.capture.piecewise import PiecewiseProgram
from pellucid.capture.piecewise_stages import Stage

__all__ = ["BatchedProgram", "batches_at_once"]

_NUMBERS = 1 << 17
"""How many numbers of one layer are computed at once: as many as a processor's own memory holds."""

_T = TypeVar("_T")


class BatchedProgram:
    """A program at points of a plane.

    Batches that run at the same time have a network each: one may keep numbers of its own between its operations.

    Args:
        program: The network.
        points: From (s, t) to points of the network's space.
        size: How many numbers such a point has.
        workers: How many batches run at once.
    """

    def __init__(
        self, program: PiecewiseProgram, points: Callable[[np.ndarray], Tensor], size: int, *, workers: int = 1
    ) -> None:
        self.workers, self._points, self._outputs = workers, points, program.outputs
        widest = max([kink.quantities * kink.members for kink in program.kinks] + [size, program.outputs])
        self._step = max(256, _NUMBERS // widest)
        self._networks = NetworkPool(program, lambda: program.on(copy.deepcopy(program.network)), workers)

    def quantities(self, stage: Stage, xy: np.ndarray) -> np.ndarray:
        """A stage's quantities; n × units."""
        found = np.empty((len(xy), stage.units))
        for part in self._parts(len(xy)):
            entries = self._run(part, xy, lambda program, points: program.quantities(points, stage.kink.index))
            found[part] = stage.compare(entries).numpy()
        return found

    def ending(self, stage: Stage, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A stage's quantities and the network's outputs."""
        found, outputs = np.empty((len(xy), stage.units)), np.empty((len(xy), self._outputs))
        for part in self._parts(len(xy)):
            entries, last = self._run(part, xy, lambda program, points: program.ending(points, stage.kink.index))
            found[part], outputs[part] = stage.compare(entries).numpy(), last.numpy()
        return found, outputs

    def outputs(self, xy: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """The network's outputs; those of the first points may be known."""
        if known is not None and len(known) == len(xy):
            return known
        found, first = np.empty((len(xy), self._outputs)), 0
        if known is not None:
            first = len(known)
            found[:first] = known
        rest, where = found[first:], xy[first:]

        def run(part: slice) -> None:
            rest[part] = self._run(part, where, lambda program, points: program.run(points)).numpy()

        parts = self._parts(len(rest))
        if self.workers == 1:
            for part in parts:
                run(part)
        else:
            with ThreadPoolExecutor(self.workers) as pool:
                for _ in pool.map(run, parts):
                    pass
        return found

    def _parts(self, count: int) -> list[slice]:
        return [slice(first, min(first + self._step, count)) for first in range(0, count, self._step)]

    def _run(self, part: slice, xy: np.ndarray, what: Callable[[PiecewiseProgram, Tensor], _T]) -> _T:
        return self._networks.use(lambda program: what(program, self._points(xy[part])))


@contextmanager
def batches_at_once() -> Iterator[int]:
    """Let torch use one thread an operation, and give how many it had: as many batches may run at once instead.

    Threads that share the work of every small operation wait for each other at its end; batches do not.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield 1
        return
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
