"""The notebook's widget in Chromium: anywidget's contract on a bare page, with the real Python side behind it."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import pellucid
from pellucid.errors import TraceError
from tests.browser.conftest import wait_until

HOST = """
<!doctype html><html><head><style>
  * { color: rgb(1, 2, 3) !important; font-size: 40px; }  button { background: red; display: none; }
</style></head><body data-jp-theme-light="true">
  <div id="narrow" style="width: 700px"></div><div id="other"></div>
</body></html>
"""

NOTEBOOK = """
(() => {
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);
  window.models = {};
  window.show = async (name, state, place) => {
    const listeners = new Map();
    const model = {
      get: (key) => (key === "payload" ? bytes(state.payload) : state[key]),
      set: (key, value) => { state[key] = value; },
      save_changes: () => window.saved(name, { position: state.position, selected: state.selected }),
      send: (content) => window.sent(name, content),
      on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
      off: (event, listener) => listeners.set(event, (listeners.get(event) ?? []).filter((one) => one !== listener)),
    };
    window.models[name] = {
      hear: (content, buffers) =>
        (listeners.get("msg:custom") ?? []).forEach((hear) => hear(content, buffers.map(bytes))),
      change: (key, value) => { state[key] = value; (listeners.get("change:" + key) ?? []).forEach((hear) => hear()); },
      count: () => [...listeners.values()].flat().length,
    };
    const script = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
    const { default: widget } = await import(script);
    window.models[name].remove = widget.render({ model, el: document.getElementById(place) });
  };
})();
"""


class Notebook:
    """A page that holds widgets as a notebook does, and the Python side that they talk to."""

    def __init__(self, page: Page) -> None:
        self.page, self.widgets, self.sent, self.waiting = page, {}, [], []
        page.expose_function("sent", lambda name, content: self.waiting.append((name, content)))
        page.expose_function("saved", lambda name, state: self.widgets[name].set_trait("position", state["position"]))
        page.route("http://notebook.test/", lambda route: route.fulfill(body=HOST, content_type="text/html"))
        page.goto("http://notebook.test/")
        page.evaluate(NOTEBOOK)

    def show(self, name: str, shown: Any, place: str = "narrow") -> Any:
        widget = pellucid.widgets.show(shown)
        widget.send = lambda content, buffers=(): self._reply(name, content, buffers)
        self.widgets[name] = widget
        state = {key: getattr(widget, key) for key in ("_esm", "view", "live", "position", "selected", "bundle")} | {
            "payload": base64.b64encode(widget.payload).decode()
        }
        self.page.evaluate("([name, state, place]) => window.show(name, state, place)", [name, state, place])
        return widget

    def _reply(self, name: str, content: dict[str, Any], buffers: Any) -> None:
        packed = [base64.b64encode(buffer).decode() for buffer in buffers]
        self.sent.append((name, content["kind"]))
        self.page.evaluate("([name, content, buffers]) => models[name].hear(content, buffers)", [name, content, packed])

    def serve(self, milliseconds: int = 0) -> None:
        """Let the kernel work for a while on what the page asked."""
        while True:
            self.page.wait_for_timeout(50)
            milliseconds -= 50
            while self.waiting:
                name, content = self.waiting.pop(0)
                self.widgets[name]._hear(self.widgets[name], content, [])
            if milliseconds <= 0:
                return


@pytest.fixture
def trace():
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters())
    return pellucid.trace(
        model, torch.randn(4, 6), target=torch.tensor([0, 1, 2, 1]), loss=functional.cross_entropy, optimizer=optimizer
    )


def test_a_trace_is_walked_and_answers(page: Page, trace):
    notebook = Notebook(page)
    widget = notebook.show("a", trace)
    notebook.serve(1000)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.get_by_role("button", name="Step forward").click()
    notebook.serve(600)
    wait_until(lambda: widget.position == 1)
    page.evaluate("models.a.change('position', 0)")
    expect(page.get_by_role("slider", name="Position in the walk")).to_have_value("0")
    page.get_by_role("slider", name=re.compile("0.weight, .*: choose an entry")).first.click(position={"x": 8, "y": 8})
    notebook.serve(500)
    entry = page.get_by_role("region", name=re.compile(r"^0\.weight\[\d+, \d+\]"))
    dial = entry.get_by_role("slider", name=re.compile("^Drag "))
    dial.focus()
    page.keyboard.press("PageUp")
    notebook.serve(500)
    expect(entry.get_by_role("status").filter(has_text="the slope says")).to_have_count(1)
    index = tuple(map(int, re.findall(r"\d+", entry.get_attribute("aria-label") or "0.weight[0, 0]")[-2:]))
    wanted = float(dial.get_attribute("aria-valuenow") or "nan")
    loss = trace.what_if("0.weight", index, value=wanted).loss_after
    expect(entry.get_by_text(f"{loss:.5g}", exact=True).first).to_be_visible()


def test_the_views_come_once_a_page(page: Page, trace):
    notebook = Notebook(page)
    notebook.show("a", trace)
    notebook.show("b", trace.check(), "other")
    notebook.serve(1500)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile("backward against autograd", re.IGNORECASE)).first).to_be_visible()
    assert [kind for _, kind in notebook.sent].count("views") == 1
    notebook.page.evaluate("models.a.remove()")
    expect(page.get_by_role("button", name="Play", exact=True)).to_have_count(0)
    assert page.evaluate("models.a.count()") == 0, "nothing listens any more"


def test_no_style_goes_in_or_out(page: Page, trace):
    notebook = Notebook(page)
    before = page.evaluate("[getComputedStyle(document.body).margin, document.documentElement.dataset.theme]")
    notebook.show("a", trace.outline())
    notebook.serve(1000)
    cell = page.get_by_role("cell").first
    assert cell.evaluate("one => getComputedStyle(one).color") != "rgb(1, 2, 3)"
    assert cell.evaluate("one => parseFloat(getComputedStyle(one).fontSize)") < 20
    assert page.evaluate("[getComputedStyle(document.body).margin, document.documentElement.dataset.theme]") == before


def test_light_and_dark_follow_the_notebook(page: Page, trace):
    notebook = Notebook(page)
    notebook.show("a", trace)
    notebook.serve(1000)
    host = page.locator("[data-lm-suppress-shortcuts]")
    expect(host).to_have_attribute("data-theme", "light")
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    expect(host).to_have_attribute("data-theme", "dark")
    page.evaluate("delete document.body.dataset.jpThemeLight")
    page.emulate_media(color_scheme="light")
    expect(host).to_have_attribute("data-theme", "light")


def test_its_own_width_decides_and_not_the_windows(page: Page, trace):
    notebook = Notebook(page)
    notebook.show("a", trace)
    notebook.serve(1000)
    stages = page.locator(".stages")
    columns = "one => getComputedStyle(one).gridTemplateColumns.split(' ').length"
    assert stages.evaluate(columns) == 1
    page.evaluate("document.getElementById('narrow').style.width = '1200px'")
    wait_until(lambda: stages.evaluate(columns) == 2)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            TraceError("the entry is out of reach", place="0.weight", remedy="raise the limit"),
            "out of reach · where: 0",
        ),
        (ZeroDivisionError("a model of mine"), "could not be answered (ZeroDivisionError: a model of mine)"),
    ],
)
def test_what_cannot_be_answered_is_said(page: Page, trace, monkeypatch, error: Exception, said: str):
    def refuse(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr("pellucid.lenses.trace_questions.answer", refuse)
    notebook = Notebook(page)
    notebook.show("a", trace)
    notebook.serve(1000)
    page.get_by_role("slider", name=re.compile("0.weight, .*: choose an entry")).first.click(position={"x": 8, "y": 8})
    notebook.serve(300)
    expect(page.get_by_text(said).first).to_be_visible()
