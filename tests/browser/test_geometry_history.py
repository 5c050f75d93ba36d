"""The collapse page of a fit that was measured along training, in Chromium."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

import pellucid
from tests.browser.conftest import App


def test_the_collapse_page_shows_every_lens_and_keeps_the_choice_in_the_address(app: App, page: Page):
    run = pellucid.fit("iris", epochs=6, lenses=("collapse", "layers", "margins"), runs_dir=app.runs, seed=3)
    page.goto(app.url(f"/runs/{run.id}?tab=geometry"))
    expect(page.get_by_role("heading", name="NC1, variability")).to_be_visible()
    expect(page.get_by_role("slider", name=re.compile("^NC3, self-duality over 6 epochs"))).to_be_visible()
    row = page.get_by_role("row", name=re.compile("^NC1, within-class variability"))
    expect(row).to_be_visible()
    page.locator("label", has_text="Layer by layer").click()
    expect(page.get_by_role("heading", name=re.compile("^Layer × epoch"))).to_be_visible()
    expect(page).to_have_url(re.compile("lens:layers|lens%3Alayers"))
    page.get_by_label("Quantity").select_option("nc1")
    expect(page.get_by_role("heading", name=re.compile("^Layer × epoch: NC1"))).to_be_visible()
    expect(page).to_have_url(re.compile("quantity:nc1|quantity%3Anc1"))
    page.reload()
    expect(page.get_by_role("heading", name=re.compile("^Layer × epoch: NC1"))).to_be_visible()
