"""Watched runs made by hand: a healthy one, and parts of it exchanged for faulty ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.records import GivenRecords
from pellucid.diagnosis.series import Series
from pellucid.results.watched_script import (
    CodeLine,
    ExamplesSeen,
    OptimizerGroup,
    ScriptLoss,
    ScriptModel,
    ScriptModule,
    ScriptOptimizer,
    ScriptParameter,
    SourceFile,
    TensorFacts,
    WatchedScript,
)

NAN = float("nan")
STEPS = 400
SOURCE = """\
import torch
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.0)
for epoch in range(10):
    for b in torch.randperm(1280).split(32):
        loss = criterion(net(train_x[b]), train_y[b])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""


def line(number: int) -> CodeLine:
    return CodeLine("train.py", number, SOURCE.splitlines()[number - 1].strip(), "<module>")


def falling(first: float = 2.3, last: float = 0.1, steps: int = STEPS, noise: float = 0.02) -> np.ndarray:
    """A loss that falls and comes to rest."""
    along = np.arange(steps) / steps
    return last + (first - last) * np.exp(-12 * along) + noise * np.sin(7.0 * np.arange(steps)) * last


def facts(**changed: Any) -> TensorFacts:
    usual = TensorFacts(1, "activation", (32, 4), "float32", True, -1.0, 1.0, 0.0, 0.5, 0.0, 0.0, False)
    return dataclasses.replace(usual, **changed)


def blobs(rows: int = 400, features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, class numbers of four blobs, and scores of a network that knows them."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 4, rows)
    centres = 2.0 * np.random.default_rng(99).standard_normal((4, features))
    inputs = (centres[numbers] + 0.4 * rng.standard_normal((rows, features))).astype(np.float32)
    inputs /= 2
    scores = 8.0 * np.eye(4)[numbers] - 4.0
    return inputs, numbers.astype(np.float64), scores.astype(np.float32)


def examples(phase: str = "train", seed: int = 0, **changed: Any) -> ExamplesSeen:
    inputs, targets, predictions = blobs(seed=seed)
    rows = len(inputs)
    usual = ExamplesSeen(
        phase,
        np.linspace(0, STEPS - 1, rows).astype(np.int64),
        (np.arange(rows) // 16).astype(np.int32),
        inputs,
        inputs.shape[1],
        inputs.shape[1:],
        False,
        targets,
        predictions,
    )
    return dataclasses.replace(usual, **changed)


def parameter(name: str, shape: tuple[int, ...], **changed: Any) -> ScriptParameter:
    usual = ScriptParameter(
        name, name.rpartition(".")[0], shape, "float32", True, 0, True, True, False,
        0.0, 0.1, 0.1, 0.58, True, 3.0, 4.0, 0.5,
    )  # fmt: skip
    return dataclasses.replace(usual, **changed)


def module(name: str, kind: str, **changed: Any) -> ScriptModule:
    return dataclasses.replace(ScriptModule(name, kind, "", 0, 1, True, 1.0, 0.0), **changed)


def optimizer(
    kind: str = "SGD", steps: int = STEPS, instances: int = 1, half: bool = False, **settings: Any
) -> ScriptOptimizer:
    group = OptimizerGroup({"lr": 0.05, "momentum": 0.0, "weight_decay": 0.0, **settings}, 4, 0.05)
    return ScriptOptimizer(kind, line(2), (group,), steps, instances, 1.0, 1.0, half)


def loss(kind: str = "cross_entropy", **changed: Any) -> ScriptLoss:
    usual = ScriptLoss(
        kind, line(5), line(7), "mean", {}, facts(), facts(origin="target"), (), 0, "linear", "out", 0.0, 0.0,
        (0.0, 1.0, 2.0, 3.0), False, 4, 2.3, 0.1, STEPS,
    )  # fmt: skip
    return dataclasses.replace(usual, **changed)


def model(**changed: Any) -> ScriptModel:
    usual = ScriptModel(
        "net", "Net", line(5), 500,
        (module("hidden", "Linear"), module("act", "ReLU"), module("out", "Linear")),
        (parameter("hidden.weight", (32, 6)), parameter("out.weight", (4, 32))), STEPS, 10, False,
    )  # fmt: skip
    return dataclasses.replace(usual, **changed)


def script(**changed: Any) -> WatchedScript:
    usual = WatchedScript(
        "train.py", (), "finished", "", CodeLine("", 0, "", ""), STEPS, 10, 40.0,
        (SourceFile("train.py", SOURCE),), (model(),), (optimizer(),), (), (loss(),), (), (), None,
        (examples(), examples("evaluation", seed=1)), (), 0.01, {},
    )  # fmt: skip
    return dataclasses.replace(usual, **changed)


def run(
    watched: WatchedScript | None = None,
    losses: np.ndarray | None = None,
    rates: np.ndarray | None = None,
    layers: dict[tuple[str, str], Series] | None = None,
    gradient_norms: np.ndarray | None = None,
    metrics: dict[tuple[str, str], Series] | None = None,
    observations: dict[tuple[str, str, str], Series] | None = None,
    batch: float = 32.0,
) -> Evidence:
    """A run with these parts; healthy ones where none are given."""
    losses = falling() if losses is None else losses
    steps = len(losses)
    columns = {
        "step": np.arange(steps, dtype=np.float64),
        "loss": losses,
        "learning_rate": np.full(steps, 0.05) if rates is None else rates,
        "gradient_norm": np.full(steps, 1.0) if gradient_norms is None else gradient_norms,
        "batch_size": np.full(steps, batch),
    }
    return Evidence(
        script() if watched is None else watched,
        GivenRecords(columns, observations or {}, layers or {}, metrics or {}),
    )


def series(*values: float) -> Series:
    return Series(np.linspace(0, STEPS - 1, len(values)), np.asarray(values, dtype=np.float64))
