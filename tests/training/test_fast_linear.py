"""oneDNN's products equal PyTorch's to rounding, forwards and backwards, and leave nothing behind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pellucid.training import fast_linear
from pellucid.training.fast_linear import SMALLEST, fast_linears, multiply

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="this PyTorch has no oneDNN",
)


def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 100, bias=False), nn.ReLU(), nn.Linear(100, 3)
        )


def gradients(model, inputs, targets):
    model.zero_grad()
    loss = nn.functional.cross_entropy(model(inputs), targets)
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters())]


def test_losses_and_gradients_equal_those_in_float64():
    model, exact = net(), net().double()
    inputs, targets = torch.randn(250, 300), torch.randint(0, 3, (250,))
    assert SMALLEST <= 250 * 300 * 200
    with fast_linears(model, enabled=True):
        found = gradients(model, inputs, targets)
    for mine, other in zip(found, gradients(exact, inputs.double(), targets), strict=True):
        torch.testing.assert_close(mine.double(), other, rtol=1e-4, atol=1e-6)


def test_inputs_get_their_gradient_too():
    layer, inputs = nn.Linear(300, 200), torch.randn(100, 300, requires_grad=True)
    with fast_linears(layer, enabled=True):
        (mine,) = torch.autograd.grad(layer(inputs).square().sum(), inputs)
    (other,) = torch.autograd.grad(layer(inputs).square().sum(), inputs)
    torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


def test_the_product_is_the_one_used(monkeypatch):
    calls = []
    monkeypatch.setattr(fast_linear, "multiply", lambda *args: calls.append(args) or multiply(*args))
    model = net()
    with fast_linears(model, enabled=True):
        gradients(model, torch.randn(250, 300), torch.randint(0, 3, (250,)))
        assert len(calls) == 5  # two large layers, three products each, without the gradient of the inputs
        calls.clear()
        model(torch.randn(3, 300))  # too small to be worth it
        assert not calls
        model(torch.randn(250, 300, dtype=torch.float32).reshape(5, 50, 300))  # not a plain batch
        assert not calls


def test_nothing_stays_behind_and_hooks_and_copies_work():
    model = net()
    before = {name: list(vars(module)) for name, module in model.named_modules()}
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.shape))
    with fast_linears(model, enabled=True):
        model(torch.randn(250, 300))
        twin = copy.deepcopy(model)
        with torch.no_grad():
            twin[0].weight.zero_()
            twin[0].bias.zero_()
        assert torch.equal(twin[0](torch.randn(250, 300)), torch.zeros(250, 200))
    assert len(seen) >= 1
    assert {name: list(vars(module)) for name, module in model.named_modules()} == before


def test_the_same_numbers_every_time():
    inputs, targets = torch.randn(250, 300), torch.randint(0, 3, (250,))
    runs = []
    for _ in range(2):
        model = net()
        with fast_linears(model, enabled=True):
            runs.append(gradients(model, inputs.clone(), targets))
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


def test_switched_off_it_does_nothing():
    model = net()
    with fast_linears(model, enabled=False):
        assert "forward" not in vars(model[0])
