"""A history is what stands in the run's table: zero error, early stopping and intervals, told by eye and by scipy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import pellucid
from pellucid.errors import DataError, SettingsError
from pellucid.results.base import Result
from pellucid.results.geometry_history import GeometryHistory
from pellucid.store.writer import RunWriter

LOOKED = (0, 1, 2, 4, 8)


def record(folder, errors, *, nc1=None, validation=(), seed=0, flipped=0, extra=()):
    """A run whose training errors are given epoch by epoch, with NC1 = ``nc1(epoch)`` at the epochs looked at."""
    nc1 = nc1 or (lambda epoch: 1.0 / (1 + epoch))
    settings = {"seed": seed}
    with RunWriter.create(folder, name="made", kind="fit", settings=settings, environment={}) as writer:

        def keep(epoch, split, lens, quantity, value, layer=""):
            place = {"step": max(0, 10 * epoch - 1), "epoch": epoch, "split": split, "lens": lens, "layer": layer}
            writer.append("geometry", **place, quantity=quantity, value=value)

        for epoch, error in enumerate(errors):
            keep(epoch, "train", "errors", "error", error)
            if flipped:
                keep(epoch, "train", "errors", "accuracy_flipped", epoch / 10)
            if epoch in (*LOOKED, len(errors) - 1, *extra):
                for split, factor in (("train", 1), ("test", 3)):
                    keep(epoch, split, "collapse", "nc1", factor * nc1(epoch))
                    keep(epoch, split, "layers", "separation", factor * nc1(epoch), layer="fc1")
                    keep(epoch, split, "layers", "separation", factor * nc1(epoch) / 2, layer="fc2")
                keep(epoch, "test", "errors", "loss", abs(epoch - 4) + 1.0)
        for epoch, loss in enumerate(validation):
            place = {"step": 10 * epoch, "epoch": epoch, "time_s": 0.0, "split": "validation"}
            writer.append("metrics", **place, metric="loss", value=loss)
        if flipped:
            writer.append(
                "events", step=0, time_s=0.0, kind="label_noise", message=f"{flipped:,} of 99,999 training labels …"
            )
    return pellucid.open_run(writer.location)


@pytest.mark.parametrize(
    ("errors", "first", "stays", "looked"),
    [
        ([0.9, 0.5, 0.0, 0.0, 0.0, 0.0], 2, 2, 2),
        ([0.9, 0.0, 0.1, 0.0, 0.0, 0.0], 1, 3, 4),
        ([0.9, 0.0, 0.1, 0.0, 0.0, 0.1], 1, -1, -1),
        ([0.9, 0.5, 0.1, 0.2, 0.1, 0.1], -1, -1, -1),
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0, 0, 0),
        ([0.9, 0.5, 0.1, 0.2, 0.1, 0.0], 5, 5, 5),
    ],
)
def test_zero_error_is_the_first_epoch_from_which_it_stays(tmp_path, errors, first, stays, looked):
    history = pellucid.measure_geometry_history(record(tmp_path, errors))
    (run,) = history.runs
    assert (run.first_zero, run.zero_error, run.at_zero, run.last) == (first, stays, looked, 5)
    phase = history.terminal_phase
    assert (phase is None) if stays < 0 else (phase.start, phase.end) == (stays, 5)
    nc1 = history.get("nc1", split="test")
    assert nc1.final[0] == pytest.approx(3 / 6)
    if looked >= 0:
        assert nc1.at_zero[0] == pytest.approx(3 / (1 + looked))
        assert nc1.falls == (looked < 5)
    else:
        assert np.isnan(nc1.at_zero[0])
        assert nc1.falls == nc1.rises == 0


def test_series_hold_every_row_in_the_order_of_epochs(tmp_path):
    history = pellucid.measure_geometry_history(record(tmp_path, np.linspace(0.9, 0.1, 12).tolist(), flipped=1200))
    nc1 = history.get("nc1", split="train")
    assert nc1.epochs.tolist() == [0, 1, 2, 4, 8, 11]
    assert nc1.values == pytest.approx([1, 1 / 2, 1 / 3, 1 / 5, 1 / 9, 1 / 12])
    assert history.get("error").epochs.tolist() == list(range(12))
    assert history.layers == ("fc1", "fc2")
    assert history.lenses == ("collapse", "layers")
    assert history.held_out == "test"
    assert history.runs[0].flipped == 1200
    assert history.get("separation", split="test", layer="fc2").values[0] == 1.5
    with pytest.raises(SettingsError, match="not measured") as refused:
        history.get("nc7", split="train")
    assert "nc1" in refused.value.remedy


def test_early_stopping_is_where_the_held_out_loss_is_lowest(tmp_path):
    errors = [0.9, 0.5, 0.0, 0.0, 0.0]
    by_validation = pellucid.measure_geometry_history(record(tmp_path, errors, validation=(0.9, 0.2, 0.3, 0.4)))
    assert (by_validation.runs[0].best, by_validation.runs[0].best_split) == (2, "validation")
    by_test = pellucid.measure_geometry_history(record(tmp_path, errors))
    assert (by_test.runs[0].best, by_test.runs[0].best_split) == (4, "test")


def test_several_runs_are_a_mean_with_a_t_interval_each_at_its_own_zero(tmp_path):
    made = [
        record(
            tmp_path,
            [0.9] * zero + [0.0] * (10 - zero),
            nc1=lambda epoch, seed=seed: (1 + seed) / (1 + epoch),
            seed=seed,
            extra=(zero,),
        )
        for seed, zero in enumerate((2, 3, 5))
    ]
    history = pellucid.measure_geometry_history(*made)
    assert [run.seed for run in history.runs] == [0, 1, 2]
    nc1 = history.get("nc1", split="train")
    assert nc1.epochs.tolist() == [0, 1, 2, 4, 8, 9]  # those that every run was looked at
    for place, epoch in enumerate(nc1.epochs):
        values = [(1 + seed) / (1 + epoch) for seed in range(3)]
        low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        assert nc1.values[place] == pytest.approx(np.mean(values))
        assert (nc1.low[place], nc1.high[place]) == pytest.approx((low, high))
    assert nc1.at_zero == pytest.approx([1 / 3, 2 / 4, 3 / 6])
    assert nc1.final == pytest.approx([1 / 10, 2 / 10, 3 / 10])
    assert nc1.falls == 3
    assert (history.terminal_phase.start, history.terminal_phase.end) == (5, 9)
    frame = history.table().query("split == 'test' and lens == 'collapse'")
    assert frame.loc["nc1", "at_zero_error"] == pytest.approx(3 * np.mean([1 / 3, 1 / 2, 1 / 2]))
    assert frame.loc["nc1", "falls"] == 3


def test_it_is_kept_and_read_back(tmp_path):
    history = pellucid.measure_geometry_history(record(tmp_path, [0.5, 0.0, 0.0]))
    again = Result.from_bytes(history.to_bytes())
    assert isinstance(again, GeometryHistory)
    assert again.runs == history.runs
    assert [one.values.tolist() for one in again.series] == [one.values.tolist() for one in history.series]


def test_what_cannot_be_told_is_refused(tmp_path):
    with RunWriter.create(tmp_path, name="empty", kind="fit", settings={}, environment={}) as writer:
        pass
    with pytest.raises(DataError, match="no geometry") as refused:
        pellucid.measure_geometry_history(pellucid.open_run(writer.location))
    assert "--lens" in refused.value.remedy
    with pytest.raises(SettingsError, match="no history"):
        GeometryHistory.across([])


def test_reading_needs_no_torch(tmp_path):
    run = record(tmp_path, [0.5, 0.0, 0.0])
    code = f"import pellucid, sys; pellucid.measure_geometry_history(pellucid.open_run({run.location!r})); "
    shown = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"
