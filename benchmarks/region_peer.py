"""A peer for ``regions.py``: the plane transformer of SyReNN (Sotoudeh and Thakur, 2019), compiled by numba.

SyReNN itself is a C++ server that no package index holds; this is its published algorithm, on one thread: every polygon
is cut by one neuron after another, a neuron is looked for among those left by the signs of its values at the corners,
cut edges are remembered, values at new corners are interpolated for all neurons, and a layer is applied to all corners
at once. It counts polygons: it has no neighbours, patterns, outputs or proofs, and holds the values of all corners.
"""

# numba's own functions and what they are given have no types.
# pyright: basic
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.typed import Dict
from torch import nn

__all__ = ["count_cells"]

_CORNERS = 64
_KEY = types.UniTuple(types.int64, 3)


@njit(cache=True)
def _crossing(values, xy, count, memo, a, b, neuron):
    """The vertex at which a neuron is zero between two others; a new one or one that is remembered."""
    key = (min(a, b), max(a, b), neuron)
    if key in memo:
        return memo[key], count
    share = values[key[0], neuron] / (values[key[0], neuron] - values[key[1], neuron])
    xy[count] = (1.0 - share) * xy[key[0]] + share * xy[key[1]]
    for other in range(values.shape[1]):
        values[count, other] = (1.0 - share) * values[key[0], other] + share * values[key[1], other]
    values[count, neuron] = 0.0
    memo[key] = count
    return count, count + 1


@njit(cache=True)
def _crosses(values, ring, size, neuron):
    """Whether a neuron has both signs at the corners of a polygon."""
    above = below = False
    for place in range(size):
        value = values[ring[place], neuron]
        above |= value > 0.0
        below |= value < 0.0
        if above and below:
            return True
    return False


@njit(cache=True)
def _cut(values, xy, count, memo, ring, size, neuron, top, below):
    """Cut a polygon by a neuron. Returns the corners of both parts and how many vertices there are."""
    kept = cut = 0
    for place in range(size):
        a, b = ring[place], ring[(place + 1) % size]
        first, second = values[a, neuron], values[b, neuron]
        if first >= 0.0:
            top[kept] = a
            kept += 1
        if first <= 0.0:
            below[cut] = a
            cut += 1
        if first * second < 0.0:
            vertex, count = _crossing(values, xy, count, memo, a, b, neuron)
            top[kept] = below[cut] = vertex
            kept += 1
            cut += 1
    return kept, cut, count


@njit(cache=True)
def _divide(values, xy, count, rings, sizes, found, found_sizes):
    """Cut all polygons by all neurons of a layer. Returns how many vertices and polygons there are."""
    memo = Dict.empty(_KEY, types.int64)
    neurons, made = values.shape[1], 0
    waiting, waiting_size = np.empty((neurons + 1, _CORNERS), np.int64), np.empty(neurons + 1, np.int64)
    left, left_count = np.empty((neurons + 1, neurons), np.int64), np.empty(neurons + 1, np.int64)
    ring, top, below = np.empty(_CORNERS, np.int64), np.empty(_CORNERS, np.int64), np.empty(_CORNERS, np.int64)
    faces = np.empty(neurons, np.int64)
    for polygon in range(len(sizes)):
        waiting[0, : sizes[polygon]] = rings[polygon, : sizes[polygon]]
        waiting_size[0], left_count[0], depth = sizes[polygon], neurons, 1
        for neuron in range(neurons):
            left[0, neuron] = neuron
        while depth > 0:
            depth -= 1
            size, faces_count, face = waiting_size[depth], left_count[depth], 0
            ring[:size], faces[:faces_count] = waiting[depth, :size], left[depth, :faces_count]
            while face < faces_count:
                neuron = faces[face]
                if not _crosses(values, ring, size, neuron):
                    face += 1
                    continue
                kept, cut, count = _cut(values, xy, count, memo, ring, size, neuron, top, below)
                for later in range(face + 1, faces_count):
                    faces[later - 1] = faces[later]
                faces_count -= 1
                waiting[depth, :cut], left[depth, :faces_count] = below[:cut], faces[:faces_count]
                waiting_size[depth], left_count[depth] = cut, faces_count
                depth += 1
                ring[:kept], size, face = top[:kept], kept, 0
            found[made, :size], found_sizes[made] = ring[:size], size
            made += 1
    return count, made


def count_cells(network: Any, most: int, half: float = 1.0) -> int:
    """The cells of a network of linear and ReLU layers over a square.

    Args:
        network: ``nn.Sequential`` with two inputs.
        most: Room for as many vertices and polygons.
        half: Half a side of the square.
    """
    layers = [one for one in network if isinstance(one, nn.Linear)][:-1]
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    xy = np.empty((most, 2))
    xy[:4] = inputs = corners
    count, rings, sizes = 4, np.arange(4)[None], np.array([4])
    for layer in layers:
        weight, bias = (one.detach().double().numpy() for one in (layer.weight, layer.bias))
        values = np.empty((most, len(weight)))
        values[:count] = inputs @ weight.T + bias
        found, found_sizes = np.empty((most, _CORNERS), np.int64), np.empty(most, np.int64)
        count, made = _divide(values, xy, count, rings, sizes, found, found_sizes)
        rings, sizes = found[:made], found_sizes[:made]
        inputs = np.maximum(values[:count], 0.0)
    return len(sizes)
