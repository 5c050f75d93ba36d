"""Where to start training from: the loss while the learning rate grows exponentially, on a copy of the network."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from pellucid.errors import SettingsError, TrainingError
from pellucid.results.learning_rate_range import LearningRateRange
from pellucid.training.devices import random_state, restore_random_state
from pellucid.training.optimizers import build_optimizer

if TYPE_CHECKING:
    from torch import Tensor

    from pellucid.training.spec import OptimizerSpec

__all__ = ["measure_learning_rate_range", "suggest_rate"]

_MEMORY = 0.9
"""Weight of the past in the moving average of the loss."""
_DIVERGED = 4.0
"""The test ends where the smoothed loss is so many times its minimum."""


def measure_learning_rate_range(
    model: nn.Module,
    loss: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: OptimizerSpec,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
) -> LearningRateRange:
    """At which learning rates does this network learn, and where does it diverge?

    The rate of step i is ``low · (high / low)^(i / (steps − 1))``. The loss is smoothed by an exponential moving
    average with bias correction, ``s_i = 0.9 s_{i−1} + 0.1 L_i``, ``ŝ_i = s_i / (1 − 0.9^{i+1})``. The model, its mode
    and torch's random state are left as they were.

    Args:
        model: A copy of it is trained.
        loss: Of (outputs, targets).
        batches: (inputs, targets) on the model's device; used again from the first when they run out.
        optimizer: Its kind and constants; its learning rate is not used.
        low: First rate.
        high: Last rate.
        steps: Batches at most, at least 10.

    Returns:
        The curve, and a rate to train with: the geometric mean of the one where the smoothed loss fell fastest and a
        tenth of the one where it was lowest, within a 30th and a third of the latter. Its error is that of one short
        run: about a factor of 3.

    Raises:
        SettingsError: The rates or steps make no range.
        TrainingError: The loss is not finite even at the lowest rate.

    Source: Smith 2017, "Cyclical learning rates for training neural networks", section 3.3.
    """
    if not (0 < low < high and steps >= 10):
        raise SettingsError(
            f"{steps} steps from {low} to {high} are no range",
            place="learning-rate test",
            remedy="use 0 < low < high, steps ≥ 10",
        )
    device = next(model.parameters()).device
    before = random_state(device)
    try:
        rates, losses, smoothed, diverged_at = _climb(
            copy.deepcopy(model), loss, _endless(batches), optimizer, np.geomspace(low, high, steps)
        )
    finally:
        restore_random_state(before, device)
    if len(rates) < 2:
        raise TrainingError(
            "the loss is not finite at the lowest learning rate",
            place="learning-rate test, step 0",
            remedy="check the inputs for huge values, or use another initialization",
        )
    suggestion, steepest, reason = suggest_rate(rates, smoothed, diverged_at)
    return LearningRateRange(
        learning_rate=rates,
        loss=losses,
        smoothed_loss=smoothed,
        suggestion=suggestion,
        steepest=steepest,
        diverged_at=diverged_at,
        optimizer=optimizer.name,
        reason=reason,
    )


def _climb(
    model: nn.Module,
    loss: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    spec: OptimizerSpec,
    rates: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float | None]:
    """Train ``model`` (a copy) with growing rates until the end or divergence."""
    model.train()
    stepper = build_optimizer(spec, model)
    losses: list[float] = []
    smoothed: list[float] = []
    average, diverged_at = 0.0, None
    for number, (rate, (inputs, targets)) in enumerate(zip(rates, batches, strict=False)):
        for group in stepper.param_groups:
            group["lr"] = float(rate)

        def evaluate(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
            stepper.zero_grad(set_to_none=True)
            value = loss(model(inputs), targets)
            value.backward()
            return value

        value = float(evaluate().detach())
        average = _MEMORY * average + (1 - _MEMORY) * value
        corrected = average / (1 - _MEMORY ** (number + 1))
        if not math.isfinite(corrected) or (smoothed and corrected > _DIVERGED * min(smoothed)):
            diverged_at = float(rate)
            break
        losses.append(value)
        smoothed.append(corrected)
        if spec.needs_closure:
            stepper.step(lambda: float(evaluate().detach()))
        else:
            stepper.step()
    return rates[: len(losses)], np.array(losses), np.array(smoothed), diverged_at


def suggest_rate(rates: np.ndarray, smoothed: np.ndarray, diverged_at: float | None) -> tuple[float, float, str]:
    """The rate to train with, the one where the smoothed loss falls fastest per decade, and why, in a sentence.

    The moving average begins with few batches, whose differences say nothing of the rate: the first tenth is passed
    over, and slopes are taken across a sixth of the range, for batches differ. Where the loss never fell, nothing can
    be read off and the geometric middle of the range is named.
    """
    settled = min(max(1, len(smoothed) // 10), len(smoothed) - 1)
    lowest = settled + int(smoothed[settled:].argmin())
    reach = max(1, len(smoothed) // 12)
    ahead, behind = np.arange(settled, lowest + 1) + reach, np.arange(settled, lowest + 1) - reach
    ahead, behind = np.minimum(ahead, lowest), np.maximum(behind, 0)
    decades = np.maximum(np.log10(rates[ahead] / rates[behind]), np.finfo(float).tiny)
    steepest = float(rates[settled + int(((smoothed[ahead] - smoothed[behind]) / decades).argmin())])
    if lowest == settled or smoothed[lowest] > 0.98 * smoothed[settled]:
        middle = float(np.sqrt(rates[0] * rates[-1]))
        return (
            _round(middle),
            steepest,
            "the loss hardly fell at any rate, so this is the middle of the range: see the data",
        )
    best = float(rates[lowest])
    suggestion = min(max(math.sqrt(steepest * best / 10), best / 30), best / 3)
    ending = f", and it diverged at {diverged_at:.2g}" if diverged_at is not None else ""
    reason = f"the smoothed loss fell fastest at {steepest:.2g} and was lowest at {rates[lowest]:.2g}{ending}"
    return _round(suggestion), steepest, reason


def _round(rate: float) -> float:
    """Two significant digits: the test knows no more."""
    return float(f"{rate:.2g}")


def _endless(batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    kept = list(batches) if not isinstance(batches, list) else batches
    if not kept:
        raise SettingsError(
            "there is no batch to test learning rates on", place="learning-rate test", remedy="give at least one"
        )
    return chain.from_iterable(repeat(kept))
