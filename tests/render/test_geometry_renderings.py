"""What is drawn and tabulated of class geometry and of collapse over layers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pellucid.errors import SettingsError
from pellucid.results.base import Result
from tests.render.geometry_results_to_render import class_geometry, layer_collapse


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.mark.parametrize("result", [class_geometry(), layer_collapse()], ids=["class_geometry", "layer_collapse"])
def test_text_is_as_agreed(result: Result) -> None:
    text = str(result) + "\n"
    golden = Path(__file__).parent / "golden" / f"{result.schema.partition('/')[0]}.txt"
    if os.environ.get("PELLUCID_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    page = result._repr_html_()
    assert "<svg" in page
    assert "<b>car" not in page


def test_geometry_frames() -> None:
    result = class_geometry()
    assert result.to_frame().loc["cat", "features"] == "f1 +3"
    assert result.to_frame().loc["cat", "corrected"] == pytest.approx(0.003)
    assert result.to_frame(kind="cosines").loc["cat", "dog"] == -0.4
    assert result.to_frame(kind="loadings").loc["dog", "f2"] == 0.5
    features = result.to_frame(kind="features")
    assert features.loc["f1", "classes"] == "cat +3, dog -2"
    assert features.loc["f1", "neurons"] == "1 +0.80, 0 +0.60"
    bare = replace(result, rotation=None)
    assert bare.to_frame(kind="features").empty
    assert bare.to_frame().loc["cat", "features"] == "–"
    with pytest.raises(SettingsError, match="no kind"):
        result.to_frame(kind="pie")


def test_geometry_plots_hold_the_numbers() -> None:
    result = class_geometry()
    simplex = result.plot()
    assert [text.get_text() for text in simplex.texts] == ["cat", "dog", "[b]car[/b]"]
    drawn = np.array(
        [line.get_xydata() for line in simplex.lines if line.get_marker() == "o" and len(line.get_xdata())]
    )
    assert drawn[0::2, 0] == pytest.approx(result.ideal[:, :2])
    assert drawn[1::2, 0] == pytest.approx(result.centres[:, :2])
    corner = result.plot(kind="corner", classes=("dog", "cat", "[b]car[/b]"))
    assert corner.get_title() == "dog · cat · [b]car[/b]"
    (image,) = result.plot(kind="cosines").images
    assert np.asarray(image.get_array()) == pytest.approx(result.cosines)
    (image,) = result.plot(kind="loadings").images
    assert result.rotation is not None
    assert np.asarray(image.get_array()) == pytest.approx(result.rotation.loadings)
    assert result.plot(kind="tree").get_xticklabels()[0].get_text() == "cat"
    with pytest.raises(SettingsError, match="three classes"):
        result.plot(kind="corner", classes=("cat", "dog", "mouse"))
    assert not replace(result, rotation=None).plot(kind="loadings").images


def test_the_text_says_when_there_is_nothing_to_find() -> None:
    result = class_geometry()
    assert result.rotation is not None
    none = replace(result, rotation=replace(result.rotation, p_value=0.6), exact_simplex=False)
    flat = " ".join(str(none).split())
    assert "there are no features to find" in flat
    assert "too few features" in flat


def test_layers_in_frames_and_plots() -> None:
    result = layer_collapse()
    frame = result.to_frame()
    assert frame["separation"].tolist() == [8.0, 2.0, 0.5]
    assert frame.loc["fc", "nearest_centre_accuracy"] == 1.0
    assert result.to_frame(kind="cka").loc["0", "fc"] == 0.25
    law = result.plot()
    assert law.get_yscale() == "log"
    assert np.asarray(law.lines[1].get_ydata()).tolist() == [8.0, 2.0, 0.5]
    tunnel = result.plot(kind="tunnel")
    assert np.asarray(tunnel.lines[0].get_ydata()).tolist() == [0.5, 0.99, 1.0]
    (image,) = result.plot(kind="cka").images
    assert np.asarray(image.get_array()) == pytest.approx(result.cka)
    assert "goes into conv[red]:" in " ".join(str(result).split())
    assert "no tunnel" in str(replace(result, tunnel=-1))
    assert "too few layers" in str(replace(result, decay=float("nan")))
    assert result.layer("fc").separation == 0.5
    with pytest.raises(KeyError):
        result.along("nothing")
