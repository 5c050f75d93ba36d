"""Gathers what the probes need while a script runs, and probes when it has ended."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from pellucid.watch import probes
from pellucid.watch.probes import ProbedBatch, ProbedTask
from pellucid.watch.script_events import Phase, ScriptContext, ScriptObserver

__all__ = ["ProbingScript"]

_LOSSES = frozenset(
    {
        functional.cross_entropy,
        functional.nll_loss,
        functional.binary_cross_entropy,
        functional.binary_cross_entropy_with_logits,
        functional.mse_loss,
        functional.l1_loss,
        functional.smooth_l1_loss,
        functional.huber_loss,
    }
)
_MOST_BATCHES = 12


class ProbingScript(ScriptObserver):
    """Keeps the untrained model and some batches; at the end writes observations of the phase ``probe``.

    It needs a model whose output, as it is or reshaped, goes into one of torch's own loss functions; else an event says
    why nothing was probed.
    """

    part = "probes"

    def __init__(self, context: ScriptContext) -> None:
        super().__init__(context)
        self._initial: dict[int, nn.Module] = {}
        self._passed: tuple[nn.Module, tuple[Any, ...], dict[str, Any], Tensor] | None = None
        self._root: nn.Module | None = None
        self._shape: tuple[int, ...] = ()
        self._loss: Callable[[Tensor, Tensor], Tensor] | None = None
        self._batches: list[ProbedBatch] = []

    def forward_begins(
        self, root: nn.Module, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], phase: Phase
    ) -> None:
        """Copy the model before its first step."""
        if index >= 0 and id(root) not in self._initial and not self.context.step:
            self._initial[id(root)] = copy.deepcopy(root)

    def forward_ends(  # noqa: PLR0917  # the event's own arguments
        self, root: nn.Module, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, phase: Phase
    ) -> None:
        """Remember what went in and came out, until the loss function is called."""
        tensor = probes.first_tensor(output)
        if phase == "train" and self.context.learning and tensor is not None and id(root) in self._initial:
            self._passed = (root, args, kwargs, tensor)

    def called(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Take the batch whose output has come to a loss function."""
        if function not in _LOSSES or self._passed is None or len(self._batches) >= _MOST_BATCHES:
            return
        root, given, named, output = self._passed
        prediction, target = _arguments(args, kwargs)
        if prediction is None or target is None or prediction.numel() != output.numel() or not prediction.requires_grad:
            return
        if self._root is not None and (root is not self._root or prediction.shape[1:] != self._shape):
            return
        settings = {name: value for name, value in kwargs.items() if name not in ("input", "target")}
        self._root, self._shape = root, tuple(prediction.shape[1:])
        self._loss = lambda found, aimed: function(found.reshape(-1, *self._shape), aimed, *args[2:], **settings)
        self._batches.append(ProbedBatch(_kept(given), _kept(named), target.detach().clone()))
        self._passed = None

    def backward_ends(self, loss: Tensor, step: int) -> None:
        """Whatever was passed on belongs to the past."""
        self._passed = None

    def ended(self, error: BaseException | None) -> None:
        """Probe."""
        if self._root is None or self._loss is None or not self._batches:
            self._say("nothing was probed: no model's output goes straight into one of torch's loss functions")
            return
        task = self._task(self._root, self._loss)
        for name, measure in _PROBES.items():
            try:
                for quantity, value in measure(task).items():
                    self._write(name, quantity, value)
            except Exception as problem:  # one probe's trouble is no other's
                self._say(f"{name} could not be probed: {type(problem).__name__}: {problem}")

    def _task(self, root: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> ProbedTask:
        mine = {id(p) for p in root.parameters()}
        held = [o for o in self.context.optimizers if any(id(p) in mine for g in o.param_groups for p in g["params"])]
        rate = float(held[0].param_groups[0]["lr"]) if held else 0.01

        def value(output: Any, target: Tensor) -> Tensor:
            tensor = probes.first_tensor(output)
            assert tensor is not None
            return loss(tensor, target)

        return ProbedTask(
            initial=self._initial[id(root)],
            trained=root,
            loss=value,
            batches=self._batches,
            make_optimizer=lambda model, lr: _like(held[0] if held else None, model, lr),
            rate=rate,
        )

    def _write(self, subject: str, quantity: str, value: float) -> None:
        self.context.writer.append(
            "observations", step=self.context.step, phase="probe", subject=subject, quantity=quantity, value=value
        )

    def _say(self, message: str) -> None:
        self.context.writer.append("events", step=max(self.context.step - 1, 0), kind="probe", message=message)


def _mixing(task: ProbedTask) -> dict[str, float]:
    return {"share": probes.measure_mixing(task)}


def _gradient(task: ProbedTask) -> dict[str, float]:
    return {"relative_error": probes.check_gradient(task)}


def _one_batch(task: ProbedTask) -> dict[str, float]:
    first, last = probes.overfit_batch(task)
    return {"first": first, "last": last}


def _shuffled(task: ProbedTask) -> dict[str, float]:
    real, mixed = probes.compare_shuffled(task)
    return {"real": real, "shuffled": mixed}


def _rates(task: ProbedTask) -> dict[str, float]:
    rates, losses = probes.find_rate_range(task)
    if not losses:
        return {"used": task.rate, "largest": math.nan, "suggested": math.nan}
    best = rates[min(range(len(losses)), key=losses.__getitem__)]
    # Smith's rule of thumb: below the rate at which the loss is lowest, by an order of magnitude.
    return {"used": task.rate, "largest": rates[-1], "suggested": best / 10}


def _sharpness(task: ProbedTask) -> dict[str, float]:
    sharpness = probes.measure_sharpness(task)
    return {"eigenvalue": sharpness, "rate_times_eigenvalue": sharpness * task.rate}


_PROBES: dict[str, Callable[[ProbedTask], dict[str, float]]] = {
    "mixing": _mixing,
    "gradient_check": _gradient,
    "one_batch": _one_batch,
    "shuffled_targets": _shuffled,
    "rate_range": _rates,
    "sharpness": _sharpness,
}


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor | None, Tensor | None]:
    prediction = args[0] if args else kwargs.get("input")
    target = args[1] if len(args) > 1 else kwargs.get("target")
    return (
        prediction if isinstance(prediction, Tensor) else None,
        target if isinstance(target, Tensor) else None,
    )


def _kept(value: Any) -> Any:
    """The same structure with tensors copied, so that the script may overwrite its own."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _kept(one) for name, one in value.items()}
    return type(value)(_kept(one) for one in value) if type(value) in (list, tuple) else value


def _like(optimizer: Optimizer | None, model: nn.Module, rate: float) -> Optimizer:
    """An optimiser of the same kind and settings for a copy; plain gradient descent where that cannot be made."""
    moved = [p for p in model.parameters() if p.requires_grad]
    if optimizer is None or type(optimizer) is torch.optim.LBFGS:
        return SGD(moved, lr=rate)
    settings = {name: value for name, value in optimizer.param_groups[0].items() if name in optimizer.defaults}
    try:
        return type(optimizer)(moved, **{**settings, "lr": rate})
    except TypeError:
        return SGD(moved, lr=rate)
