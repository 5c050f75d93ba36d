"""The offline report: one file, opened from disk, with no connection to anything."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from pellucid.cli.main import main


def test_the_report_opens_from_a_file(context: BrowserContext, page: Page, trained, tmp_path):
    path = tmp_path / "report.html"
    assert main(["report", "latest", "--runs-dir", str(trained), "-o", str(path)]) == 0
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    expect(page.get_by_role("heading", name="small digits", level=1)).to_be_visible()
    expect(page.get_by_text("Confusion").first).to_be_visible()
    expect(page.get_by_text(re.compile("Loss")).first).to_be_visible()
    network = page.locator("#network")
    expect(network.get_by_role("table")).to_have_count(0)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(network.get_by_role("table")).to_be_visible()  # on paper the diagram cannot be scrolled
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    expect(network.get_by_role("table")).to_have_count(0)
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert not re.findall(r"""(?:src|href)=["']https?://""", path.read_text(encoding="utf-8"))
