"""What is drawn and tabulated of calibration, margins, robustness and the information plane."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pellucid.errors import SettingsError
from tests.render.judged_results_to_render import (
    calibration,
    information_plane,
    margins,
    robustness,
    scaled_calibration,
)


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def test_a_scaled_calibration_has_both_columns() -> None:
    text = str(scaled_calibration()) + "\n"
    golden = Path(__file__).parent / "golden" / "calibration_scaled.txt"
    if os.environ.get("PELLUCID_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    frame = scaled_calibration().to_frame()
    assert list(frame.columns) == ["before", "after"]
    assert frame.loc["ece", "before"] == pytest.approx(0.3)
    assert frame.loc["accuracy", "before"] == frame.loc["accuracy", "after"]


def test_calibration_frames_hold_the_bins() -> None:
    frame = calibration().to_frame(kind="width")
    assert frame["count"].tolist() == [0, 0, 0, 2, 4]
    assert frame.loc[4, "accuracy"] == 0.5
    assert frame.loc[4, "confidence"] == pytest.approx(0.9)
    assert calibration().to_frame(kind="mass")["count"].sum() == 6
    assert list(calibration().to_frame(kind="classes").index) == ["no", "yes"]


def test_the_reliability_diagram_shows_bars_points_and_the_diagonal() -> None:
    ax = scaled_calibration().plot()
    diagonal, before = ax.lines[:2]
    assert list(diagonal.get_xdata()) == [0, 1]
    assert np.asarray(before.get_xdata()) == pytest.approx([0.6, 0.9])
    assert np.asarray(before.get_ydata()) == pytest.approx([0.5, 0.5])
    heights = [bar.get_height() for bar in calibration().plot().patches]
    assert heights == [0.5, 0.5]


def test_margin_frames_and_plot() -> None:
    frame = margins().to_frame()
    assert frame.loc["output", "median"] == 1.5
    assert margins().to_frame(kind="examples")["output"].tolist() == [1.0, 2.0, 3.0, -0.5]
    assert margins().to_frame(kind="classes").loc["yes", "output"] == 1.25
    ax = margins().plot(kind="input_distance")
    assert sum(bar.get_height() for bar in ax.patches) == 3, "an infinite distance has no place"
    assert "linearised" in ax.get_title()
    with pytest.raises(SettingsError):
        margins().plot(kind="cosine")


def test_robustness_frames_and_plots() -> None:
    frame = robustness().to_frame()
    assert frame.loc["pgd_l2", "correct"].tolist() == [8, 2]
    assert robustness().to_frame(kind="distances")["slice"].notna().sum() == 2
    ax = robustness().plot()
    assert list(ax.lines[0].get_ydata()) == [0.9, 0.9, 0.7]
    bars = robustness().plot(kind="distances").patches
    assert sum(bar.get_height() for bar in bars) == 8, "neither the one lost already nor the one never fooled"


def test_information_frames_and_plots() -> None:
    frame = information_plane().to_frame()
    assert frame.loc["tanh1", "binned_x"].tolist() == [10.0, 9.0]
    for kind in ("bins", "kernel"):
        ax = information_plane().plot(kind=kind)
        assert list(ax.lines[0].get_ydata()) == [0.45, 0.9]
        assert ("bins" if kind == "bins" else "σ²") in ax.get_title()
