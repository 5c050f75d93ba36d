"""Information against counts, closed forms of channels and mixtures, and integration."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from torch import nn

from pellucid.core.information import binned_information, kernel_information
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.information_plane import measure_information_plane
from pellucid.results.base import Result
from pellucid.results.information_plane import InformationPlane


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 4), st.integers(1, 6))
def test_bins_are_counted(seed: int, count: int, units: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    t, y = rng.normal(size=(count, units)), rng.integers(3, size=count)
    edges = np.linspace(t.min(), t.max(), bins + 1)
    cells = [tuple(min(int(np.sum(value >= edges)) - 1, bins - 1) for value in row) for row in t]
    shares = np.array(list(Counter(cells).values())) / count
    names = [str(cell) for cell in cells]
    x, of_y = binned_information(t, y, edges)
    assert x == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-9)
    assert of_y == pytest.approx(mutual_info_score(names, y) / np.log(2), abs=1e-9)


def test_a_binary_channel_has_its_capacity() -> None:
    """Eight inputs, of which each bit is right in seven: I = 1 − h(1/8)."""
    y = np.repeat([0, 1], 8)
    t = y.copy()
    t[[0, 8]] = 1 - t[[0, 8]]
    x, of_y = binned_information(t[:, None].astype(float), y, np.array([-0.5, 0.5, 1.5]))
    h = -(1 / 8 * np.log2(1 / 8) + 7 / 8 * np.log2(7 / 8))
    assert (x, of_y) == pytest.approx((1.0, 1 - h))


@pytest.mark.parametrize("apart", [0.0, 0.5, 1.0, 2.0, 4.0, 30.0])
def test_bounds_hold_the_information_of_two_gaussians(apart: float) -> None:
    """The mixture's entropy by integration; at 0 and far apart both bounds are exact."""
    grid = np.linspace(-12, apart + 12, 40_001)
    density = (np.exp(-(grid**2) / 2) + np.exp(-((grid - apart) ** 2) / 2)) / 2 / np.sqrt(2 * np.pi)
    entropy = -np.trapezoid(density * np.log2(density + 1e-300), grid)
    exact = entropy - 0.5 * np.log2(2 * np.pi * np.e)
    found = kernel_information(np.array([[0.0], [apart]]), np.array([0, 1]), 1.0)
    assert found.x_low - 1e-6 <= exact <= found.x_high + 1e-6
    assert found.y_low - 1e-6 <= exact <= found.y_high + 1e-6, "here Y is X"
    if apart in (0.0, 30.0):
        assert found.x_low == pytest.approx(exact, abs=1e-6)
        assert found.x_high == pytest.approx(exact, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 10))
def test_bounds_are_pairwise_sums_and_keep_their_order(seed: int, variance: float) -> None:
    rng = np.random.default_rng(seed)
    t, y = rng.normal(size=(17, 3)), rng.integers(3, size=17)
    squared = ((t[:, None] - t) ** 2).sum(2)
    found = kernel_information(t, y, variance)
    for value, width in ((found.x_low, 8), (found.x_high, 2)):
        assert value == pytest.approx(-np.log2(np.exp(-squared / width / variance).mean(1)).mean(), abs=1e-9)
    assert 0 <= found.x_low <= found.x_high <= np.log2(17) + 1e-12
    assert found.y_low - 1e-12 <= found.y_high
    assert found.y == pytest.approx(
        found.x_high
        - sum((y == k).mean() * kernel_information(t[y == k], y[y == k], variance).x_high for k in set(y.tolist()))
    )


def test_many_examples_are_summed_block_by_block() -> None:
    rng = np.random.default_rng(0)
    t, y = rng.normal(size=(2500, 4)), rng.integers(2, size=2500)
    squared = ((t[:, None] - t) ** 2).sum(2)
    assert kernel_information(t, y, 0.3).x_high == pytest.approx(
        -np.log2(np.exp(-squared / 0.6).mean(1)).mean(), rel=1e-9
    )


def test_a_layer_that_holds_the_label_has_its_entropy_and_one_that_holds_nothing_has_none() -> None:
    y = np.arange(90) % 3
    found = measure_information_plane(
        activations={"label": np.eye(3)[y], "nothing": np.zeros((90, 2)), "all": np.arange(90.0)[:, None] * 9},
        labels=y,
        bins=200,
    )
    label, nothing, everything = found.layers
    for name in ("binned_x", "binned_y", "kernel_x_low", "kernel_x_high", "kernel_y", "kernel_y_low", "kernel_y_high"):
        assert getattr(label, name)[0] == pytest.approx(np.log2(3), abs=1e-6)
        assert getattr(nothing, name)[0] == pytest.approx(0, abs=1e-9)
        most = np.log2(90) if "_x" in name else np.log2(3)
        assert getattr(everything, name)[0] == pytest.approx(most, abs=1e-6)
    assert found.label_entropy == pytest.approx(np.log2(3))
    assert found.saturated == ("all",)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 2))


def test_a_model_now_is_its_activations() -> None:
    model, x, y = network(), torch.randn(700, 5), torch.randint(2, (700,))
    found = measure_information_plane(model, [(x[:300], y[:300]), (x[300:], y[300:])], split="train")
    assert [one.layer for one in found.layers] == ["1", "4", "5"]
    assert model.training
    model.eval()
    held = {"1": model[:2](x), "4": model[:5](x), "5": model(x)}
    same = measure_information_plane(activations={k: v.detach() for k, v in held.items()}, labels=y)
    for one, other in zip(found.layers, same.layers, strict=True):
        assert one.binned_x == pytest.approx(other.binned_x, abs=1e-9)
        assert one.kernel_x_high == pytest.approx(other.kernel_x_high, rel=1e-4)
    x_high = [float(one.kernel_x_high[0]) for one in found.layers]
    assert x_high[0] > 0
    assert found.epochs == (-1,)


def test_epochs_share_their_bins(tmp_path) -> None:
    models = {0: network(), 5: network()}
    with torch.no_grad():
        models[5][5].weight *= 10
    x, y = torch.randn(200, 5), torch.randint(2, (200,))
    found = measure_information_plane(models, (x, y), layers=["1", "5"], most=100)
    assert found.epochs == (0, 5)
    assert found.examples == 100
    last = found.layers[1]
    assert last.bin_high == pytest.approx(float(models[5].eval()(x).max()), abs=1.0)
    assert last.binned_x[0] < last.binned_x[1]
    fixed = measure_information_plane(models, (x, y), layers=["1"], bin_range=(-1, 1), bins=4)
    assert (fixed.layers[0].bin_low, fixed.layers[0].bin_high) == (-1, 1)
    again = Result.load(found.save(tmp_path / "i.bin"))
    assert isinstance(again, InformationPlane)
    assert again.layers[1].binned_x.tolist() == last.binned_x.tolist()


def test_more_noise_leaves_less_information() -> None:
    model, x, y = network(), torch.randn(100, 5), torch.randint(2, (100,))
    little, much = (measure_information_plane(model, (x, y), noise=noise).layers[0] for noise in (1e-3, 1.0))
    assert much.kernel_x_high[0] < little.kernel_x_high[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"activations": {"t": np.full((4, 2), np.nan)}}, "not finite"),
        ({"activations": {"t": np.zeros((3, 2))}}, "3 activations for 4 labels"),
        ({"activations": {}}, "no epoch"),
        ({"activations": {0: {"t": np.zeros((4, 2))}, 1: {"u": np.zeros((4, 2))}}}, "same layers"),
        ({"labels": None}, "without labels"),
        ({"labels": [0.5, 1, 2, 3]}, "class numbers"),
        ({"bins": 0}, "out of range"),
        ({"noise": 0.0}, "out of range"),
        ({"bin_range": (1, 0)}, "no range"),
        ({"model": nn.Linear(2, 2)}, "not clear"),
        ({"activations": None, "model": nn.Linear(2, 2)}, "not clear"),
    ],
)
def test_what_cannot_be_used_is_refused(change: dict, words: str) -> None:
    usable = {"activations": {"t": np.zeros((4, 2))}, "labels": [0, 1, 0, 1]}
    with pytest.raises((DataError, SettingsError), match=words) as caught:
        measure_information_plane(**(usable | change))
    assert caught.value.remedy


def test_layers_that_are_not_there_or_run_twice_are_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.out = nn.Tanh(), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.act(self.act(x)))

    data = (torch.randn(6, 3), torch.arange(6) % 2)
    with pytest.raises(SettingsError, match="2 times"):
        measure_information_plane(Twice(), data)
    assert len(measure_information_plane(Twice(), data, layers=["out"]).layers) == 1
    with pytest.raises(SettingsError, match="no layer 'fc'"):
        measure_information_plane(Twice(), data, layers=["fc"])
    with pytest.raises(SettingsError, match="no layer was found"):
        measure_information_plane(nn.Identity(), data)
    assert measure_information_plane(nn.Linear(3, 2), data).layers[0].units == 2
