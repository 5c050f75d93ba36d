"""Observations and examples of small scripts, against NumPy and scikit-learn on the same tensors."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score, recall_score
from torch import nn
from torch.nn import functional

from pellucid.watch.observed import ObservedScript
from pellucid.watch.observed_figures import column_figures, plain_figures, prediction_figures, target_figures
from pellucid.watch.wiring import ScriptWiring
from tests.watch.script_harness import Harness

N, D, C = 32, 6, 4
X = torch.randn(200, D, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 1, 1, 1, 50, 1])
Y = torch.arange(200) * 7 % 13 % C
R = torch.randn(200, C, generator=torch.Generator().manual_seed(2))


def run(loss_of, net, *, steps=40, evaluate=None):
    torch.manual_seed(0)
    harness = Harness(ScriptWiring, ObservedScript)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    weights, batches = [], []
    with harness.watching():
        for step in range(steps):
            weights.append([p.detach().clone() for p in net.parameters()])
            batch = torch.randperm(200)[:N]
            batches.append(batch)
            optimizer.zero_grad()
            loss_of(net, batch).backward()
            optimizer.step()
            if evaluate is not None and step % 10 == 9:
                with torch.no_grad(), harness.evaluating():
                    evaluate(net)
    return harness, weights, batches


def series(harness, phase, subject, quantity):
    rows = harness.writer.rows["observations"]
    wanted = [r for r in rows if (r["phase"], r["subject"], r["quantity"]) == (phase, subject, quantity)]
    return {row["step"]: row["value"] for row in wanted}


def test_figures_of_classes_at_every_kind_of_step():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(D, 16), nn.ReLU(), nn.Linear(16, C))
    harness, weights, batches = run(lambda f, b: functional.cross_entropy(f(X[b]), Y[b]), net)
    accuracies = series(harness, "train", "prediction", "accuracy")
    assert {0, 1, 2, 4, 8, 16, 32} <= set(accuracies)
    copy = nn.Sequential(nn.Linear(D, 16), nn.ReLU(), nn.Linear(16, C))
    for step in accuracies:
        for parameter, kept in zip(copy.parameters(), weights[step], strict=True):
            parameter.data = kept
        x, y = X[batches[step]], Y[batches[step]].numpy()
        logits = copy(x).detach()
        chosen = logits.argmax(1).numpy()
        assert accuracies[step] == pytest.approx(accuracy_score(y, chosen))
        values, counts = np.unique(y, return_counts=True)
        rare = {value for value, count in zip(values, counts, strict=True) if count == counts.min()}
        recalls = dict(zip(values, recall_score(y, chosen, average=None, labels=values, zero_division=0), strict=True))
        assert series(harness, "train", "prediction", "minority_recall")[step] in [
            pytest.approx(recalls[value]) for value in rare
        ]
        p = torch.softmax(logits.double(), 1).numpy()
        entropy = series(harness, "train", "prediction", "entropy")[step]
        assert entropy == pytest.approx(-(p * np.log(p)).sum(1).mean(), rel=1e-4)
        assert series(harness, "train", "target", "majority")[step] == pytest.approx(counts.max() / N)
        assert series(harness, "train", "input", "mean")[step] == pytest.approx(x.double().mean().item(), rel=1e-4)
        expected = np.std(x.numpy(), axis=0).max()
        assert series(harness, "train", "input", "column_std_max")[step] == pytest.approx(expected, rel=1e-4)


def test_gradients_and_updates():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(D, C))
    harness, weights, _ = run(lambda f, b: functional.mse_loss(f(X[b]), R[b]), net, steps=10)
    ratios = series(harness, "train", "layer:0", "update_ratio")
    norms = series(harness, "train", "gradient", "norm")
    for step in sorted(ratios)[:-1]:
        if step + 1 >= len(weights):
            continue
        before = np.concatenate([w.numpy().ravel() for w in weights[step]])
        after = np.concatenate([w.numpy().ravel() for w in weights[step + 1]])
        moved = np.linalg.norm(after - before)
        assert ratios[step] == pytest.approx(moved / np.linalg.norm(before), rel=1e-3)
        assert norms[step] == pytest.approx(moved / 0.01, rel=1e-3)
    spread = series(harness, "train", "layer:0", "unit_spread")
    assert spread[0] == pytest.approx(weights[1][0].numpy().std(axis=0).max(), rel=1e-4)
    assert set(series(harness, "train", "gradient", "clear").values()) == {1.0}


def test_gradients_that_are_never_cleared():
    net = nn.Linear(D, C)
    harness = Harness(ScriptWiring, ObservedScript)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001)
    with harness.watching():
        for _ in range(6):
            functional.cross_entropy(net(X), Y).backward()
            optimizer.step()
    assert set(series(harness, "train", "gradient", "clear").values()) == {0.0}


def test_the_target_of_a_difference_is_found_where_calls_are_not_watched():
    net = nn.Sequential(nn.Linear(4, 1))
    harness, _, _ = run(lambda f, b: ((f(X[b, :4]).squeeze(1) - R[b, 0]) ** 2).mean(), net, steps=20)
    explained = series(harness, "train", "prediction", "explained")
    losses = series(harness, "train", "loss", "value")
    stds = series(harness, "train", "target", "std")
    assert len(explained) > 4
    for step, value in explained.items():
        assert value == pytest.approx(1 - losses[step] / stds[step] ** 2, rel=1e-4)


def test_a_penalty_is_what_is_added_to_the_loss():
    net = nn.Linear(D, C)

    def loss_of(f, b):
        return functional.cross_entropy(f(X[b]), Y[b]) + 0.5 * f.weight.square().sum()

    harness, weights, _ = run(loss_of, net, steps=5)
    penalties = series(harness, "train", "loss", "penalty")
    assert set(penalties) >= {0, 1, 2}
    for step, penalty in penalties.items():
        assert penalty == pytest.approx(0.5 * weights[step][0].square().sum().item(), rel=1e-4)


def test_examples_are_rows_of_the_data_with_their_targets():
    net = nn.Sequential(nn.Linear(D, C))

    def evaluate(f):
        (f(X[150:]).argmax(1) == Y[150:]).float().mean().item()

    harness, _, _ = run(lambda f, b: functional.cross_entropy(f(X[b]), Y[b]), net, evaluate=evaluate)
    train, evaluation = harness.parts()["examples"]
    rows = {row.numpy().tobytes(): int(label) for row, label in zip(X, Y, strict=True)}
    for seen in (train, evaluation):
        assert seen.features == D
        assert seen.shape == (D,)
        assert not seen.tokens
        assert len(seen.inputs) == len(seen.targets) == len(seen.predictions) == len(seen.step)
        for row, label in zip(seen.inputs, seen.targets, strict=True):
            assert rows[row.tobytes()] == int(label)
    assert len(np.unique(train.batch)) > 4
    assert {row.tobytes() for row in evaluation.inputs} <= {row.numpy().tobytes() for row in X[150:]}
    early = train.inputs[train.step < 8]
    assert len(np.unique(early, axis=0)) == len(early)


@pytest.mark.parametrize("kind", ["bce", "bce_with_logits"])
def test_yes_or_no(kind):
    logits = torch.randn(50, generator=torch.Generator().manual_seed(3))
    target = (torch.arange(50) % 5 == 0).float()
    given = torch.sigmoid(logits) if kind == "bce" else logits
    figures = prediction_figures(kind, given, target)
    chosen = (logits > 0).numpy()
    assert figures["accuracy"].item() == pytest.approx(accuracy_score(target.numpy() > 0.5, chosen))
    assert figures["minority_recall"].item() == pytest.approx(recall_score(target.numpy() > 0.5, chosen))


def test_quantities():
    p, t = torch.randn(40, 2), torch.randn(40, 2)
    figures = prediction_figures("mse", p, t)
    flat = (t.numpy().ravel(), p.numpy().ravel())
    assert figures["explained"].item() == pytest.approx(r2_score(*flat), rel=1e-4)
    assert figures["correlation"].item() == pytest.approx(np.corrcoef(*flat)[0, 1], abs=1e-5)
    assert figures["row_spread"].item() == pytest.approx(p.numpy().std(axis=0).mean(), rel=1e-4)


def test_sequences_of_classes():
    logits = torch.randn(5, 7, 3)
    target = torch.randint(0, 7, (5, 3))
    figures = prediction_figures("cross_entropy", logits, target)
    assert figures["accuracy"].item() == pytest.approx((logits.argmax(1) == target).float().mean().item())


def test_what_is_not_finite_is_counted_and_left_out():
    x = torch.tensor([[1.0, math.nan], [3.0, math.inf]])
    figures = plain_figures(x)
    assert figures["nonfinite"].item() == 0.5
    assert figures["mean"].item() == 2.0
    assert target_figures(torch.tensor([1, 1, 2, 5, 1]))["majority"].item() == pytest.approx(0.6)
    assert target_figures(torch.tensor([1, 1, 2, 5, 1]))["distinct"].item() == 3
    assert column_figures(torch.tensor([1, 2, 3])) == {}


def test_a_loss_of_single_numbers_is_watched_to_the_end():
    slope = nn.Linear(1, 1, bias=False)
    point = torch.tensor([2.0])
    harness, _, _ = run(lambda f, _: (f(point).squeeze() - 3.0) ** 2, slope, steps=12)
    assert len(series(harness, "train", "loss", "value")) > 4
    assert harness.parts()["losses"][0].kind == "mse"


def test_the_target_of_an_absolute_difference_is_found_too():
    onehot = functional.one_hot(Y, C).float()
    net = nn.Sequential(nn.Linear(4, C))
    harness, _, _ = run(lambda f, b: functional.l1_loss(f(X[b, :4]), onehot[b]), net, steps=20)
    majority = series(harness, "train", "target", "mean")
    assert len(majority) > 4
    assert set(majority.values()) == {0.25}
    assert set(series(harness, "train", "prediction", "accuracy")) == set(majority)
