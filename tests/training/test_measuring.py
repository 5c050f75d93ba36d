"""The lenses along training change nothing of it, look when they should, and tell what the lenses themselves tell."""

from __future__ import annotations

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits

import pellucid
from pellucid.data.load import prepare
from pellucid.errors import SettingsError
from pellucid.training.label_noise import draw_flips, prepare_as_trained
from pellucid.training.lens_figures import LENS_FIGURES
from pellucid.training.measuring import is_measured_epoch
from pellucid.training.progress import Progress
from pellucid.training.resume import resume
from pellucid.training.run_examples import load_run_examples
from pellucid.training.trained import load_network, settings_of

ALL = ("calibration", "collapse", "layers", "margins", "robustness")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Three drawn digits, few enough to be learnt by heart, as a table."""
    digits = load_digits()
    chosen = np.flatnonzero(digits.target < 3)[:150]
    frame = pandas.DataFrame(digits.data[chosen], columns=[f"p{index}" for index in range(64)])
    path = tmp_path_factory.mktemp("digits") / "digits.csv"
    frame.assign(digit=[f"d{label}" for label in digits.target[chosen]]).to_csv(path, index=False)
    return path


def fitted(table, folder, **changes):
    settings = {
        "target": "digit",
        "network": "mlp",
        "widths": (16,),
        "normalization": "batch",
        "dropout": 0.1,
        "epochs": 10,
        "learning_rate": 0.02,
        "batch_size": 16,
        "threads": 1,
        "watch": False,
    } | changes
    return pellucid.fit(table, runs_dir=folder, **settings)


def rows(run):
    return run.table("geometry").to_pandas().astype(dict.fromkeys(("split", "lens", "layer", "quantity"), str))


@pytest.fixture(scope="module")
def measured(table, tmp_path_factory):
    return fitted(table, tmp_path_factory.mktemp("runs"), lenses=ALL)


@pytest.mark.parametrize("watch", [False, True])
def test_the_training_is_the_same_bit_for_bit(table, tmp_path, watch):
    plain = fitted(table, tmp_path, epochs=4, watch=watch, patience=0)
    looked = fitted(table, tmp_path, epochs=4, watch=watch, patience=0, lenses=ALL)
    one, other = load_network(plain)[0].state_dict(), load_network(looked)[0].state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    columns = ["step", "epoch", "split", "metric", "value"]
    assert plain.table("metrics", columns=columns).to_pylist() == looked.table("metrics", columns=columns).to_pylist()
    if watch:
        assert plain.table("steps", columns=["loss"]).equals(looked.table("steps", columns=["loss"]))


def test_the_lenses_look_at_log_spaced_epochs_and_the_errors_at_all(measured):
    found = rows(measured)
    assert measured.status == "finished"
    assert sorted(found[found.lens == "errors"].query("split == 'train'").epoch.unique()) == list(range(11))
    error = found.query("lens == 'errors' and quantity == 'error' and split == 'train'").set_index("epoch").value
    zeros = {epoch for epoch in range(1, 11) if error[epoch] == 0 and error[epoch - 1] > 0}
    assert zeros, "the little network learns them by heart"
    for lens in ALL:
        assert set(found[found.lens == lens].epoch) == {0, 1, 2, 3, 4, 6, 8, 10} | zeros
        assert set(found[found.lens == lens].split) == {"train", "test"}
    assert not [message for message in measured.table("events").to_pylist() if message["kind"] == "lens_error"]


def test_the_epochs_are_two_a_doubling():
    expected = {0} | {int(2 ** (power / 2) + 0.5) for power in range(30)}
    assert {epoch for epoch in range(20000) if is_measured_epoch(epoch)} == {one for one in expected if one < 20000}


def test_the_last_rows_are_what_the_lenses_say_of_the_finished_network(measured):
    train, test = load_run_examples(measured, "train"), load_run_examples(measured, "test")
    pairs = {"train": (train.inputs, train.targets), "test": (test.inputs, test.targets)}
    found = rows(measured)
    last = found[found.epoch == 10].set_index(["split", "lens", "layer", "quantity"]).value
    for split, pair in pairs.items():
        collapse = pellucid.measure_neural_collapse(
            train.model, pair, centres_from=pairs["train"] if split == "test" else None
        )
        for name in ("nc1", "equinorm_centres", "nc3", "nc4"):
            assert last[split, "collapse", "", name] == pytest.approx(collapse[name], rel=1e-5, abs=1e-9)
        calibration = pellucid.measure_calibration(train.model, pair, resamples=0)
        assert last[split, "calibration", "", "ece"] == pytest.approx(calibration["ece"], rel=1e-5)
        margins = pellucid.measure_margins(train.model, pair)
        assert last[split, "margins", "", "output_median"] == pytest.approx(margins["output"].median, rel=1e-5)
        assert last[split, "margins", "", "input_distance_low"] == pytest.approx(
            margins["input_distance"].low, rel=1e-4
        )
        layers = pellucid.measure_layer_collapse(train.model, pair)
        for layer in layers.layers:
            assert last[split, "layers", layer.name, "separation"] == pytest.approx(layer.separation, rel=1e-5)
        outputs = train.model(pair[0]).detach()
        error = float((outputs.argmax(1) != pair[1]).double().mean())
        assert last[split, "errors", "", "error"] == pytest.approx(error)
        assert last[split, "errors", "", "loss"] == pytest.approx(
            float(torch.nn.functional.cross_entropy(outputs, pair[1])), rel=1e-4
        )
    start, _ = load_network(measured, "checkpoints/epoch-0000.safetensors")
    moved = [now - then for now, then in zip(train.model.parameters(), start.parameters(), strict=True)]
    distance = torch.cat([part.detach().flatten() for part in moved]).double().norm()
    assert last["", "weights", "", "distance"] == pytest.approx(float(distance), rel=1e-5)
    assert found[found.epoch == 0].query("quantity == 'distance'").value.tolist() == [0.0]


def test_a_resumed_run_has_the_rows_of_one_never_stopped(table, tmp_path):
    class StopsAtThree(Progress):
        def epoch(self, figures):
            if figures.epoch == 3:
                raise KeyboardInterrupt

    chosen = {"lenses": ("collapse",), "patience": 0}
    whole = fitted(table, tmp_path, **chosen)
    with pytest.raises(KeyboardInterrupt):
        fitted(table, tmp_path, name="broken", progress=StopsAtThree(), **chosen)
    resumed = resume(pellucid.open_run("broken", tmp_path))
    keys = ["epoch", "split", "lens", "layer", "quantity"]
    one, other = (rows(run).sort_values(keys, ignore_index=True) for run in (whole, resumed))
    pandas.testing.assert_frame_equal(one, other)


# Labels changed on purpose


def test_label_noise_changes_exactly_its_share_of_the_training_labels(table, tmp_path):
    run = fitted(table, tmp_path, label_noise=0.2, label_noise_seed=5, seed=3, lenses=("collapse",), epochs=2)
    settings = settings_of(run)
    clean, noisy = prepare(table, settings.data, seed=3), prepare_as_trained(table, settings)
    changed = np.flatnonzero((clean.splits["train"].targets != noisy.splits["train"].targets).numpy())
    assert len(changed) == round(0.2 * len(clean.splits["train"]))
    for split in ("validation", "test"):
        assert torch.equal(clean.splits[split].targets, noisy.splits[split].targets)
    kept = pq.read_table(run.path / "label_noise.parquet").to_pandas()
    assert kept.row.tolist() == clean.splits["train"].rows[changed].tolist()
    names = np.array(clean.classes)
    assert kept["true"].tolist() == names[clean.splits["train"].targets.numpy()[changed]].tolist()
    assert kept["given"].tolist() == names[noisy.splits["train"].targets.numpy()[changed]].tolist()
    assert (kept["true"] != kept["given"]).all()
    # And what is measured afterwards uses the labels that were trained on.
    examples = load_run_examples(run, "train")
    assert torch.equal(examples.targets, noisy.splits["train"].targets)
    predicted = examples.model(examples.inputs).argmax(1).numpy()
    flipped = np.isin(np.arange(len(predicted)), changed)
    given, true = noisy.splits["train"].targets.numpy(), clean.splits["train"].targets.numpy()
    last = rows(run).query("epoch == 2 and lens == 'errors' and split == 'train'").set_index("quantity").value
    assert last["accuracy_clean"] == pytest.approx((predicted == given)[~flipped].mean())
    assert last["accuracy_flipped"] == pytest.approx((predicted == given)[flipped].mean())
    assert last["accuracy_flipped_true"] == pytest.approx((predicted == true)[flipped].mean())


def test_every_wrong_class_is_equally_likely():
    places, shifts = draw_flips(100_000, 5, 0.4, seed=1)
    assert len(np.unique(places)) == 40_000
    counts = np.bincount(shifts, minlength=5)
    assert counts[0] == 0
    assert ((counts[1:] - 10_000) ** 2 / 10_000).sum() < 16.3  # χ² with 3 degrees of freedom, p = 0.001


# Refusals


@pytest.mark.parametrize("lens", ALL)
def test_a_regression_is_refused_before_training(lens, tmp_path):
    with pytest.raises(SettingsError, match="about classes") as refused:
        pellucid.fit("diabetes", epochs=1, lenses=(lens,), runs_dir=tmp_path)
    assert refused.value.place == "lenses"
    assert refused.value.remedy
    assert not list(tmp_path.iterdir())


def test_unknown_lenses_and_shares_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="lenses"):
        pellucid.fit("iris", lenses=("colapse",), runs_dir=tmp_path)
    for share in (-0.1, 1.5):
        with pytest.raises(SettingsError, match="label_noise"):
            pellucid.fit("iris", label_noise=share, runs_dir=tmp_path)
    with pytest.raises(SettingsError, match="labels can be changed only"):
        pellucid.fit("diabetes", epochs=1, label_noise=0.1, runs_dir=tmp_path)


def test_early_stopping_is_off_unless_asked_for(table, tmp_path):
    assert settings_of(fitted(table, tmp_path, epochs=1, lenses=["collapse"])).patience == 0
    assert settings_of(fitted(table, tmp_path, epochs=1, lenses=["collapse"], patience=3)).patience == 3


def test_what_breaks_while_looking_is_an_event_and_the_training_goes_on(table, tmp_path, monkeypatch):
    def broken(scene):
        raise ZeroDivisionError("on purpose")
        yield

    monkeypatch.setitem(LENS_FIGURES, "margins", broken)
    run = fitted(table, tmp_path, epochs=2, lenses=("margins", "collapse"))
    told = [event["message"] for event in run.table("events").to_pylist() if event["kind"] == "lens_error"]
    assert told == [
        f"margins on {split} could not be measured: ZeroDivisionError: on purpose" for split in ("train", "test")
    ]
    assert run.status == "finished"
    assert (rows(run).lens == "collapse").any()
