"""Starting weights against the papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pellucid.errors import SettingsError
from pellucid.training.initialization import initialize
from pellucid.training.networks import build_network
from pellucid.training.spec import NetworkSpec


def first_weight(
    scheme: str, activation: str = "relu", shape: tuple[int, int] = (400, 300), seed: int = 0
) -> torch.Tensor:
    spec = NetworkSpec.from_dict({"widths": [shape[0]], "initialization": scheme, "activation": activation})
    return build_network(spec, input_shape=(shape[1],), outputs=2, seed=seed).get_submodule("fc1").weight.detach()


def assert_variance(weight: torch.Tensor, expected: float) -> None:
    """Within five standard errors; a normal's variance estimate has the largest of those used here."""
    assert abs(float(weight.var()) / expected - 1) < 5 * math.sqrt(2 / weight.numel())
    assert abs(float(weight.mean())) < 5 * math.sqrt(expected / weight.numel())


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_xavier_variance(kind: str) -> None:
    weight = first_weight(f"xavier_{kind}", "tanh")
    assert_variance(weight, 2 / (300 + 400))
    if kind == "uniform":
        assert float(weight.abs().max()) <= math.sqrt(6 / 700)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize(("activation", "gain_squared"), [("relu", 2.0), ("leaky_relu", 2 / 1.0001), ("tanh", 1.0)])
def test_he_variance(kind: str, activation: str, gain_squared: float) -> None:
    assert_variance(first_weight(f"he_{kind}", activation), gain_squared / 300)


def test_he_counts_the_kernel_in_the_fan() -> None:
    spec = NetworkSpec(kind="cnn", channels=(64, 128), initialization="he_normal")
    model = build_network(spec, input_shape=(3, 8, 8), outputs=2)
    assert_variance(model.get_submodule("stage2.conv1").weight.detach(), 2 / (64 * 9))


def test_he_keeps_the_second_moment_through_many_relu_layers() -> None:
    spec = NetworkSpec(widths=(256,) * 10, initialization="he_normal")
    model = build_network(spec, input_shape=(256,), outputs=2)
    inputs = torch.randn(200, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before_last = nn.Sequential(*list(model.children())[:-1])(inputs)
    assert 0.4 < float((before_last**2).mean()) < 2.5


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (40, 40)])
def test_orthogonal(shape: tuple[int, int]) -> None:
    weight = first_weight("orthogonal", "tanh", shape)
    product = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    torch.testing.assert_close(product, torch.eye(min(shape)), atol=1e-5, rtol=0)


def test_lsuv_gives_every_layer_unit_variance() -> None:
    spec = NetworkSpec(kind="cnn", channels=(8, 8), head_widths=(16,), initialization="lsuv", dropout=0.5)
    model = build_network(spec, input_shape=(1, 8, 8), outputs=3)
    inputs = 7 * torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(2)) + 3
    initialize(model, spec, inputs)
    assert model.training
    deviations: list[float] = []
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    for layer in layers:
        layer.register_forward_hook(lambda _module, _inputs, output: deviations.append(float(output.detach().std())))
    model.eval()(inputs)
    assert len(deviations) == 4
    assert deviations == pytest.approx([1.0] * 4, abs=2e-3)


def test_lsuv_refuses_inputs_that_do_not_vary() -> None:
    spec = NetworkSpec(widths=(4,), initialization="lsuv")
    model = build_network(spec, input_shape=(3,), outputs=2)
    with pytest.raises(SettingsError, match="layer fc1"):
        initialize(model, spec, torch.zeros(5, 3))


def test_recurrent_weights_are_orthogonal_gate_by_gate_and_lstms_remember() -> None:
    spec = NetworkSpec(kind="rnn", cell="lstm", hidden=12)
    cell = build_network(spec, input_shape=(5, 3), outputs=2).get_submodule("rnn1")
    for gate in cell.weight_hh_l0.detach().chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(12), atol=1e-5, rtol=0)
    total = cell.bias_ih_l0.detach() + cell.bias_hh_l0.detach()
    assert torch.equal(total, torch.tensor([0.0] * 12 + [1.0] * 12 + [0.0] * 24))


def test_plain_schemes() -> None:
    assert (first_weight("zeros") == 0).all()
    assert (first_weight("constant") == 0.05).all()
    assert_variance(first_weight("normal"), 0.05**2)
    assert_variance(first_weight("uniform"), 0.05**2 / 3)
    assert float(first_weight("uniform").abs().max()) <= 0.05


def test_biases_start_at_zero_and_padding_stays_zero() -> None:
    model = build_network(
        NetworkSpec(kind="rnn", cell="gru", embedding=4), input_shape=(5,), outputs=2, vocabulary_size=6
    )
    biases = [parameter for name, parameter in model.named_parameters() if "bias" in name]
    assert biases
    assert all((bias == 0).all() for bias in biases)
    assert (model.get_submodule("embedding").weight[0] == 0).all()
