"""A real Chromium, a real server process and runs on disk for it to show."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from pellucid.store.writer import RunWriter

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
STATIC = Path(__file__).resolve().parents[2] / "src" / "pellucid" / "server" / "static"


def pytest_collection_modifyitems(items):
    for item in items:
        if "browser" in Path(str(item.fspath)).parts:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module: while Playwright runs, no other test of the process could start an event loop."""
    path = os.environ.get("PELLUCID_CHROMIUM") or next((p for p in map(shutil.which, BROWSERS) if p), None)
    if path is None:
        pytest.fail("no Chromium on this machine: python scripts/ensure_chromium.py")
    if not (STATIC / "index.html").is_file():
        pytest.fail("the front end is not built: make web")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@dataclass
class App:
    """A `pellucid open` process over a runs folder, that can be stopped and started again on the same port."""

    runs: Path
    port: int = 0
    token: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "pellucid", "open", "--no-browser", "--json"]
        command += ["--runs-dir", str(self.runs), "--port", str(self.port)]
        # The state folder is the test's own, so that the person's token is neither used nor changed.
        environment = {**os.environ, "XDG_STATE_HOME": str(self.runs.parent / "state")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.port, self.token = told["port"], told["token"]

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def url(self, path: str = "/") -> str:
        joint = "&" if "?" in path else "?"
        return f"http://127.0.0.1:{self.port}{path}{joint}token={self.token}"


@pytest.fixture
def app(tmp_path) -> Iterator[App]:
    running = App(tmp_path / "runs")
    running.runs.mkdir()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which any uncaught error or refused resource fails the test."""
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on(
        "console",
        lambda message: (
            errors.append(message.text)
            if message.type == "error" and "WebSocket" not in message.text and "ERR_CONNECTION" not in message.text
            else None
        ),
    )
    yield opened
    assert not errors


class LiveRun:
    """A run that grows row by row in a thread, as a training would write it."""

    def __init__(self, runs: Path, name: str, *, loss: float = 2.0) -> None:
        self.writer = RunWriter.create(
            runs,
            name=name,
            kind="fit",
            settings={"epochs": 50, "optimizer": {"name": "adam", "learning_rate": 0.01 * loss}},
            environment={"python": "3"},
            task="classification",
            epochs_planned=50,
        )
        self._loss = loss
        self._step = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._grow, daemon=True)

    def grow(self, steps: int) -> None:
        for _ in range(steps):
            loss = self._loss * float(np.exp(-self._step / 100))
            self.writer.append(
                "steps",
                step=self._step,
                epoch=self._step // 20,
                time_s=self._step / 50,
                loss=loss,
                learning_rate=0.01,
                step_time_s=0.02,
                gradient_norm=loss / 2,
                batch_size=32,
            )
            self._step += 1

    def _grow(self) -> None:
        while not self._stop.wait(0.05):
            self.grow(5)
            self.writer.update(epoch=self._step // 20, step=self._step)

    def __enter__(self) -> LiveRun:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self.writer.close("finished")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A runs folder with one small network really trained."""
    import pellucid

    runs = tmp_path_factory.mktemp("trained")
    pellucid.fit("digits", runs_dir=runs, epochs=2, name="small digits")
    return runs


def wait_until(condition, *, timeout_s: float = 15.0) -> None:
    """Fail if the condition has not come true in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
