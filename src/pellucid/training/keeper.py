"""Keeps checkpoints of a training run: packed between two steps, written to disk beside them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pellucid.training.checkpoints import (
    BEST,
    FINAL,
    LAST,
    Pace,
    is_snapshot_epoch,
    pack_state,
    pack_weights,
    snapshot_path,
)

if TYPE_CHECKING:
    from pellucid.store.writer import RunWriter
    from pellucid.training.loop import Trainer

__all__ = ["Keeper", "resume_point"]


class Keeper:
    """Call ``after`` after every step and epoch, ``keep`` at the end, and ``finish`` whichever way that came.

    A checkpoint may never be ahead of the tables on disk, or a resumed run would lack the rows between; so the tables
    are flushed first, in the same thread, in the same order.

    Args:
        writer: The run.
        trainer: Whose state is kept.
        settle: Makes the recorder hand over the rows that it still holds.
        pace: When one is due.
    """

    def __init__(
        self, writer: RunWriter, trainer: Trainer, *, settle: Callable[[], None], pace: Pace | None = None
    ) -> None:
        self._writer, self._trainer, self._settle = writer, trainer, settle
        self._pace = pace or Pace()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="pellucid-checkpoint")
        self._under_way: Future[None] | None = None

    def start(self) -> None:
        """Training begins or goes on: keep the starting weights of a fresh run."""
        self._pace.start()
        if self._trainer.place.step == 0:
            self._snapshot(0)

    def after(self, epoch_ended: bool) -> None:
        """Keep what is due: weights at some epochs, a checkpoint where the pace allows."""
        if epoch_ended and is_snapshot_epoch(self._trainer.place.epoch):
            self._snapshot(self._trainer.place.epoch)
        if self._pace.is_due(epoch_ended=epoch_ended) and self._is_free() and self._trainer.finite:
            self._pace.time(self.keep)

    def keep(self) -> None:
        """Pack a checkpoint now and let it be written.

        Raises:
            StorageError: an earlier one could not be written.
        """
        self._check()
        self._settle()
        place = self._trainer.place
        payload = pack_state(self._trainer.state())
        best = (
            pack_weights(place.best_weights, epoch=place.best_epoch, loss=place.best_loss)
            if place.best_weights
            else None
        )
        self._under_way = self._disk.submit(self._write, payload, best)

    def finish(self) -> None:
        """Wait until all is on disk.

        Raises:
            StorageError: something could not be written.
        """
        self._disk.shutdown(wait=True)
        self._check()

    def keep_final(self) -> None:
        """Write the weights that the run ends with, those which its evaluation and ``predict`` use."""
        place = self._trainer.place
        self._writer.put_file(FINAL, pack_weights(self._trainer.model.state_dict(), epoch=place.epoch, step=place.step))

    def _snapshot(self, epoch: int) -> None:
        """Weights after ``epoch`` epochs, for later replay."""
        self._check()
        payload = pack_weights(self._trainer.model.state_dict(), epoch=epoch, step=self._trainer.place.step)
        self._under_way = self._disk.submit(self._writer.put_file, snapshot_path(epoch), payload)

    def _write(self, payload: bytes, best: bytes | None) -> None:
        self._writer.flush()
        self._writer.put_file(LAST, payload)
        if best is not None:
            self._writer.put_file(BEST, best)

    def _is_free(self) -> bool:
        return self._under_way is None or self._under_way.done()

    def _check(self) -> None:
        """Raise what the last write raised, once."""
        if self._under_way is not None and self._under_way.done():
            done, self._under_way = self._under_way, None
            done.result()


def resume_point(state: dict[str, Any] | None) -> int:
    """The last step whose rows a run that goes on from ``state`` keeps; −1 for none."""
    return -1 if state is None else int(state["place"]["step"]) - 1
