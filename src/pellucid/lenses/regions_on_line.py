"""Where exactly does a network bend on the way from one input to another?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.flat_network import FlatNetwork
from pellucid.capture.piecewise import PiecewiseProgram, read_piecewise
from pellucid.capture.piecewise_stages import Stage, read_stages, winners
from pellucid.errors import DataError, SettingsError
from pellucid.results.regions_on_line import LineKink, RegionsOnLine

__all__ = ["measure_regions_on_line"]

_ROUNDING = 1e-13
_BATCH = 4096


def measure_regions_on_line(
    model: nn.Module, a: Any, b: Any, *, max_pieces: int = 1_000_000, classes: Sequence[str] = ()
) -> RegionsOnLine:
    """Into which straight pieces does a network divide the way from one input to another?

    Args:
        model: As for ``measure_linear_regions``; copied to float64, and left as it is.
        a: Where the line begins: one example, without a batch axis. A network of one input number will do.
        b: Where it ends.
        max_pieces: The most pieces to make.
        classes: What the classes are called.

    Raises:
        DataError: the two differ in shape, are one point, or not finite.
        SettingsError: the network is not piecewise affine, or there are more pieces than that.

    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> measure_regions_on_line(net, [-100.0], [100.0]).pieces
    5
    """
    start, end = _example(a, "a"), _example(b, "b")
    if start.shape != end.shape:
        raise DataError(f"{start.shape} and {end.shape} are no two examples", place="a, b", remedy="give one shape")
    if bool((start == end).all()):
        raise DataError("a and b are the same", place="a, b", remedy="give two different examples")
    shape = tuple(start.shape)
    line = _Line(start.flatten(), end.flatten())
    program = read_piecewise(FlatNetwork(model, shape), line.at(np.array([0.371])))
    program.require_piecewise()
    names = program.named(classes)
    for stage in read_stages(program):
        line.cut(stage)
        if len(line.breaks) > max_pieces:
            raise SettingsError(
                f"the line has more than {max_pieces:,} pieces", place="max_pieces", remedy="give a larger max_pieces"
            )
    return _result(model, program, line, names)


def _example(value: Any, place: str) -> Tensor:
    found = torch.as_tensor(np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, dtype=np.float64))
    if found.dim() == 0:
        found = found[None]
    if not bool(torch.isfinite(found).all()):
        raise DataError("a value is missing or infinite", place=place, remedy="give finite numbers")
    return found


class _Line:
    """The bends so far."""

    def __init__(self, start: Tensor, end: Tensor) -> None:
        self.start, self.end = start, end
        self.breaks, self.kinks = np.array([0.0, 1.0]), np.array([-1, -1])
        self.first = self.coincident = 0
        self._new = np.zeros(2, bool)

    def at(self, t: np.ndarray) -> Tensor:
        """The points at t."""
        share = torch.from_numpy(np.ascontiguousarray(t))[:, None]
        return (1 - share) * self.start + share * self.end

    def cut(self, stage: Stage) -> None:
        """Bend the line where a stage's quantities pass zero."""
        scale = stage.scale(self.at(np.linspace(0, 1, 33))) * _ROUNDING
        found = [self._zeros(stage, first, scale) for first in range(0, len(self.breaks) - 1, _BATCH)]
        places = np.concatenate([self.breaks, *(one for one, _ in found)])
        kinks = np.concatenate([self.kinks, *(self.first + number // stage.pairs for _, number in found)])
        new = np.concatenate([self._new, *(np.ones(len(one), bool) for one, _ in found)])
        order = np.argsort(places, kind="stable")
        places, kinks, new = places[order], kinks[order], new[order]
        kept = np.concatenate([[True], np.diff(places) > _ROUNDING])
        kept[-1] = True
        kept[:-1] &= (places[-1] - places[:-1]) > _ROUNDING
        kept[0] = True
        self.coincident += int((~kept).sum())
        self.breaks, self.kinks, self._new = places[kept], kinks[kept], new[kept]
        if stage.last:
            if stage.kink.kind == "maximum":
                self._join(stage)
            self.first += stage.kink.quantities
            self._new = np.zeros(len(self.breaks), bool)

    def _zeros(self, stage: Stage, first: int, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where quantities pass zero between some breaks, and which."""
        t = self.breaks[first : first + _BATCH + 1]
        values = stage.quantities(self.at(t)).numpy()
        values = np.where(np.abs(values) <= scale, 0.0, values)
        piece, unit = np.nonzero(values[:-1] * values[1:] < 0)
        before, after = values[piece, unit], values[piece + 1, unit]
        return t[piece] + before / (before - after) * (t[piece + 1] - t[piece]), unit

    def _join(self, stage: Stage) -> None:
        """Take out bends of a maximum on both sides of which the same members win."""
        middle = self.at((self.breaks[1:] + self.breaks[:-1]) / 2)
        best = np.concatenate([_winners(stage, rows) for rows in middle.split(_BATCH)])
        same = np.concatenate([[False], (best[1:] == best[:-1]).all(1), [False]])
        kept = ~(self._new & same)
        self.breaks, self.kinks = self.breaks[kept], self.kinks[kept]


def _winners(stage: Stage, points: Tensor) -> np.ndarray:
    """Which member of each group is the largest at points."""
    rounds = [one for one in read_stages(stage.program) if one.kink is stage.kink]
    words = []
    for one in rounds:
        bits = np.packbits((one.quantities(points) > 0).numpy(), axis=1, bitorder="little")
        words.append(np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8))).view(np.uint64))
    return winners(stage.kink, words)


def _result(model: nn.Module, program: PiecewiseProgram, line: _Line, classes: tuple[str, ...]) -> RegionsOnLine:
    def run(t: np.ndarray) -> np.ndarray:
        return torch.cat([program.run(rows) for rows in line.at(t).split(_BATCH)]).numpy()

    operations, first = [], 0
    for kink in program.kinks:
        operations.append(LineKink(kink.op, kink.module, first, kink.quantities, kink.units))
        first += kink.quantities
    outputs, error = run(line.breaks), 0.0
    size = float(np.abs(outputs).max()) or 1.0
    for share in (0.5, 0.2):
        inside = run((1 - share) * line.breaks[:-1] + share * line.breaks[1:])
        straight = (1 - share) * outputs[:-1] + share * outputs[1:]
        error = max(error, float(np.abs(inside - straight).max()) / size)
    return RegionsOnLine(
        model=type(model).__name__,
        operations=tuple(operations),
        breaks=line.breaks,
        kinks=line.kinks,
        outputs=outputs,
        length=math.dist(line.start.tolist(), line.end.tolist()),
        error=error,
        coincident=line.coincident,
        classes=classes,
    )
