"""Experiments on copies of a script's model: what extra passes can tell that the run itself cannot."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pellucid.lenses.curvature import measure_curvature

__all__ = [
    "ProbedBatch",
    "ProbedTask",
    "check_gradient",
    "compare_shuffled",
    "find_rate_range",
    "first_tensor",
    "measure_mixing",
    "measure_sharpness",
    "overfit_batch",
]

LossOf = Callable[[Any, Tensor], Tensor]
"""From what the model returned, and the target, to the loss."""

_RATES = (1e-6, 10.0)
_BLOW_UP = 4.0
"""The range test ends where the loss is so many times the lowest: Smith (2017) stops where it "diverges"."""


@dataclass(frozen=True)
class ProbedBatch:
    """One batch as the script gave it."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    target: Tensor


@dataclass(frozen=True)
class ProbedTask:
    """A model, its loss, some of its batches, and how it is optimised. Nothing of the script's is changed.

    Attributes:
        initial: The model before training, a copy.
        trained: The model after it.
        loss: From output and target.
        batches: At least one.
        make_optimizer: For a model's parameters at a learning rate, of the script's own kind and settings.
        rate: The script's learning rate.
    """

    initial: nn.Module
    trained: nn.Module
    loss: LossOf
    batches: Sequence[ProbedBatch]
    make_optimizer: Callable[[nn.Module, float], Optimizer]
    rate: float

    def value(self, model: nn.Module, batch: ProbedBatch) -> Tensor:
        """The loss of a batch."""
        return self.loss(model(*batch.args, **batch.kwargs), batch.target)


def measure_mixing(task: ProbedTask) -> float:
    """How much an example's output depends on the other examples of its batch, in evaluation mode: 0 when not at all.

    The other rows of the batch are replaced by copies of the first; what changes in the first row's output, relative to
    its size, is the answer. A softmax, mean or norm over the batch axis, or a reshape across it, shows here.
    nan where the batch has one row or the output is not made of the batch's rows.
    """
    batch = task.batches[0]
    with _experiment(task.trained, training=False) as model, torch.no_grad():
        rows = len(batch.target)
        whole = first_tensor(model(*batch.args, **batch.kwargs))
        alone = first_tensor(
            model(*_first_row_everywhere(batch.args, rows), **_first_row_everywhere(batch.kwargs, rows))
        )
        if whole is None or alone is None or rows < 2 or whole.shape[:1] != (rows,) or alone.shape != whole.shape:
            return math.nan
        scale = float(whole.abs().max())
        return float((whole[0] - alone[0]).abs().max()) / scale if scale > 0 else 0.0


def check_gradient(task: ProbedTask, *, step: float = 1e-5) -> float:
    """Relative difference of autograd's slope along a direction from the central difference, in float64.

    Errors above 1e-3 or so come from a custom backward pass that is wrong, from detached parts, or from a kink at the
    very point. Dropout is off; batch normalisation uses its stored statistics.
    """
    batch = _as_double(task.batches[0])
    with _experiment(task.trained, training=False) as model, torch.enable_grad():
        model.double()
        moved = [p for p in model.parameters() if p.requires_grad]
        generator = torch.Generator().manual_seed(0)
        directions = [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.device) for p in moved]
        task.value(model, batch).backward()
        slope = sum(float((p.grad * d).sum()) for p, d in zip(moved, directions, strict=True) if p.grad is not None)
        values = []
        for sign in (step, -step):
            with torch.no_grad():
                for p, d in zip(moved, directions, strict=True):
                    p.add_(d, alpha=sign)
                values.append(float(task.value(model, batch)))
                for p, d in zip(moved, directions, strict=True):
                    p.add_(d, alpha=-sign)
        difference = (values[0] - values[1]) / (2 * step)
        return abs(slope - difference) / max(abs(slope), abs(difference), 1e-12)


def overfit_batch(task: ProbedTask, *, steps: int = 150) -> tuple[float, float]:
    """The loss of one batch at the start, and after so many steps on it alone: a well wired network learns it."""
    losses = _train(task, [task.batches[0]] * steps, training=False)
    return losses[0], min(losses[-10:])


def compare_shuffled(task: ProbedTask, *, steps: int = 150) -> tuple[float, float]:
    """The loss reached on the batches, and on them with shuffled targets: alike if the inputs say nothing."""
    generator = torch.Generator().manual_seed(0)
    every = torch.cat([batch.target for batch in task.batches])
    mixed = every[torch.randperm(len(every), generator=generator).to(every.device)]
    parts = mixed.split([len(batch.target) for batch in task.batches])
    shuffled = [ProbedBatch(b.args, b.kwargs, part) for b, part in zip(task.batches, parts, strict=True)]
    ends = []
    for batches in (list(task.batches), shuffled):
        rounds = math.ceil(steps / len(batches))
        losses = _train(task, batches * rounds, training=False)
        ends.append(sum(losses[-len(batches) :]) / len(batches))
    return ends[0], ends[1]


def find_rate_range(task: ProbedTask, *, steps: int = 80) -> tuple[list[float], list[float]]:
    """Learning rates from 1e-6 up to 10, each a step longer than the last, and the losses met; ended where it blows up.

    Source: Smith (2017), "Cyclical learning rates for training neural networks", section 3.3.
    """
    rates, losses = [], []
    low, high = _RATES
    growth = (high / low) ** (1 / max(1, steps - 1))
    with _experiment(task.initial, training=True) as model, torch.enable_grad():
        optimizer = task.make_optimizer(model, low)
        for index in range(steps):
            rate = low * growth**index
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = _step(task, model, optimizer, task.batches[index % len(task.batches)])
            if not math.isfinite(loss) or (losses and loss > max(_BLOW_UP * min(losses), 2 * losses[0])):
                break
            rates.append(rate)
            losses.append(loss)
    return rates, losses


def measure_sharpness(task: ProbedTask) -> float:
    """The largest eigenvalue of the loss's Hessian over the batches: gradient descent overshoots above 2 ÷ rate."""
    batches = [(batch.args[0], batch.target) for batch in task.batches if len(batch.args) == 1 and not batch.kwargs]
    if not batches:
        return math.nan
    with _experiment(task.trained, training=False) as model:
        return measure_curvature(model, batches, task.loss, trace=0, density=0, steps=30, tolerance=1e-2).sharpness


def _train(task: ProbedTask, batches: Sequence[ProbedBatch], *, training: bool) -> list[float]:
    """The losses of training a copy of the untrained model on these batches in turn."""
    with _experiment(task.initial, training=training) as model, torch.enable_grad():
        optimizer = task.make_optimizer(model, task.rate)
        return [_step(task, model, optimizer, batch) for batch in batches]


def _step(task: ProbedTask, model: nn.Module, optimizer: Optimizer, batch: ProbedBatch) -> float:
    optimizer.zero_grad()
    loss = task.value(model, batch)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@contextmanager
def _experiment(model: nn.Module, *, training: bool) -> Iterator[nn.Module]:
    """A copy to play with; random draws inside leave the script's streams alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield copy.deepcopy(model).train(training)


def first_tensor(output: Any) -> Tensor | None:
    """The first floating tensor in what a model returned."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, list | tuple) else ()
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


def _first_row_everywhere(values: Any, rows: int) -> Any:
    """The same arguments with each row of a batch replaced by its first."""
    if isinstance(values, Tensor):
        return values[:1].expand_as(values).clone() if values.ndim and len(values) == rows else values
    if isinstance(values, dict):
        return {name: _first_row_everywhere(value, rows) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(_first_row_everywhere(value, rows) for value in values)
    return values


def _as_double(batch: ProbedBatch) -> ProbedBatch:
    def double(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.double() if value.is_floating_point() else value
        if isinstance(value, dict):
            return {name: double(one) for name, one in value.items()}
        return type(value)(double(one) for one in value) if isinstance(value, list | tuple) else value

    return ProbedBatch(double(batch.args), double(batch.kwargs), double(batch.target))
