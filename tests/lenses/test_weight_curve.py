"""The loss over one weight against the model run at that weight, autograd, and bends found by brute force."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.errors import DataError, SettingsError
from pellucid.lenses.weight_curve import measure_weight_curve
from pellucid.results.base import Result


def loss_with(model: nn.Module, name: str, index: tuple[int, ...], weight: float, x: Tensor, y: Tensor) -> float:
    twin = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        twin.get_parameter(name)[index] = weight
        output = twin(x.double())
        if y.is_floating_point():
            return float(functional.mse_loss(output, y.double()))
        return float(functional.cross_entropy(output, y))


class Residual(nn.Module):
    """A branch around a layer, a concatenation, and kinks of several kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(12, 1)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        a = functional.relu(self.first(x))
        b = functional.hardtanh(a + self.act(self.second(a)))
        return self.third(torch.cat([b.abs(), torch.maximum(a, b)], 1))


def cases() -> list[tuple[str, nn.Module, Tensor, Tensor, str, tuple[int, ...]]]:
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 3))
    x, classes, numbers = torch.randn(20, 3), torch.randint(3, (20,)), torch.randn(20, 1)
    cnn = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten()
    )
    cnn.append(nn.Linear(16, 3))
    images = torch.randn(20, 1, 8, 8)
    cnn(images)
    return [
        ("first layer", mlp, x, classes, "0.weight", (2, 1)),
        ("middle layer", mlp, x, classes, "2.weight", (3, 5)),
        ("middle bias", mlp, x, classes, "2.bias", (3,)),
        ("last layer", mlp, x, classes, "4.weight", (1, 2)),
        ("residual", Residual(), x, numbers, "first.weight", (1, 2)),
        ("residual's branch", Residual(), x, numbers, "second.weight", (1, 2)),
        ("convolution", cnn, images, classes, "0.weight", (1, 0, 2, 0)),
        ("normalisation", cnn, images, classes, "1.weight", (1,)),
    ]


CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_the_curve_is_the_loss_at_every_weight(case) -> None:
    _, model, x, y, name, index = case
    found = measure_weight_curve(model, None, name, index, inputs=x, targets=y, span=(-2.5, 2.0), tolerance=1e-9)
    assert found.exact, found.reason
    assert found.agreement < 1e-12
    dense = np.random.default_rng(0).uniform(-2.5, 2.0, 60)
    truth = np.array([loss_with(model, name, index, float(weight), x, y) for weight in dense])
    if y.is_floating_point():
        assert found.loss_at(dense) == pytest.approx(truth, abs=1e-10), "quadratic between bends: exact"
        assert found.interpolation_error < 1e-10
    scale = float(np.ptp(found.loss))
    assert np.abs(found.loss_at(dense) - truth).max() < 2e-9 * scale + 1e-12
    twin = copy.deepcopy(model).double().eval()
    output = twin(x.double())
    loss = functional.mse_loss(output, y.double()) if y.is_floating_point() else functional.cross_entropy(output, y)
    slope = float(torch.autograd.grad(loss, twin.get_parameter(name))[0][index])
    assert found.loss_here == pytest.approx(float(loss.detach()), rel=1e-12)
    assert found.slope_here == pytest.approx(slope, rel=1e-9, abs=1e-12)
    place = int(np.argmin(np.abs(found.weight - found.value)))
    assert found.slope_left[place] == pytest.approx(slope, rel=1e-6, abs=1e-9)
    assert found.slope_right[place] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_bends_are_those_that_brute_force_sees() -> None:
    _, model, x, y, name, index = CASES[0]
    found = measure_weight_curve(model, None, name, index, inputs=x, targets=y, span=(-2.0, 2.0))
    twin = copy.deepcopy(model).double()
    signs = []
    fine = np.linspace(-2.0, 2.0, 4001)
    with torch.no_grad():
        for weight in fine:
            twin[0].weight[index] = float(weight)
            first = twin[0](x.double())
            signs.append(torch.cat([first > 0, twin[2](first.relu()) > 0], 1).numpy())
    flips = np.stack(signs[1:]) != np.stack(signs[:-1])
    when, example, _ = np.nonzero(flips)
    assert len(found.bend_weight) == len(when)
    for at, owner in zip(when, example, strict=True):
        near = found.bend_weight[found.bend_example == owner]
        assert np.abs(near - fine[at]).min() <= 1.01e-3
    assert found.modules == ("1", "3")


def test_a_bend_stands_where_algebra_puts_it() -> None:
    """relu(w·x₁ + x₂) bends at w = −x₂ ÷ x₁."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.5, 1.0]]))
    x = torch.tensor([[1.0, 2.0], [-4.0, 1.0], [0.0, 1.0]])
    found = measure_weight_curve(model, None, "0.weight", (0, 0), (x, torch.ones(3, 1)), span=(-3.0, 3.0))
    assert found.bend_weight == pytest.approx([-2.0, 0.25])
    assert found.bend_example.tolist() == [0, 1]
    assert found.slope_change[np.searchsorted(found.weight, 0.25)] != 0


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1)), "tanh"),
        (nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 1)), "layer_norm"),
    ],
)
def test_a_smooth_network_is_sampled_and_says_so(model: nn.Module, words: str) -> None:
    torch.manual_seed(1)
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    found = measure_weight_curve(model, nn.MSELoss(), "0.weight", (1, 2), [(x[:5], y[:5]), (x[5:], y[5:])])
    assert not found.exact
    assert words in found.reason
    dense = np.linspace(found.weight[0], found.weight[-1], 50)
    truth = [loss_with(model, "0.weight", (1, 2), float(weight), x, y) for weight in dense]
    assert found.loss_at(dense) == pytest.approx(truth, abs=max(4 * found.interpolation_error, 1e-7))


def test_a_shared_weight_is_sampled() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    x = torch.randn(5, 3)
    found = measure_weight_curve(model, None, "0.weight", (0, 1), (x, x))
    assert not found.exact
    assert "one parameter" in found.reason
    twice = nn.Sequential(layer := nn.Linear(3, 3), nn.ReLU(), layer)
    assert "exactly once" in measure_weight_curve(twice, None, "0.weight", (0, 1), (x, x)).reason


def test_degenerate_networks() -> None:
    x, y = torch.randn(6, 2), torch.randn(6, 1)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    for value in model.parameters():
        nn.init.zeros_(value)
    flat = measure_weight_curve(model, None, "0.weight", (0, 0), (x, y))
    assert flat.loss == pytest.approx(np.full(len(flat.loss), float((y**2).mean())))
    assert flat.weight[0] == -1.0
    assert flat.slope_here == 0
    few = measure_weight_curve(CASES[0][1], None, "0.weight", (2, 1), (CASES[0][2], CASES[0][3]), most_points=12)
    assert len(few.weight) <= 12
    assert few.bends_left_out > 0


def test_it_goes_through_a_file(tmp_path) -> None:
    _, model, x, y, name, index = CASES[0]
    before = copy.deepcopy(model.state_dict())
    found = measure_weight_curve(model, None, name, index, inputs=x, targets=y)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    again = Result.load(found.save(tmp_path / "curve.safetensors"))
    assert again.loss_at(0.1) == pytest.approx(found.loss_at(0.1))
    assert again.index == index


def test_errors_name_place_and_remedy() -> None:
    _, model, x, y, name, index = CASES[0]
    for words, call in {
        "no parameter 'fc1.weight'": lambda: measure_weight_curve(model, None, "fc1.weight", (3, 7), (x, y)),
        "has no entry": lambda: measure_weight_curve(model, None, name, (99, 0), (x, y)),
        "has no entry ": lambda: measure_weight_curve(model, None, name, 1, (x, y)),
        "given twice": lambda: measure_weight_curve(model, None, name, index),
        "no range": lambda: measure_weight_curve(model, None, name, index, (x, y), span=(1.0, 1.0)),
        "no single number": lambda: measure_weight_curve(
            model, nn.CrossEntropyLoss(reduction="none"), name, index, (x, y)
        ),
        "no parameters": lambda: measure_weight_curve(nn.ReLU(), None, name, index, (x, y)),
    }.items():
        with pytest.raises(SettingsError) as caught:
            call()
        assert words.strip() in str(caught.value)
    with pytest.raises(DataError):
        measure_weight_curve(model, None, name, index, [])
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken[0].weight[0, 0] = float("nan")
    with pytest.raises(SettingsError) as caught:
        measure_weight_curve(broken, None, name, index, (x, y))
    assert caught.value.place == "0.weight"
