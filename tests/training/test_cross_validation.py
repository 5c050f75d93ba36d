"""Each fold is trained alike on its own rows, and the spread is that of its figures."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.data.load import prepare
from pellucid.data.settings import DataSettings
from pellucid.training.assembly import build_trainer, decide
from pellucid.training.cross_validation import cross_validate
from pellucid.training.progress import Progress
from pellucid.training.settings import FitSettings


class Stages(Progress):
    def __init__(self):
        self.names = []

    def stage(self, name):
        self.names.append(name)


@pytest.fixture(scope="module")
def decided():
    chosen = FitSettings(data=DataSettings(folds=4), epochs=40, patience=0).with_changes(widths=(16,))
    return decide(chosen, prepare("iris"))[0]


def test_every_row_is_held_out_once_and_the_spread_is_the_sample_standard_deviation(decided):
    progress = Stages()
    found = cross_validate("iris", decided, progress=progress)
    assert progress.names == [f"fold {number} of 4" for number in (1, 2, 3, 4)]
    assert found.folds == 4
    assert found.sizes.sum() == 150
    accuracy = found.values["accuracy"]
    assert found.mean["accuracy"] == pytest.approx(np.mean(accuracy))
    assert found.std["accuracy"] == pytest.approx(np.std(accuracy, ddof=1))
    assert found.mean["accuracy"] > 0.6
    assert found.method
    again = cross_validate("iris", decided)
    np.testing.assert_array_equal(again.values["log_loss"], found.values["log_loss"])


def test_folds_differ_in_rows_only(decided):
    trainers = [build_trainer(prepare("iris", decided.data, fold=fold), decided) for fold in (0, 1)]
    first, second = (dict(each.model.state_dict()) for each in trainers)
    assert all((first[name] == second[name]).all() for name in first)
    assert not (trainers[0].train.inputs == trainers[1].train.inputs).all()


def test_a_wish_to_stop_leaves_no_figures(decided):
    import os
    import signal

    class Impatient(Progress):
        def epoch(self, figures):
            if figures.epoch == 2:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        cross_validate("iris", decided, progress=Impatient())
