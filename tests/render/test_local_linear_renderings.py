"""Drawings of local linear models and of the Jacobian against the numbers that went in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from pellucid.errors import SettingsError
from tests.render.local_linear_results_to_render import input_jacobian, local_linear_models


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def lines_of(ax) -> LineCollection:
    return next(item for item in ax.collections if isinstance(item, LineCollection))


def test_parallel_coordinates_are_the_standardised_coefficients() -> None:
    result = local_linear_models()
    ax = result.plot()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["age", "[b]size[/b]"]
    scale = np.std([0, 0.5, 1, 2, 3])
    heights = sorted(line[0, 1] for line in lines_of(ax).get_segments())
    assert heights == pytest.approx([scale, 2 * scale])


def test_profile_has_each_regions_line_and_the_common_effect() -> None:
    result = local_linear_models()
    ax = result.plot(kind="profile", feature="age")
    mean = np.mean([-2, -1.5, -1, 4, 6])
    ends = {tuple(np.round(line.ravel(), 6)) for line in lines_of(ax).get_segments()}
    assert tuple(np.round([0, -2 - mean, 1, -1 - mean], 6)) in ends
    assert tuple(np.round([2, 4 - mean, 3, 6 - mean], 6)) in ends
    (effect,) = (line for line in ax.get_lines() if line.get_label() == "accumulated effect")
    assert effect.get_xdata().tolist() == [0, 0.5, 1, 2, 3]
    assert np.diff(effect.get_ydata()) == pytest.approx([0.5, 0.5, 2, 2])
    assert ax.get_xlabel() == "age"


def test_coefficients_are_weighted_by_the_examples() -> None:
    ax = local_linear_models().plot(kind="coefficients", feature="age")
    assert sorted(bar.get_height() for bar in ax.patches) == [2, 3]


def test_importance_and_frames() -> None:
    result = local_linear_models()
    ax = result.plot(kind="importance")
    assert [bar.get_width() for bar in ax.patches] == [0, 1]
    assert result.to_frame().loc[1, "age"] == 2
    assert result.to_frame(kind="importance", output=0).loc["age", "effect"] == pytest.approx(
        1.4 * np.std([0, 0.5, 1, 2, 3])
    )
    assert result.to_frame(kind="layers").loc["act1", "never_on"] == 2
    with pytest.raises(SettingsError, match="no kind"):
        result.plot(kind="regions")


def test_a_result_without_targets_is_written() -> None:
    result = local_linear_models()
    bare = replace(
        result,
        metric_names=(),
        metrics=np.empty((2, 0)),
        overall=np.empty(0),
        class_balance=np.empty((2, 0)),
        held_out=None,
        unvisited=(),
        simplified=(),
    )
    assert "Largest regions (2 of 2)" in str(bare)


def test_jacobians_spectrum_and_directions() -> None:
    result = input_jacobian()
    values = result.singular_values
    assert result.plot().get_lines()[0].get_ydata() == pytest.approx(values)
    assert result.plot(kind="eigenvalues").get_lines()[0].get_ydata() == pytest.approx(
        np.array([(3 + np.sqrt(1.25)) / 2, (3 - np.sqrt(1.25)) / 2])
    )
    bars = result.plot(kind="input direction")
    assert {tick.get_text() for tick in bars.get_yticklabels()} == {"x", "y"}
    assert sorted(abs(bar.get_width()) for bar in bars.patches) == pytest.approx(sorted(np.abs(result.right[0])))
    assert "eigenvalue 2.059" in result.plot(kind="eigenvector").get_title()
    assert result.to_frame(kind="features").loc["x", "d v"] == 0.5
    assert result.to_frame(kind="eigenvalues")["output"].tolist() == [3.0, 2.0]


def test_directions_of_pictures_are_pictures() -> None:
    result = replace(input_jacobian(), input_shape=(3, 4, 5), right=np.arange(60.0)[None])
    (picture,) = result.plot(kind="input direction").get_images()
    assert picture.get_array().shape == (4, 5)
    assert picture.get_array()[0, 0] == 20


def test_without_eigenvectors_the_error_says_so() -> None:
    result = replace(input_jacobian(), eigenbasis=None)
    with pytest.raises(SettingsError, match="another shape"):
        result.plot(kind="eigenvalues")
    assert len(result.to_frame(kind="eigenvalues")) == 0
    assert "eigenvalues" not in str(result)
