"""Transformers: watch a training that its ``Trainer`` runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pellucid.watch.recorder import Watch, watch

__all__ = ["WatchCallback"]


class WatchCallback(TrainerCallback):
    """Records the training into a run: ``Trainer(..., callbacks=[WatchCallback()])``.

    Every step's loss as the model gives it (of several accumulated batches the last), learning rate and gradient norm,
    sampled layers, and what the trainer logs and evaluates. Only the first process writes.

    Args:
        runs_dir: Where to make the run; None means ``$PELLUCID_RUNS`` or ``./runs``.
        name: The run's name.
        budget: Share of the training time that the watch may cost.
    """

    def __init__(self, runs_dir: str | Path | None = None, *, name: str | None = None, budget: float = 0.03) -> None:
        self._settings: dict[str, Any] = {"runs_dir": runs_dir, "name": name, "budget": budget}
        self._open = ExitStack()
        self.watched: Watch | None = None
        """The watch, once training has begun."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin the run."""
        model = kwargs.get("model")
        if state.is_world_process_zero and isinstance(model, nn.Module):
            self.watched = self._open.enter_context(watch(model, first_step=state.global_step, **self._settings))
            self._open.callback(model.register_forward_hook(self._see_loss).remove)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The steps that follow belong to this epoch."""
        if self.watched is not None:
            self.watched.epoch(int(state.epoch or 0))

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Record what the trainer logs of its training."""
        logs = kwargs.get("logs") or {}
        mine = {name: value for name, value in logs.items() if not name.startswith("eval_") and _is_number(value)}
        if self.watched is not None and mine:
            self.watched.log_metrics("train", mine)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Record an evaluation."""
        figures = kwargs.get("metrics") or {}
        mine = {name.removeprefix("eval_"): value for name, value in figures.items() if _is_number(value)}
        if self.watched is not None and mine:
            self.watched.log_metrics("validation", mine)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the run."""
        self._open.close()

    def _see_loss(self, model: nn.Module, inputs: Any, output: Any) -> None:
        loss = output.get("loss") if isinstance(output, dict) else getattr(output, "loss", None)
        if model.training and self.watched is not None and isinstance(loss, Tensor) and loss.numel() == 1:
            self.watched.log(loss=loss.detach())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
