"""A network as a function of flat points, against the network itself."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import pellucid
from pellucid.capture.from_layer import network_on
from pellucid.capture.neuron_values import NeuronWatch, neuron_layers
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(32, 3)).train()


def test_from_the_input_in_double_precision() -> None:
    net = _network()
    images = torch.randn(3, 1, 6, 6)
    plane = pellucid.slice_examples(*images)
    found = network_on(net, plane)(torch.tensor(plane.embed(np.array([[0.3, -2.0], [1.0, 1.0]]))))
    points = torch.tensor(plane.embed(np.array([[0.3, -2.0], [1.0, 1.0]]))).reshape(-1, 1, 6, 6)
    assert torch.equal(found, copy.deepcopy(net).double().eval()(points))
    assert net.training
    assert next(net.parameters()).dtype == torch.float32
    assert not found.requires_grad


def test_from_a_layer_on() -> None:
    net = _network()
    plane = pellucid.slice_latent(net, torch.randn(9, 1, 6, 6), "1")
    points = torch.tensor(plane.embed(np.array([[0.5, 0.2]])))
    found = network_on(net, plane)(points)
    assert torch.allclose(found, copy.deepcopy(net[4]).double()(points), atol=1e-12)
    assert torch.get_default_dtype() == torch.float32


def test_a_slice_of_no_layer_or_without_an_input_says_so() -> None:
    plane = Slice(np.zeros(4), np.eye(4)[0], np.eye(4)[1], (0.0, 1.0), (0.0, 1.0), (4,), layer="nowhere")
    with pytest.raises(SettingsError, match="nowhere"):
        network_on(_network(), plane)
    plane = Slice(np.zeros(4), np.eye(4)[0], np.eye(4)[1], (0.0, 1.0), (0.0, 1.0), (4,), layer="4")
    with pytest.raises(SettingsError, match="does not say"):
        network_on(_network(), plane)


def test_a_layer_that_runs_twice_is_told_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return torch.tanh_(self.fc(torch.relu(self.fc(x))))

    net, x = Twice(), torch.randn(5, 3)
    output, found = NeuronWatch(neuron_layers(net)).run(net, x)
    assert list(found) == ["fc", "fc (2)"]
    first, second = found.values()
    assert torch.equal(first.after, torch.relu(net.fc(x).detach()))
    assert torch.allclose(second.before, net.fc(first.after).detach())
    assert second.after is output
    assert (first.activation, second.activation, second.source) == ("relu", "tanh", "fc")
    assert not net.fc._forward_hooks
