"""One run from its folder to its figures: what a fresh fit and a resumed one have in common."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pellucid.capture.network_outline import trace_network_outline
from pellucid.errors import PellucidError, StorageError
from pellucid.store.run import Run, open_run
from pellucid.training.assembly import build_trainer, loss_spec
from pellucid.training.batches import stream_seed
from pellucid.training.checkpoints import LAST
from pellucid.training.cross_validation import cross_validate
from pellucid.training.figures import evaluate_split, headlines
from pellucid.training.keeper import Keeper
from pellucid.training.label_noise import LABEL_NOISE_FILE, flips_of, label_noise_file
from pellucid.training.measuring import GeometryMeasurer
from pellucid.training.progress import Progress
from pellucid.training.recorders import recorder_for
from pellucid.training.stopping import StopRequest
from pellucid.training.trained import NETWORK_FILE, NetworkCard

if TYPE_CHECKING:
    from pellucid.data.prepared import Prepared
    from pellucid.store.writer import RunWriter
    from pellucid.training.loop import Outcome, Recorder, Trainer
    from pellucid.training.settings import FitSettings

__all__ = ["Session"]

_SPLITS = ("train", "validation", "test")


@dataclass
class Session:
    """A run that is being written.

    Attributes:
        source: The data, as ``prepare`` takes it.
        prepared: The data, prepared.
        settings: Resolved.
        writer: The run.
        progress: Shows a person what happens.
    """

    source: str
    prepared: Prepared
    settings: FitSettings
    writer: RunWriter
    progress: Progress

    def run(self, state: dict[str, Any] | None = None) -> Run:
        """Train, from ``state`` or from the beginning, evaluate, and close the run, however that goes.

        Raises:
            TrainingError: the loss stopped being finite; the run is kept and says so.
            StorageError: the disk is full; what was written is kept.
        """
        try:
            status, message = self._work(state)
        except KeyboardInterrupt:
            self._close_after("stopped", f"interrupted; {self._how_to_resume()}")
            self.progress.warn(f"Interrupted; {self._how_to_resume()}")
            raise
        except PellucidError as error:
            self._close_after("failed", error.message)
            raise
        except BaseException as error:
            self._close_after("failed", f"{type(error).__name__}: {error}")
            raise
        self.writer.close(status, message)
        return open_run(self.writer.location)

    def _close_after(self, status: Any, message: str) -> None:
        """Close the run because of an error, which matters more than one of closing."""
        try:
            self.writer.close(status, message)
        except StorageError as error:
            self.progress.warn(error.message)

    def _work(self, state: dict[str, Any] | None) -> tuple[Any, str]:
        """The run's status and message at the end."""
        trainer = build_trainer(self.prepared, self.settings)
        self.describe(trainer)
        if state is None:
            torch.manual_seed(stream_seed(self.settings.seed, 3))
        else:
            trainer.load_state(state, place=f"{self.writer.location}/{LAST}")
        outcome = self._train(trainer)
        self._evaluate(trainer)
        if self.settings.data.folds and not outcome.stopped:
            self._cross_validate()
        if outcome.stopped:
            return "stopped", f"stopped after {outcome.steps} steps; {self._how_to_resume()}"
        if outcome.early:
            best = (
                f"the weights are those of epoch {outcome.best_epoch}"
                if outcome.restored
                else "the last weights are kept"
            )
            return "finished", f"stopped early after {outcome.epochs} epochs; {best}"
        return "finished", ""

    def _how_to_resume(self) -> str:
        return f"go on with `pellucid fit --resume {self.writer.id}`"

    def describe(self, trainer: Trainer) -> None:
        """Write what the run is about: the data, how it was split and prepared, the network."""
        prepared, writer = self.prepared, self.writer
        writer.put_result("data_report", prepared.report)
        writer.put_file(NETWORK_FILE, NetworkCard.of(prepared).to_bytes())
        writer.put_file("splits.parquet", _splits_file(prepared))
        with tempfile.TemporaryDirectory() as folder:
            prepared.preparation.save(Path(folder))
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    writer.put_file(f"preparation/{file.relative_to(folder).as_posix()}", file.read_bytes())
        flips = flips_of(prepared, self.settings)
        if flips is not None:
            writer.put_file(LABEL_NOISE_FILE, label_noise_file(prepared, flips))
        example, _ = trainer.train.take(torch.zeros(2, dtype=torch.int64, device=trainer.device))
        writer.put_result("network_outline", trace_network_outline(trainer.model, example))

    def _train(self, trainer: Trainer) -> Outcome:
        self.progress.stage("training")
        with recorder_for(trainer, self.writer, watched=self.settings.watch) as recorder, StopRequest() as asked:
            keeper = Keeper(self.writer, trainer, settle=lambda: recorder.epoch(trainer.place.epoch))
            recorder.event("resumed" if trainer.place.step else "started", _position(trainer))
            self._tell_label_noise(recorder, trainer)
            measurer = (
                GeometryMeasurer(trainer, self.prepared, self.settings, self.writer, recorder.event)
                if self.settings.lenses
                else None
            )

            def after(epoch_ended: bool) -> None:
                if epoch_ended and measurer is not None:
                    measurer.after_epoch()  # first: a checkpoint may never be ahead of the tables
                keeper.after(epoch_ended)
                if epoch_ended:
                    self._tell(trainer)

            try:
                keeper.start()
                if measurer is not None:
                    measurer.start()
                outcome = trainer.run(
                    recorder, progress=self.progress, should_stop=asked, after=after, before_restore=keeper.keep
                )
            finally:
                keeper.finish()
            if measurer is not None:
                measurer.finish()
        self._tell(trainer)
        keeper.keep_final()
        return outcome

    def _tell_label_noise(self, recorder: Recorder, trainer: Trainer) -> None:
        """Say in a fresh run how many labels were changed."""
        flips = flips_of(self.prepared, self.settings)
        if flips is not None and not trainer.place.step:
            count = len(self.prepared.splits["train"])
            recorder.event("label_noise", f"{len(flips):,} of {count:,} training labels were changed on purpose")

    def _tell(self, trainer: Trainer) -> None:
        """Bring the manifest up to date."""
        figures = {
            f"{split}_{name}": value for split, values in trainer.figures.items() for name, value in values.items()
        }
        self.writer.update(epoch=trainer.place.epoch, step=trainer.place.step, metrics=figures)

    def _evaluate(self, trainer: Trainer) -> None:
        self.progress.stage("evaluating")
        loss = loss_spec(self.settings, self.prepared.task)
        if trainer.validation is not None:  # the last epoch's is another one where the best weights were restored
            self.writer.update(metrics={"validation_loss": trainer.evaluate(trainer.validation)["loss"]})
        for split in _SPLITS:
            found = evaluate_split(trainer.model, self.prepared, split, loss=loss, device=trainer.device)
            if found is not None:
                self.writer.put_result(f"evaluation_{split}", found)
                self.writer.update(metrics=headlines(found))

    def _cross_validate(self) -> None:
        found = cross_validate(self.source, self.settings, progress=self.progress)
        self.writer.put_result("cross_validation", found)
        spread = {f"folds_{name}": value for name, value in found.mean.items()}
        self.writer.update(metrics=spread | {f"folds_{name}_std": value for name, value in found.std.items()})


def _position(trainer: Trainer) -> str:
    return f"epoch {trainer.place.epoch + 1} of {trainer.epochs}, step {trainer.place.step}"


def _splits_file(prepared: Prepared) -> bytes:
    """Parquet with one line an example: its row in the source, and its split."""
    parts = [(split, part.rows) for split, part in prepared.splits.items()]
    rows = pa.concat_arrays([pa.array(rows, pa.int64()) for _, rows in parts])
    names = pa.concat_arrays([pa.array([split] * len(rows), pa.string()) for split, rows in parts])
    buffer = io.BytesIO()
    pq.write_table(pa.table({"row": rows, "split": names}), buffer)
    return buffer.getvalue()
