"""The trace of an example in Chromium: chosen, walked, asked, dragged, refused and sent away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

import pellucid
from pellucid.results.base import Result
from pellucid.server.asking import Desk
from pellucid.store.writer import RunWriter
from tests.browser.conftest import App, wait_until


@pytest.fixture
def fitted(app: App) -> str:
    """The id of a small network's run in the app's folder."""
    return pellucid.fit("iris", epochs=2, runs_dir=app.runs, seed=3).id


def test_an_example_is_traced_and_asked_about(app: App, page: Page, fitted: str):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/ask") else None)
    page.goto(app.url(f"/runs/{fitted}?tab=trace&example=12"))
    expect(page.get_by_text(re.compile(r"row 12 of the \w+ split", re.IGNORECASE)).first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("cross_entropy").first).to_be_visible()
    page.wait_for_timeout(1000)
    assert len(asked) == 2, "the walk and its table are asked for once"
    page.get_by_label("Example", exact=True).fill("13")
    expect(page.get_by_text(re.compile(r"row 13 of the \w+ split", re.IGNORECASE)).first).to_be_visible(timeout=60_000)
    assert "example=13" in page.url
    page.get_by_role("button", name="Check every number").click()
    expect(page.get_by_text(re.compile("backward against autograd", re.IGNORECASE)).first).to_be_visible(timeout=60_000)


def test_without_a_word_the_example_that_went_most_wrong_is_shown(app: App, page: Page, fitted: str):
    evaluation = Result.load(app.runs / fitted / "results" / "evaluation_test.safetensors")
    page.goto(app.url(f"/runs/{fitted}?tab=trace"))
    worst = int(evaluation.worst.rows[0])
    expect(page.get_by_text(re.compile(rf"row {worst} of the test split", re.IGNORECASE)).first).to_be_visible(
        timeout=60_000
    )
    expect(page.get_by_role("button", name=str(worst), exact=True)).to_have_attribute("aria-pressed", "true")


def test_what_cannot_be_traced_says_why(app: App, context: BrowserContext, fitted: str):
    page = context.new_page()  # Chromium itself reports the refusal as an error of the page
    page.goto(app.url(f"/runs/{fitted}?tab=trace&example=99999"))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Row 99999 is in no split", timeout=60_000)
    expect(alert).to_contain_text("between 0 and 149")
    with RunWriter.create(app.runs, name="watched", kind="watch", settings={}, environment={}) as writer:
        pass
    page.goto(app.url(f"/runs/{writer.id}?tab=trace"))
    expect(page.get_by_text("pellucid.trace(model").first).to_be_visible()


def test_a_report_walks_without_a_server(app: App, page: Page, fitted: str, tmp_path: Path):
    from pellucid.server.report import write_report
    from pellucid.store.run import find_run

    desk = Desk(app.runs)
    payload = desk.submit(fitted, {"kind": "trace", "example": 5}, {"ask": "stepper"}).result(120)
    desk.close()
    path = tmp_path / "walk.html"
    write_report(find_run(fitted, app.runs), path, extra={"trace_stepper": Result.from_bytes(payload)})
    page.goto(path.as_uri())
    section = page.locator("section#trace")
    expect(section.get_by_text(re.compile("row 5 of the", re.IGNORECASE)).first).to_be_visible()
    expect(section.get_by_role("button", name="Check every number")).to_have_count(0)


def walk_through(page: Page, app: App, run: str) -> None:
    """Open the trace of an example, at its first stop."""
    page.goto(app.url(f"/runs/{run}?tab=trace&example=12"))
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible(timeout=60_000)
    page.set_default_timeout(10_000)


def position(page: Page) -> int:
    return int(page.get_by_role("slider", name="Position in the walk").input_value())


def test_the_walk_plays_steps_jumps_and_scrubs(app: App, page: Page, fitted: str):
    walk_through(page, app, fitted)
    assert position(page) == 0
    page.get_by_text("4×", exact=True).click()
    page.get_by_role("button", name="Play", exact=True).click()
    wait_until(lambda: position(page) >= 3)
    page.get_by_role("button", name="Pause", exact=True).click()
    stopped = position(page)
    page.get_by_role("button", name="Step forward").click()
    assert position(page) == stopped + 1
    page.get_by_role("button", name="Step back").click()
    assert position(page) == stopped
    page.get_by_role("button", name="To the end").click()
    expect(page.get_by_text(re.compile("moves .* by a step of length")).first).to_be_visible()
    page.get_by_role("slider", name="Position in the walk").fill("0")
    expect(page.get_by_text("Forward", exact=True).first).to_be_visible()
    layer = page.get_by_role("combobox", name="Layer")
    layer.select_option(index=layer.locator("option").count() - 2)
    assert position(page) > 0
    wait_until(lambda: f"position={position(page)}" in page.url)


def test_the_walk_by_keyboard_alone(app: App, page: Page, fitted: str):
    walk_through(page, app, fitted)
    network = page.get_by_role("slider", name=re.compile("^The network"))
    network.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")  # here from neuron to neuron
    expect(network).to_have_attribute("aria-valuetext", re.compile(r"\[0, \d+\] = "))
    assert position(page) == 0
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("selected=value"))
    page.get_by_role("group", name=re.compile("^The walk through")).focus()
    page.keyboard.press("ArrowRight")
    assert position(page) == 1
    page.keyboard.press("End")
    last = position(page)
    assert last > 8
    page.keyboard.press("Home")
    assert position(page) == 0
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_an_entry_is_explained_followed_and_dragged(app: App, page: Page, fitted: str):
    walk_through(page, app, fitted)
    page.get_by_role("slider", name=re.compile("weight, .*: choose an entry")).first.click(position={"x": 8, "y": 8})
    entry = page.get_by_role("region", name=re.compile(r"weight\[\d+, \d+\]"))
    dial = entry.get_by_role("slider", name=re.compile("^Drag "))
    expect(dial).to_be_visible(timeout=30_000)
    box = dial.bounding_box()
    assert box is not None
    before = dial.get_attribute("aria-valuenow")
    page.mouse.move(box["x"] + 30, box["y"] + 20)
    page.mouse.down()
    for pixels in range(0, 80, 8):
        page.mouse.move(box["x"] + 30, box["y"] + 20 - pixels)
    page.mouse.up()
    assert dial.get_attribute("aria-valuenow") != before
    expect(entry.get_by_role("status").filter(has_text="the slope says")).to_have_count(1, timeout=30_000)
    entry.get_by_role("button", name="Put it back").click()
    expect(dial).to_have_attribute("aria-valuenow", str(before))
    entry.get_by_text("Gradient", exact=True).last.click()
    expect(entry.get_by_text("Checked:").first).to_be_visible(timeout=30_000)
    entry.get_by_role("navigation", name="Walk on").get_by_role("button").first.click()
    expect(page.get_by_role("button", name="Back to the entry before")).to_be_visible()
    page.get_by_role("button", name="Back to the entry before").click()
    expect(entry.get_by_text("Checked:").first).to_be_visible(timeout=30_000)
    expect(page).to_have_url(re.compile("selected=gradient"))


def test_a_number_is_dragged_where_it_is_drawn(app: App, page: Page, fitted: str):
    """A cell of a heat map, then a neuron of the network: up is more, and the pointer is told what comes of it."""
    walk_through(page, app, fitted)
    cells = page.get_by_role("slider", name=re.compile("weight, .*: choose an entry")).first
    drag(page, cells, 8, 8)
    network = page.get_by_role("slider", name=re.compile("^The network"))
    network.scroll_into_view_if_needed()
    box = network.bounding_box()
    assert box is not None
    x = max(26, min(64, 0.07 * box["width"]))  # the inputs' column
    for y in range(150, 300, 8):  # found as a person finds it: by moving over it
        page.mouse.move(box["x"] + x, box["y"] + y)
        if page.locator(".pointing").count():
            break
    drag(page, network, x, y)


def drag(page: Page, drawing: Locator, x: float, y: float) -> None:
    """Drag what is drawn there up by 60 pixels; the dial follows and stays."""
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.down()
    for pixels in range(0, 61, 6):
        page.mouse.move(box["x"] + x, box["y"] + y - pixels)
    expect(page.get_by_text(re.compile(r"= .*, was .*: loss .* \("))).to_be_visible(timeout=30_000)
    dial = page.get_by_role("slider", name=re.compile("^Drag "))
    low, now, high = (float(dial.get_attribute(f"aria-value{which}") or "nan") for which in ("min", "now", "max"))
    assert (now - low) / (high - low) == pytest.approx(0.5 + 60 / 160 / 2, abs=0.01)
    page.mouse.up()
    assert position(page) == 0
    page.mouse.move(box["x"] + x, box["y"] + y - 10)
    assert float(dial.get_attribute("aria-valuenow") or "nan") == now, "it stays where it was let go"


def test_the_walk_keeps_its_place_on_the_page(app: App, page: Page, fitted: str):
    """Nothing jumps while it plays, in light or dark, on a narrow screen or a wide one."""
    for scheme, width in (("light", 1400), ("dark", 380)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        walk_through(page, app, fitted)
        heights = set()
        last = int(page.get_by_role("slider", name="Position in the walk").get_attribute("max") or 0)
        for stop in range(last + 1):
            page.get_by_role("slider", name="Position in the walk").fill(str(stop))
            heights.add(page.evaluate("document.querySelector('.stages').firstElementChild.offsetHeight"))
        assert len(heights) == 1
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
