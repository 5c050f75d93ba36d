"""Regions found patch by patch, against those of runs from the network's input over all cells at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pellucid.capture import piecewise_depth
from pellucid.core.planar_patches import PatchesApartError
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError
from pellucid.lenses import linear_regions
from pellucid.lenses.linear_regions import measure_linear_regions
from pellucid.results.linear_regions import LinearRegions


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(2, 12), nn.Linear(12, 12), nn.Linear(12, 12)
        self.last = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        first = torch.relu(self.one(x))
        second = first + nn.functional.leaky_relu(self.two(first), 0.1)
        third = nn.functional.hardtanh(self.three(second))
        return self.last(torch.cat([third, nn.functional.relu(second - 0.2)], 1))


def _dense(width: int = 20) -> nn.Sequential:
    layers = [nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 2))


def _doubled() -> nn.Sequential:
    """Units that are there twice: their lines coincide."""
    net = _dense()
    with torch.no_grad():
        for layer in (net[0], net[2], net[4]):
            for values in layer.parameters():
                values[1] = values[0]
    return net


def _square(half: float = 2.0) -> Slice:
    return Slice(np.zeros(2), np.eye(2)[0], np.eye(2)[1], (-half, half), (-half, half), (2,))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches within patches."""
    monkeypatch.setattr(piecewise_depth, "_ROOM", 600)
    monkeypatch.setattr(piecewise_depth, "_LEAST", 3)


def _around(found: LinearRegions, cell: int) -> np.ndarray:
    """A cell's corners with what bends at the edge that follows and the cell beyond it."""
    ring = slice(found.cell_start[cell], found.cell_start[cell + 1])
    edges, corners = found.cell_edge[ring], found.cell_vertex[ring]
    beyond = found.edge_cell[edges].sum(1) - cell
    ends = np.sort(found.edge_vertex[edges], 1)
    assert np.array_equal(ends, np.sort(np.stack([corners, np.roll(corners, -1)], 1), 1))
    xy = found.vertices[corners]
    rows = np.column_stack([xy, found.edge_kink[edges], beyond, found.outputs[corners]])
    return rows[np.lexsort(rows[:, 1::-1].round(6).T)]


@pytest.mark.parametrize("kind", [_Residual, _dense, _doubled])
@pytest.mark.parametrize("threads", [1, 2])
def test_patches_give_the_cells_of_the_whole(
    kind: Any, threads: int, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = kind()
    joined: list[int] = []
    add = piecewise_depth.PatchJoin.add
    monkeypatch.setattr(piecewise_depth.PatchJoin, "add", lambda *given: (joined.append(1), add(*given))[1])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = measure_linear_regions(net, _square())
    finally:
        torch.set_num_threads(before)
    assert len(joined) > 20
    monkeypatch.setattr(linear_regions, "read_resumable", lambda *_: None)
    again = measure_linear_regions(net, _square())

    assert found.cells == again.cells > 200
    assert found.proofs.hold
    assert found.proofs.inside_error < 1e-12
    assert found.proofs.area == pytest.approx(16.0)
    assert [one.cells for one in found.kinks] == [one.cells for one in again.kinks]
    for ours, theirs in zip(found.patterns, again.patterns, strict=True):
        assert np.array_equal(ours.parent, theirs.parent)
        assert np.array_equal(ours.bits, theirs.bits)
    for number in range(found.cells):
        assert _around(found, number) == pytest.approx(_around(again, number), abs=1e-7)
    assert len(found.vertices) == len(again.vertices)
    assert len(found.edge_kink) == len(again.edge_kink)
    assert (found.proofs.welded, found.proofs.unclear) == (again.proofs.welded, again.proofs.unclear)
    assert found.proofs.open_edges == 0


def test_the_outputs_at_vertices_are_the_networks_own(small: None) -> None:
    torch.manual_seed(1)
    net = _dense()
    found = measure_linear_regions(net, _square())
    with torch.no_grad():
        expected = net.double()(torch.from_numpy(found.vertices)).numpy()
    assert found.outputs == pytest.approx(expected, abs=1e-12)


def test_too_many_cells_are_refused_in_patches(small: None) -> None:
    torch.manual_seed(0)
    with pytest.raises(SettingsError, match="more than 150 cells"):
        measure_linear_regions(_dense(), _square(), max_cells=150)


def test_patches_that_disagree_are_given_up_for_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def apart(*_: Any) -> None:
        raise PatchesApartError

    torch.manual_seed(0)
    net = _dense()
    found = measure_linear_regions(net, _square())
    monkeypatch.setattr(piecewise_depth.DepthFirst, "run", apart)
    again = measure_linear_regions(net, _square())
    assert found.cells == again.cells
    assert again.proofs.hold
