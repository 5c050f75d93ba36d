"""The drawings of collapse, against the numbers that went in."""

import numpy as np
import pytest
from matplotlib import pyplot

from pellucid.errors import SettingsError
from tests.render.collapse_results_to_render import neural_collapse, regression_collapse


@pytest.fixture(autouse=True)
def _figures_closed():
    yield
    pyplot.close("all")


def test_every_measure_has_its_row():
    result = neural_collapse()
    table = result.table()
    assert table.loc["nc1", "value"] == 0.0125
    assert table.loc["nc1", "low"] == 0.011
    assert list(table.index) == [one.name for one in result.quantities]
    classes = result.to_frame(kind="classes")
    assert classes.loc["cat", "examples"] == 6
    assert classes["classifier_norm"].tolist() == [1.0, 2.0, 3.0]


def test_the_measures_lie_where_they_are():
    ax = neural_collapse().plot()
    points = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert points == [0.0125, 0.00125, 0.75, pytest.approx(1 / 7)]  # a zero stands left of all others
    assert ax.get_xscale() == "log"


def test_angles_lengths_and_directions():
    result = neural_collapse()
    angles = np.ma.filled(result.plot(kind="angles").images[0].get_array(), np.nan)
    assert angles[0, 1] == -1
    assert np.isnan(angles[0, 0])
    lengths = result.plot(kind="lengths").lines[0].get_ydata()
    assert lengths.tolist() == [1.0, 1.0, 0.0]
    assert result.plot(kind="directions").lines[0].get_ydata().tolist() == [2.25]
    with pytest.raises(SettingsError, match="no kind"):
        result.plot(kind="pie")


def test_the_spectrum_and_the_constant_of_a_regression():
    result = regression_collapse()
    assert [bar.get_height() for bar in result.plot().patches] == [0.5, 0.375, 0.125, 1e-16]
    assert result.plot(kind="gamma").lines[0].get_ydata().tolist() == [0.75, 0.5, 0.625]
    assert result.table().loc["nrc3", "value"] == result["nrc3"] == 0.5
    assert result.to_frame(kind="spectrum")["share"].tolist() == [0.5, 0.375, 0.125, 0.0]
