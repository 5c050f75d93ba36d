"""What is drawn and tabulated of a watched script and of its diagnosis."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pellucid.errors import SettingsError
from tests.render.diagnosed_results_to_render import diagnosis, healthy_diagnosis, watched_script


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def test_a_healthy_run_is_told_in_two_lines() -> None:
    text = str(healthy_diagnosis()) + "\n"
    golden = Path(__file__).parent / "golden" / "diagnosis_healthy.txt"
    if os.environ.get("PELLUCID_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert healthy_diagnosis().to_frame().empty


def test_findings_stand_one_a_row() -> None:
    frame = diagnosis().to_frame()
    assert list(frame.index) == ["missing_zero_grad", "lr_too_high", "no_shuffling"]
    assert frame.loc["missing_zero_grad", ["certainty", "file", "line", "since_step"]].tolist() == [
        0.95,
        "train.py",
        26,
        1,
    ]


def test_a_findings_curve_is_drawn_with_its_level() -> None:
    ax = diagnosis().plot()
    curve, level = ax.lines[:2]
    assert np.asarray(curve.get_ydata()).tolist() == [0, 1, 4, 9, 16]
    assert set(np.asarray(level.get_ydata()).tolist()) == {1.0}
    assert "never cleared" in ax.get_title()
    assert not healthy_diagnosis().plot().lines
    assert not diagnosis().plot(finding=1).lines


def test_the_parts_of_a_script_are_tables() -> None:
    result = watched_script()
    frame = result.to_frame()
    assert frame.loc[0, ["parameter", "initial_norm", "final_norm", "moved"]].tolist() == ["weight", 1.0, 2.5, 1.75]
    assert result.to_frame(kind="calls")["function"].tolist() == ["cross_entropy"]
    assert result.to_frame(kind="modules")["kind"].tolist() == ["Linear"]
    with pytest.raises(SettingsError):
        result.to_frame(kind="losses")


def test_how_far_each_parameter_went_is_drawn() -> None:
    (bar,) = watched_script().plot().patches
    assert bar.get_width() == 1.75
