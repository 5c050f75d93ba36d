"""A long run in Chromium: a layer is drawn from what all layers share, then more finely; its odd step stays."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from pellucid.store.writer import RunWriter
from tests.browser.conftest import App

STEPS = 60_000


@pytest.fixture
def long_run(app: App) -> str:
    """Two layers at every step; the second's weights are odd at one of them."""
    generator = np.random.default_rng(0)
    with RunWriter.create(app.runs, name="long", kind="watch") as writer:
        for first in range(0, STEPS, 10_000):
            steps = np.arange(first, first + 10_000)
            writer.extend("steps", {"step": steps, "epoch": 0, "time_s": steps * 0.01, "loss": 1 / (1 + steps)})
            for layer in ("first", "second"):
                norm = 1 + 0.1 * generator.random(len(steps))
                norm[steps == 31_415] = 77.0 if layer == "second" else 1.0
                figures = {name: generator.random(len(steps)) for name in ("activation_mean", "activation_std")}
                writer.extend("layers", {"step": steps, "layer": layer, "weight_norm": norm, **figures})
            writer.flush()
    return writer.id


def test_a_layers_history_is_refined_and_keeps_its_odd_step(app: App, page: Page, long_run: str):
    page.add_init_script(
        "window.drawn = []; const fill = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {"
        "  window.drawn.push(text); return fill.call(this, text, ...rest);"
        "};"
    )
    page.goto(app.url(f"/runs/{long_run}?tab=layers"))
    told = page.locator(".history .controls .small").first
    thinned = re.compile(r"^[2-4],\d{3} sampled steps, thinned with their extremes kept")
    expect(told).to_have_text(thinned, timeout=30_000)
    assert "50" not in page.evaluate("window.drawn")
    page.get_by_role("option", name="second").click()
    expect(page.locator(".history h2")).to_contain_text("second")
    expect(told).to_have_text(thinned)
    page.wait_for_function("() => window.drawn.includes('50')")  # the weights' axis holds the one step of 77


def test_the_page_of_a_long_run_draws_its_curves(app: App, page: Page, long_run: str):
    page.goto(app.url(f"/runs/{long_run}"))
    expect(page.get_by_text(re.compile("of the recorded steps are drawn; extremes are kept"))).to_be_visible()
