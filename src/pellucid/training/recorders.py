"""Who listens to a loop: a watch, somebody who keeps the figures of epochs only, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from pellucid.watch.recorder import watch

if TYPE_CHECKING:
    from torch import Tensor

    from pellucid.store.writer import RunWriter
    from pellucid.training.loop import Recorder, Trainer

__all__ = ["EpochRecorder", "SilentRecorder", "recorder_for"]


class SilentRecorder:
    """Listens to nothing: for folds, whose figures are all that counts."""

    def log(self, *, loss: Tensor | float | None = None, **values: Tensor | float) -> None:
        """Nothing."""

    def epoch(self, number: int) -> None:
        """Nothing."""

    def log_metrics(self, split: str, values: Mapping[str, Tensor | float]) -> None:
        """Nothing."""

    def event(self, kind: str, message: str) -> None:
        """Nothing."""


class EpochRecorder(SilentRecorder):
    """Keeps the figures of epochs and the events, for a fit without a watch.

    Args:
        writer: The run.
        trainer: Says at which step the loop is.
    """

    def __init__(self, writer: RunWriter, trainer: Trainer) -> None:
        self._writer, self._trainer, self._epoch = writer, trainer, 0

    def epoch(self, number: int) -> None:
        """The figures that follow belong to this epoch."""
        self._epoch = number

    def log_metrics(self, split: str, values: Mapping[str, Tensor | float]) -> None:
        """Keep an epoch's figures."""
        for metric, value in values.items():
            self._writer.append(
                "metrics",
                step=self._last_step(),
                epoch=self._epoch,
                time_s=self._writer.elapsed_s(),
                split=split,
                metric=metric,
                value=float(value),
            )

    def event(self, kind: str, message: str) -> None:
        """Keep what happened."""
        time_s = self._writer.elapsed_s()
        self._writer.append("events", step=self._last_step(), time_s=time_s, kind=kind, message=message)

    def _last_step(self) -> int:
        return max(0, self._trainer.place.step - 1)


def recorder_for(trainer: Trainer, writer: RunWriter, *, watched: bool) -> AbstractContextManager[Recorder]:
    """What listens to this loop inside a ``with`` block."""
    if not watched:
        return nullcontext(EpochRecorder(writer, trainer))
    return watch(trainer.model, trainer.optimizer, writer=writer, first_step=trainer.place.step)
