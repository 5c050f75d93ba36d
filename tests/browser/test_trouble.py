"""The app with runs that went wrong: what is damaged, missing or not finite is said, and the rest is shown."""

import re
import shutil

import numpy as np
import torch
from playwright.sync_api import Page, expect

import pellucid
from pellucid.store.writer import RunWriter
from tests.browser.conftest import App


def test_what_could_not_be_read_is_said(app: App, page: Page, trained):
    shutil.copytree(trained, app.runs, dirs_exist_ok=True)
    (run,) = app.runs.iterdir()
    segment = min((run / "segments" / "layers").glob("*.parquet"))
    segment.write_bytes(segment.read_bytes()[:200])
    page.goto(app.url(f"/runs/{run.name}"))
    notice = page.get_by_role("status").filter(has_text="Not all of this run could be read")
    expect(notice).to_contain_text("segment of the table layers")
    expect(page.get_by_role("slider", name=re.compile("^Loss by"))).to_be_visible()
    page.get_by_role("tab", name="Data").click()
    expect(notice).to_be_visible()


def test_a_damaged_result_leaves_the_others(app: App, page: Page, trained):
    shutil.copytree(trained, app.runs, dirs_exist_ok=True)
    (run,) = app.runs.iterdir()
    result = run / "results" / "data_report.safetensors"
    result.write_bytes(result.read_bytes()[:-100])
    page.goto(app.url(f"/runs/{run.name}?tab=evaluation"))
    expect(page.get_by_role("alert")).to_contain_text("data_report")
    expect(page.get_by_text("Confusion").first).to_be_visible()


def test_a_loop_that_logs_no_loss_shows_no_loss(app: App, page: Page):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pellucid.watch(model, optimizer, runs_dir=app.runs, name="silent"):
        for _ in range(20):
            optimizer.zero_grad()
            model(torch.ones(4, 2)).square().mean().backward()
            optimizer.step()
    (run,) = app.runs.iterdir()
    page.goto(app.url(f"/runs/{run.name}"))
    expect(page.get_by_role("heading", name="Gradient norm")).to_be_visible()
    expect(page.get_by_role("heading", name="Loss")).to_have_count(0)
    expect(page.get_by_text("NaN")).to_have_count(0)
    expect(page.get_by_text(re.compile(r"The watch took .* of 20 steps")).first).to_be_visible()


def test_a_layer_that_diverged_before_its_first_sample_is_in_trouble(app: App, page: Page, trained):
    from pellucid.store.run import find_run

    (source,) = trained.iterdir()
    outline = find_run(source.name, trained).result("network_outline")
    nan = float("nan")
    with RunWriter.create(app.runs, name="diverged", kind="watch") as writer:
        writer.put_result("network_outline", outline)
        writer.append("steps", step=0, time_s=0.0, loss=nan, gradient_norm=nan)
        for layer in outline.layers:
            writer.append("layers", step=0, layer=layer.name, activation_std=nan, gradient_norm=nan, weight_norm=nan)
            counts = np.zeros(64, np.int32)
            writer.append("histograms", step=0, layer=layer.name, kind="weight", low=nan, high=nan, counts=counts)
    page.goto(app.url(f"/runs/{writer.id}"))
    expect(page.get_by_text("Layers in trouble")).to_be_visible()
    expect(page.get_by_text(f"0 of {len(outline.layers)} layers ok")).to_be_visible()
    page.get_by_role("tab", name="Layers").click()
    expect(page.get_by_text("Not all values are finite numbers at this step")).to_be_visible()
