"""Figures of tensors in the processor's own memory, taken in one pass: what a watch can afford at every step.

Sums are kept in double precision, in lanes that fill the processor's registers. Nothing is copied, no Python lock held.
``tensor_summary`` computes the same figures on any device by the framework's own operations.
"""

# ruff: noqa: PLR0917
# numba's own functions have no types.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numba import carray, types
from numba.extending import intrinsic
from torch import Tensor

from pellucid.core.compiled import compiled

__all__ = [
    "addresses",
    "count_bins",
    "is_plain",
    "measure_after_update",
    "measure_before_update",
    "norm_of_plain",
    "summarize_plain",
]

_LANES = 64

_NO_BOUND = math.nan


def is_plain(tensor: Tensor) -> bool:
    """Whether the passes can read this tensor where it lies: float32, dense, in the processor's memory."""
    kind = type(tensor)
    return (
        (kind is Tensor or kind is torch.nn.Parameter)
        and tensor.is_cpu
        and tensor.dtype is torch.float32
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
    )


def addresses(tensors: Sequence[Tensor | None]) -> np.ndarray:
    """Where the entries of plain tensors begin; 0 for None. Valid as long as the tensors are alive."""
    return np.array([0 if tensor is None else tensor.data_ptr() for tensor in tensors], dtype=np.int64)


def summarize_plain(
    values: np.ndarray,
    shape: tuple[int, int, int, int],
    bounds: tuple[float, float] | None,
    figures: np.ndarray,
    *,
    every: int = 1,
) -> None:
    """``summarize_activation`` of an array in memory, written into ``figures`` (7 numbers, float64).

    Args:
        values: All entries, one-dimensional, float32 or float64.
        shape: Examples, positions before the unit axis, units, positions after it.
        bounds: As ``summarize_activation`` takes them.
        figures: Where the ``ACTIVATION_FIGURES`` go.
        every: Only every so many examples.

    >>> figures = np.empty(7)
    >>> summarize_plain(np.array([0.0, 1.0, 0.0, 3.0], dtype=np.float32), (2, 1, 2, 1), None, figures)
    >>> [round(float(figure), 4) for figure in figures[:4]], float(figures[6])
    ([1.0, 1.2247, 0.0, 3.0], 0.5)
    """
    low, high = bounds if bounds is not None else (_NO_BOUND, _NO_BOUND)
    examples, before, units, after = shape
    _summarize(values, examples, before, units, after, every, low, high, figures)


@compiled
def _summarize(values, examples, before, units, after, every, low, high, figures):
    size = before * units * after
    taken = (examples + every - 1) // every
    count = taken * size
    shift = np.float64(values[0])
    if not np.isfinite(shift):
        shift = 0.0
    sums = np.zeros((3, _LANES))
    lowest = np.full(_LANES, np.inf)
    highest = np.full(_LANES, -np.inf)
    # Without a share left out all examples are one stretch of memory.
    stretches, length = (1, count) if every == 1 else (taken, size)
    for stretch in range(stretches):
        _gather(values[stretch * every * size :][:length], shift, sums, lowest, highest)
    total, squares, zeros = sums[0].sum(), sums[1].sum(), sums[2].sum()
    if np.isnan(squares):
        figures[:4] = np.nan
    else:
        mean = total / count
        figures[0] = shift + mean
        figures[1] = np.sqrt(max(squares / count - mean * mean, 0.0)) if np.isfinite(squares) else np.nan
        figures[2] = lowest.min()
        figures[3] = highest.max()
    figures[4] = zeros / count
    figures[5] = np.nan
    if not np.isnan(low):
        centre, reach = (low + high) / 2, (high - low) * 0.49
        saturated = 0
        for stretch in range(stretches):
            saturated += _count_beyond(values[stretch * every * size :][:length], centre, reach)
        figures[5] = saturated / count
    figures[6] = _dead_share(values, examples, before, units, after, every)


@compiled
def _gather(values, shift, sums, lowest, highest):
    """Add a stretch of memory to the lanes."""
    whole = values.size // _LANES * _LANES
    for start in range(0, whole, _LANES):
        block = values[start : start + _LANES]
        for lane in range(_LANES):
            value = np.float64(block[lane])
            apart = value - shift
            sums[0, lane] += apart
            sums[1, lane] += apart * apart
            sums[2, lane] += 1.0 if value == 0.0 else 0.0
            lowest[lane] = min(lowest[lane], value)
            highest[lane] = max(highest[lane], value)
    for place in range(whole, values.size):
        value = np.float64(values[place])
        apart = value - shift
        sums[0, 0] += apart
        sums[1, 0] += apart * apart
        sums[2, 0] += 1.0 if value == 0.0 else 0.0
        lowest[0] = min(lowest[0], value)
        highest[0] = max(highest[0], value)


@compiled
def _count_beyond(values, centre, reach):
    count = 0
    for place in range(values.size):
        count += 1 if abs(np.float64(values[place]) - centre) >= reach else 0
    return count


@compiled
def _dead_share(values, examples, before, units, after, every):
    """Fraction of units that are 0 throughout; ends as soon as every unit was seen alive."""
    alive = np.zeros(units, dtype=np.uint8)
    row = units * after
    for example in range(0, examples, every):
        for position in range(before):
            start = (example * before + position) * row
            if after == 1:
                line = values[start : start + units]
                for unit in range(units):
                    alive[unit] |= line[unit] != 0
            else:
                for unit in range(units):
                    if not alive[unit]:
                        line = values[start + unit * after : start + (unit + 1) * after]
                        for place in range(after):
                            if line[place] != 0:
                                alive[unit] = 1
                                break
        if example // every & 3 == 3 and alive.all():
            return 0.0
    return 1.0 - alive.sum() / units


def count_bins(values: np.ndarray, bins: int, *, every: int = 1) -> tuple[float, float, np.ndarray]:
    """Smallest and largest finite value and the counts of equal bins between them; nan, nan and zeros if there is none.

    Args:
        values: One-dimensional, float32 or float64.
        bins: Number of bins.
        every: Only every so many entries.
    """
    counts = np.zeros(bins, dtype=np.int64)
    low, high = _count_bins(values, every, counts)
    return float(low), float(high), counts


@compiled
def _count_bins(values, every, counts):
    low, high = values[0], values[0]
    found = False
    for place in range(0, values.size, every):
        value = values[place]
        if np.isfinite(value):
            if not found:
                low, high, found = value, value, True
            low = value if value < low else low
            high = value if value > high else high
    if not found:
        return np.nan, np.nan
    width = high - low
    bins = counts.size
    last = bins - 1
    for place in range(0, values.size, every):
        value = values[place]
        if np.isfinite(value):
            # In this order, which the other device's way follows too, so that edges fall alike.
            position = 0 if width <= 0 else int((value - low) / width * values.dtype.type(bins))
            counts[min(max(position, 0), last)] += 1
    return np.float64(low), np.float64(high)


@intrinsic
def _floats_at(context, address):  # pragma: no cover - run by the compiler
    """An address as a pointer to float32."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


@compiled
def _squares(values):
    """Sum of squares in double precision."""
    lanes = np.zeros(_LANES)
    whole = values.size // _LANES * _LANES
    for start in range(0, whole, _LANES):
        block = values[start : start + _LANES]
        for lane in range(_LANES):
            value = np.float64(block[lane])
            lanes[lane] += value * value
    total = lanes.sum()
    for place in range(whole, values.size):
        value = np.float64(values[place])
        total += value * value
    return total


@compiled
def _squares_of_all(places, sizes):
    total = 0.0
    for index in range(places.size):
        total += _squares(carray(_floats_at(places[index]), sizes[index]))
    return total


def norm_of_plain(tensors: Sequence[Tensor]) -> float:
    """The L2 norm over all entries of plain tensors.

    >>> norm_of_plain([torch.tensor([3.0]), torch.tensor([[4.0]])])
    5.0
    """
    sizes = np.array([tensor.numel() for tensor in tensors], dtype=np.int64)
    return math.sqrt(_squares_of_all(addresses(tensors), sizes))


@compiled
def measure_before_update(weights, gradients, kept, sizes, block, stride, squares):
    """Squares of plain gradients and weights, tensor by tensor, and a copy of the weights (or of a share of them).

    Args:
        weights: Addresses.
        gradients: Addresses; 0 where there is none.
        kept: Addresses of the copies.
        sizes: Entries of each tensor.
        block: Of each tensor ``block`` entries of every ``block * stride`` are copied.
        stride: 1 copies everything.
        squares: One row a tensor: gradient, weight.
    """
    for index in range(weights.size):
        size = sizes[index]
        weight = carray(_floats_at(weights[index]), size)
        copy = carray(_floats_at(kept[index]), size)
        if gradients[index]:
            squares[index, 0] = _squares(carray(_floats_at(gradients[index]), size))
        squares[index, 1] = _squares(weight)
        place = 0
        for start in range(0, size, block * stride):
            end = min(start + block, size)
            copy[place : place + end - start] = weight[start:end]
            place += end - start


@compiled
def measure_after_update(weights, kept, sizes, block, stride, squares):
    """Squares of the copied weights and of what was added to them since, tensor by tensor; arguments as before."""
    lanes = np.empty((2, _LANES))
    for index in range(weights.size):
        size = sizes[index]
        weight = carray(_floats_at(weights[index]), size)
        copy = carray(_floats_at(kept[index]), size)
        place = 0
        lanes[:] = 0.0
        for start in range(0, size, block * stride):
            end = min(start + block, size)
            _compare(weight[start:end], copy[place : place + end - start], lanes)
            place += end - start
        squares[index, 0] = lanes[0].sum()
        squares[index, 1] = lanes[1].sum()


@compiled
def _compare(now, before, lanes):
    whole = now.size // _LANES * _LANES
    for start in range(0, whole, _LANES):
        one, other = before[start : start + _LANES], now[start : start + _LANES]
        for lane in range(_LANES):
            old = np.float64(one[lane])
            moved = np.float64(other[lane]) - old
            lanes[0, lane] += old * old
            lanes[1, lane] += moved * moved
    for place in range(whole, now.size):
        old = np.float64(before[place])
        moved = np.float64(now[place]) - old
        lanes[0, 0] += old * old
        lanes[1, 0] += moved * moved
