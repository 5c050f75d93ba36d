"""Linear regions against known counts, brute force along lines, autograd, and a fine grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from pellucid.core import planar_partition
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError
from pellucid.lenses import linear_regions
from pellucid.lenses.linear_regions import measure_linear_regions
from pellucid.results.linear_regions import LinearRegions


def _square(half: float = 1.0, size: int = 2, seed: int | None = None) -> Slice:
    """[−half, half]² along the first two axes, or along two random directions."""
    if seed is None:
        u, v, origin = np.eye(size)[0], np.eye(size)[1], np.zeros(size)
    else:
        u, v, origin = np.random.default_rng(seed).normal(size=(3, size))
    return Slice(origin, u, v, (-half, half), (-half, half), (size,))


def _relu_net(width: int) -> Any:
    torch.manual_seed(0)
    layers = [nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


@pytest.mark.parametrize(("width", "cells"), [(16, 178), (64, 6668), (128, 20714)])
def test_counts_are_the_known_ones(width: int, cells: int) -> None:
    found = measure_linear_regions(_relu_net(width), _square())
    assert found.cells == cells
    assert found.proofs.area == pytest.approx(4.0, abs=1e-12)
    assert found.proofs.hold
    assert found.proofs.inside_error < 1e-12


def test_cells_along_lines_are_those_of_brute_force() -> None:
    """Where the activation pattern changes along a fine line, the cell changes, and nowhere else."""
    net = _relu_net(24)
    found = measure_linear_regions(net, _square())
    doubled = net.double()
    for row in np.linspace(-0.97, 0.97, 23):
        line = np.stack([np.linspace(-1, 1, 4001), np.full(4001, row)], 1)
        hidden, signs = torch.from_numpy(line), []
        for layer in doubled[:-1]:
            if isinstance(layer, nn.ReLU):
                signs.append(hidden > 0)
            hidden = layer(hidden)
        patterns = torch.cat(signs, 1).numpy()
        changes = (patterns[1:] != patterns[:-1]).any(1)
        cells = found.locate(line)
        assert np.array_equal(cells[1:] != cells[:-1], changes)
        kept = np.concatenate([found.pattern(cells[::200], kink) for kink in range(3)], 1)
        assert np.array_equal(kept, patterns[::200])


def test_a_cells_linear_model_is_autograds() -> None:
    net = _relu_net(16)
    found = measure_linear_regions(net, _square())
    points = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    for point, cell in zip(points, found.locate(points), strict=True):
        x = torch.from_numpy(point).requires_grad_()
        (expected,) = torch.autograd.grad(net.double()(x[None]).sum(), x)
        slopes, offsets = found.affine(int(cell))
        assert slopes[0] == pytest.approx(expected.numpy(), abs=1e-7)
        assert slopes @ point + offsets == pytest.approx(net(x[None]).detach().numpy()[0], abs=1e-9)


class _Everything(nn.Module):
    """Every operation that bends or keeps the network straight."""

    def __init__(self) -> None:
        super().__init__()
        self.bent = nn.ModuleList(
            [
                nn.LeakyReLU(0.2, inplace=True),
                nn.PReLU(),
                nn.Hardtanh(-0.7, 0.9),
                nn.Hardsigmoid(),
                nn.ReLU6(),
                nn.RReLU(),
            ]
        )
        self.convolution, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
        self.pool, self.average, self.last = nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, 1), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolution(x))
        for module in self.bent:
            x = x + 0.8 * module(1.5 * x)
        x = torch.cat([self.average(self.pool(x)), F.adaptive_max_pool2d(x, 2)], 2).flatten(1)
        x = F.dropout(self.last(x), training=self.training)
        x = torch.maximum(x.abs(), 0.5 * x).clamp(max=40.0)
        return torch.stack([x.amax(1), x.min(1).values, F.relu(x).sum(1)], 1)


def test_everything_that_is_piecewise_affine_is_exact() -> None:
    torch.manual_seed(3)
    found = measure_linear_regions(_Everything(), _slice_of_images((1, 8, 8)))
    assert found.cells > 200
    assert found.proofs.hold
    assert found.proofs.inside_error < 1e-11
    assert found.proofs.unclear == 0


def _slice_of_images(shape: tuple[int, ...]) -> Slice:
    plane = _square(1.0, int(np.prod(shape)), seed=5)
    return Slice(plane.origin, plane.u, plane.v, plane.u_range, plane.v_range, shape)


def test_a_maximum_bends_only_where_the_winner_changes() -> None:
    """The upper envelope of planes, counted on a fine grid."""

    class Largest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.planes = nn.Linear(2, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.planes(x).amax(1, keepdim=True)

    torch.manual_seed(4)
    net: Any = Largest()
    found = measure_linear_regions(net, _square(4.0))
    axis = np.linspace(-4, 4, 801)
    grid = torch.from_numpy(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    winners = net.double().planes(grid).argmax(1)
    assert found.cells == len(winners.unique())
    cells = found.locate(grid.numpy())
    assert np.array_equal(found.pattern(cells, 0)[:, 0], winners.numpy())
    assert found.proofs.hold


def test_boundary_and_distance_agree_with_a_fine_grid() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4))
    found = measure_linear_regions(net, _square(3.0))
    for line in found.boundary():
        largest = np.sort(net.double()(torch.from_numpy(line.points)).detach().numpy(), 1)
        assert largest[:, -1] == pytest.approx(largest[:, -2], abs=1e-12)
    axis = np.linspace(-3, 3, 601)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    points = np.random.default_rng(0).uniform(-2.5, 2.5, (40, 2))
    classes, own = (net(torch.from_numpy(one)).argmax(1).numpy() for one in (grid, points))
    for point, mine, distance in zip(points, own, found.distance(points), strict=True):
        nearest = np.linalg.norm(grid[classes != mine] - point, axis=1).min()
        assert nearest - 0.015 <= distance <= nearest


def test_distance_is_in_units_of_the_input() -> None:
    net = nn.Linear(2, 1, bias=False)
    net.weight.data = torch.tensor([[1.0, 0.0]])
    plane = Slice(np.zeros(2), np.array([2.0, 0.0]), np.array([1.0, 3.0]), (-1.0, 1.0), (-1.0, 1.0), (2,))
    found = measure_linear_regions(net, plane)
    assert found.cells == 1
    assert found.distance(np.array([[0.3, 0.1]])) == pytest.approx([0.7])


def test_a_slice_of_a_layer_runs_from_there() -> None:
    net = _relu_net(16)
    plane = Slice(np.zeros(16), np.eye(16)[0], np.eye(16)[1], (-1.0, 1.0), (-1.0, 1.0), (16,), layer="1",
                  template=np.zeros(2))  # fmt: skip
    rest = measure_linear_regions(net[2:], _square(1.0, 16))
    assert measure_linear_regions(net, plane).cells == rest.cells


def test_each_inner_edge_lies_on_its_units_bend() -> None:
    net = _relu_net(16)
    found = measure_linear_regions(net, _square())
    for unit in (0, 7):
        ends = found.bends("3", unit).reshape(-1, 2)
        assert len(ends)
        assert net.double()[:3](torch.from_numpy(ends))[:, unit].abs().max() < 1e-12
    assert len(found.neighbours(0)) >= 1
    with pytest.raises(SettingsError, match="bends"):
        found.bends("nowhere", 0)


def _degenerate(kind: str) -> Any:
    net = _relu_net(12)
    with torch.no_grad():
        if kind == "dead":
            net[2].bias.fill_(-1e3)
        elif kind == "duplicate":
            net[0].weight[6:], net[0].bias[6:] = net[0].weight[:6], net[0].bias[:6]
        elif kind == "zero":
            for one in net.parameters():
                one.zero_()
        elif kind == "pencil":
            for one in net[::2]:
                one.bias.zero_()
    return net


@pytest.mark.parametrize("kind", ["dead", "duplicate", "zero", "pencil"])
def test_degenerate_networks_hold(kind: str) -> None:
    found = measure_linear_regions(_degenerate(kind), _square())
    assert found.proofs.hold
    if kind == "zero":
        assert found.cells == 1
    if kind == "duplicate":
        assert found.proofs.welded > 0


@pytest.mark.parametrize("half", [1e9, 1e-6])
def test_slices_of_any_size_hold(half: float) -> None:
    assert measure_linear_regions(_relu_net(12), _square(half)).proofs.hold


def test_what_cannot_be_exact_is_refused_and_linearised() -> None:
    torch.manual_seed(0)
    smooth = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
    with pytest.raises(SettingsError, match="tanh is smooth"):
        measure_linear_regions(smooth, _square())
    found = measure_linear_regions(smooth, _square(2.0), linearise=0.01)
    assert 0 < found.proofs.linearised <= 0.01
    assert found.proofs.hold
    points = np.random.default_rng(0).uniform(-2, 2, (300, 2))
    exact = smooth.double()(torch.from_numpy(points)).detach().numpy()
    for point, cell, expected in zip(points, found.locate(points), exact, strict=True):
        slopes, offsets = found.affine(int(cell))
        assert np.abs(slopes @ point + offsets - expected).max() < 0.02
    broken = _relu_net(4)
    broken[2].weight.data[0, 0] = float("nan")
    with pytest.raises(SettingsError, match=r"1 of 16 numbers of 2.weight are NaN"):
        measure_linear_regions(broken, _square())
    with pytest.raises(SettingsError, match="more than 100 cells"):
        measure_linear_regions(_relu_net(64), _square(), max_cells=100)


class _Stashing(nn.Module):
    """A network that leaves numbers on itself between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 48), nn.Linear(48, 48), nn.Linear(48, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.hidden = F.relu(self.first(x))
        return self.last(F.relu(self.second(self.hidden)) + self.hidden)


@pytest.mark.parametrize("carried", [False, True])
def test_several_threads_find_the_same_to_the_bit(carried: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = _Stashing()
    monkeypatch.setattr(linear_regions, "_WORTH", 0.0 if carried else 1e9)
    monkeypatch.setattr(planar_partition, "_NUMBERS", 1 << 12)  # many blocks
    alone = measure_linear_regions(net, _square(3.0))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = measure_linear_regions(net, _square(3.0))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert together.cells == alone.cells > 1000
    assert together.proofs.hold
    for name in ("vertices", "cell_vertex", "edge_kink", "outputs"):
        assert np.array_equal(getattr(together, name), getattr(alone, name))
    expected = net.double()(torch.from_numpy(alone.vertices)).detach().numpy()
    assert alone.outputs == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("members", [2, 3, 5, 9])
def test_the_winner_of_all_rounds_is_the_largest(members: int) -> None:
    class Largest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.planes = nn.Linear(2, 4 * members)

        def forward(self, x: Tensor) -> Tensor:
            return self.planes(x).unflatten(1, (4, members)).amax(2)

    torch.manual_seed(members)
    net: Any = Largest()
    found = measure_linear_regions(net, _square(4.0))
    points = np.random.default_rng(0).uniform(-4, 4, (500, 2))
    winners = net.double().planes(torch.from_numpy(points)).unflatten(1, (4, members)).argmax(2)
    assert np.array_equal(found.pattern(found.locate(points), 0), winners.numpy())
    assert found.proofs.hold


def test_result_survives_its_payload_and_is_drawn() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    found = measure_linear_regions(_relu_net(16), _square())
    again = LinearRegions.from_bytes(found.to_bytes())
    assert again.cells == found.cells
    assert again.proofs == found.proofs
    assert "178" in str(again)
    assert len(again.to_frame()) == 178
    for colour in ("cell", "prediction", "output"):
        assert again.plot(colour=colour).collections


def test_results_keep_the_names_of_classes() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3))
    names = ("cat", "dog", "hen")
    found = measure_linear_regions(net, _square(), classes=names)
    assert found.classes == names
    assert LinearRegions.from_bytes(found.to_bytes()).classes == names
    assert [line.classes for line in found.boundary(classes=("hen", "cat"))] == [
        line.classes for line in found.boundary(classes=(0, 2))
    ]
    assert measure_linear_regions(net, _square()).classes == ()
    with pytest.raises(SettingsError, match="2 names for 3 classes"):
        measure_linear_regions(net, _square(), classes=("cat", "dog"))
