"""Linear regions for a page: what the first drawing needs in a compact form, everything else when it is asked for.

The picture (``region_picture/1``) holds the cells' rings, the vertices and outputs in single precision, and no edges
(the rings tell them) and no patterns. The parts are computed from the whole result in double precision: what one cell
is, a state, count or slope of every cell, or where an operation bends the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, make_dataclass, replace
from typing import Any

import numpy as np

from pellucid.errors import SettingsError
from pellucid.results import codec
from pellucid.results.linear_regions import LinearRegions, RegionKink

__all__ = ["PARTS", "PartQuery", "pack_part", "pack_picture"]

PICTURE_SCHEMA = "region_picture/1"
PART_SCHEMA = "region_part/1"

_CHUNK = 4096


@dataclass(frozen=True)
class PartQuery:
    """Which part is wanted; −1 stands for all layers, units or outputs."""

    what: str
    cell: int = 0
    layer: int = -1
    unit: int = -1
    output: int = 0


def pack_picture(regions: LinearRegions) -> bytes:
    """What is drawn at first, as a payload: vertices as shares of the slice's ranges, and each cell's corners."""
    plane = regions.plane
    low = np.array([plane.u_range[0], plane.v_range[0]])
    size = np.array([plane.u_range[1], plane.v_range[1]]) - low
    none = np.zeros(0, dtype=np.int32)
    slim = replace(
        regions,
        vertices=((regions.vertices - low) / size).astype(np.float32),
        outputs=regions.outputs.astype(np.float32),
        cell_start=none,
        cell_vertex=regions.cell_vertex.astype(np.uint32),
        cell_edge=none,
        edge_vertex=none,
        edge_cell=none,
        edge_kink=none,
        patterns=(),
    )
    document, arrays = codec.encode(slim)
    corners = np.diff(regions.cell_start)
    most = int(corners.max(initial=0))
    arrays["corners"] = corners.astype(np.uint8 if most < 256 else np.uint16 if most < 65_536 else np.int32)
    bending = [len(np.unique(_units_that_bend(regions, kink)[0])) for kink in regions.kinks]
    added = {"schema": PICTURE_SCHEMA, "corners": {"$array": "corners"}, "bending": bending}
    return codec.pack({**document, **added}, arrays)


def pack_part(regions: LinearRegions, query: PartQuery) -> bytes:
    """A part of the regions, as a payload.

    Raises:
        SettingsError: there is no such part, cell, layer or unit.
    """
    if query.what not in PARTS:
        raise SettingsError(f"there is no part {query.what!r}", place="what", remedy=f"ask for {', '.join(PARTS)}")
    values = PARTS[query.what](regions, query)
    document, arrays = codec.encode(make_dataclass("Part", list(values), frozen=True, eq=False)(**values))
    return codec.pack({"schema": PART_SCHEMA, **document}, arrays)


def _cell(regions: LinearRegions, query: PartQuery) -> dict[str, Any]:
    """One cell: its corners, the outputs there, what bends at its sides, and each operation's states in it."""
    cell = _within(query.cell, regions.cells, "cell")
    ring = slice(int(regions.cell_start[cell]), int(regions.cell_start[cell + 1]))
    corners = regions.cell_vertex[ring]
    states = [
        regions.pattern([cell], layer)[0].astype(np.uint8 if kink.kind == "threshold" else np.int32)
        for layer, kink in enumerate(regions.kinks[: len(regions.patterns)])
    ]
    outputs = regions.outputs[corners] if regions.outputs.size else np.zeros((len(corners), 0))
    sides = regions.edge_kink[regions.cell_edge[ring]].astype(np.int32)
    return {"points": regions.vertices[corners], "outputs": outputs, "sides": sides, "states": states}


def _state(regions: LinearRegions, query: PartQuery) -> dict[str, Any]:
    """What one unit does in every cell: 1 above its threshold, or which member of its group wins."""
    kink = regions.kinks[_layer(regions, query)]
    bits = regions.patterns[query.layer].bits
    if kink.kind == "maximum":
        own = bits[:, _within(query.unit, bits.shape[1], "unit")]
    else:
        unit = _within(query.unit, kink.quantities, "unit")
        own = (bits[:, unit >> 3] >> (unit & 7)) & 1
    return {"values": _hand_on(regions, query.layer, own.astype(np.int32 if kink.kind == "maximum" else np.uint8))}


def _active(regions: LinearRegions, query: PartQuery) -> dict[str, Any]:
    """How many units are above their threshold in every cell."""
    total = np.zeros(regions.cells, dtype=np.uint32)
    for layer in _layers(regions, query):
        bits = regions.patterns[layer].bits.view(np.uint8).reshape(len(regions.patterns[layer].bits), -1)
        total += _hand_on(regions, layer, _ONES[bits].sum(axis=1, dtype=np.uint32))
    return {"values": total.astype(np.uint16 if total.max(initial=0) < 65_536 else np.uint32)}


def _pattern(regions: LinearRegions, query: PartQuery) -> dict[str, Any]:
    """A number for every cell's pattern, alike where patterns are: 4 · hue in degrees + strength (0 to 3).

    Each unit points into a direction of its own, those above their thresholds are added and the others subtracted;
    ``web/views/linear_regions/patterns.ts`` does the same.
    """
    across = np.zeros((2, regions.cells), dtype=np.float32)
    for layer in _layers(regions, query):
        kink, bits = regions.kinks[layer], regions.patterns[layer].bits
        bits = (bits & 255).astype(np.uint8)
        quantities = kink.quantities if kink.kind == "threshold" else 8 * bits.shape[1]
        size = np.float32(1 / np.sqrt(max(1, kink.quantities)))
        for axis, turn in enumerate((np.cos, np.sin)):
            table = _weight_table(layer, bits.shape[1], quantities, turn)
            across[axis] += _hand_on(regions, layer, _look_up(table, bits) * size)
    x, y = across
    hue = (np.floor(np.degrees(np.arctan2(y, x)) + 0.5).astype(np.int64) + 360) % 360
    strength = np.minimum(3, np.floor(np.hypot(x, y) * 1.8)).astype(np.int64)
    return {"values": (4 * hue + strength).astype(np.uint16)}


def _slope(regions: LinearRegions, query: PartQuery) -> dict[str, Any]:
    """How steep an output is in every cell, by the widest triangle of the fan of its corners; NaN for slivers."""
    output = _within(query.output, regions.outputs.shape[1] if regions.outputs.size else 0, "output")
    start, ring = regions.cell_start.astype(np.int64), regions.cell_vertex
    cells, sides = regions.cells, np.diff(start)
    widest, found = np.zeros(cells), np.full(cells, np.nan)
    height = regions.outputs[:, output]
    hub = ring[start[:-1]]
    for side in range(2, int(sides.max(initial=0))):
        here = np.flatnonzero(sides > side)
        a, b = ring[start[here] + side - 1], ring[start[here] + side]
        (ax, ay), (bx, by) = ((regions.vertices[one] - regions.vertices[hub[here]]).T for one in (a, b))
        up, over = height[a] - height[hub[here]], height[b] - height[hub[here]]
        area = ax * by - ay * bx
        wider = area > widest[here]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.hypot(up * by - over * ay, over * ax - up * bx) / area
        found[here[wider]], widest[here[wider]] = slope[wider], area[wider]
    return {"values": found.astype(np.float32)}


def _bends(regions: LinearRegions, query: PartQuery) -> dict[str, Any]:
    """The two vertices of every edge at which an operation, or one of its units, bends the network."""
    kink = regions.kinks[_within(query.layer, len(regions.kinks), "layer")]
    units, edges = _units_that_bend(regions, kink)
    if query.unit >= 0:
        edges = edges[units == query.unit % _units_of(kink)]
    return {"values": regions.edge_vertex[edges].astype(np.uint32)}


PARTS: dict[str, Callable[[LinearRegions, PartQuery], dict[str, Any]]] = {
    "cell": _cell,
    "state": _state,
    "active": _active,
    "pattern": _pattern,
    "slope": _slope,
    "bends": _bends,
}
"""What can be asked for, and what computes it."""


def _units_of(kink: RegionKink) -> int:
    return max(1, kink.units or kink.quantities)


def _units_that_bend(regions: LinearRegions, kink: RegionKink) -> tuple[np.ndarray, np.ndarray]:
    """At every edge at which an operation bends: which unit does, and which edge it is."""
    number = regions.edge_kink - kink.first
    edges = np.flatnonzero((number >= 0) & (number < kink.quantities))
    return number[edges] % _units_of(kink), edges


def _within(index: int, length: int, place: str) -> int:
    if not 0 <= index < length:
        raise SettingsError(f"there is no {place} {index}", place=place, remedy=f"there are {length}, from 0")
    return index


def _layer(regions: LinearRegions, query: PartQuery) -> int:
    return _within(query.layer, len(regions.patterns), "layer")


def _layers(regions: LinearRegions, query: PartQuery) -> list[int]:
    return list(range(len(regions.patterns))) if query.layer < 0 else [_layer(regions, query)]


def _hand_on(regions: LinearRegions, layer: int, own: np.ndarray) -> np.ndarray:
    """A value of each cell of an operation, for the final cells that these became."""
    for later in regions.patterns[layer + 1 :]:
        own = own[later.parent]
    return own


_ONES = np.array([byte.bit_count() for byte in range(256)], dtype=np.uint8)


def _look_up(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The sum over each row of the table's entry for its byte there."""
    places = np.arange(rows.shape[1]) * 256
    parts = [table[rows[first : first + _CHUNK] + places].sum(axis=1) for first in range(0, len(rows), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _weight_table(layer: int, wide: int, quantities: int, turn: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """For each byte of a pattern and each of its values: the sum over its bits, a clear one counting as negative."""
    unit = np.arange(wide * 8)
    own = np.where(unit < quantities, turn(2 * np.pi * _scatter(layer, unit)), 0.0).reshape(wide, 8)
    signs = 2.0 * ((np.arange(256)[:, None] >> np.arange(8)) & 1) - 1
    return (own @ signs.T).astype(np.float32).reshape(-1)


def _scatter(a: int, b: np.ndarray) -> np.ndarray:
    """Numbers in 0 to 1 that look random and are always the same."""
    mixed = _times(np.array([a + 1]), 0x9E3779B1) ^ _times(b + 1, 0x85EBCA6B)
    mixed = _times(mixed ^ (mixed >> np.uint64(15)), 0x2C1B3C6D)
    mixed = _times(mixed ^ (mixed >> np.uint64(12)), 0x297A2D39)
    return (mixed ^ (mixed >> np.uint64(15))) / 2.0**32


def _times(numbers: np.ndarray, factor: int) -> np.ndarray:
    """A product's lower 32 bits."""
    return (numbers.astype(np.uint64) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
