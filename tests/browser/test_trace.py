"""The trace of an example in Chromium: chosen, walked, asked, refused and sent away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

import pellucid
from pellucid.results.base import Result
from pellucid.server.asking import Desk
from pellucid.store.writer import RunWriter
from tests.browser.conftest import App


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
