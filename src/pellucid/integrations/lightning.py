"""Lightning: watch a training that a ``Trainer`` runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from pellucid.watch.recorder import Watch, watch

__all__ = ["WatchCallback"]


class WatchCallback(pl.Callback):
    """Records the training into a run: ``Trainer(callbacks=[WatchCallback()])``.

    Every step's loss, learning rate and gradient norm, sampled layers, and the metrics that the module logs, the
    validation's apart. Only the first process writes.

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

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the run."""
        if trainer.is_global_zero:
            self.watched = self._open.enter_context(watch(pl_module, first_step=trainer.global_step, **self._settings))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The steps that follow belong to this epoch."""
        if self.watched is not None:
            self.watched.epoch(trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Record the batch's loss."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if self.watched is not None and isinstance(loss, Tensor):
            self.watched.log(loss=loss)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record what the module logged of its training."""
        self._record(trainer, "train")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record what the module logged of its validation."""
        if not trainer.sanity_checking:
            self._record(trainer, "validation")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the run."""
        self._open.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """End the run, saying what went wrong."""
        self._open.__exit__(type(exception), exception, exception.__traceback__)

    def _record(self, trainer: pl.Trainer, split: str) -> None:
        if self.watched is None:
            return
        mine = {name: value for name, value in trainer.callback_metrics.items() if _split_of(name) == split}
        if mine:
            self.watched.log_metrics(split, {_bare(name): value for name, value in mine.items()})


def _split_of(name: str) -> str:
    return "validation" if name.lower().startswith(("val", "valid")) else "train"


def _bare(name: str) -> str:
    """``val_acc`` and ``train/acc`` without their split."""
    for head in ("validation", "valid", "val", "training", "train"):
        for joint in ("_", "/", "."):
            if name.lower().startswith(head + joint):
                return name[len(head) + 1 :]
    return name
