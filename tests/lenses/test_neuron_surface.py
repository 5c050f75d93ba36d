"""Neurons over a slice, against the network run directly in float64 at every grid point, and plain NumPy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError
from pellucid.lenses.neuron_surface import measure_neuron_surface
from pellucid.results.base import Result


def square(size: float = 1.0) -> Slice:
    return Slice(np.zeros(2), np.array([1.0, 0]), np.array([0, 1.0]), (-size, size), (-size, size), (2,))


def grid_points(found, slice_: Slice) -> torch.Tensor:
    s, t = np.meshgrid(found.s, found.t)
    return torch.tensor(slice_.embed(np.stack([s.ravel(), t.ravel()], axis=1)))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, lambda: nn.ReLU(inplace=True)])
def test_every_neuron_is_what_the_network_holds(activation) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, 1))
    found = measure_neuron_surface(net, square(3.0), resolution=(21, 17))
    value = grid_points(found, square(3.0))
    assert [one.name for one in found.layers] == ["0", "2", "4"]
    exact = copy.deepcopy(net).double()
    expected = {}
    with torch.no_grad():
        for place, module in enumerate(exact):
            value = module(value)
            expected[place] = value.clone()
    for layer, place in zip(found.layers, (1, 3, 4), strict=True):
        true = expected[place].T.reshape(-1, 17, 21).numpy()
        assert layer.values == pytest.approx(true, abs=2e-6)
        assert layer.precision_error == pytest.approx(np.abs(layer.values - true).max(), rel=3, abs=1e-6)
        assert layer.low == pytest.approx(true.min(axis=(1, 2)), abs=2e-6)
    assert found.layers[0].values.dtype == np.float32


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 6)
        self.last = nn.Linear(12, 3, bias=False)

    def forward(self, x):
        a = functional.leaky_relu(self.norm(self.first(x)), 0.1)
        b = torch.tanh(self.second(a))
        return self.last(torch.cat([a, b], dim=1))


def test_functional_activations_normalisation_and_branches() -> None:
    torch.manual_seed(1)
    net = Branching()
    net(torch.randn(64, 5))  # moves the running statistics
    data = torch.randn(40, 5)
    plane = pellucid.slice_principal(data)
    found = pellucid.measure_neuron_surface(net, plane, resolution=15)
    assert net.training
    exact = copy.deepcopy(net).double().eval()
    points = grid_points(found, plane)
    with torch.no_grad():
        before = exact.first(points)
        a = functional.leaky_relu(exact.norm(before), 0.1)
        b = torch.tanh(exact.second(a))
        last = exact(points)
    for layer, true in zip(found.layers, (a, b, last), strict=True):
        assert layer.values == pytest.approx(true.T.reshape(-1, 15, 15).numpy(), abs=3e-6)
    assert [one.activation for one in found.layers] == ["leaky_relu", "tanh", ""]
    assert [one.source for one in found.layers] == ["input", "first", ""]
    assert found.layers[0].normalised
    stages = found.stages("first", 2)
    weight, bias = exact.first.weight[2], exact.first.bias[2]
    assert stages[0].values.ravel() == pytest.approx((points @ weight).detach().numpy(), abs=1e-9)
    assert stages[1].values.ravel() == pytest.approx((points @ weight + bias).detach().numpy(), abs=1e-9)


def test_stages_add_up_to_the_next_layer() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    found = measure_neuron_surface(net, square(), resolution=11)
    points = grid_points(found, square()).numpy()
    w1, b1, w2, b2 = (one.detach().double().numpy() for one in list(net.parameters())[:4])
    slope, shifted, clipped, weighed, summed = found.stages("0", 3, into=1)
    assert slope.values.ravel() == pytest.approx(points @ w1[3])
    assert shifted.values.ravel() == pytest.approx(points @ w1[3] + b1[3])
    assert clipped.values.ravel() == pytest.approx(np.maximum(points @ w1[3] + b1[3], 0), abs=1e-6)
    assert weighed.values.ravel() == pytest.approx(w2[1, 3] * np.maximum(points @ w1[3] + b1[3], 0), abs=1e-6)
    assert summed.values.ravel() == pytest.approx(np.maximum(points @ w1.T + b1, 0) @ w2[1] + b2[1], abs=1e-6)
    alone = measure_neuron_surface(net, square(), "2", resolution=11)
    assert alone.stages("2", 1)[1].values == pytest.approx(found.stages("2", 1)[1].values, abs=1e-6)


def test_first_layer_neurons_bend_along_exact_lines() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 2))
    plane = pellucid.slice_examples(*np.random.default_rng(0).normal(size=(3, 6)))
    found = measure_neuron_surface(net, plane, resolution=9)
    crossing = 0
    for unit in range(12):
        ends = found.hyperplane("0", unit)
        weight, bias = net[0].weight[unit].double().detach().numpy(), float(net[0].bias[unit].detach())
        if len(ends):
            crossing += 1
            assert plane.embed(ends) @ weight + bias == pytest.approx(0, abs=1e-12)
            on_border = np.isclose(ends, [plane.u_range[0], plane.v_range[0]]) | np.isclose(
                ends, [plane.u_range[1], plane.v_range[1]]
            )
            assert on_border.any(axis=1).all()
        else:
            corners = plane.embed(np.array([[s, t] for s in plane.u_range for t in plane.v_range]))
            assert len(set(np.sign(corners @ weight + bias))) == 1
    assert crossing


def test_level_set_of_a_cone_is_a_circle() -> None:
    class Radius(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 1)
            nn.init.ones_(self.linear.weight)
            nn.init.constant_(self.linear.bias, -0.5)

        def forward(self, x):
            return self.linear(x.norm(dim=1, keepdim=True))

    found = measure_neuron_surface(Radius(), square(), resolution=201)
    (circle,) = found.contours("linear", 0)
    assert np.hypot(*circle.T) == pytest.approx(0.5, abs=1e-4)


def test_adaptive_grid_computes_less_and_stays_close() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 1))
    full = measure_neuron_surface(net, square(), resolution=129)
    found = measure_neuron_surface(net, square(), resolution=129, tolerance=0.002)
    assert found.layers[0].values.shape == (6, 129, 129)
    assert found.evaluations < 0.6 * full.evaluations
    for one, true in zip(found.layers, full.layers, strict=True):
        off = np.abs(one.values - true.values).max(axis=(1, 2)) / np.ptp(true.values, axis=(1, 2))
        assert off.max() < 0.01
        assert np.array_equal(one.values[:, found.computed], true.values[:, found.computed])
    assert measure_neuron_surface(net, square(), resolution=100, tolerance=0.01).layers[0].values.shape[1] == 105


def test_affine_network_needs_the_coarsest_grid_only() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    found = measure_neuron_surface(net, square(), resolution=65, tolerance=1e-4)
    assert found.evaluations == 17 * 17
    assert found.layers[1].interpolation_error < 1e-5


def test_channels_of_a_convolution_and_positions() -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 4))
    plane = pellucid.slice_examples(*torch.randn(3, 1, 8, 8))
    points = None
    for positions in ("mean", "max", "centre"):
        found = measure_neuron_surface(net, plane, resolution=7, positions=positions)
        points = grid_points(found, plane).reshape(-1, 1, 8, 8)
        with torch.no_grad():
            true = torch.relu(copy.deepcopy(net[0]).double()(points))
        reduced = {"mean": true.mean((2, 3)), "max": true.amax((2, 3)), "centre": true[:, :, 3, 3]}[positions]
        assert found.layers[0].values == pytest.approx(reduced.T.reshape(3, 7, 7).numpy(), abs=2e-6)
    only = measure_neuron_surface(net, plane, "4", units=[2, 0], resolution=7)
    with torch.no_grad():
        expected = copy.deepcopy(net).double()(points).T.reshape(4, 7, 7).numpy()
    assert only.layers[0].values == pytest.approx(expected[[2, 0]], abs=2e-6)
    assert only.surface("4", 0) == pytest.approx(expected[0], abs=2e-6)


def test_slice_of_a_layer_runs_from_there() -> None:
    torch.manual_seed(6)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    plane = pellucid.slice_latent(net, torch.randn(30, 4), "1", 0, 3)
    found = measure_neuron_surface(net, plane, "2", resolution=9)
    expected = copy.deepcopy(net[2]).double()(grid_points(found, plane)).T.reshape(3, 9, 9).detach().numpy()
    assert found.layers[0].values == pytest.approx(expected, abs=2e-6)
    assert found.layers[0].source == "input"
    assert plane.embed(found.hyperplane("2", 0)) @ net[2].weight[0].double().detach().numpy() + float(
        net[2].bias[0].detach()
    ) == pytest.approx(0, abs=1e-12)


def test_double_and_other_precisions_run_too() -> None:
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    found = measure_neuron_surface(net, square(), resolution=5)
    assert found.layers[1].values.ravel() == pytest.approx(net(grid_points(found, square())).detach().numpy().ravel())
    assert next(net.parameters()).dtype == torch.float64


def test_degenerate_networks_and_slices() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        net[0].weight[0], net[0].bias[0] = 0.0, -1.0  # always off
        net[0].weight[1] = torch.nan
    found = measure_neuron_surface(net, square(1e12), resolution=9)
    assert found.layers[0].low[0] == found.layers[0].high[0] == 0
    assert np.isnan(found.layers[0].low[1])
    assert np.isfinite(found.layers[0].low[2])
    assert found.nonfinite == 2 * 81
    assert found.contours("0", 1) == ()
    assert found.hyperplane("0", 0).shape == (0, 2)
    assert found.hyperplane("0", 1).shape == (0, 2)
    adaptive = measure_neuron_surface(net, square(), resolution=17, tolerance=0.01)
    assert np.isnan(adaptive.layers[1].values).all()
    assert "162 values are not finite" in " ".join(str(found).split())
    found.plot(layer="0", unit=1)
    assert Result.from_bytes(found.to_bytes()).layers[0].low[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "x"}, "no layer 'x'"),
        ({"units": [0, 9]}, "units 0 to"),
        ({"resolution": 1}, "no cell"),
        ({"tolerance": 2.0}, "tolerance"),
        ({"positions": "sum"}, "positions"),
        ({"resolution": 20_000}, "more than"),
    ],
)
def test_what_cannot_be_measured_says_so(options, words) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with pytest.raises(SettingsError, match=words):
        measure_neuron_surface(net, square(), **options)


def test_what_was_not_measured_says_so() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    found = measure_neuron_surface(net, square(), resolution=5)
    for call in (
        lambda: found.layer("9"),
        lambda: found.surface("0", 7),
        lambda: found.hyperplane("2", 0),
        lambda: found.stages("2", 0, into=0),
    ):
        with pytest.raises(SettingsError):
            call()
    with pytest.raises(SettingsError, match="weights"):
        measure_neuron_surface(nn.ReLU(), square())


@pytest.mark.parametrize("kind", ["map", "surface", "stages"])
def test_every_drawing_shows_the_neuron(kind) -> None:
    from matplotlib import pyplot

    torch.manual_seed(8)
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    found = measure_neuron_surface(net, square(), resolution=9)
    ax = found.plot(layer="0", unit=1, kind=kind)
    if kind == "map":
        assert np.array_equal(ax.images[0].get_array(), found.surface("0", 1))
    if kind == "stages":
        assert "slope" in ax.get_title()
        assert len(found.plot(layer="0", unit=1, kind=kind, into=0).figure.axes) == 10  # five drawings, five scales
    pyplot.close("all")


def test_the_frame_holds_every_neuron() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    found = measure_neuron_surface(net, square(), resolution=9)
    frame = found.to_frame()
    assert len(frame) == 5
    assert frame["share_above_0"].to_numpy()[:3] == pytest.approx((found.layers[0].values > 0).mean((1, 2)))
