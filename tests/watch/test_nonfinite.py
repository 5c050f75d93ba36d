"""The first NaN of small scripts, against where it was put."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from pellucid.watch.nonfinite import NonFiniteHunt
from pellucid.watch.wiring import ScriptWiring
from tests.watch.script_harness import Harness

N, D = 16, 5
X = torch.randn(N, D, generator=torch.Generator().manual_seed(1))
Y = torch.randn(N, 1, generator=torch.Generator().manual_seed(2))


def hunt(loss_of, net, *, steps=12, make=None, parameters=None):
    harness = Harness(ScriptWiring, NonFiniteHunt)
    parameters = parameters or list(net.parameters())
    optimizer = make(parameters) if make else torch.optim.SGD(parameters, lr=0.01)
    with harness.watching():
        for step in range(steps):
            loss = loss_of(net, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return harness.parts()["nonfinite"]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_nothing_to_find():
    assert hunt(lambda f, _: functional.mse_loss(f(X), Y), nn.Linear(D, 1)) is None


@pytest.mark.parametrize("when", [0, 1, 7])
@pytest.mark.parametrize("what", ["input", "target"])
def test_in_the_batch(when, what):
    def loss_of(net, step):
        x, y = X.clone(), Y.clone()
        if step == when:
            (x if what == "input" else y)[3, 0] = math.nan
        return functional.mse_loss(net(x), y)

    origin = hunt(loss_of, nn.Linear(D, 1))
    assert (origin.step, origin.phase, origin.what, origin.inputs_finite) == (when, "data", what, False)
    assert "1 of" in origin.detail


@pytest.mark.parametrize("when", [0, 2, 6])
def test_a_logarithm_of_zero_in_the_loss(when):
    def loss_of(net, step):
        p = torch.sigmoid(net(X))
        if step == when:
            p = p * 0
        return -torch.log(p).mean()

    origin = hunt(loss_of, nn.Linear(D, 1))
    assert (origin.step, origin.phase, origin.what, origin.kind) == (when, "loss", "log", "inf")
    assert "16 zeros" in origin.detail
    assert origin.place.line == test_a_logarithm_of_zero_in_the_loss.__code__.co_firstlineno + 6


def test_inside_the_model():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(D, 1)

        def forward(self, x):
            return torch.sqrt(self.a(x) - 100)

    origin = hunt(lambda f, _: f(X).mean(), Net())
    assert (origin.step, origin.phase, origin.what, origin.kind) == (0, "forward", "sqrt", "nan")
    assert "negative" in origin.detail


@pytest.mark.parametrize("when", [0, 5])
def test_a_derivative_that_is_not_finite(when):
    def loss_of(net, step):
        difference = net(X) * (0.0 if step == when else 1.0)
        return torch.sqrt((difference**2).sum(1)).mean()

    origin = hunt(loss_of, nn.Linear(D, 2))
    assert (origin.step, origin.phase, origin.what) == (when, "backward", "sqrt")
    assert "16 zeros" in origin.detail


def test_without_a_model():
    points = nn.Parameter(torch.randn(6, 2))

    def loss_of(_, step):
        return torch.sqrt(((points[:, None] - points[None]) ** 2).sum(-1)).mean()

    origin = hunt(loss_of, None, parameters=[points])
    assert (origin.step, origin.phase, origin.what) == (0, "backward", "sqrt")


def test_an_update_in_half_precision():
    net = nn.Linear(D, 2).half()
    x = X.half()
    x[:, 0] = 0
    origin = hunt(
        lambda f, _: f(x).float().square().mean(),
        net,
        make=lambda p: torch.optim.Adam(p, lr=1e-3, foreach=False, fused=False),
    )
    assert (origin.phase, origin.what, origin.module) == ("update", "Adam", "")
    assert "float16" in origin.detail


def test_weights_that_begin_so():
    net = nn.Linear(D, 1)
    nn.init.constant_(net.bias, math.inf)
    origin = hunt(lambda f, _: f(X).mean(), net)
    assert (origin.step, origin.phase, origin.what) == (0, "initial", "bias")


def test_an_infinity_meant_as_a_mask_is_none():
    mask = torch.zeros(N, 3, dtype=torch.bool)
    mask[:, 0] = True
    net = nn.Linear(D, 3)
    assert hunt(lambda f, _: f(X).masked_fill(mask, -math.inf).softmax(1)[:, 1].mean(), net) is None
    mask[2] = True
    origin = hunt(lambda f, _: f(X).masked_fill(mask, -math.inf).softmax(1)[:, 1].mean(), net)
    assert origin.what == "softmax"


def test_a_gradient_that_is_thrown_away_is_none():
    net, harness = nn.Linear(D, 1), Harness(ScriptWiring, NonFiniteHunt)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    with harness.watching():
        for step in range(6):
            loss = functional.mse_loss(net(X), Y)
            optimizer.zero_grad()
            loss.backward()
            if step == 4:
                net.weight.grad[0, 0] = math.inf
                continue
            optimizer.step()
    assert harness.parts()["nonfinite"] is None
