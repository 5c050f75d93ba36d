"""Where a training ended, in Chromium: fitted and measured, looked at, replayed, measured again, and sent away."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import pellucid
from pellucid.store.added_results import add_result
from pellucid.store.run import find_run
from pellucid.training.measured import Request, measure_run
from tests.browser.conftest import App, wait_until

KINDS = ("calibration", "classes", "collapse", "information", "layers", "margins", "robustness")


def keep(run_id: str, runs: Path, *requests: Request, checkpoints: bool = False) -> None:
    """Measure a run and keep what was found."""
    run = find_run(run_id, runs)
    for request in requests:
        for name, result in measure_run(run, request, checkpoints=checkpoints):
            add_result(run, name, result)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """A runs folder with one small network, measured at its end and, in part, along its training."""
    runs = tmp_path_factory.mktemp("measured")
    run = pellucid.fit("iris", epochs=3, activation="relu", runs_dir=runs, seed=3, name="collapsing iris").id
    keep(run, runs, *(Request(kind) for kind in KINDS), Request("calibration", scale="temperature"))
    keep(run, runs, Request("classes"), checkpoints=True)
    return runs


@pytest.fixture
def shown(app: App, measured: Path) -> str:
    """The id of the measured run in the app's folder."""
    (run,) = measured.iterdir()
    shutil.copytree(run, app.runs / run.name)
    return run.name


def tab(app: App, run: str, rest: str = "") -> str:
    return app.url(f"/runs/{run}?tab=geometry{rest}")


def test_every_measure_of_geometry_is_shown(app: App, page: Page, shown: str):
    page.goto(tab(app, shown))
    measures = page.get_by_role("group", name="What was measured")
    for label, heading in (
        ("Collapse (train)", "NC4: the nearest centre decides"),
        ("Layer by layer (train)", "Separation by depth"),
        ("Classes (train)", "Class centres beside the ideal simplex"),
        ("Calibration (test)", "Reliability"),
        ("Calibration (test, temperature)", "Reliability"),
        ("Margins (test)", "Median margin of every class"),
        ("Robustness (test)", "Every level"),
        ("Information plane (train)", "The information plane"),
    ):
        measures.get_by_role("button", name=label, exact=True).click()
        expect(page.get_by_role("heading", name=heading).first).to_be_visible()
    measures.get_by_role("button", name="Calibration (test, temperature)").click()
    expect(page.get_by_text("After temperature scaling, fitted on validation")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Before")).to_be_visible()


def test_what_is_set_in_a_view_stands_in_the_address(app: App, page: Page, shown: str):
    page.goto(tab(app, shown, "&kind=calibration_test"))
    page.get_by_text("equal mass", exact=True).click()
    expect(page).to_have_url(re.compile("view=binning:mass"))
    page.reload()
    expect(page.get_by_role("radio", name="equal mass")).to_be_checked()
    page.get_by_role("button", name="Margins (test)").click()
    expect(page).not_to_have_url(re.compile("view="))
    page.go_back()
    expect(page.get_by_role("radio", name="equal mass")).to_be_checked()


PICTURE = "canvas => canvas.toDataURL()"
ALIKE = 0.001


def at_rest(page: Page, canvas: Locator) -> str:
    """The picture once it has not changed for half a second: laid out, drawn, and arrived where it moves to."""
    seen = [""]

    def is_still() -> bool:
        page.wait_for_timeout(500)
        seen.append(canvas.evaluate(PICTURE))
        return seen[-1] == seen[-2]

    wait_until(is_still, timeout_s=30)
    return seen[-1]


def differing(one: str, other: str) -> float:
    """The share of pixels in which two pictures differ plainly; the browser may smooth the same edges in two ways."""
    pixels = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"), dtype=np.int16)
        for url in (one, other)
    ]
    return 1.0 if pixels[0].shape != pixels[1].shape else float((np.abs(pixels[0] - pixels[1]).max(-1) > 96).mean())


def test_the_simplex_moves_smoothly_through_training(app: App, page: Page, shown: str):
    page.goto(tab(app, shown, "&kind=class_geometry_train"))
    canvas = page.get_by_role("img", name=re.compile("class centres in space"))
    slider = page.get_by_label("Moment")
    expect(slider).to_have_attribute("aria-valuetext", "final")
    at_rest(page, canvas)
    page.evaluate(
        """canvas => {
          window.seen = new Set();
          const look = () => { window.seen.add(canvas.toDataURL()); window.looking = requestAnimationFrame(look); };
          look();
        }""",
        canvas.element_handle(),
    )
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "epoch 0")
    wait_until(lambda: page.evaluate("window.seen.size") > 3)  # not one jump but pictures between
    slider.press("End")  # all moments are there by now, and so is the scale that serves them all
    expect(slider).to_have_attribute("aria-valuetext", "final")
    final = at_rest(page, canvas)
    page.get_by_role("button", name="Replay the training").click()
    expect(slider).to_have_attribute("aria-valuetext", "final", timeout=20_000)
    page.evaluate("cancelAnimationFrame(window.looking)")
    wait_until(lambda: differing(at_rest(page, canvas), final) < ALIKE, timeout_s=30)
    canvas.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"view=angle:%5B0.7%3B0.35%5D|view=angle:\[0.7;0.35\]"))
    turned = at_rest(page, canvas)
    assert differing(turned, final) > 5 * ALIKE
    page.reload()
    expect(slider).to_have_attribute("aria-valuetext", "final")
    wait_until(lambda: differing(at_rest(page, canvas), turned) < ALIKE, timeout_s=30)


def test_a_result_that_is_measured_again_is_shown_without_reloading(app: App, page: Page, shown: str):
    page.goto(tab(app, shown, "&kind=margins_test"))
    examples = page.get_by_text(re.compile(r"^\d+ examples$")).first
    run = find_run(shown, app.runs)
    ((name, before),) = measure_run(run, Request("margins"))
    expect(examples).to_have_text(f"{before.examples} examples")
    ((_, other),) = measure_run(run, Request("margins", split="train"))
    assert other.examples != before.examples
    add_result(run, name, other)
    expect(examples).to_have_text(f"{other.examples} examples", timeout=15_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_fits_a_telephone(app: App, page: Page, shown: str, theme: str):
    page.set_viewport_size({"width": 380, "height": 800})
    page.goto(tab(app, shown, f"&theme={theme}"))
    measures = page.get_by_role("group", name="What was measured")
    expect(measures).to_be_visible()
    for place in range(measures.get_by_role("button").count()):
        button = measures.get_by_role("button").nth(place)
        button.click()
        expect(page.locator(".tile-grid .value").first).to_be_visible()
        page.wait_for_timeout(150)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 380, f"{button.inner_text()} is {wide} px wide"


def test_a_report_carries_it_all_and_asks_for_nothing(app: App, page: Page, shown: str, tmp_path: Path):
    from pellucid.server.report import write_report

    path = tmp_path / "geometry.html"
    write_report(find_run(shown, app.runs), path)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    section = page.locator("section#geometry")
    for heading in ("Collapse (train)", "Classes (train)", "Calibration (test, temperature)", "Margins (test)"):
        expect(section.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    section.get_by_label("Moment").first.press("Home")
    expect(section.get_by_label("Moment").first).to_have_attribute("aria-valuetext", "epoch 0")
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
