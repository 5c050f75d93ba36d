"""Why a script does not learn, in Chromium: run under watch by command, its verdict read in app and report."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from pellucid.cli.main import main
from tests.browser.conftest import App

SCRIPT = """\
import torch
from torch import nn

torch.manual_seed(0)
y = torch.randint(0, 3, (320,))
x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])[y] + torch.randn(320, 2)
model = nn.Sequential()
model.add_module("body", nn.Linear(2, 16))
model.add_module("act", nn.ReLU())
model.add_module("head", nn.Linear(16, 3))
optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)  # not told of the first layer

for epoch in range(10):
    for start in range(0, 320, 32):
        loss = nn.functional.cross_entropy(model(x[start : start + 32]), y[start : start + 32])
        loss.backward()  # onto the gradients of all steps before
        optimizer.step()
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one run of the script."""
    place = tmp_path_factory.mktemp("watched")
    (place / "train.py").write_text(SCRIPT, encoding="utf-8")
    words = [sys.executable, "-m", "pellucid", "run", "--headless", "--runs-dir", "runs", "train.py"]
    subprocess.run(words, cwd=place, check=True, capture_output=True)
    return place / "runs"


@pytest.fixture
def shown(app: App, watched: Path) -> str:
    """The id of the run in the app's folder."""
    (run,) = watched.iterdir()
    shutil.copytree(run, app.runs / run.name)
    return run.name


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1280])
def test_the_verdict_stands_above_all_else_and_a_finding_shows_its_change(
    app: App, page: Page, shown: str, width: int, theme: str
):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(app.url(f"/runs/{shown}?theme={theme}"))
    expect(page.locator("html")).to_have_attribute("data-theme", theme)
    diagnosis = page.get_by_role("region", name="Diagnosis")
    expect(diagnosis.get_by_role("heading", name="2 faults spoil this training")).to_be_visible()
    curves = page.get_by_role("heading", name="Loss").first
    assert diagnosis.bounding_box()["y"] < curves.bounding_box()["y"]
    diagnosis.get_by_text("Gradients are never cleared").click()
    expect(page).to_have_url(re.compile("selected=missing_zero_grad"))
    change = change_of(diagnosis, "Gradients are never cleared")
    expect(change).to_contain_text("put in:         optimizer.zero_grad()")
    expect(change.locator(".line")).to_have_text(str(1 + SCRIPT.splitlines().index(backward_line())))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    diagnosis.get_by_text("no optimiser updates").click()
    expect(change).to_be_hidden()
    change = change_of(diagnosis, "no optimiser updates")
    expect(change).to_contain_text("optimizer = torch.optim.SGD(model.parameters(), lr=0.1)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page).to_have_url(re.compile("selected=params_not_in_optimizer"))
    page.reload()
    expect(change).to_be_visible()


def change_of(diagnosis: Locator, title: str) -> Locator:
    """The change of source that the finding of this title proposes."""
    return diagnosis.get_by_role("listitem").filter(has_text=title).locator("figure", has_text="train.py")


def backward_line() -> str:
    (line,) = (line for line in SCRIPT.splitlines() if "backward()" in line)
    return line


def test_a_finding_leads_to_its_layer(app: App, page: Page, shown: str):
    page.goto(app.url(f"/runs/{shown}?selected=params_not_in_optimizer"))
    page.get_by_role("button", name="Show layer body").click()
    expect(page).to_have_url(re.compile("tab=layers.*layer=body"))
    expect(page.get_by_role("heading", name="body").first).to_be_visible()


@pytest.mark.parametrize("width", [380, 1280])
def test_the_settings_list_the_parts_of_the_script(app: App, page: Page, shown: str, width: int):
    page.set_viewport_size({"width": width, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(app.url(f"/runs/{shown}?tab=settings"))
    parts = page.get_by_role("table").first
    expect(parts).to_contain_text("SGD")
    expect(parts).to_contain_text(f"train.py:{1 + SCRIPT[: SCRIPT.index('optimizer =')].count(chr(10))}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url.rpartition("?")[2] for url in asked if "/results/watched_script" in url] == ["slim=true"]


def test_the_report_tells_it_too(page: Page, watched: Path, tmp_path: Path):
    path = tmp_path / "report.html"
    (run,) = watched.iterdir()
    assert main(["report", run.name, "--runs-dir", str(watched), "-o", str(path)]) == 0
    page.goto(path.as_uri())
    diagnosis = page.locator("section#diagnosis")
    expect(diagnosis.get_by_role("heading", name="2 faults spoil this training")).to_be_visible()
    diagnosis.get_by_text("Gradients are never cleared").click()
    first, second = (change_of(diagnosis, title) for title in ("never cleared", "no optimiser updates"))
    expect(first).to_contain_text("optimizer.zero_grad()")
    expect(second).to_be_hidden()
    expect(page.locator("section#settings").get_by_text("Parts of the script")).to_be_visible()
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(first).to_be_visible()
    expect(second).to_be_visible()
