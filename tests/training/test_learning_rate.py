"""The range test finds the stability limit of a quadratic, smooths as its formula says, and leaves everything alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import SettingsError, TrainingError
from pellucid.training.learning_rate import measure_learning_rate_range, suggest_rate
from pellucid.training.losses import build_loss
from pellucid.training.spec import LossSpec, OptimizerSpec
from tests.training.training_toys import examples, network, same_weights


class Quadratic(nn.Module):
    """f(w) = ½ Σ λ w²: gradient descent diverges for rates above 2 / max λ and nowhere below."""

    def __init__(self, curvatures):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(1, len(curvatures), dtype=torch.float64))
        self.curvatures = torch.tensor(curvatures, dtype=torch.float64)

    def forward(self, inputs):
        return 0.5 * (self.curvatures * self.weights.square()).sum()


class Itself(nn.Module):
    def forward(self, outputs, targets):
        return outputs


ONE_BATCH = [(torch.zeros(1), torch.zeros(1))]
DESCENT = OptimizerSpec(name="gradient_descent")


@pytest.mark.parametrize("curvature", [0.5, 10.0, 200.0])
def test_the_stability_limit_of_a_quadratic(curvature):
    found = measure_learning_rate_range(
        Quadratic([curvature, curvature / 3]), Itself(), ONE_BATCH, DESCENT, low=1e-4, high=1e3, steps=300
    )
    limit = 2 / curvature
    assert found.diverged_at is not None
    assert limit < found.diverged_at < 10 * limit
    assert limit / 30 < found.suggestion < limit
    assert found.steepest < limit


def test_losses_and_smoothing_follow_the_formula():
    found = measure_learning_rate_range(Quadratic([1.0]), Itself(), ONE_BATCH, DESCENT, low=1e-3, high=0.5, steps=20)
    rates = 1e-3 * 500 ** (np.arange(20) / 19)
    np.testing.assert_allclose(found.learning_rate, rates)
    weight = np.cumprod(np.concatenate([[1.0], 1 - rates[:-1]]))
    np.testing.assert_allclose(found.loss, 0.5 * weight**2)
    average, expected = 0.0, []
    for number, loss in enumerate(found.loss):
        average = 0.9 * average + 0.1 * loss
        expected.append(average / (1 - 0.9 ** (number + 1)))
    np.testing.assert_allclose(found.smoothed_loss, expected)
    assert found.diverged_at is None


def test_model_optimizer_mode_and_random_state_are_untouched():
    model = network(dropout=0.5, batch_norm=True)
    model.eval()
    before, state = copy.deepcopy(model), torch.get_rng_state()
    inputs, targets = examples()
    batches = [(inputs[:25], targets[:25]), (inputs[25:], targets[25:])]
    first = measure_learning_rate_range(model, build_loss(LossSpec(), "classification"), batches, OptimizerSpec())
    assert same_weights(model, before)
    assert not model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())
    again = measure_learning_rate_range(model, build_loss(LossSpec(), "classification"), batches, OptimizerSpec())
    assert first.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("name", ["sgd", "adam", "lbfgs", "rmsprop"])
def test_the_suggestion_trains(name):
    model, loss = network(), build_loss(LossSpec(), "classification")
    inputs, targets = examples(200)
    batches = [(inputs[start : start + 40], targets[start : start + 40]) for start in range(0, 200, 40)]
    spec = OptimizerSpec(name=name)
    found = measure_learning_rate_range(model, loss, batches, spec)
    from dataclasses import replace

    from pellucid.training.optimizers import build_optimizer

    optimizer = build_optimizer(replace(spec, learning_rate=found.suggestion), model)
    start = loss(model(inputs), targets).item()

    for _ in range(5):
        for batch, answer in batches:

            def closure(batch=batch, answer=answer):
                optimizer.zero_grad()
                value = loss(model(batch), answer)
                value.backward()
                return value

            optimizer.step(closure)
    assert loss(model(inputs), targets).item() < 0.6 * start


def test_a_flat_loss_says_so():
    suggestion, _, reason = suggest_rate(np.geomspace(1e-4, 1, 20), np.ones(20), None)
    assert suggestion == pytest.approx(0.01)
    assert "hardly fell" in reason


def test_bad_ranges_and_broken_networks_are_refused():
    with pytest.raises(SettingsError):
        measure_learning_rate_range(Quadratic([1.0]), Itself(), ONE_BATCH, DESCENT, low=1.0, high=0.1)
    with pytest.raises(SettingsError):
        measure_learning_rate_range(Quadratic([1.0]), Itself(), [], DESCENT)
    with pytest.raises(TrainingError):
        measure_learning_rate_range(Quadratic([float("nan")]), Itself(), ONE_BATCH, DESCENT)
