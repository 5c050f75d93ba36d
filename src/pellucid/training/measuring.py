"""Where training leads, measured while it goes there: the geometry lenses at epochs evenly spaced on a log axis.

What is measured is a twin of the network that takes over its weights, and every random stream is put back, so that the
training goes on bit for bit as if nobody had looked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pellucid.capture.features import find_classifier
from pellucid.errors import DataError, PellucidError, SettingsError
from pellucid.lenses.geometry_history import measure_geometry_history
from pellucid.store.run import open_run
from pellucid.training.assembly import build_model
from pellucid.training.batches import Batches
from pellucid.training.devices import random_state, restore_random_state
from pellucid.training.label_noise import Flips, flips_of
from pellucid.training.lens_figures import LENS_FIGURES, Scene
from pellucid.training.measures import collect_outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pellucid.data.prepared import Prepared
    from pellucid.store.writer import RunWriter
    from pellucid.training.loop import Trainer
    from pellucid.training.settings import FitSettings

__all__ = ["GeometryMeasurer", "check_lenses", "is_measured_epoch"]

_MOST_ZEROS = 16
"""A training error that comes and goes is measured at so many of its first zeros; a network is measured there too."""


def is_measured_epoch(epoch: int) -> bool:
    """Whether the lenses look after so many epochs: two a doubling, evenly spaced on a logarithmic axis.

    >>> [epoch for epoch in range(100) if is_measured_epoch(epoch)]
    [0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91]
    """
    return epoch == 0 or epoch == round(2 ** (round(2 * math.log2(epoch)) / 2))


def check_lenses(prepared: Prepared, settings: FitSettings) -> None:
    """Raise before training what the lenses would only find out during it.

    Raises:
        SettingsError: the examples do not have one class each, or the network or its inputs do not suit a lens.
    """
    if not settings.lenses:
        return
    train = prepared.splits["train"]
    if prepared.classes is None or train.targets.ndim != 1:
        raise SettingsError(
            "the lenses along training are about classes, and the examples do not have one class each",
            place="lenses",
            remedy="leave them out; of a regression, measure the finished run with `pellucid measure collapse RUN`",
        )
    example, _ = Batches.of(prepared, "train", torch.device("cpu")).take(torch.arange(min(2, len(train))))
    if "robustness" in settings.lenses and not example.is_floating_point():
        raise SettingsError(
            "the inputs are tokens, to which nothing small can be added", place="lenses", remedy="leave out robustness"
        )
    if {"collapse", "margins"} & set(settings.lenses):
        with _undisturbed(torch.device(settings.device)):
            find_classifier(build_model(prepared, settings), example.to(settings.device))


@contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside the block, torch's random streams go on afterwards as if nothing had been."""
    before = random_state(device)
    try:
        yield
    finally:
        restore_random_state(before, device)


@dataclass(frozen=True)
class _Errors:
    """How a network does on one split."""

    loss: float
    error: float
    predicted: Tensor


class GeometryMeasurer:
    """Call ``start`` before training and ``after_epoch`` at every epoch's end; rows go into the table ``geometry``.

    Training errors, in evaluation mode, are taken at every epoch, so that the first one without an error is found; the
    lenses look at epochs by ``is_measured_epoch``, at the last, and whenever the training error becomes 0.

    Args:
        trainer: Whose network is measured.
        prepared: What it trains on.
        settings: Resolved.
        writer: The run.
        event: Is told what could not be measured.
    """

    def __init__(
        self,
        trainer: Trainer,
        prepared: Prepared,
        settings: FitSettings,
        writer: RunWriter,
        event: Callable[[str, str], None],
    ) -> None:
        self._trainer, self._settings, self._writer, self._event = trainer, settings, writer, event
        with _undisturbed(trainer.device):
            self._twin: nn.Module = build_model(prepared, settings).eval()
        self._start = [parameter.detach().clone() for parameter in self._twin.parameters()]
        self._flips = flips_of(prepared, settings)
        self._splits = {"train": trainer.train}
        held = next((name for name in ("test", "validation") if len(prepared.splits.get(name, ()))), None)
        if held is not None:
            self._splits[held] = (
                trainer.validation
                if held == "validation" and trainer.validation is not None
                else Batches.of(prepared, held, trainer.device)
            )
        self._held_at_every_epoch = trainer.validation is None
        self._was_zero = False
        self._zeros = 0
        self._told: set[str] = set()
        self._spent_s = 0.0
        self._began_s = time.perf_counter()

    def start(self) -> None:
        """Training begins or goes on: look at the untrained network, or find out what was seen before."""
        if self._trainer.place.step == 0:
            self._look()
            return
        rows = open_run(self._writer.location).table("geometry", columns=["split", "quantity", "value"]).to_pylist()
        for row in rows:
            if row["split"] == "train" and row["quantity"] == "error":
                self._note_zero(row["value"])

    def after_epoch(self) -> None:
        """An epoch ended: take its errors, and look through the lenses if they are due."""
        self._look()

    def finish(self) -> None:
        """Say what it cost."""
        whole = time.perf_counter() - self._began_s
        if whole > 0:
            self._event("lens_cost", f"the lenses took {self._spent_s:.2f} s of {whole:.2f} s")

    def _look(self) -> None:
        began = time.perf_counter()
        trainer, place = self._trainer, self._trainer.place
        with _undisturbed(trainer.device):
            try:
                self._twin.load_state_dict(trainer.model.state_dict())
                first = self._take_errors("train")
                last = place.early or place.epoch >= trainer.epochs
                due = is_measured_epoch(place.epoch) or last or first
                for split in self._splits:
                    if split != "train" and (due or self._held_at_every_epoch):
                        self._take_errors(split)
                self._take_weights()
                if due:
                    self._look_through_lenses()
                    self._publish()
            except Exception as error:  # whatever happens here, the training goes on
                self._tell("lens_error", f"epoch {place.epoch} could not be measured: {_said(error)}")
        self._spent_s += time.perf_counter() - began

    def _look_through_lenses(self) -> None:
        """Every lens on every split; what one of them cannot measure, the others still do."""
        for lens in self._settings.lenses:
            for split, batches in self._splits.items():
                centres = self._splits["train"] if split != "train" else None
                scene = Scene(self._twin, batches, split, centres)
                try:
                    for layer, quantity, value in LENS_FIGURES[lens](scene):
                        if math.isfinite(value):
                            self._keep(split, lens, layer, quantity, value)
                except Exception as error:
                    self._tell("lens_error", f"{lens} on {split} could not be measured: {_said(error)}")

    def _take_errors(self, split: str) -> bool:
        """Loss and error of a split; whether the training error has become 0 just now."""
        batches = self._splits[split]
        found = self._errors(batches)
        self._keep(split, "errors", "", "loss", found.loss)
        self._keep(split, "errors", "", "error", found.error)
        if split != "train":
            return False
        if self._flips is not None:
            self._take_memory(self._flips, found.predicted, batches.targets)
        return self._note_zero(found.error)

    def _take_memory(self, flips: Flips, predicted: Tensor, targets: Tensor) -> None:
        """How many of the clean and of the changed labels the network gives back, and how many it sees through."""
        flipped = torch.zeros(len(targets), dtype=torch.bool, device=targets.device)
        flipped[torch.as_tensor(flips.places, device=targets.device)] = True
        right = predicted == targets
        true = torch.as_tensor(flips.true, device=targets.device)
        shares = {
            "accuracy_clean": right[~flipped],
            "accuracy_flipped": right[flipped],
            "accuracy_flipped_true": predicted[flipped] == true,
        }
        for quantity, values in shares.items():
            if len(values):
                self._keep("train", "errors", "", quantity, float(values.double().mean()))

    def _note_zero(self, error: float) -> bool:
        became = error == 0 and not self._was_zero
        self._was_zero = error == 0
        self._zeros += became
        return became and self._zeros <= _MOST_ZEROS

    def _errors(self, batches: Batches) -> _Errors:
        with torch.inference_mode():
            outputs = collect_outputs(self._twin, batches)
            if not bool(torch.isfinite(outputs).all()):
                raise DataError("the network's outputs are not finite", place="model")
            loss = float(self._trainer.loss(outputs, batches.targets))
            predicted = outputs.argmax(dim=1)
            error = float((predicted != batches.targets).double().mean())
        return _Errors(loss, error, predicted)

    def _take_weights(self) -> None:
        """How far the weights are from where they started, and how long they are."""
        pairs = list(zip(self._twin.parameters(), self._start, strict=True))
        moved = sum(float((now.detach() - then).double().square().sum()) for now, then in pairs)
        length = sum(float(now.detach().double().square().sum()) for now, _ in pairs)
        self._keep("", "weights", "", "distance", math.sqrt(moved))
        self._keep("", "weights", "", "norm", math.sqrt(length))

    def _keep(self, split: str, lens: str, layer: str, quantity: str, value: float) -> None:
        place = self._trainer.place
        self._writer.append(
            "geometry",
            step=max(0, place.step - 1),
            epoch=place.epoch,
            split=split,
            lens=lens,
            layer=layer,
            quantity=quantity,
            value=value,
        )

    def _publish(self) -> None:
        """Put what is known so far where the app shows it."""
        self._writer.flush()
        history = measure_geometry_history(open_run(self._writer.location))
        self._writer.put_result("geometry_history", history)

    def _tell(self, kind: str, message: str) -> None:
        """Say it once."""
        if message not in self._told:
            self._told.add(message)
            self._event(kind, message)


def _said(error: Exception) -> str:
    return error.message if isinstance(error, PellucidError) else f"{type(error).__name__}: {error}"
