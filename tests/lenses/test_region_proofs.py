"""The proofs of linear regions fail where they must: a value that is off, a unit whose bend is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.capture import piecewise_depth
from pellucid.capture.piecewise_depth import DepthFirst
from pellucid.core.slices import Slice
from pellucid.lenses.linear_regions import measure_linear_regions
from pellucid.results.linear_regions import LinearRegions

SQUARE = Slice(np.zeros(2), np.eye(2)[0], np.eye(2)[1], (-1.0, 1.0), (-1.0, 1.0), (2,))


def net() -> nn.Sequential:
    torch.manual_seed(3)
    hidden = [nn.Linear(2, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(12, 2))


def measured() -> LinearRegions:
    return measure_linear_regions(net(), SQUARE)


@pytest.mark.parametrize("vertex", [1, 5, 37])
def test_a_wrong_value_at_any_vertex_is_seen(monkeypatch: pytest.MonkeyPatch, vertex: int) -> None:
    """Of every sixteenth vertex the network is asked; of the others the points inside the cells around tell."""
    right = measured()
    assert right.proofs.hold
    run = DepthFirst.run

    def wrong(self: DepthFirst, *args: Any) -> Any:
        found = run(self, *args)
        found.values[vertex] += 1e-5 * np.abs(right.outputs).max()
        return found

    monkeypatch.setattr(DepthFirst, "run", wrong)
    proofs = measured().proofs
    assert not proofs.hold
    assert proofs.inside_error > 1e-9


@pytest.mark.parametrize("kink", [0, 1, 2])
def test_a_unit_left_out_is_seen(monkeypatch: pytest.MonkeyPatch, kink: int) -> None:
    bends = measured()
    first = bends.kinks[kink].first
    numbers, counts = np.unique(bends.edge_kink[bends.edge_kink >= 0], return_counts=True)
    ours = (numbers >= first) & (numbers < first + 12)
    unit = int(numbers[ours][counts[ours].argmin()]) - first  # the one that bends the least
    entries = DepthFirst._entries

    def blind(self: DepthFirst, state: np.ndarray, at: int) -> np.ndarray:
        found = entries(self, state, at).copy()
        if at == kink:
            found[:, unit] = 1.0
        return found

    monkeypatch.setattr(DepthFirst, "_entries", blind)
    found = measured()
    assert found.cells < bends.cells
    assert found.proofs.area == pytest.approx(4)
    assert not found.proofs.hold


@pytest.mark.parametrize("room", [60, 200, 1000])
def test_meshes_that_outgrow_the_room_kept_for_them_are_divided_elsewhere(
    monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    expected = measured()
    monkeypatch.setattr("pellucid.core.planar_partition._SMALL", room)
    found = measured()
    assert np.array_equal(found.vertices, expected.vertices)
    assert np.array_equal(found.cell_vertex, expected.cell_vertex)
    assert np.array_equal(found.outputs, expected.outputs)
    for one, other in zip(found.patterns, expected.patterns, strict=True):
        assert np.array_equal(one.bits, other.bits)


def test_room_kept_for_states_grows_by_taking_a_smaller_ones_place() -> None:
    memory = piecewise_depth._Memory()
    first = memory.take(10, 8)
    memory.give(first)
    assert memory.take(5, 16).base is first.base
    memory.give(first)
    assert memory.take(100, 8).shape == (100, 8)
    assert memory._free == []
