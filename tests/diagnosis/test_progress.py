"""Which of two runs came out better."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.progress import compare_progress
from pellucid.diagnosis.records import GivenRecords
from pellucid.diagnosis.series import Series
from pellucid.diagnosis.trying import change_lines
from pellucid.errors import DataError
from pellucid.results.diagnosis import LineChange
from pellucid.results.watched_script import CodeLine, WatchedScript

_NOTHING = WatchedScript(
    script="train.py",
    arguments=(),
    ended="finished",
    error="",
    error_place=CodeLine("", 0, "", ""),
    steps=10,
    epochs=0,
    epoch_steps=math.nan,
    sources=(),
    models=(),
    optimizers=(),
    schedulers=(),
    losses=(),
    loaders=(),
    calls=(),
    nonfinite=None,
    examples=(),
    warnings=(),
    cost=0.0,
    coverage={},
)


def _run(loss: list[float], **metrics: list[float]) -> Evidence:
    named = {
        ("test" if name.startswith("test_") else "", name.removeprefix("test_")): Series(
            np.arange(len(values)) * 1.0, np.array(values)
        )
        for name, values in metrics.items()
    }
    steps = {"step": np.arange(len(loss)), "loss": np.array(loss)}
    return Evidence(dataclasses.replace(_NOTHING), GivenRecords(steps=steps, metrics=named))


def test_the_figure_of_the_task_decides_though_the_loss_rises() -> None:
    before = _run([1.0, 0.9], test_loss=[0.9], test_acc=[0.1, 0.12])
    after = _run([1.0, 2.5], test_loss=[2.5], test_acc=[0.5, 0.9])
    tried = compare_progress(before, after)
    assert (tried.metric, tried.improved) == ("acc (test)", True)
    assert not compare_progress(after, before).improved
    assert "0.12 → 0.9" in tried.said


@pytest.mark.parametrize(
    ("was", "became", "better"),
    [
        ([0.5, 0.5], [0.5, 0.2], True),
        ([0.5, 0.5], [0.495], False),
        ([math.nan], [3.0], True),
        ([3.0], [math.nan], False),
    ],
)
def test_errors_are_better_when_they_fall(was: list[float], became: list[float], better: bool) -> None:
    tried = compare_progress(_run([1.0], mae=was), _run([1.0], mae=became))
    assert (tried.metric, tried.higher_is_better, tried.improved) == ("mae", False, better)


def test_the_loss_counts_where_nothing_else_is_told() -> None:
    tried = compare_progress(_run([2.0, 2.0, 2.0]), _run([2.0, 1.0, 0.5]))
    assert (tried.metric, tried.improved) == ("loss", True)
    assert not compare_progress(_run([2.0, 2.0]), _run([2.0, 0.1]), failed=True).improved


def test_changes_are_made_from_below() -> None:
    text = "a\nb\nc\n"
    changes = [
        LineChange("f", 1, ("a",), ("a1", "a2")),
        LineChange("f", 3, (), ("new",)),
        LineChange("f", 2, ("b",), ()),
    ]
    assert change_lines(text, changes) == "a1\na2\nnew\nc\n"
    with pytest.raises(DataError, match="not those of the run"):
        change_lines(text, [LineChange("f", 2, ("x",), ())])
