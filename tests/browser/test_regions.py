"""Regions, surfaces and folding in Chromium: drawn, moved about in, read, replayed, and without WebGL."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect
from torch import nn

import pellucid
from pellucid.cli.main import app as command
from pellucid.core.slices import Slice
from pellucid.lenses.linear_regions import measure_linear_regions
from pellucid.lenses.regions_on_line import measure_regions_on_line
from pellucid.results.base import Result
from pellucid.store.added_results import add_result
from pellucid.store.run import open_run
from tests.browser.conftest import App

CENTRE = """() => {
  const canvas = document.querySelector('.field canvas');
  if (!canvas || canvas.width < 100) return null;
  const [r, g, b, a] = canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
  return a === 255 ? [r, g, b].join() : null;
}"""
"""The colour in the middle of the picture, once there is one."""


def runner(*arguments: str) -> None:
    from typer.testing import CliRunner

    done = CliRunner().invoke(command, list(arguments))
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's run, measured at the end and at every checkpoint."""
    runs = tmp_path_factory.mktemp("measured")
    run = pellucid.fit("iris", epochs=4, network="mlp", widths=(16, 12), activation="relu", runs_dir=runs, seed=3).id
    for kind in ("regions", "surface", "folding"):
        runner("measure", kind, run, "--plane", "features:2,3", "--runs-dir", str(runs))
    for kind in ("regions", "surface"):
        runner("measure", kind, run, "--plane", "features:2,3", "--checkpoints", "--runs-dir", str(runs))
    return runs / run


@pytest.fixture
def fitted(app: App, measured: Path) -> str:
    """The id of that run in the app's folder."""
    shutil.copytree(measured, app.runs / measured.name)
    return measured.name


def seeded(width: int) -> tuple[nn.Module, Slice]:
    torch.manual_seed(0)
    layers = [nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    plane = Slice(np.zeros(2), np.eye(2)[0], np.eye(2)[1], (-1.0, 1.0), (-1.0, 1.0), (2,))
    return nn.Sequential(*layers, nn.Linear(width, 1)), plane


def test_a_cell_is_read_where_the_pointer_is(app: App, page: Page, fitted: str):
    regions = Result.load(app.runs / fitted / "results" / "linear_regions.safetensors")
    page.set_viewport_size({"width": 1280, "height": 1600})
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=linear_regions"))
    expect(page.get_by_text(f"{regions.cells:,} linear regions")).to_be_visible(timeout=30_000)
    page.wait_for_function(CENTRE)
    box = page.locator(".field").first.bounding_box()
    assert box is not None
    (left, right), (low, high) = regions.plane.u_range, regions.plane.v_range
    for across, up in ((0.31, 0.62), (0.77, 0.18), (0.52, 0.49)):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"])
        place = np.array([[left + across * (right - left), low + up * (high - low)]])
        cell = int(regions.locate(place)[0])
        expect(page.get_by_role("heading", name=f"Cell {cell:,}", exact=True)).to_be_visible()
        slopes, offsets = regions.affine(cell)
        expect(page.locator("tr.first")).to_contain_text(re.compile("setosa|versicolor|virginica"))
        best = float((slopes @ place[0] + offsets).max())
        shown = page.locator("tr.first td.number").first.inner_text().replace("\N{MINUS SIGN}", "-")
        assert float(shown) == pytest.approx(best, rel=0.02, abs=0.02)


def test_the_camera_and_the_pin_stay_while_training_is_replayed(app: App, page: Page, fitted: str):
    page.set_viewport_size({"width": 1280, "height": 1600})
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=linear_regions"))
    page.wait_for_function(CENTRE, timeout=30_000)
    field = page.locator(".field").first
    box = field.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    pinned = page.locator(".place").inner_text()
    for _ in range(3):
        page.mouse.wheel(0, -200)
    ticks = page.locator(".x-axis").inner_text()
    title = page.get_by_text(re.compile(r"linear regions$")).inner_text()
    page.get_by_role("slider", name="Moment").fill("0")
    expect(page.get_by_text(title, exact=True)).to_have_count(0)
    page.mouse.move(5, 5)
    assert page.locator(".x-axis").inner_text() == ticks
    expect(page.locator(".place")).to_have_text(pinned)


def test_every_colouring_is_drawn_and_told(app: App, page: Page, fitted: str):
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=linear_regions"))
    page.wait_for_function(CENTRE, timeout=30_000)
    seen = set()
    colour = page.get_by_role("combobox", name="Colour")
    for choice in ("class", "output", "slope", "pattern", "active", "unit"):
        colour.select_option(choice)
        page.wait_for_timeout(400)
        seen.add(page.evaluate(CENTRE))
    assert None not in seen
    assert len(seen) >= 4
    expect(page.get_by_role("slider", name="Unit")).to_be_visible()


def test_two_hundred_thousand_cells_are_drawn_and_moved(app: App, page: Page, fitted: str):
    model, plane = seeded(420)
    regions = measure_linear_regions(model, plane)
    assert regions.cells >= 200_000
    add_result(open_run(fitted, app.runs), "linear_regions", regions)
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=linear_regions"))
    expect(page.get_by_text(f"{regions.cells:,} linear regions")).to_be_visible(timeout=60_000)
    page.wait_for_function(CENTRE, timeout=60_000)
    page.locator(".field").first.focus()
    for key in ("+", "+", "+", "ArrowLeft", "ArrowUp", "0"):
        page.keyboard.press(key)
    page.wait_for_function(CENTRE)
    page.mouse.move(500, 700)
    expect(page.get_by_text(re.compile(r"\d+ of 420 active")).first).to_be_visible()


def test_neurons_folding_and_a_line_are_shown(app: App, page: Page, fitted: str):
    model, _ = seeded(8)
    add_result(open_run(fitted, app.runs), "regions_on_line", measure_regions_on_line(model, [-1, -1], [1, 1]))
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=neuron_surface"))
    sheet = page.get_by_role("slider", name=re.compile(r"neurons of"))
    expect(sheet).to_be_visible(timeout=30_000)
    sheet.focus()
    before = sheet.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowRight")
    assert sheet.get_attribute("aria-valuetext") != before
    expect(page.get_by_text("How it comes about")).to_be_visible()
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=input_folding"))
    page.get_by_role("button", name="Play through the layers").click(timeout=30_000)
    expect(page.get_by_text(re.compile("The plane as output sees it")).first).to_be_visible(timeout=30_000)
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=regions_on_line"))
    expect(page.get_by_text("What bends where")).to_be_visible(timeout=30_000)


def test_a_neurons_colours_mean_the_same_at_every_moment(app: App, page: Page, fitted: str):
    """The height at the top of the surface's axis, which is that of the brightest colour, is the largest of all."""
    names = sorted((app.runs / fitted / "results").glob("neuron_surface*.safetensors"))
    assert len(names) > 3
    highs = np.array([Result.load(name).layers[0].high for name in names])
    unit = int(np.argmax(highs.max(0) - highs.min(0)))
    page.add_init_script(
        "window.drawn = []; const fill = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {"
        "  window.drawn.push(text); return fill.call(this, text, ...rest);"
        "};"
    )
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=neuron_surface&view=unit:{unit}"))
    moment = page.get_by_role("slider", name="Moment")
    expect(moment).to_be_visible(timeout=30_000)
    page.locator(".surface").scroll_into_view_if_needed()
    tops = {f"{highs[:, unit].max():.{digits}g}" for digits in (2, 3)}
    for place in range(int(moment.get_attribute("max") or 0) + 1):
        page.evaluate("window.drawn = []")
        moment.fill(str(place))
        page.wait_for_function("(unit) => window.drawn.includes('#' + unit)", arg=unit)
        page.wait_for_timeout(300)
        assert tops & set(page.evaluate("window.drawn")), (place, tops)


def test_without_webgl_the_same_is_drawn(app: App, page: Page, fitted: str):
    page.add_init_script(
        "const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        "  return kind.startsWith('webgl') ? null : get.call(this, kind, ...rest);"
        "};"
    )
    page.goto(app.url(f"/runs/{fitted}?tab=function&kind=linear_regions"))
    page.wait_for_function(CENTRE, timeout=30_000)


def test_the_report_carries_the_regions(app: App, page: Page, fitted: str, tmp_path: Path):
    path = tmp_path / "regions.html"
    runner("report", fitted, "--output", str(path), "--runs-dir", str(app.runs))
    page.goto(path.as_uri())
    expect(page.get_by_text(re.compile(r"linear regions$")).first).to_be_visible(timeout=30_000)
    page.get_by_text(re.compile(r"linear regions$")).first.scroll_into_view_if_needed()
    page.wait_for_function(CENTRE)
