"""From prepared data and resolved settings to a trainer, and to a tested learning rate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pellucid.data.augment import build_augmentation
from pellucid.errors import DataError
from pellucid.training.batches import Batches, batch_bounds, epoch_order
from pellucid.training.devices import choose_device, choose_precision
from pellucid.training.initialization import initialize
from pellucid.training.learning_rate import measure_learning_rate_range
from pellucid.training.loop import Trainer, steps_batch_size
from pellucid.training.losses import build_loss
from pellucid.training.optimizers import build_optimizer
from pellucid.training.schedules import build_schedule
from pellucid.training.spec import LossSpec, OptimizerSpec, ScheduleSpec
from pellucid.training.trained import NetworkCard, network_of

if TYPE_CHECKING:
    from torch import nn

    from pellucid.data.prepared import Prepared
    from pellucid.results.learning_rate_range import LearningRateRange
    from pellucid.training.settings import FitSettings

__all__ = ["build_model", "build_trainer", "decide", "loss_spec", "rate_range"]

_MOST_TEST_BYTES = 256 << 20
_TEST_STEPS = 100
_EXAMPLES_FOR_LSUV = 256
_WORTH_THREADS = 1 << 22
"""Parameters times examples of a batch: below this a step takes well under a millisecond on one thread."""


def decide(settings: FitSettings, prepared: Prepared) -> tuple[FitSettings, tuple[str, ...]]:
    """Every choice made, device, precision and threads included; and what was chosen, in sentences."""
    device = choose_device(settings.device)
    resolved, notes = settings.resolve_with_notes(prepared)
    decided = replace(resolved, device=str(device), precision=choose_precision(settings.precision, device))
    return replace(decided, threads=settings.threads or _suitable_threads(prepared, decided)), notes


def _suitable_threads(prepared: Prepared, settings: FitSettings) -> int:
    """One for a step so small that threads would mostly wait for each other, else as many as torch has."""
    parameters = sum(p.numel() for p in network_of(NetworkCard.of(prepared), settings).parameters())
    batch = steps_batch_size(settings, len(prepared.splits["train"]))
    return 1 if parameters * batch < _WORTH_THREADS else torch.get_num_threads()


def build_model(prepared: Prepared, settings: FitSettings) -> nn.Module:
    """The network with its starting weights, on the device of the settings."""
    model = network_of(NetworkCard.of(prepared), settings)
    device = torch.device(settings.device)
    if settings.network is not None and settings.network.initialization == "lsuv":
        first = Batches.of(prepared, "train", torch.device("cpu")).take(torch.arange(_sample_size(prepared)))[0]
        initialize(model, settings.network, first, seed=settings.seed)
    return model.to(device)


def build_trainer(prepared: Prepared, settings: FitSettings) -> Trainer:
    """A trainer that stands at the beginning.

    Raises:
        DataError: there is no training example.
    """
    device = torch.device(settings.device)
    train = Batches.of(prepared, "train", device)
    if len(train) == 0:
        raise DataError("there is no training example", place=prepared.report.source, remedy="give more rows")
    model = build_model(prepared, settings)
    optimizer = build_optimizer(settings.optimizer or OptimizerSpec(), model)
    steps = len(batch_bounds(len(train), steps_batch_size(settings, len(train)), model)) * (settings.epochs or 0)
    names = settings.data.augment
    classes = len(prepared.classes) if prepared.classes is not None else None
    return Trainer(
        model,
        _loss(prepared, settings, device),
        optimizer,
        build_schedule(settings.schedule or ScheduleSpec(), optimizer, steps),
        settings,
        train=train,
        validation=Batches.of(prepared, "validation", device) if "validation" in prepared.splits else None,
        task=prepared.task,
        augmentation=build_augmentation(names, prepared.modality, classes=classes) if names else None,
    )


def loss_spec(settings: FitSettings, task: str) -> LossSpec:
    """The loss, named."""
    return (settings.loss or LossSpec()).resolve(task)


def _loss(prepared: Prepared, settings: FitSettings, device: torch.device) -> nn.Module:
    counts = None
    if prepared.classes is not None:
        targets = prepared.splits["train"].targets.cpu().numpy().ravel()
        counts = np.bincount(targets[targets >= 0], minlength=len(prepared.classes))
    spec = loss_spec(settings, prepared.task)
    return build_loss(spec, prepared.task, outputs=prepared.outputs, class_counts=counts).to(device)


def rate_range(prepared: Prepared, settings: FitSettings) -> tuple[FitSettings, LearningRateRange]:
    """Measure the learning-rate range of a fresh network; the settings with the rate that it suggests."""
    device = torch.device(settings.device)
    train, model = Batches.of(prepared, "train", device), build_model(prepared, settings)
    bounds = batch_bounds(len(train), steps_batch_size(settings, len(train)), model)
    order = epoch_order(settings.seed, 0, len(train)).to(device)
    each = max(1, (bounds[0][1] - bounds[0][0]) * train.inputs[:1].numel() * 4)
    kept = max(1, min(_TEST_STEPS, _MOST_TEST_BYTES // each))
    spec = settings.optimizer or OptimizerSpec()
    found = measure_learning_rate_range(
        model,
        _loss(prepared, settings, device),
        [train.take(order[start:stop]) for start, stop in bounds[:kept]],
        spec,
        steps=_TEST_STEPS,
    )
    return replace(settings, optimizer=replace(spec, learning_rate=found.suggestion)), found


def _sample_size(prepared: Prepared) -> int:
    return min(_EXAMPLES_FOR_LSUV, len(prepared.splits["train"]))
