"""Small trainers and recorders that the training tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pellucid.training.batches import Batches
from pellucid.training.loop import Trainer
from pellucid.training.losses import build_loss
from pellucid.training.optimizers import build_optimizer
from pellucid.training.schedules import build_schedule
from pellucid.training.settings import FitSettings
from pellucid.training.spec import LossSpec, NetworkSpec, OptimizerSpec, ScheduleSpec

CPU = torch.device("cpu")


class ListRecorder:
    """Remembers what the loop tells it."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.values: list[dict[str, float]] = []
        self.metrics: list[tuple[str, dict[str, float]]] = []
        self.epochs: list[int] = []
        self.events: list[tuple[str, str]] = []

    def log(self, *, loss: Any = None, **values: Any) -> None:
        self.losses.append(float(loss))
        self.values.append({name: float(value) for name, value in values.items()})

    def epoch(self, number: int) -> None:
        self.epochs.append(number)

    def log_metrics(self, split: str, values: Any) -> None:
        self.metrics.append((split, dict(values)))

    def event(self, kind: str, message: str) -> None:
        self.events.append((kind, message))


def settings(**changes: Any) -> FitSettings:
    base = FitSettings(
        network=NetworkSpec(),
        optimizer=OptimizerSpec(name="sgd", learning_rate=0.1),
        loss=LossSpec(),
        schedule=ScheduleSpec(),
        epochs=3,
        batch_size=8,
        patience=0,
        clip=0.0,
        precision="float32",
        device="cpu",
    )
    return replace(base, **changes)


def examples(count: int = 50, task: str = "classification", seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 6, generator=generator)
    signal = inputs[:, :2] @ torch.tensor([[1.0, -1.0], [0.5, 2.0]])
    if task == "regression":
        return inputs, signal + 0.1 * torch.randn(count, 2, generator=generator)
    return inputs, (signal[:, 0] > 0).long() + (signal[:, 1] > 1).long()


def network(outputs: int = 3, dropout: float = 0.0, batch_norm: bool = False, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        middle = [nn.BatchNorm1d(16)] if batch_norm else []
        drop = [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(nn.Linear(6, 16), *middle, nn.ReLU(), *drop, nn.Linear(16, outputs))


def trainer(
    chosen: FitSettings, *, task: str = "classification", count: int = 50, augmentation: Any = None, **shape: Any
) -> Trainer:
    model = network(outputs=2 if task == "regression" else 3, **shape)
    inputs, targets = examples(count, task)
    held_inputs, held_targets = examples(40, task, seed=1)
    assert chosen.optimizer is not None
    assert chosen.schedule is not None
    assert chosen.loss is not None
    optimizer = build_optimizer(chosen.optimizer, model)
    full = chosen.optimizer.full_batch
    per_epoch = 1 if full else -(-count // (chosen.batch_size or count))
    return Trainer(
        model,
        build_loss(chosen.loss, task, outputs=3),
        optimizer,
        build_schedule(chosen.schedule, optimizer, per_epoch * (chosen.epochs or 0)),
        chosen,
        train=Batches.from_tensors(inputs, targets, None, CPU),
        validation=Batches.from_tensors(held_inputs, held_targets, None, CPU),
        task=task,
        augmentation=augmentation,
    )


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    mine, other = first.state_dict(), second.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)
