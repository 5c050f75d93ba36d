"""What a network computes, in Chromium: really fitted and measured, looked at, replayed, and sent away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import pellucid
from pellucid.store.added_results import add_result
from pellucid.store.run import find_run
from pellucid.store.writer import RunWriter
from pellucid.training.measured import Request, measure_run
from tests.browser.conftest import BROWSERS, App, wait_until


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """A runs folder with one small network, measured at its end and, in part, along its training."""
    runs = tmp_path_factory.mktemp("measured")
    run = find_run(
        pellucid.fit("iris", epochs=3, activation="relu", runs_dir=runs, seed=3, name="measured iris").id, runs
    )
    for request in (
        Request("landscape", "path", resolution=9),
        Request("curvature"),
        Request("local"),
        Request("jacobian"),
    ):
        for name, result in measure_run(run, request):
            add_result(run, name, result)
    for name, result in measure_run(run, Request("landscape", "path", resolution=9), checkpoints=True):
        add_result(run, name, result)
    return runs


@pytest.fixture
def shown(app: App, measured: Path) -> str:
    """The id of the measured run in the app's folder."""
    (run,) = measured.iterdir()
    shutil.copytree(run, app.runs / run.name)
    return run.name


def tab(app: App, run: str, kind: str = "") -> str:
    return app.url(f"/runs/{run}?tab=function{f'&kind={kind}' if kind else ''}")


def test_an_unmeasured_run_says_what_to_type(app: App, page: Page):
    with RunWriter.create(app.runs, name="plain", kind="fit", settings={}, environment={}) as writer:
        pass
    page.goto(tab(app, writer.id))
    expect(page.get_by_text(f"pellucid measure regions {writer.id} --plane pca").first).to_be_visible()


def test_each_measure_is_shown_and_fetched_only_when_it_is_looked_at(app: App, page: Page, shown: str):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/results/" in request.url else None)
    page.goto(tab(app, shown))
    expect(page.get_by_role("heading", name="From above")).to_be_visible()
    measures = page.get_by_role("group", name="What was measured")
    assert not any("local_linear_models" in url or "curvature" in url for url in asked)
    measures.get_by_role("button", name="Local linear models").click()
    expect(page.get_by_role("heading", name=re.compile("^Profile of"))).to_be_visible()
    expect(page.get_by_text("Fewer models in their place")).to_be_visible()
    measures.get_by_role("button", name="Curvature").click()
    expect(page.get_by_role("img", name=re.compile(r"lr·λ₁ is"))).to_be_visible()
    measures.get_by_role("button", name="Jacobian").click()
    expect(page.get_by_role("heading", name="Singular values")).to_be_visible()
    assert "kind=input_jacobian" in page.url
    page.go_back()
    expect(page.get_by_role("img", name=re.compile(r"lr·λ₁ is"))).to_be_visible()


def test_training_is_replayed(app: App, page: Page, shown: str):
    page.goto(tab(app, shown, "loss_landscape"))
    loss = page.get_by_text("Loss now", exact=True).locator("..").locator(".value")
    final = loss.inner_text()
    slider = page.get_by_label("Moment")
    expect(slider).to_have_attribute("aria-valuetext", "final")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("epoch"))
    expect(loss).not_to_have_text(final)
    expect(page).to_have_url(re.compile("step="))
    page.get_by_role("button", name="Replay the training").click()
    expect(slider).to_have_attribute("aria-valuetext", "final", timeout=15_000)
    expect(loss).to_have_text(final)


def test_a_place_on_the_map_is_read_by_key(app: App, page: Page, shown: str):
    page.goto(tab(app, shown, "loss_landscape"))
    field = page.get_by_role("slider", name=re.compile("^Loss over"))
    field.focus()
    field.press("ArrowRight")
    field.press("ArrowUp")
    expect(field).to_have_attribute("aria-valuetext", re.compile(r"^loss [\d.]+ at"))


SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]

COLOURS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 250) seen.add(data.slice(at, at + 3).join());
  return seen.size;
}"""


@pytest.fixture
def drawing(browser: Browser) -> Iterator[Page]:
    """A page of a Chromium that draws by WebGL, in software."""
    path = next(found for found in map(shutil.which, BROWSERS) if found)
    running = browser.browser_type.launch(executable_path=path, args=SOFTWARE)
    yield running.new_page(viewport={"width": 1280, "height": 900})
    running.close()


def test_the_surface_is_drawn_turned_and_read(app: App, drawing: Page, shown: str):
    errors: list[str] = []
    drawing.on("pageerror", lambda error: errors.append(str(error)))
    drawing.goto(tab(app, shown, "loss_landscape"))
    surface = drawing.get_by_role("application", name=re.compile("^Loss over"))
    expect(surface).to_be_visible()
    canvas = surface.locator("canvas")
    wait_until(lambda: canvas.evaluate(COLOURS) > 500)
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    surface.press("ArrowLeft")
    wait_until(lambda: canvas.evaluate("canvas => canvas.toDataURL()") != before)
    surface.press("Home")
    wait_until(lambda: canvas.evaluate("canvas => canvas.toDataURL()") == before)
    surface.hover(position={"x": 300, "y": 230})
    place = drawing.get_by_role("slider", name=re.compile("^Loss over"))
    expect(place).to_have_attribute("aria-valuetext", re.compile(r"^loss [\d.]+ at"))
    assert errors == []


def test_without_webgl_the_map_stands_alone(app: App, browser: Browser, shown: str):
    path = next(found for found in map(shutil.which, BROWSERS) if found)
    running = browser.browser_type.launch(executable_path=path, args=["--no-sandbox", "--disable-3d-apis"])
    page = running.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(tab(app, shown, "loss_landscape"))
    expect(page.get_by_text("draws nothing in three dimensions")).to_be_visible()
    expect(page.get_by_role("slider", name=re.compile("^Loss over"))).to_be_visible()
    assert not any("scene" in url for url in asked), "three is not even loaded"
    running.close()


def test_a_report_carries_it_all_and_asks_for_nothing(app: App, page: Page, shown: str, tmp_path: Path):
    from pellucid.server.report import write_report

    path = tmp_path / "function.html"
    write_report(find_run(shown, app.runs), path)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    section = page.locator("section#function")
    for heading in ("Loss landscape", "Curvature", "Local linear models", "Jacobian"):
        expect(section.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    section.get_by_label("Moment").first.press("Home")
    expect(section.get_by_label("Moment").first).to_have_attribute("aria-valuetext", re.compile("epoch"))
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    page.set_viewport_size({"width": 380, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
