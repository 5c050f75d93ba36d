"""Suggestions suit the data's kind and size, run as they are, and do well on small real data."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from pellucid.data.prepared import Prepared, Split
from pellucid.errors import SettingsError
from pellucid.training.defaults import Suggestion, suggest
from pellucid.training.losses import build_loss
from pellucid.training.networks import build_network, default_network
from pellucid.training.optimizers import build_optimizer
from pellucid.training.schedules import build_schedule
from pellucid.training.spec import NetworkSpec, OptimizerSpec


def prepared(modality: str, shape: tuple[int, ...], examples: int, **changes: Any) -> Prepared:
    """Data of a size; what is not asked for by suggestions is left out."""
    tokens = modality == "text"
    inputs = torch.zeros((1, *shape), dtype=torch.long if tokens else torch.float32).expand(examples, *shape)
    regression = changes.pop("regression", False)
    targets = torch.zeros(examples, 1) if regression else torch.zeros(examples, dtype=torch.long)
    splits = {"train": Split(inputs, changes.pop("targets", targets), np.arange(examples))}
    return Prepared(
        modality=cast("Any", modality),
        task="regression" if regression else "classification",
        splits=splits,
        input_shape=shape,
        classes=None if regression else ("a", "b", "c"),
        target_names=("y",),
        target_scale=None,
        preparation=cast("Any", None),
        report=cast("Any", None),
        vocabulary_size=changes.pop("vocabulary_size", 50) if tokens else None,
    )


CASES = {
    "tiny table": prepared("table", (10,), 300, regression=True),
    "plane": prepared("table", (2,), 500),
    "large table": prepared("table", (30,), 200_000),
    "digits": prepared("image", (1, 8, 8), 1_257),
    "one pixel": prepared("image", (1, 1, 1), 50),
    "mnist": prepared("image", (1, 28, 28), 49_000),
    "cifar": prepared("image", (3, 32, 32), 5_000),
    "photos": prepared("image", (3, 224, 224), 300),
    "names": prepared("text", (12,), 1_000),
    "reviews": prepared("text", (400,), 5_000, vocabulary_size=10_000),
    "next token": prepared("text", (40,), 2_000, targets=torch.zeros(2_000, 40, dtype=torch.long)),
    "sine": prepared("series", (48, 1), 1_300, regression=True),
    "three windows": prepared("series", (4, 1), 3, regression=True),
}

KINDS = {
    "table": "mlp",
    "image": "cnn",
    "series": "rnn",
}


@pytest.mark.parametrize("name", CASES)
def test_suggestions_can_be_built(name: str) -> None:
    data = CASES[name]
    found = suggest(data)
    model = build_network(
        found.network, input_shape=data.input_shape, outputs=data.outputs, vocabulary_size=data.vocabulary_size
    ).eval()
    outputs = model(data.splits["train"].inputs[:2])
    assert outputs.shape[0] == 2
    assert outputs.shape[-1] == data.outputs
    optimizer = build_optimizer(found.optimizer, model)
    build_schedule(found.schedule, optimizer, 100)
    build_loss(found.loss, data.task, outputs=data.outputs)
    assert found.epochs >= 1
    assert found.batch_size >= 1
    assert found.network.kind == ("mlp" if name == "one pixel" else KINDS.get(data.modality, found.network.kind))
    assert all(reason for reason in found.reasons.values())
    assert {"network", "optimizer", "loss", "epochs", "schedule"} <= found.reasons.keys()


def test_less_data_is_regularised_more() -> None:
    small, large = suggest(CASES["tiny table"]), suggest(CASES["large table"])
    assert small.network.dropout > large.network.dropout
    assert small.optimizer.weight_decay > large.optimizer.weight_decay
    assert sum(small.network.widths) < sum(large.network.widths)
    assert small.patience > 0


def test_texts_are_read_by_length_and_target() -> None:
    assert suggest(CASES["names"]).network.kind == "rnn"
    assert suggest(CASES["names"]).network.embedding == "one_hot"
    assert suggest(CASES["reviews"]).network.kind == "bag"
    assert suggest(CASES["next token"]).network.output == "every"


def test_a_kind_asked_for_is_given() -> None:
    assert default_network(CASES["reviews"], kind="rnn").kind == "rnn"
    assert default_network(CASES["mnist"], kind="mlp").kind == "mlp"
    found = suggest(CASES["mnist"], network=NetworkSpec(widths=(10,)))
    assert found.network == NetworkSpec(widths=(10,))
    assert "network" not in found.reasons


@pytest.mark.parametrize("name", ["gradient_descent", "sgd", "rmsprop", "adagrad", "adam", "adamw", "lbfgs"])
def test_every_optimizer_gets_settings_that_hold(name: str) -> None:
    found = suggest(CASES["tiny table"], optimizer=name)
    assert found.optimizer.validate().name == name
    if found.optimizer.full_batch:
        assert found.batch_size == 300
        assert found.epochs >= 100


def test_an_optimizer_decided_on_is_left_alone() -> None:
    mine = OptimizerSpec("sgd", learning_rate=0.123, momentum=0.5)
    found = suggest(CASES["tiny table"], optimizer=mine)
    assert found.optimizer == mine
    assert "optimizer" not in found.reasons
    with pytest.raises(SettingsError, match=r"optimizer\.name"):
        suggest(CASES["tiny table"], optimizer="lion")


def train(
    data: dict[str, tuple[torch.Tensor, torch.Tensor]], found: Suggestion, outputs: int, task: str
) -> torch.Tensor:
    """A bare loop with early stopping on the best validation loss; outputs on the test split."""
    inputs, targets = data["train"]
    model = build_network(found.network, input_shape=tuple(inputs.shape[1:]), outputs=outputs)
    optimizer, loss = build_optimizer(found.optimizer, model), build_loss(found.loss, task)
    schedule = build_schedule(found.schedule, optimizer, found.epochs * -(-len(inputs) // found.batch_size))
    generator = torch.Generator().manual_seed(0)
    best, kept = float("inf"), torch.empty(0)
    for _ in range(found.epochs):
        model.train()
        for index in torch.randperm(len(inputs), generator=generator).split(found.batch_size):
            optimizer.zero_grad()
            loss(model(inputs[index]), targets[index]).backward()
            optimizer.step()
            schedule.after_step()
        model.eval()
        with torch.no_grad():
            value = float(loss(model(data["validation"][0]), data["validation"][1]))
            if value < best or found.patience == 0:
                best, kept = value, model(data["test"][0])
    return kept


def splits_of(x: np.ndarray, y: torch.Tensor, seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    order = np.random.default_rng(seed).permutation(len(x))
    parts = np.split(order, [int(0.7 * len(x)), int(0.85 * len(x))])
    mean, std = x[parts[0]].mean(axis=0), x[parts[0]].std(axis=0) + 1e-9
    scaled = torch.tensor((x - mean) / std, dtype=torch.float32)
    return {name: (scaled[part], y[part]) for name, part in zip(("train", "validation", "test"), parts, strict=True)}


def test_small_tables_do_as_well_as_linear_models() -> None:
    """Diabetes is nearly linear: a network that is regularised enough is level with ridge regression over splits."""
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score

    x, y = load_diabetes(return_X_y=True)
    target = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)[:, None]
    found = suggest(CASES["tiny table"])
    torch.manual_seed(0)
    ours, ridge = [], []
    for seed in range(5):
        data = splits_of(x, target, seed)
        ours.append(r2_score(data["test"][1], train(data, found, 1, "regression")))
        linear = RidgeCV(np.logspace(-2, 3, 11)).fit(*data["train"])
        ridge.append(linear.score(*data["test"]))
    assert np.mean(ours) > np.mean(ridge) - 0.03


def test_digits_are_read() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    data = splits_of(x.reshape(len(x), 1, 8, 8), torch.tensor(y), 0)
    mean, std = data["train"][0].mean(), data["train"][0].std()
    data = {name: ((inputs - mean) / std, targets) for name, (inputs, targets) in data.items()}
    torch.manual_seed(0)
    outputs = train(data, suggest(CASES["digits"]), 10, "classification")
    assert float((outputs.argmax(dim=1) == data["test"][1]).float().mean()) > 0.97
