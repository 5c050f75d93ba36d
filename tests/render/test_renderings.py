"""Renderings against golden texts that a person can read, and against the numbers that went in.

To accept a changed text: ``PELLUCID_WRITE_GOLDEN=1 pytest tests/render``, then read the difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pellucid.errors import SettingsError
from pellucid.render.parts import number, share
from pellucid.results.base import Result
from tests.render.results_to_render import (
    EVERY,
    classification,
    data_report,
    learning_rate_range,
    network_outline,
    regression,
    trace_stepper,
)

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@dataclass(frozen=True, eq=False)
class Plain(Result):
    """A result that nothing draws in a way of its own."""

    schema: ClassVar[str] = "plain_rendering_test/1"

    name: str
    ratio: float
    counts: np.ndarray
    parts: tuple[str, ...]
    nothing: str | None = None


PLAIN = Plain(name="<b>x</b> [bold]y[/bold]", ratio=0.25, counts=np.zeros((2, 3)), parts=("a",))


@pytest.mark.parametrize("stem", [*EVERY, "plain"])
def test_text_is_as_agreed(stem: str) -> None:
    text = str(EVERY.get(stem, PLAIN)) + "\n"
    golden = GOLDEN / f"{stem}.txt"
    if os.environ.get("PELLUCID_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert "\x1b" not in text


class Outline(HTMLParser):
    """Checks that tags nest and gathers what stands in them."""

    empty: ClassVar[set[str]] = {"br", "hr", "img", "meta"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in self.empty:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


@pytest.mark.parametrize("stem", EVERY)
def test_html_holds_table_and_picture(stem: str) -> None:
    page = EVERY[stem]._repr_html_()
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert ({"article", "pre", "h3"} if stem == "diagnosis" else {"svg", "table", "h3"}) <= outline.seen
    assert "script" not in outline.seen
    assert page == EVERY[stem]._repr_html_(), "the same result gives the same page"
    for name in EVERY[stem].to_frame().index[:3]:
        assert str(name) in outline.words


def test_html_of_a_result_without_a_plot_is_a_table_in_which_texts_are_escaped() -> None:
    page = PLAIN._repr_html_()
    assert "<svg" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x" not in page


def test_markup_in_the_data_is_shown_as_it_is() -> None:
    assert "[red]x[/red]" in str(classification())
    assert "[bold]y[/bold]" in str(PLAIN)


def test_general_frame_has_the_plain_fields() -> None:
    frame = PLAIN.to_frame()
    assert frame["value"].to_dict() == {"name": PLAIN.name, "ratio": 0.25}


def test_classification_frames() -> None:
    result = classification()
    frame = result.to_frame()
    assert list(frame.index) == ["no", "yes", "macro average", "micro average", "weighted average"]
    assert frame.loc["yes", "recall"] == 0.6
    assert frame.loc["weighted average", "recall"] == 0.72
    assert frame["support"].tolist() == [6, 4, 10, 10, 10]
    confusion = result.to_frame(kind="confusion")
    assert confusion.loc["no", "yes"] == 1
    assert confusion.loc["yes", "no"] == 2
    assert result.to_frame(kind="figures").loc["accuracy", "test"] == 0.7
    assert result.to_frame(kind="worst").loc[7, "prediction"] == "no"


def test_regression_frames() -> None:
    result = regression()
    assert result.to_frame().loc["price"].to_dict() == {"mae": 0.75, "r2": 0.72}
    sample = result.to_frame(kind="sample")
    assert sample.loc[9].to_dict() == {"load": 5.0, "load predicted": 4.0, "price": 6.0, "price predicted": 6.0}
    assert result.to_frame(kind="figures").loc["RMSE", "validation"] == 0.6
    assert result.to_frame(kind="worst").loc[2, "error"] == 0.25


def test_other_frames() -> None:
    folds = EVERY["cross_validation"].to_frame()
    assert folds.loc[2].to_dict() == {"examples": 10, "accuracy": 0.8, "log_loss": 0.5}
    rates = learning_rate_range().to_frame()
    assert rates["learning_rate"].iloc[[0, -1]].tolist() == pytest.approx([1e-5, 1.0])
    layers = network_outline().to_frame()
    assert layers["parameters"].sum() == 2610
    assert layers.loc["output", "output_shape"] == (10,)
    columns = data_report().to_frame()
    assert columns.loc["ticket", "note"] == "every value is different"
    assert columns.loc["age", "treatment"] == "missing → median 29.7 (+ indicator); standardised"


def test_unknown_kinds_are_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="no kind 'pie'") as caught:
        classification().plot(kind="pie")
    assert "precision_recall" in caught.value.remedy
    with pytest.raises(SettingsError, match="no kind"):
        regression().to_frame(kind="pie")


def test_confusion_plot_shows_counts_and_names() -> None:
    ax = classification().plot()
    assert sorted(text.get_text() for text in ax.texts) == ["1", "2", "2", "5"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["no", "yes"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    image = ax.images[0].get_array()
    assert image is not None
    assert np.asarray(image) == pytest.approx(np.array([[5 / 6, 1 / 6], [0.5, 0.5]]))


@pytest.mark.parametrize("kind", ["roc", "precision_recall"])
def test_curve_plots_name_the_class_and_its_area(kind: str) -> None:
    ax = classification().plot(kind=kind)
    line = ax.lines[0]
    assert line.get_label() == "yes (0.75)"
    assert np.asarray(line.get_xdata()).tolist() == [0.0, 0.5, 1.0]
    assert np.asarray(line.get_ydata()).tolist() == [0.0, 1.0, 1.0]


def test_many_classes_stay_readable() -> None:
    few, size = classification(), 60
    curve = few.roc[0]
    absent = replace(curve, x=np.empty(0), y=np.empty(0), area=float("nan"))
    many = replace(
        few,
        classes=tuple(f"class {index}" for index in range(size)),
        precision=np.linspace(0, 1, size),
        recall=np.linspace(0, 1, size),
        f1=np.linspace(0, 1, size),
        support=np.arange(size),
        confusion=np.diag(np.arange(size)),
        roc=(absent, *[curve] * (size - 1)),
        precision_recall=(absent, *[curve] * (size - 1)),
    )
    labels = [line.get_label() for line in many.plot(kind="roc").lines]
    assert labels[:-1] == [f"class {index} (0.75)" for index in range(50, 60)]
    assert len(many.plot().texts) == 0
    text = str(many)
    assert "The 40 of 60 classes with the lowest F1" in text
    assert "class 39" in text
    assert "class 40" not in text


def test_regression_plots() -> None:
    result = regression()
    against = result.plot()
    assert np.asarray(against.lines[0].get_xdata()).tolist() == [1.0, 3.0, 5.0]
    assert np.asarray(against.lines[0].get_ydata()).tolist() == [1.5, 3.0, 4.0]
    residuals = result.plot(kind="residuals")
    assert np.asarray(residuals.lines[0].get_ydata()).tolist() == [0.5, 0.0, -1.0]
    histogram = result.plot(kind="histogram").patches[0].get_data()  # type: ignore[attr-defined]  # a StepPatch
    assert histogram.values.tolist() == [1, 3, 2]


def test_other_plots() -> None:
    folds = EVERY["cross_validation"].plot(metric="log_loss")
    assert folds.get_ylabel() == "log loss"
    assert np.asarray(folds.lines[-1].get_ydata()).tolist() == [0.3, 0.5, 0.1]
    rates = learning_rate_range().plot()
    assert rates.get_xscale() == "log"
    assert np.asarray(rates.lines[-1].get_xdata()).tolist() == [0.01, 0.01]
    low, high = rates.get_ylim()
    assert low < 1.2 < 2.3 < high < 5, "the loss that blew up does not flatten the rest"
    bars = network_outline().plot()
    assert [bar.get_width() for bar in bars.patches] == [40, 2570]  # type: ignore[attr-defined]  # Rectangles
    balance = data_report().plot()
    heights = [bar.get_height() for bar in balance.patches]  # type: ignore[attr-defined]  # Rectangles
    assert heights == [5 / 8, 3 / 8, 1 / 2, 1 / 2, 1 / 2, 1 / 2]
    assert data_report(()).plot().get_xlabel() == "survived"
    bare = replace(data_report(()), columns=())
    assert [bar.get_height() for bar in bare.plot().patches] == [8, 2, 2]  # type: ignore[attr-defined]  # Rectangles


def test_plots_draw_on_the_axes_given() -> None:
    from matplotlib.figure import Figure

    for result in EVERY.values():
        ax = Figure().subplots()
        assert result.plot(ax=ax) is ax


def test_numbers() -> None:
    shown = [number(value) for value in (0, -2, 0.00001234, 12345.678, -0.5, 1e12, float("inf"), -float("inf"), None)]
    assert shown == ["0", "−2", "1.234e−05", "12,346", "−0.5", "1,000,000,000,000", "∞", "−∞", "–"]
    assert share(None) == "–"


def test_a_saved_result_is_shown_without_torch(tmp_path: Path) -> None:
    path = classification().save(tmp_path / "evaluation.safetensors")
    code = (
        "import sys; from pellucid.results.base import Result; result = Result.load(sys.argv[1]);"
        "text = str(result); page = result._repr_html_(); assert 'torch' not in sys.modules; print(text)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("Evaluation on test")


def test_a_walk_is_told_and_drawn_phase_by_phase() -> None:
    result = trace_stepper()
    frame = result.to_frame()
    assert frame["phase"].tolist() == ["forward"] * 2 + ["loss"] + ["backward"] * 3 + ["update"]
    assert frame["op"].tolist() == ["linear", "relu", "sum", "sum", "relu", "linear", "update"]
    assert frame.loc[6, "update_norm"] == pytest.approx(5**0.5 / 100)
    values = result.plot()
    assert [label.get_text().split("\n")[0] for label in values.get_xticklabels()] == ["fc[red]", "step 1", "loss"]
    pictures = [np.asarray(image.get_array()).tolist() for image in values.images]
    assert pictures == [[[0.75]], [[0.75]], [[0.75]]]
    gradients = result.plot(kind="gradients")
    assert [label.get_text().split("\n")[0] for label in gradients.get_xticklabels()] == ["loss", "step 1", "fc[red]"]
    (move,) = result.plot(kind="updates").images
    assert np.asarray(move.get_array()) == pytest.approx(np.array([[-0.02, -0.01]]))
    assert "no updates" in replace(result, walk=result.walk[:-1]).plot(kind="updates").get_title()
    many = replace(result, walk=result.walk[:1] * 3, values=result.values)
    assert len(many.plot().images) == 1, "a value is drawn once"
