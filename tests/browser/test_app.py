"""The app in Chromium: live while a run trains, across a restart, by keyboard, in the dark."""

import io
import re
import shutil

from PIL import Image, ImageStat
from playwright.sync_api import Page, expect

from tests.browser.conftest import App, LiveRun, wait_until


def steps_shown(page: Page) -> int:
    """The number of steps that the header's tile says."""
    found = re.search(r"([\d,]+)\s+steps", page.locator("main").inner_text())
    return int(found.group(1).replace(",", "")) if found else 0


def test_an_empty_folder_says_how_to_begin(app: App, page: Page):
    page.goto(app.url())
    expect(page.get_by_text("No runs yet")).to_be_visible()
    expect(page.get_by_text("pellucid fit digits").first).to_be_visible()
    assert "token" not in page.url


def test_a_run_is_seen_live(app: App, page: Page):
    page.goto(app.url())
    expect(page.get_by_text("No runs yet")).to_be_visible()
    with LiveRun(app.runs, "growing"):
        page.get_by_role("link", name="growing").click()
        expect(page.get_by_role("heading", name="growing", level=1)).to_be_visible()
        expect(page.get_by_text("Running", exact=False).first).to_be_visible()
        wait_until(lambda: steps_shown(page) > 0)
        before = steps_shown(page)
        wait_until(lambda: steps_shown(page) >= before + 20)
    expect(page.get_by_text("Finished").first).to_be_visible()


def test_the_page_survives_a_restart_of_the_server(app: App, page: Page):
    with LiveRun(app.runs, "survivor") as run:
        page.goto(app.url(f"/runs/{run.writer.id}"))
        wait_until(lambda: steps_shown(page) > 0)
        app.stop()
        expect(page.get_by_text(re.compile("reconnect", re.IGNORECASE)).first).to_be_visible(timeout=10_000)
        before = steps_shown(page)
        app.start()
        wait_until(lambda: steps_shown(page) > before + 20, timeout_s=30)


def test_two_runs_are_compared(app: App, page: Page):
    for name, loss in (("gentle", 1.0), ("steep", 3.0)):
        run = LiveRun(app.runs, name, loss=loss)
        run.grow(60)
        run.writer.close("finished")
    page.goto(app.url())
    boxes = page.locator("table tbody input[type=checkbox]")
    expect(boxes).to_have_count(2)
    for box in boxes.all():
        box.check()
    page.get_by_role("link", name=re.compile("Compare")).click()
    expect(page).to_have_url(re.compile(r"/compare\?runs="))
    main = page.locator("main")
    expect(main.get_by_text("gentle").first).to_be_visible()
    expect(main.get_by_text("steep").first).to_be_visible()
    # What differs between them is their learning rate, and both values stand there.
    expect(main.get_by_text("0.03", exact=True).first).to_be_visible()
    expect(main.get_by_text("0.01", exact=True).first).to_be_visible()
    page.reload()
    expect(page.locator("main").get_by_text("steep").first).to_be_visible()


def test_dark_and_light(app: App, page: Page):
    def brightness() -> float:
        """How light the page's corner is to look at, 0 to 255."""
        with Image.open(io.BytesIO(page.screenshot(clip={"x": 0, "y": 850, "width": 20, "height": 20}))) as corner:
            return ImageStat.Stat(corner.convert("L")).mean[0]

    page.emulate_media(color_scheme="light")
    page.goto(app.url())
    expect(page.get_by_text("No runs yet")).to_be_visible()
    assert brightness() > 200
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: brightness() < 60)


def test_the_way_by_keyboard_alone(app: App, page: Page, trained):
    shutil.copytree(trained, app.runs, dirs_exist_ok=True)
    page.goto(app.url())
    expect(page.get_by_role("link", name="small digits")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("small")
    expect(page).to_have_url(re.compile("small"))
    page.keyboard.press("Escape")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('tbody tr') !== null"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="small digits", level=1)).to_be_visible()
    page.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Layers")).to_have_attribute("aria-selected", "true")
    expect(page).to_have_url(re.compile("tab=layers"))
    expect(page.get_by_role("listbox", name="Layers")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_every_tab_of_a_trained_run(app: App, page: Page, trained):
    shutil.copytree(trained, app.runs, dirs_exist_ok=True)
    (run,) = app.runs.iterdir()
    page.goto(app.url(f"/runs/{run.name}"))
    for tab, sign in {
        "Layers": "Distributions over time",
        "Evaluation": "Confusion",
        "Data": "digit",
        "Settings": "learning",
    }.items():
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel").get_by_text(re.compile(sign, re.IGNORECASE)).first).to_be_visible()


def test_the_selected_layer_stays_in_the_address(app: App, page: Page, trained):
    shutil.copytree(trained, app.runs, dirs_exist_ok=True)
    (run,) = app.runs.iterdir()
    page.goto(app.url(f"/runs/{run.name}?tab=layers"))
    page.get_by_role("option", name=re.compile("output")).click()
    expect(page).to_have_url(re.compile("output"))
    page.reload()
    expect(page.get_by_role("option", name=re.compile("output"))).to_have_attribute("aria-selected", "true")


def test_without_the_token_there_is_nothing(app: App, page: Page):
    answer = page.request.get(f"http://127.0.0.1:{app.port}/api/runs")
    assert answer.status in (401, 403)
