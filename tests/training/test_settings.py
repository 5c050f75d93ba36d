"""Settings come back exactly from JSON, take changes by name, and are completed from the data."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from pellucid.data.load import prepare
from pellucid.data.settings import DataSettings
from pellucid.errors import SettingsError
from pellucid.training.settings import FitSettings
from pellucid.training.spec import LossSpec, NetworkSpec, OptimizerSpec, ScheduleSpec

some = st.builds(
    FitSettings,
    data=st.builds(
        DataSettings,
        target=st.none() | st.text(max_size=5),
        drop=st.lists(st.text(max_size=3), max_size=2).map(tuple),
        split=st.just((0.6, 0.2, 0.2)),
        folds=st.integers(0, 5),
    ),
    network=st.none()
    | st.builds(
        NetworkSpec,
        widths=st.lists(st.integers(1, 99), max_size=3).map(tuple),
        dropout=st.floats(0, 0.9),
        embedding=st.integers(1, 9) | st.just("one_hot"),
    ),
    optimizer=st.none() | st.builds(OptimizerSpec, learning_rate=st.floats(1e-9, 10)),
    loss=st.none() | st.builds(LossSpec, class_weights=st.sampled_from(["none", "balanced", (1.0, 2.5)])),
    schedule=st.none() | st.builds(ScheduleSpec, name=st.sampled_from(["step", "cosine", "plateau"])),
    epochs=st.none() | st.integers(0, 100),
    clip=st.none() | st.floats(0, 10),
    l1=st.floats(0, 1),
    rate_test=st.booleans(),
    seed=st.integers(0, 2**40),
    choices=st.sampled_from([{}, {"network": {"widths": (3, 4), "residual": True}}]),
)


@trials(max_examples=100, deadline=None)
@given(some)
def test_json_round_trip_is_exact(settings):
    document = json.loads(json.dumps(settings.to_json()))
    assert FitSettings.from_json(document) == settings


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"epoch": 3}, "settings"),
        ({"data": {"taget": "y"}}, "data"),
        ({"network": {"width": 3}}, "network"),
        ({"epochs": "many"}, "epochs"),
        ({"epochs": -1}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"precision": "float8"}, "precision"),
        ({"l1": float("nan")}, "l1"),
        ({"optimizer": {"learning_rate": -1}}, "learning_rate"),
    ],
)
def test_what_is_no_setting_is_refused_with_its_place(document, place):
    with pytest.raises(SettingsError) as caught:
        FitSettings.from_json(document)
    assert place in caught.value.place
    assert caught.value.remedy


def test_changes_find_their_place_by_name():
    changed = FitSettings().with_changes(
        target="y", widths=[8, 4], network="mlp", optimizer="sgd", momentum=0.9, epochs=7, loss="huber", schedule="step"
    )
    assert changed.data.target == "y"
    assert changed.epochs == 7
    assert changed.choices == {
        "network": {"kind": "mlp", "widths": (8, 4)},
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "loss": {"name": "huber"},
        "schedule": {"name": "step"},
    }
    assert not changed.resolved


def test_a_change_to_a_spec_that_is_there_goes_into_it():
    start = FitSettings(network=NetworkSpec(widths=(5,)), optimizer=OptimizerSpec())
    changed = start.with_changes(dropout=0.5, learning_rate=0.2)
    assert changed.network == NetworkSpec(widths=(5,), dropout=0.5)
    assert changed.optimizer == OptimizerSpec(learning_rate=0.2)
    whole = changed.with_changes(network=NetworkSpec(widths=(1,)), optimizer=None)
    assert whole.network == NetworkSpec(widths=(1,))
    assert whole.optimizer is None


@pytest.mark.parametrize(
    "changes",
    [
        {"wide": 3},
        {"network": 3},
        {"network": "perceptron"},
        {"activation": "reglu"},
        {"learning_rate": -1},
        {"optimizer": {"speed": 3}},
        {"dropout": 1.5},
        {"seed": -1},
    ],
)
def test_changes_that_cannot_be_are_refused_before_any_data_is_read(changes):
    with pytest.raises(SettingsError):
        FitSettings().with_changes(**changes)


@pytest.fixture(scope="module")
def iris():
    return prepare("iris")


def test_everything_open_is_decided_and_said(iris):
    resolved, notes = FitSettings().resolve_with_notes(iris)
    assert resolved.resolved
    assert resolved.loss == LossSpec(name="cross_entropy")
    assert any(note.startswith("network: ") for note in notes)
    assert resolved.resolve(iris) == resolved
    assert FitSettings.from_json(resolved.to_json()) == resolved


def test_what_was_decided_stays_and_is_not_explained(iris):
    chosen = FitSettings(epochs=3, patience=0).with_changes(widths=(7,), optimizer="sgd", learning_rate=0.5)
    resolved, notes = chosen.resolve_with_notes(iris)
    assert (resolved.epochs, resolved.patience) == (3, 0)
    assert resolved.network is not None
    assert resolved.network.widths == (7,)
    assert resolved.optimizer is not None
    assert (resolved.optimizer.name, resolved.optimizer.learning_rate) == ("sgd", 0.5)
    assert not any(note.startswith(("network", "optimizer", "epochs")) for note in notes)


def test_widths_suit_the_kind_of_network():
    digits = prepare("digits")
    resolved = FitSettings().with_changes(network="cnn", widths=(4, 8)).resolve(digits)
    assert resolved.network is not None
    assert resolved.network.channels == (4, 8)
    names = prepare("names")
    resolved = FitSettings().with_changes(network="rnn", widths=(12, 12)).resolve(names)
    assert resolved.network is not None
    assert (resolved.network.hidden, resolved.network.layers) == (12, 2)
    with pytest.raises(SettingsError, match="equally wide"):
        FitSettings().with_changes(network="rnn", widths=(12, 6)).resolve(names)


def test_lbfgs_neither_clips_nor_trains_in_half_precision(iris):
    assert FitSettings().with_changes(optimizer="lbfgs").resolve(iris).clip == 0
    with pytest.raises(SettingsError, match="clipped"):
        FitSettings(clip=1.0).with_changes(optimizer="lbfgs").resolve(iris)
    with pytest.raises(SettingsError, match="float16"):
        FitSettings(precision="float16").with_changes(optimizer="lbfgs").resolve(iris)


def test_every_field_is_documented():
    for entry in fields(FitSettings):
        assert f"        {entry.name}: " in (FitSettings.__doc__ or "")
    assert replace(FitSettings(), epochs=3) != FitSettings()
