"""Watches a model train in a plain PyTorch loop: ``with pellucid.watch(model, optimizer) as run: …``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from pellucid.capture.network_outline import OutlineObserver
from pellucid.errors import SettingsError
from pellucid.store.locations import default_runs_dir
from pellucid.store.writer import RunWriter
from pellucid.watch.environment import describe_environment
from pellucid.watch.guard import Guard
from pellucid.watch.layers import is_compiled
from pellucid.watch.sampling import Sampling
from pellucid.watch.steps import StepRecorder

if TYPE_CHECKING:
    from pellucid.store.run import Run

__all__ = ["Watch", "watch"]

_STEP_FIGURES = ("gradient_norm", "batch_size")
"""Names that ``log`` takes as figures of the step; any other is a metric of its own."""


def watch(
    model: nn.Module,
    optimizer: Optimizer | None = None,
    *,
    writer: RunWriter | None = None,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    budget: float = 0.03,
    full: bool = False,
    every: int | None = None,
    layers: list[str] | None = None,
    first_step: int = 0,
) -> Watch:
    """Record what happens inside a model while it trains, without changing it.

    Every optimiser step: loss (as you log it), learning rate, step time, gradient norm. At sampled steps, for every
    layer: its activations, gradients, weights and update, as figures and histograms. Training stays bit for bit what
    it would be; an error inside the watch is recorded as an event and switches off only the part concerned.

    Args:
        model: The network that is trained.
        optimizer: The optimiser whose steps count; None watches every optimiser that holds parameters of the model.
        writer: An open run to record into; None makes a new run and closes it at the end.
        runs_dir: Where to make the new run; None means ``$PELLUCID_RUNS`` or ``./runs``.
        name: The new run's name; None means the script's.
        budget: Share of the training time that the watch may cost, 0…1; it samples the layers as often as that allows.
        full: Every layer's activations, weights, gradient and update at every step, whatever it costs; the budget then
            decides about histograms alone.
        every: Sample the layers every so many steps instead, whatever it costs; 1 is every step.
        layers: Qualified names of the layers to sample; None for all.
        first_step: Number of the first step, for a run that goes on.

    Raises:
        SettingsError: A layer that the model does not have, a budget outside 0…1, or ``every`` below 1.

    >>> with watch(model, optimizer) as run:                    # doctest: +SKIP
    ...     for x, y in loader:
    ...         loss = F.cross_entropy(model(x), y)
    ...         optimizer.zero_grad(); loss.backward(); optimizer.step()
    ...         run.log(loss=loss)
    """
    _validate(model, budget, every, layers)
    owned = writer is None
    if writer is None:
        writer = _new_run(model, runs_dir, name)
    return Watch(
        model,
        optimizer,
        writer,
        owned=owned,
        budget=budget,
        full=full,
        every=every,
        layers=layers,
        first_step=first_step,
    )


def _validate(model: nn.Module, budget: float, every: int | None, layers: list[str] | None) -> None:
    if not 0 <= budget <= 1:
        raise SettingsError(f"the budget is a share of the training time, not {budget}", remedy="give 0…1, e.g. 0.03")
    if every is not None and every < 1:
        raise SettingsError(f"layers cannot be sampled every {every} steps", remedy="give a whole number from 1")
    known = [name for name, _ in model.named_modules() if name]
    unknown = [layer for layer in layers or [] if layer not in known]
    if unknown:
        place, remedy = type(model).__name__, f"choose from {', '.join(known)}"
        raise SettingsError(f"the model has no layer {unknown[0]!r}", place=place, remedy=remedy)


def _new_run(model: nn.Module, runs_dir: str | Path | None, name: str | None) -> RunWriter:
    script = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] not in ("", "-c", "-m") else "session"
    parameters = list(model.parameters())
    device = parameters[0].device if parameters else torch.device("cpu")
    return RunWriter.create(
        runs_dir if runs_dir is not None else default_runs_dir(),
        name=name or script,
        kind="watch",
        settings={},
        environment=describe_environment(device),
        model=type(model).__name__,
        parameters=sum(p.numel() for p in parameters),
        device=str(device),
        command=" ".join(sys.argv),
    )


class Watch:
    """A watch that is on inside its ``with`` block. Made by ``pellucid.watch``.

    Attributes:
        writer: The run that is being written.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None,
        writer: RunWriter,
        *,
        owned: bool,
        budget: float,
        every: int | None,
        layers: list[str] | None,
        first_step: int,
        full: bool = False,
    ) -> None:
        self.writer = writer
        self._owned = owned
        self._model = model
        self._optimizer = optimizer
        self._weights = {id(p) for p in model.parameters()}
        self._guard = Guard(self._report_error)
        self._steps = StepRecorder(writer, first_step=first_step)
        self._sampling = Sampling(model, writer, self._guard, budget=budget, every=every, layers=layers, full=full)
        self._budget = budget
        self._see_gradients = self._guard("norms", self._steps.see_gradients)
        self._hooks = ExitStack()
        self._outline = ExitStack()
        self._observes_outline = False
        self._in_closure = False
        self.log_metrics = self._guard("metrics", self._log_metrics)
        self._log_step = self._guard("steps", self._steps.log)
        self._settle = self._guard("steps", self._steps.flush)

    @property
    def run(self) -> Run:
        """The run as written so far, to be read."""
        from pellucid.store.run import open_run

        self._settle()
        self.writer.flush()
        return open_run(self.writer.path)

    def log(self, *, loss: Tensor | float | None = None, **values: Tensor | float) -> None:
        """Record the loss of this step, before or after ``optimizer.step()``, and any further values by name.

        ``gradient_norm`` (say, from before clipping) and ``batch_size`` stand in for what the watch would have found
        itself; other names become metrics of their own.
        """
        figures = {name: values.pop(name) for name in _STEP_FIGURES if name in values}
        if loss is not None:
            figures["loss"] = loss
        if figures:
            self._log_step(figures)
        if values:
            self.log_metrics("", values)

    def epoch(self, number: int) -> None:
        """The steps that follow belong to this epoch, counted from 0."""
        self._settle()
        self._steps.epoch = number

    def event(self, kind: str, message: str) -> None:
        """Record that something happened."""
        step, time_s = max(self._steps.next_step - 1, 0), self._steps.elapsed_s()
        self.writer.append("events", step=step, time_s=time_s, kind=kind, message=message)

    def _log_metrics(self, split: str, values: Mapping[str, Tensor | float]) -> None:
        """Record figures of merit over a split ("train", "validation", "test") after the step just finished."""
        self._settle()
        step, epoch, time_s = max(self._steps.next_step - 1, 0), self._steps.epoch, self._steps.elapsed_s()
        for metric, value in values.items():
            self.writer.append(
                "metrics",
                step=step,
                epoch=epoch,
                time_s=time_s,
                split=split,
                metric=metric,
                value=value.item() if isinstance(value, Tensor) else float(value),
            )

    # Coming and going

    def __enter__(self) -> Self:
        before_forward = self._guard("steps", self._before_forward)
        before_update = self._guard("steps", self._before_update)
        after_update = self._guard("steps", self._after_update)
        handles = [self._model.register_forward_pre_hook(before_forward)]
        if self._optimizer is None:
            handles += [
                register_optimizer_step_pre_hook(before_update),
                register_optimizer_step_post_hook(after_update),
            ]
        else:
            handles += [
                self._optimizer.register_step_pre_hook(before_update),
                self._optimizer.register_step_post_hook(after_update),
            ]
        for handle in handles:
            self._hooks.callback(handle.remove)
        self._hooks.callback(self._sampling.stop)
        if self._owned and not is_compiled(self._model):  # hooks would change what is compiled
            self._guard("outline", self._observe_outline)()
        self._sampling.start_if_due(self._steps.next_step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_observing_outline()
        self._hooks.close()
        self._settle()
        self._guard("report", self._report_cost)()
        if not self._owned:
            return
        if error is None:
            self.writer.close("finished")
        elif isinstance(error, KeyboardInterrupt):
            self.writer.close("stopped", "interrupted by the user")
        else:
            self.writer.close("failed", f"{type(error).__name__}: {error}")

    def _observe_outline(self) -> None:
        """The first training step shows the network; nothing extra is run for it."""
        observer = OutlineObserver(self._model)

        def keep() -> None:
            outline = observer.outline()
            if outline.layers:
                self.writer.put_result("network_outline", outline)

        self._outline.callback(self._guard("outline", keep))
        self._outline.enter_context(observer.observing())
        self._observes_outline = True

    def _stop_observing_outline(self) -> None:
        self._observes_outline = False
        self._outline.close()

    # What the hooks do

    def _before_forward(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        if not torch.is_grad_enabled():
            self._steps.flush()
            return
        size = next((len(a) for a in args if isinstance(a, Tensor) and a.ndim), None)
        self._steps.begin(None if self._in_closure else size)

    def _before_update(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._moves_the_model(optimizer):
            return
        if self._observes_outline:
            self._stop_observing_outline()
        # With a closure, the gradients are computed inside the step.
        self._in_closure = (args[1] if len(args) > 1 else kwargs.get("closure")) is not None
        if not self._in_closure:
            self._see_gradients_if_due(optimizer)
        if self._sampling.is_on:
            self._sampling.before_update()

    def _see_gradients_if_due(self, optimizer: Optimizer) -> None:
        if self._sampling.norms_wanted(self._steps.next_step, 1):
            self._see_gradients(optimizer, fast=self._sampling.fast)
            self._sampling.norm_taken()

    def _after_update(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._moves_the_model(optimizer):
            return
        if self._in_closure:
            self._see_gradients_if_due(optimizer)
            self._in_closure = False
        if self._sampling.is_on:
            self._sampling.after_update()
        self._sampling.earn(self._steps.finish(optimizer))
        self._sampling.start_if_due(self._steps.next_step)

    def _moves_the_model(self, optimizer: Optimizer) -> bool:
        if self._optimizer is not None:
            return True
        return any(id(p) in self._weights for group in optimizer.param_groups for p in group["params"])

    # What the watch says of itself

    def _report_error(self, part: str, error: Exception) -> None:
        self.event("watch_error", f"{part} switched off: {type(error).__name__}: {error}")

    def _report_cost(self) -> None:
        steps = self._steps.next_step
        if steps:
            self.event("watch_cost", self.account())

    def account(self) -> str:
        """What the watch cost so far and how much it looked at, in words."""
        main_s, writing_s, elapsed_s = self._guard.cost_s, self.writer.spent_s, self._steps.elapsed_s()
        spent_s, steps = main_s + writing_s, self._steps.next_step
        return (
            f"the watch took {spent_s:.2f} s of {elapsed_s:.2f} s ({spent_s / max(elapsed_s, 1e-9):.1%}; "
            f"{writing_s:.2f} s of it in the thread that writes), budget {self._budget:.1%}; "
            f"{steps:,} steps, {self._sampling.norms:,} of them with the gradient's norm; {self._sampling.account()}"
        )
