"""Experiments on copies: each says what it should of a network whose answer is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pellucid.watch.probes import (
    ProbedBatch,
    ProbedTask,
    check_gradient,
    compare_shuffled,
    find_rate_range,
    measure_mixing,
    measure_sharpness,
    overfit_batch,
)


def _task(model: nn.Module, x: Tensor, y: Tensor, loss: Any, rate: float = 0.1, size: int = 20) -> ProbedTask:
    batches = [ProbedBatch((a,), {}, b) for a, b in zip(x.split(size), y.split(size), strict=True)]
    return ProbedTask(model, model, loss, batches, lambda net, lr: torch.optim.SGD(net.parameters(), lr=lr), rate)


def _blobs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    y = torch.arange(80) % 2
    return torch.randn(80, 4) + 3.0 * y[:, None], y


class _OverTheBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.linear(x), dim=0)


def test_mixing_shows_a_softmax_over_the_batch() -> None:
    x, y = _blobs()
    assert measure_mixing(_task(nn.Linear(4, 2), x, y, nn.functional.cross_entropy)) == 0.0
    assert measure_mixing(_task(_OverTheBatch(), x, y, nn.functional.nll_loss)) > 0.01
    assert math.isnan(measure_mixing(_task(nn.Linear(4, 2), x[:1], y[:1], nn.functional.cross_entropy)))


class _WrongSquare(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * x  # without the 2


class _Squared(nn.Module):
    def __init__(self, square: Any) -> None:
        super().__init__()
        self.linear, self.square = nn.Linear(4, 2), square

    def forward(self, x: Tensor) -> Tensor:
        return self.square(self.linear(x))


def test_the_gradient_check_finds_a_wrong_backward() -> None:
    x, y = _blobs()
    torch.manual_seed(1)
    assert check_gradient(_task(_Squared(torch.square), x, y, nn.functional.cross_entropy)) < 1e-6
    assert check_gradient(_task(_Squared(_WrongSquare.apply), x, y, nn.functional.cross_entropy)) > 0.1


def test_a_batch_is_learned_by_heart_unless_nothing_can_move() -> None:
    x, y = _blobs()
    torch.manual_seed(1)
    first, last = overfit_batch(_task(nn.Linear(4, 2), x, y, nn.functional.cross_entropy))
    assert last < 0.2 * first
    first, last = overfit_batch(_task(nn.Sequential(nn.Linear(4, 2), nn.Softmax(1)), x, y, nn.functional.cross_entropy))
    assert last > 0.31  # log(1 + 1/e): as far as a doubled softmax lets the loss fall


def test_shuffled_targets_are_worse_only_where_inputs_tell_something() -> None:
    x, y = _blobs()
    torch.manual_seed(1)
    real, shuffled = compare_shuffled(_task(nn.Linear(4, 2), x, y, nn.functional.cross_entropy))
    assert real < 0.3 < shuffled
    noise = torch.randn(80, 4)
    real, shuffled = compare_shuffled(_task(nn.Linear(4, 2), noise, y, nn.functional.cross_entropy))
    assert abs(real - shuffled) < 0.1


def test_the_range_ends_where_gradient_descent_must_diverge() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 3)
    model = nn.Linear(3, 1, bias=False)
    task = _task(model, x, torch.randn(40, 1), nn.functional.mse_loss, size=40)
    sharpness = measure_sharpness(task)
    hessian = 2 * x.T @ x / 40
    assert sharpness == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-2)
    rates, losses = find_rate_range(task)
    assert losses[-1] > losses[0] or rates[-1] > 2 / sharpness
    assert rates[-1] < 10.0


def test_the_model_and_its_random_stream_stay_as_they_are() -> None:
    x, y = _blobs()
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    before = [p.clone() for p in model.parameters()]
    task = _task(model, x, y, nn.functional.cross_entropy)
    state = torch.get_rng_state()
    for probe in (overfit_batch, compare_shuffled, find_rate_range, measure_mixing, check_gradient, measure_sharpness):
        probe(task)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model.training
