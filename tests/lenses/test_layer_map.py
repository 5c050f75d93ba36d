"""A layer as a matrix, against the matrix itself, PyTorch's own convolution, and the algebra of composition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import SettingsError
from pellucid.lenses.layer_map import measure_layer_map


def test_linear_layer_is_its_own_matrix() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 3))
    found = measure_layer_map(net, "0")
    assert found.matrix == pytest.approx(net[0].weight.detach().numpy(), abs=1e-6)
    assert found.bias == pytest.approx(net[0].bias.detach().numpy(), abs=1e-7)
    expected = np.linalg.svd(net[0].weight.detach().numpy(), compute_uv=False)
    assert found.singular_values == pytest.approx(expected, abs=1e-5)
    assert found.rank == 3
    assert found.activation == ""
    assert found.activated.size == 0


def test_two_linear_layers_are_one() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 16), nn.Linear(16, 4))
    found = measure_layer_map(net, ["0", "1"])
    first, second = (layer.weight.detach().double() for layer in net)
    assert found.matrix == pytest.approx((second @ first).numpy(), abs=1e-5)
    bias = second @ net[0].bias.detach().double() + net[1].bias.detach().double()
    assert found.bias == pytest.approx(bias.numpy(), abs=1e-6)
    assert found.composition_error < 1e-5


def test_a_bottleneck_shows_as_rank() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 6))
    found = measure_layer_map(net, ["0", "1"])
    assert found.rank == 2
    assert found.explained == pytest.approx(1.0)


def test_circular_convolution_has_the_spectrum_of_its_kernel() -> None:
    """Sedghi, Gupta and Long 2019, theorem 6: with wrap-around the singular values are |FFT| of the kernel."""
    torch.manual_seed(3)
    layer = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular", bias=False)
    found = measure_layer_map(nn.Sequential(layer), "0", input_shape=(1, 8))
    kernel = np.zeros(8)
    kernel[:3] = layer.weight.detach().numpy().ravel()
    assert found.singular_values == pytest.approx(np.sort(np.abs(np.fft.fft(kernel)))[::-1], abs=1e-5)


def test_large_convolution_by_iteration_agrees_with_its_fourier_transform() -> None:
    torch.manual_seed(4)
    layer = nn.Conv1d(1, 1, 5, padding=2, padding_mode="circular", bias=True)
    found = measure_layer_map(nn.Sequential(layer), "0", input_shape=(1, 5000))
    kernel = np.zeros(5000)
    kernel[:5] = layer.weight.detach().numpy().ravel()
    largest = np.abs(np.fft.fft(kernel)).max()
    assert not found.singular_values_exact
    assert found.singular_values[0] == pytest.approx(largest, rel=2e-3)


def test_two_dimensional_grid_is_bent_as_the_layer_says() -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.0, -1.0], [1.0, 0.0]]))
        net[0].bias.copy_(torch.tensor([0.5, 0.0]))
    found = measure_layer_map(net, "0", activation=torch.relu)
    turned = np.stack([-found.grid[..., 1] + 0.5, found.grid[..., 0]], -1)
    assert found.image == pytest.approx(turned, abs=1e-6)
    assert found.activated == pytest.approx(np.maximum(turned, 0), abs=1e-6)
    assert found.activation == "relu"


def test_batch_normalization_is_measured_in_evaluation_and_left_in_training() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3)).train()
    found = measure_layer_map(net, "0", input_shape=(3,))
    assert found.matrix == pytest.approx(np.eye(3) / np.sqrt(1 + 1e-5), abs=1e-6)
    assert net[0].training
    assert int(net[0].num_batches_tracked) == 0


def test_errors_name_the_remedy() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Conv2d(1, 1, 3))
    with pytest.raises(SettingsError, match="no one matrix"):
        measure_layer_map(net, ["0", "1"])
    with pytest.raises(SettingsError, match="no layer 'fc'") as caught:
        measure_layer_map(net, "fc")
    assert "'0'" in caught.value.remedy
    with pytest.raises(SettingsError, match="size of what goes into"):
        measure_layer_map(net, "2")
