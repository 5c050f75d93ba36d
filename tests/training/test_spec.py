"""Specs refuse what is wrong, by name, and survive JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pellucid.errors import SettingsError
from pellucid.training.spec import LossSpec, NetworkSpec, OptimizerSpec, ScheduleSpec, Spec

WRONG: list[tuple[type[Spec], dict[str, Any], str]] = [
    (NetworkSpec, {"kind": "transformer"}, "network.kind"),
    (NetworkSpec, {"widths": (64, 0)}, "network.widths"),
    (NetworkSpec, {"widths": (64, 2.5)}, "network.widths"),
    (NetworkSpec, {"widths": 64}, "network.widths"),
    (NetworkSpec, {"activation": "swish"}, "network.activation"),
    (NetworkSpec, {"dropout": 1.0}, "network.dropout"),
    (NetworkSpec, {"dropout": float("nan")}, "network.dropout"),
    (NetworkSpec, {"kernel_size": 4}, "network.kernel_size"),
    (NetworkSpec, {"kind": "cnn", "channels": ()}, "network.channels"),
    (NetworkSpec, {"kind": "rnn", "normalization": "batch"}, "network.normalization"),
    (NetworkSpec, {"embedding": "word2vec"}, "network.embedding"),
    (NetworkSpec, {"embedding": 0}, "network.embedding"),
    (NetworkSpec, {"residual": 1}, "network.residual"),
    (NetworkSpec, {"hidden": True}, "network.hidden"),
    (OptimizerSpec, {"name": "lion"}, "optimizer.name"),
    (OptimizerSpec, {"learning_rate": 0.0}, "optimizer.learning_rate"),
    (OptimizerSpec, {"learning_rate": "fast"}, "optimizer.learning_rate"),
    (OptimizerSpec, {"name": "adam", "momentum": 0.9}, "optimizer.momentum"),
    (OptimizerSpec, {"name": "sgd", "nesterov": True}, "optimizer.nesterov"),
    (OptimizerSpec, {"name": "lbfgs", "weight_decay": 0.1}, "optimizer.weight_decay"),
    (OptimizerSpec, {"beta1": 1.0}, "optimizer.beta1"),
    (LossSpec, {"name": "focal"}, "loss.name"),
    (LossSpec, {"class_weights": (1.0, -1.0)}, "loss.class_weights"),
    (LossSpec, {"class_weights": "equal"}, "loss.class_weights"),
    (LossSpec, {"name": "hinge", "label_smoothing": 0.1}, "loss.label_smoothing"),
    (LossSpec, {"huber_delta": 0.0}, "loss.huber_delta"),
    (ScheduleSpec, {"name": "linear"}, "schedule.name"),
    (ScheduleSpec, {"warmup": 1.0}, "schedule.warmup"),
    (ScheduleSpec, {"factor": 1.0}, "schedule.factor"),
    (ScheduleSpec, {"name": "one_cycle", "final": 0.0}, "schedule.final"),
]


@pytest.mark.parametrize(
    ("kind", "values", "place"), WRONG, ids=lambda value: str(value) if isinstance(value, str) else ""
)
def test_wrong_values_are_named(kind: type[Spec], values: dict[str, Any], place: str) -> None:
    with pytest.raises(SettingsError) as caught:
        kind(**values).validate()
    assert caught.value.place == place
    assert repr(values[place.split(".")[1]]) in caught.value.message
    assert caught.value.remedy.startswith("use ")


def test_the_message_lists_what_is_allowed() -> None:
    with pytest.raises(SettingsError) as caught:
        NetworkSpec(activation="swish").validate()  # type: ignore[arg-type]  # that is the point
    assert "silu" in caught.value.remedy
    with pytest.raises(SettingsError, match="no setting of a network") as caught:
        NetworkSpec.from_dict({"width": [3]})
    assert "widths" in caught.value.remedy


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(kind="cnn", channels=(3, 5), head_widths=(4,), embedding="one_hot"),
        OptimizerSpec(name="sgd", momentum=0.9, nesterov=True),
        LossSpec(class_weights=(1.0, 2.0)),
        LossSpec(class_weights="balanced"),
        ScheduleSpec(name="one_cycle", warmup=0.1),
    ],
    ids=lambda spec: type(spec).__name__,
)
def test_json_brings_a_spec_back(spec: Spec) -> None:
    assert type(spec).from_dict(json.loads(json.dumps(dataclasses.asdict(spec)))) == spec


def test_defaults_are_valid() -> None:
    for kind in (NetworkSpec, OptimizerSpec, LossSpec, ScheduleSpec):
        assert kind().validate() == kind()


def test_auto_loss_follows_the_task() -> None:
    assert LossSpec().resolve("classification").name == "cross_entropy"
    assert LossSpec().resolve("regression").name == "mse"
    assert LossSpec(name="mae").resolve("regression").name == "mae"
