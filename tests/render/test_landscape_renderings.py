"""Texts and drawings of curvature, landscape, weight curve and regions against the numbers that went in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from pellucid.errors import SettingsError
from pellucid.lenses.curvature import measure_curvature
from pellucid.lenses.loss_landscape import measure_loss_landscape
from pellucid.lenses.weight_curve import measure_weight_curve
from pellucid.results.base import Result
from tests.render.function_results_to_render import (
    curvature,
    linear_regions,
    loss_landscape,
    regions_on_line,
    weight_curve,
)

BY_HAND = (curvature(), linear_regions(), loss_landscape(), regions_on_line(), weight_curve())


@pytest.mark.parametrize("result", BY_HAND, ids=lambda result: type(result).__name__)
def test_text_is_as_agreed(result: Result) -> None:
    text = str(result) + "\n"
    golden = Path(__file__).parent / "golden" / f"{result.schema.partition('/')[0]}.txt"
    if os.environ.get("PELLUCID_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    page = result._repr_html_()
    assert "<svg" in page
    assert "<b>" not in page


def test_classes_have_their_names() -> None:
    regions, line = linear_regions(), regions_on_line()
    assert regions.to_frame()["prediction"].tolist() == ["no", "[b]yes[/b]"]
    (tie,) = regions.boundary(classes=("no", "[b]yes[/b]"))
    assert tie.classes == (0, 1)
    assert sorted(map(tuple, tie.points.tolist())) == [(0.0, -1.0), (0.0, 1.0)]
    with pytest.raises(SettingsError, match="two classes"):
        regions.boundary(classes=("no", "maybe"))
    assert list(line.to_frame().columns) == ["t", "kink", "no", "yes"]
    assert [text.get_text() for text in line.plot(ax=Figure().subplots()).get_legend().get_texts()] == ["no", "yes"]


def small() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)), (torch.randn(9, 2), torch.randn(9, 1))


def test_curvature_is_drawn_and_told() -> None:
    found = measure_curvature(*small(), top=2, learning_rate=0.1, tolerance=1e-3)
    for kind in ("density", "eigenvalues"):
        ax = Figure().subplots()
        assert found.plot(ax=ax, kind=kind) is ax
    assert "of 2: stable" in str(found)
    assert found.to_frame()["eigenvalue"].tolist() == found.eigenvalues.tolist()
    assert len(found.to_frame(kind="density")) == len(found.density.grid)


def test_landscape_is_drawn_and_told() -> None:
    model, data = small()
    found = measure_loss_landscape(model, data, steps=5, path=[model.state_dict()])
    for kind in ("contour", "curve"):
        ax = Figure().subplots()
        assert found.plot(ax=ax, kind=kind) is ax
    assert found.plot(ax=Figure().subplots(), kind="surface").name == "3d"
    assert "random directions" in str(found)
    assert len(found.to_frame()) == 25
    assert found.to_frame(kind="path")["distance"].tolist() == [0.0]


def test_weight_curve_is_drawn_and_told() -> None:
    found = measure_weight_curve(small()[0], None, "0.weight", (1, 0), small()[1])
    ax = found.plot(ax=Figure().subplots())
    line = ax.lines[0]
    assert np.asarray(line.get_ydata()) == pytest.approx(found.loss_at(np.asarray(line.get_xdata())))
    found.plot(ax=Figure().subplots(), kind="slope")
    assert "every bend is known" in str(found)
    assert len(found.to_frame(kind="bends")) == len(found.bend_weight)
