"""The wiring of small scripts against what their own lines say."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  # as in the scripts

from pellucid.watch.wiring import ScriptWiring
from tests.watch.script_harness import Harness

N, D, C = 12, 6, 4


def train(loss_of, net, *, steps=4, parameters=None, rate=0.01):
    harness = Harness(ScriptWiring)
    optimizer = torch.optim.SGD(parameters or net.parameters(), lr=rate)
    with harness.watching():
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(net).backward()
            optimizer.step()
    return harness


def main_loss(loss_of, net=None, **options):
    torch.manual_seed(0)
    net = net or nn.Sequential(nn.Linear(D, 8), nn.ReLU(), nn.Linear(8, C))
    losses = train(loss_of, net, **options).parts()["losses"]
    return losses[0]


X = torch.randn(N, D, generator=torch.Generator().manual_seed(1))
Y = torch.arange(N) % C
R = torch.randn(N, C, generator=torch.Generator().manual_seed(2))
B = (torch.arange(N) % 2).float()
ONEHOT = F.one_hot(Y, C).float()
binary = lambda: nn.Sequential(nn.Linear(D, 1))  # noqa: E731

CASES = {
    "cross_entropy": (lambda f: F.cross_entropy(f(X), Y), "cross_entropy", (N, C), (N,), 1, "mean"),
    "module": (lambda f: nn.CrossEntropyLoss(reduction="sum")(f(X), Y), "cross_entropy", (N, C), (N,), 1, "sum"),
    "divided": (lambda f: F.cross_entropy(f(X), Y) / 4, "cross_entropy", (N, C), (N,), 1, "mean"),
    "negated": (lambda f: -F.cross_entropy(f(X), Y), "cross_entropy", (N, C), (N,), -1, "mean"),
    "swapped": (lambda f: F.mse_loss(R, f(X)), "mse", (N, C), (N, C), 1, "mean"),
    "mse": (lambda f: ((f(X) - R) ** 2).mean(), "mse", (N, C), (N, C), 1, "mean"),
    "mse reversed": (lambda f: (R - f(X)).pow(2).sum(), "mse", (N, C), (N, C), 1, "sum"),
    "mse by hand": (lambda f: ((f(X) - R) * (f(X) - R)).sum(1).mean(), "custom", (N, C), (N, C), 0, "mean"),
    "squares": (lambda f: torch.square(f(X) - R).sum() / N, "mse", (N, C), (N, C), 1, "mean"),
    "ascent": (lambda f: -((f(X) - R) ** 2).mean(), "mse", (N, C), (N, C), -1, "mean"),
    "rmse": (lambda f: torch.sqrt(((f(X) - R) ** 2).mean() + 1e-8), "rmse", (N, C), (N, C), 1, "mean"),
    "l1": (lambda f: (f(X) - R).abs().mean(), "l1", (N, C), (N, C), 1, "mean"),
    "one-hot": (lambda f: -(ONEHOT * F.log_softmax(f(X), 1)).sum(1).mean(), "nll", (N, C), (N, C), 1, "mean"),
    "one-hot of log": (
        lambda f: -(ONEHOT * torch.log(torch.softmax(f(X), 1) + 1e-9)).sum(),
        "categorical",
        (N, C),
        (N, C),
        1,
        "sum",
    ),
    "gather": (lambda f: -F.log_softmax(f(X), 1).gather(1, Y[:, None]).mean(), "nll", (N, C), (N, 1), 1, "mean"),
    "index": (lambda f: -F.log_softmax(f(X), 1)[torch.arange(N), Y].mean(), "nll", (N, C), (N,), 1, "mean"),
    "index sign": (lambda f: F.log_softmax(f(X), 1)[torch.arange(N), Y].mean(), "nll", (N, C), (N,), -1, "mean"),
    "index of p": (
        lambda f: -torch.log(torch.softmax(f(X), 1)[torch.arange(N), Y]).mean(),
        "categorical",
        (N, C),
        (N,),
        1,
        "mean",
    ),
    "masked": (
        lambda f: (F.cross_entropy(f(X), Y, reduction="none") * (Y > 0)).sum() / (Y > 0).sum(),
        "cross_entropy",
        (N, C),
        (N,),
        1,
        "sum",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_known_by_its_calls(name):
    loss_of, kind, prediction, target, sign, reduction = CASES[name]
    loss = main_loss(loss_of)
    if name == "mse by hand":  # two forward passes: the squares are of two different differences
        assert loss.kind in ("mse", "custom")
        return
    assert (loss.kind, loss.sign, loss.reduction) == (kind, sign, reduction)
    assert loss.prediction.shape == prediction
    assert loss.target.shape == target
    assert loss.steps == 4


BINARY = {
    "logits": (lambda f: F.binary_cross_entropy_with_logits(f(X).squeeze(1), B), "bce_with_logits"),
    "bce": (lambda f: nn.BCELoss()(torch.sigmoid(f(X)).squeeze(1), B), "bce"),
    "by hand": (
        lambda f: (
            -(
                B * torch.log(torch.sigmoid(f(X)).flatten()) + (1 - B) * torch.log(1 - torch.sigmoid(f(X)).flatten())
            ).mean()
        ),
        "bce",
    ),
    "softplus": (lambda f: (F.softplus(f(X).flatten()) - B * f(X).flatten()).mean(), "bce_with_logits"),
}


@pytest.mark.parametrize("name", BINARY)
def test_two_classes(name):
    loss_of, kind = BINARY[name]
    loss = main_loss(loss_of, binary())
    assert loss.kind == kind
    assert loss.sign == 1
    assert loss.target.shape == (N,)
    assert loss.target_values == (0.0, 1.0)
    assert loss.classes == 1


def test_the_last_operation_and_rows_of_probabilities():
    soft = nn.Sequential(nn.Linear(D, C), nn.Softmax(dim=1))
    loss = main_loss(lambda f: F.cross_entropy(f(X), Y), soft)
    assert (loss.last_operation, loss.last_module) == ("softmax", "1")
    assert loss.rows_sum_to_one == 1.0
    wrong = nn.Sequential(nn.Linear(D, C), nn.LogSoftmax(dim=0))
    loss = main_loss(lambda f: F.nll_loss(f(X), Y), wrong)
    assert loss.log_rows_sum_to_one == 0.0


def test_penalties_are_no_losses():
    def loss_of(net):
        penalty = sum(p.pow(2).sum() for p in net.parameters())
        return F.cross_entropy(net(X), Y) + 0.1 * penalty

    loss = main_loss(loss_of)
    assert loss.kind == "cross_entropy"
    assert loss.terms == 1
    assert set(loss.others) == {"penalty"}


def test_several_losses_each_have_a_line():
    def loss_of(net):
        out = net(X)
        first = F.cross_entropy(out, Y)
        second = F.mse_loss(out, R)
        return first + 0.5 * second

    torch.manual_seed(0)
    losses = train(loss_of, nn.Linear(D, C)).parts()["losses"]
    assert sorted(loss.kind for loss in losses) == ["cross_entropy", "mse"]
    assert {loss.kind: loss.scale for loss in losses} == {"cross_entropy": 1.0, "mse": 0.5}


def test_a_loss_inside_the_model():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(D, C)

        def forward(self, x, t):
            out = self.a(x)
            return {"logits": out, "loss": -((out - t) ** 2).mean()}

    loss = main_loss(lambda f: f(X, R)["loss"], Net())
    assert (loss.kind, loss.sign, loss.last_operation, loss.last_module) == ("mse", -1, "linear", "a")
    assert loss.target.origin == "target"


def test_parameters_without_a_model():
    w = nn.Parameter(torch.randn(D, C) * 0.1)
    loss = main_loss(lambda _: -(ONEHOT * torch.log(torch.softmax(X @ w, 1))).sum(), nn.Identity(), parameters=[w])
    assert (loss.kind, loss.last_operation, loss.target_one_hot) == ("categorical", "softmax", True)


def test_a_graph_cut_by_detach_is_followed():
    net = nn.Sequential(nn.Linear(D, C))
    head = nn.Linear(C, C)

    def loss_of(_):
        return F.mse_loss(head(net(X).detach()), R)

    harness = train(loss_of, net, parameters=[*net.parameters(), *head.parameters()])
    calls = harness.parts()["calls"]
    assert any(call.function == "detach" and call.reaches_loss for call in calls)


def test_generator_and_discriminator_have_a_line_each():
    torch.manual_seed(0)
    g, d = nn.Linear(2, D), nn.Linear(D, 1)
    harness = Harness(ScriptWiring, learn=lambda step: step < 6)
    og, od = torch.optim.Adam(g.parameters()), torch.optim.Adam(d.parameters())
    ones, zeros = torch.ones(N, 1), torch.zeros(N, 1)
    with harness.watching():
        for _ in range(3):
            z = torch.randn(N, 2)
            od.zero_grad()
            F.binary_cross_entropy_with_logits(d(X), ones).backward()
            F.binary_cross_entropy_with_logits(d(g(z).detach()), zeros).backward()
            od.step()
            og.zero_grad()
            F.binary_cross_entropy_with_logits(d(g(z)), ones).backward()
            og.step()
    losses = harness.parts()["losses"]
    assert [loss.kind for loss in losses] == ["bce_with_logits"] * 3
    assert {loss.target_values for loss in losses} == {(1.0,), (0.0,)}


def test_steps_that_are_not_learned_are_counted_with_their_loss():
    harness = train(lambda f: F.mse_loss(f(X), R), nn.Linear(D, C), steps=20)
    (loss,) = harness.parts()["losses"]
    assert loss.steps == 20
    assert loss.last < loss.first
    assert math.isclose(loss.first, loss.first)
    assert loss.graph[0] == "MseLossBackward0"


def test_calls_have_shapes_settings_and_phases():
    net = nn.Sequential(nn.Linear(D, 1))
    harness = Harness(ScriptWiring)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with harness.watching():
        for _ in range(3):
            loss = F.binary_cross_entropy_with_logits(net(X.view(-1, D)).squeeze(1), B)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad(), harness.evaluating():
            out = net(X)
            (out.argmax(dim=1) == B).float().mean().item()
    calls = harness.parts()["calls"]
    view = next(call for call in calls if call.function == "view" and call.step == 0)
    assert view.settings["shape"] == f"-1, {D}"
    argmax = next(call for call in calls if call.function == "argmax")
    assert (argmax.phase, argmax.settings["dim"], argmax.inputs[0].shape) == ("evaluation", 1, (N, 1))
    assert {call.phase for call in calls if call.function == "linear" and call.step < 3} == {"train"}
    first = next(call for call in calls if call.function == "linear")
    assert [tensor.origin for tensor in first.inputs] == ["input", "parameter", "parameter"]
    assert first.inputs[0].mean == pytest.approx(X.double().mean().item(), abs=1e-6)
    assert first.inputs[0].std == pytest.approx(X.double().std(correction=0).item(), abs=1e-6)
