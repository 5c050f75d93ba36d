"""A model as a function of one of its weights: each example's output is piecewise affine in it, or is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.lent_parameters import call_with, places_of
from pellucid.capture.piecewise import PiecewiseProgram, read_piecewise
from pellucid.core.crossings import maximum_changes, sign_changes
from pellucid.errors import SettingsError, TraceError

__all__ = ["MovedWeight", "Walk", "walk_weight"]

_NUMBERS_AT_ONCE = 8_000_000


@dataclass(frozen=True, eq=False)
class Walk:
    """Every example's output along a range of one weight, exact between its bends.

    Attributes:
        row: The example of each point; points are sorted by example, then by weight.
        weight: The weight of each point: both ends of the range and every bend in between.
        output: The flat output there.
        bends: (m, 4): example, place in ``kinks``, unit, and the weight (float64).
        kinks: The modules whose operations bend, by name.
    """

    row: np.ndarray
    weight: np.ndarray
    output: np.ndarray
    bends: np.ndarray
    kinks: tuple[str, ...]


class MovedWeight(nn.Module):
    """The network with the layer's output shifted as if one weight had moved by δ; points are n × 1.

    The layer is affine in the weight, out = base + δ·slope, and what follows runs as it always does.
    """

    def __init__(self, network: nn.Module, inputs: Tensor, parameter: str, index: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.inputs, self.rows = network, inputs, torch.zeros(0, dtype=torch.long)
        module = parameter.rpartition(".")[0]
        # In a tuple, so that the layer is no second child of this module.
        self._layer = (network.get_submodule(module) if module else network,)
        self._parameter, self._index = parameter, index
        here, above, below = (self._layer_output(step) for step in (0.0, 1.0, -1.0))
        self.base, self.slope = here, above - here
        size = float(here.abs().max()) + float(self.slope.abs().max()) + 1e-12
        if float((above + below - 2 * here).abs().max()) > 1e-11 * size:
            raise SettingsError("its layer is not affine in it", place=parameter)

    def forward(self, points: Tensor) -> Tensor:
        """Outputs, one flat row a point."""
        rows = self.rows if len(self.rows) == len(points) else self.rows.new_zeros(len(points))
        steps = points.reshape(-1, *[1] * (self.base.ndim - 1))
        shifted = self.base[rows] + steps * self.slope[rows]
        with _replacing(self._layer[0], shifted):
            return self.network(self.inputs[rows]).reshape(len(points), -1)

    def _layer_output(self, step: float) -> Tensor:
        seen: list[Any] = []
        handle = self._layer[0].register_forward_hook(lambda module, given, output: seen.append(output))
        value = self.network.get_parameter(self._parameter).clone()
        value[self._index] += step
        try:
            call_with(self.network, places_of(self.network), {self._parameter: value}, self.inputs)
        finally:
            handle.remove()
        if len(seen) != 1 or not isinstance(seen[0], Tensor) or len(seen[0]) != len(self.inputs):
            raise SettingsError(
                "its layer is not run exactly once, with one row for each example", place=self._parameter
            )
        return seen[0]


@contextmanager
def _replacing(layer: nn.Module, output: Tensor) -> Iterator[None]:
    handle = layer.register_forward_hook(lambda module, given, old: output)
    try:
        yield
    finally:
        handle.remove()


def walk_weight(
    network: nn.Module, inputs: Tensor, parameter: str, index: tuple[int, ...], span: tuple[float, float]
) -> Walk:
    """Follow every example's output from one end of the range to the other, kink by kink.

    All quantities of the first kink are affine in the weight, so that their zeros are exact; between these, all
    quantities of the second are, and so on.

    Args:
        network: A float64 copy in evaluation mode.
        inputs: The examples.
        parameter: Name of the parameter.
        index: Of the entry in it.
        span: The range of the weight.

    Raises:
        SettingsError: the outputs are not piecewise affine in this weight; the message says why.
    """
    with torch.no_grad():
        try:
            moved = MovedWeight(network, inputs, parameter, index)
            program = read_piecewise(moved, torch.zeros(1, 1, dtype=torch.float64))
        except TraceError as error:
            raise SettingsError(error.message, place=parameter) from error
        if program.obstacles:
            first = program.obstacles[0]
            what = "is smooth" if first.kind == "smooth" else "jumps"
            raise SettingsError(f"{first.op} in {first.module or 'the model'} {what}", place=parameter)
        here = float(network.get_parameter(parameter)[index])
        count = len(inputs)
        row = np.repeat(np.arange(count), 2)
        step = np.tile(np.array(span) - here, count)
        bends: list[np.ndarray] = []
        for kink in program.kinks:
            segment, unit, at = _bends(program, moved, row, step, kink.index)
            if not len(segment):
                continue
            new = step[segment] + at * (step[segment + 1] - step[segment])
            owner = np.full(len(segment), kink.index)
            bends.append(np.stack([row[segment], owner, unit % max(kink.units, 1), new + here], axis=1))
            row, step = np.concatenate([row, row[segment]]), np.concatenate([step, new])
            order = np.lexsort((step, row))
            row, step = row[order], step[order]
        output = torch.cat([_run(program, moved, row, step, part) for part in _parts(len(row), program.outputs)])
    return Walk(
        row=row,
        weight=step + here,
        output=output.numpy(),
        bends=np.concatenate(bends) if bends else np.empty((0, 4)),
        kinks=tuple(kink.module or kink.op for kink in program.kinks),
    )


def _parts(count: int, width: int) -> list[slice]:
    size = max(2, _NUMBERS_AT_ONCE // max(width, 1))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _run(program: PiecewiseProgram, moved: MovedWeight, row: np.ndarray, step: np.ndarray, part: slice) -> Tensor:
    moved.rows = torch.from_numpy(row[part])
    return program.run(torch.from_numpy(step[part])[:, None])


def _bends(
    program: PiecewiseProgram, moved: MovedWeight, row: np.ndarray, step: np.ndarray, kink: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bends of one kink on every segment: the segment's first point, the unit, and how far along."""
    facts = program.kinks[kink]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for part in _parts(len(row) - 1, facts.quantities * facts.members):
        reach = slice(part.start, part.stop + 1)
        moved.rows = torch.from_numpy(row[reach])
        values = program.quantities(torch.from_numpy(step[reach])[:, None], kink).numpy()
        own = np.flatnonzero(row[reach][1:] == row[reach][:-1])
        change = sign_changes if facts.kind == "threshold" else maximum_changes
        segment, unit, at = change(values[own], values[own + 1])
        found.append((own[segment] + part.start, unit, at))
    segment, unit, at = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return segment, unit, at
