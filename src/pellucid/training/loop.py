"""The loop: epochs of steps, evaluation after each, everything in it restorable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from pellucid.errors import RunCorruptedError, TrainingError
from pellucid.training.batches import Augmentation, Batches, batch_bounds, epoch_order, stream_seed
from pellucid.training.devices import PRECISIONS, random_state, restore_random_state
from pellucid.training.fast_linear import fast_linears, oneDNN_is_faster
from pellucid.training.measures import EpochMeasures, evaluate_loss
from pellucid.training.nonfinite import first_broken_layer
from pellucid.training.progress import EpochFigures, Progress

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from pellucid.training.schedules import Schedule
    from pellucid.training.settings import FitSettings

__all__ = ["Outcome", "Recorder", "Trainer", "steps_batch_size"]

_TOLERATED = 3
"""So many steps in a row with a loss that is not finite end the run; one alone may be an overflow in half precision."""
_LOOK_EVERY = 50
"""On an accelerator the losses are fetched and looked at every so many steps."""
_TELL_EVERY_S = 0.2


class Recorder(Protocol):
    """What the loop tells of each step and epoch: a watch, or the plain recorder of a fit without one."""

    def log(self, *, loss: Tensor | float | None = None, **values: Tensor | float) -> None:
        """The loss of the step under way."""
        ...

    def epoch(self, number: int) -> None:
        """The steps that follow belong to this epoch."""
        ...

    def log_metrics(self, split: str, values: Mapping[str, Tensor | float]) -> None:
        """Figures of an epoch that ended."""
        ...

    def event(self, kind: str, message: str) -> None:
        """Something happened."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a loop ended.

    Attributes:
        epochs: Epochs done, whole ones.
        steps: Optimizer steps done.
        stopped: Whether somebody asked it to stop before its end.
        early: Whether early stopping ended it.
        best_epoch: The epoch (counted from 1) of the lowest validation loss, 0 if there is none.
        restored: Whether the model now holds the weights of that epoch.
    """

    epochs: int
    steps: int
    stopped: bool
    early: bool
    best_epoch: int
    restored: bool


@dataclass
class _Place:
    """Where training stands."""

    epoch: int = 0  # whole epochs done
    batch: int = 0  # batches done of the epoch under way
    step: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0  # epochs since the best one
    early: bool = False


class Trainer:
    """One network in training: ``run`` goes on from where it stands; ``state`` and ``load_state`` keep and restore it.

    Args:
        model: On the device that trains.
        loss: Of (outputs, targets).
        optimizer: Over the model's parameters.
        schedule: Of the optimizer's learning rate.
        settings: Resolved.
        train: The examples to train on.
        validation: The examples to watch for early stopping; None or empty ones leave that to the training loss.
        task: ``classification`` or ``regression``.
        augmentation: Varies each batch, from a generator of its own.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        optimizer: Optimizer,
        schedule: Schedule,
        settings: FitSettings,
        *,
        train: Batches,
        validation: Batches | None = None,
        task: str = "classification",
        augmentation: Augmentation | None = None,
    ) -> None:
        self.model, self.loss, self.optimizer, self.schedule = model, loss, optimizer, schedule
        self.settings, self.task = settings, task
        self.train = train
        self.validation = validation if validation is not None and len(validation) else None
        self.augmentation = augmentation
        self.device = train.inputs.device
        self.bounds = batch_bounds(len(train), steps_batch_size(settings, len(train)), model)
        self.place = _Place()
        self.figures: dict[str, dict[str, float]] = {}  # of the last epoch
        self._measures = EpochMeasures(task, len(self.bounds), train)
        self._order = torch.empty(0, dtype=torch.int64)
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._penalised = [p for p in self._parameters if p.ndim > 1] if settings.l1 or settings.l2 else []
        self._autocast = PRECISIONS.get(settings.precision)
        scales = settings.precision == "float16"
        self._scaler = torch.amp.GradScaler(self.device.type) if scales else None
        self._augment_stream = torch.Generator(device=self.device if self.device.type != "mps" else "cpu")
        self._broken = 0  # steps in a row with a loss that is not finite
        self._looked = 0  # batches of this epoch whose losses were looked at
        self._suspect = ""  # the layer where the first of them broke

    # Going

    def run(
        self,
        recorder: Recorder,
        *,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        after: Callable[[bool], None] = lambda epoch_ended: None,
        before_restore: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Train until the planned epochs are done, early stopping ends it, or ``should_stop`` says so.

        Args:
            recorder: Is told of every step and epoch.
            progress: Shows the state to a person.
            should_stop: Asked before every step.
            after: Called after every step (False) and every epoch (True), for checkpoints; it changes nothing here.
            before_restore: Called at the end, before the best weights take the place of the last ones.

        Raises:
            TrainingError: the loss stopped being finite for several steps in a row, or the network itself raised.
        """
        progress = progress or Progress()
        progress.begin_training(epochs=self.epochs, epoch=self.place.epoch, steps_per_epoch=len(self.bounds))
        stopped = False
        plain = self.device.type == "cpu" and self._autocast is None
        try:
            with fast_linears(self.model, enabled=plain and oneDNN_is_faster()):
                while self.place.epoch < self.epochs and not self.place.early and not stopped:
                    stopped = self._epoch(recorder, progress, should_stop, after)
        finally:
            self.model.eval()
            progress.end_training()
        before_restore()
        place = self.place
        return Outcome(place.epoch, place.step, stopped, place.early, place.best_epoch, self._restore_best())

    @property
    def epochs(self) -> int:
        """Epochs planned."""
        return self.settings.epochs or 0

    def _epoch(
        self,
        recorder: Recorder,
        progress: Progress,
        should_stop: Callable[[], bool],
        after: Callable[[bool], None],
    ) -> bool:
        """What is left of one epoch; whether somebody stopped it."""
        place = self.place
        recorder.epoch(place.epoch)
        self.model.train()
        self._order = epoch_order(self.settings.seed, place.epoch, len(self.train)).to(self.device)
        told = time.monotonic()
        while place.batch < len(self.bounds):
            if should_stop():
                return True
            self._step(recorder)
            after(False)
            now = time.monotonic()
            if now - told > _TELL_EVERY_S:
                told = now
                progress.step(place.batch)
        self._look(all_of_it=True)
        figures = self.figures = self._end_epoch()
        for split, values in figures.items():
            recorder.log_metrics(split, values)
        if place.early:
            recorder.event(
                "early_stopping", f"no lower loss for {place.stale} epochs; the best was epoch {place.best_epoch}"
            )
        progress.epoch(EpochFigures(place.epoch, self.epochs, place.step, figures, place.stale == 0))
        after(True)
        return False

    def _step(self, recorder: Recorder) -> None:
        """One step of the optimizer."""
        place = self.place
        start, stop = self.bounds[place.batch]
        inputs, targets = self.train.take(self._order[start:stop])
        if self.augmentation is not None:
            self._augment_stream.manual_seed(stream_seed(self.settings.seed, 2, place.epoch, place.batch))
            inputs, targets = self.augmentation(inputs, targets, self._augment_stream)
        outputs, loss = self._backward(inputs, targets)
        self._measures.add(place.batch, start, stop, loss, outputs)
        if self.device.type == "cpu":
            self._count_broken(loss.item(), inputs)
        recorder.log(loss=loss, **self._clip())
        self._update(inputs, targets, loss)
        self.schedule.after_step()
        place.batch += 1
        place.step += 1
        self._look()

    def _backward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and loss of a batch, its gradients left in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._precision():
            outputs = self.model(inputs)
            loss = self.loss(outputs, targets)
        if self._penalised:
            loss = loss + self._penalty()
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()
        return outputs.detach(), loss.detach()

    def _update(self, inputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Let the optimizer step; one that searches gets the loss just computed as its first evaluation."""
        if self._scaler is not None:
            self._scaler.step(self.optimizer)
            self._scaler.update()
            return
        spec = self.settings.optimizer
        if spec is None or not spec.needs_closure:
            self.optimizer.step()
            return
        first = [loss]

        def closure() -> float:
            return (first.pop() if first else self._backward(inputs, targets)[1]).item()

        self.optimizer.step(closure)

    def _precision(self) -> AbstractContextManager[Any]:
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._autocast)

    def _penalty(self) -> Tensor:
        """l1 · Σ|w| + l2 · Σw² over weights; biases and normalization are left alone."""
        settings = self.settings
        total = torch.zeros((), device=self.device)
        for weight in self._penalised:
            if settings.l1:
                total = total + settings.l1 * weight.abs().sum()
            if settings.l2:
                total = total + settings.l2 * weight.square().sum()
        return total

    def _clip(self) -> dict[str, Tensor]:
        """Shorten the gradient if it is too long; its length before."""
        if not self.settings.clip:
            return {}
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)
        return {"gradient_norm": nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)}

    # Looking

    def _count_broken(self, loss: float, inputs: Tensor) -> None:
        """Count steps whose loss is not finite, and end the run after a few in a row."""
        if math.isfinite(loss):
            self._broken = 0
            return
        if not self._broken:
            self._suspect = first_broken_layer(self.model, inputs)
        self._broken += 1
        if self._broken >= _TOLERATED:
            self._give_up(self.place.step - self._broken + 1)

    def _look(self, *, all_of_it: bool = False) -> None:
        """On an accelerator: fetch the losses since the last look and end the run if they stay broken."""
        if self.device.type == "cpu":
            return
        done = self.place.batch
        if done - self._looked < (1 if all_of_it else _LOOK_EVERY):
            return
        finite = torch.isfinite(self._measures.losses[self._looked : done]).tolist()
        for offset, good in enumerate(finite):
            self._broken = 0 if good else self._broken + 1
            if self._broken >= _TOLERATED:
                inputs, _ = self.train.take(self._order[slice(*self.bounds[done - 1])])
                self._suspect = first_broken_layer(self.model, inputs)
                first = self.place.step - (done - self._looked) + offset - self._broken + 1
                self._give_up(first)
        self._looked = done

    def _give_up(self, step: int) -> None:
        raise TrainingError(
            f"the loss is not finite since step {step} (epoch {self.place.epoch + 1})",
            place=f"step {step}, layer {self._suspect}" if self._suspect else f"step {step}, the loss",
            remedy=f"use a lower learning rate, e.g. --lr {self.optimizer.param_groups[0]['lr'] / 10:.2g}, or --clip 1",
        )

    @property
    def finite(self) -> bool:
        """Whether the last loss that was looked at was finite, so that this state is worth keeping."""
        return self._broken == 0

    def _end_epoch(self) -> dict[str, dict[str, float]]:
        """Evaluate, move what moves by epochs, and say how the epoch went."""
        place = self.place
        figures = {"train": self._measures.figures(self._order)}
        watched = figures["train"]["loss"]
        if self.validation is not None:
            figures["validation"] = self.evaluate(self.validation)
            watched = figures["validation"]["loss"]
            self.model.train()
        place.epoch, place.batch, self._looked = place.epoch + 1, 0, 0
        if watched < place.best_loss:
            place.best_loss, place.best_epoch, place.stale = watched, place.epoch, 0
            place.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        else:
            place.stale += 1
            patience = self.settings.patience or 0
            place.early = 0 < patience <= place.stale
        self.schedule.after_epoch(watched)
        return figures

    def evaluate(self, batches: Batches) -> dict[str, float]:
        """Loss without penalties, and accuracy or R², over ``batches`` in evaluation mode."""
        self.model.eval()
        with torch.inference_mode(), self._precision():
            return evaluate_loss(self.model, self.loss, batches, self.task)

    def _restore_best(self) -> bool:
        """Take the best weights back where early stopping is on."""
        if not self.settings.patience or not self.place.best_weights or self.place.best_epoch == self.place.epoch:
            return False
        self.model.load_state_dict(self.place.best_weights)
        return True

    # Keeping

    def state(self) -> dict[str, Any]:
        """Everything that ``load_state`` needs to go on exactly as if nothing had happened."""
        place = self.place
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self._scaler.state_dict() if self._scaler is not None else None,
            "random": random_state(self.device),
            "place": {name: value for name, value in vars(place).items() if name != "best_weights"},
            "best_weights": place.best_weights,
            "measures": self._measures.state(place.batch),
        }

    def load_state(self, state: dict[str, Any], *, place: str = "") -> None:
        """Stand where ``state`` stood.

        Raises:
            RunCorruptedError: it is not the state of such a network, optimizer and schedule.
        """
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            if self._scaler is not None:
                self._scaler.load_state_dict(state["scaler"])
            best = {name: value.to(self.device) for name, value in state["best_weights"].items()}
            self.place = _Place(best_weights=best, **state["place"])
            self._measures.load_state(state["measures"])
            restore_random_state(state["random"], self.device)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            raise RunCorruptedError(
                f"the checkpoint does not fit this run ({error})",
                place=place,
                remedy="delete the file and resume: the run goes on from its beginning",
            ) from error
        self._looked, self._broken = self.place.batch, 0


def steps_batch_size(settings: FitSettings, examples: int) -> int:
    """Examples a step: all of them for full-batch optimizers, else as the settings say."""
    full = settings.optimizer is not None and settings.optimizer.full_batch
    return max(1, examples if full or settings.batch_size is None else min(settings.batch_size, examples))
