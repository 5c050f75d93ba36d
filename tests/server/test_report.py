"""The offline report: everything inside, nothing outside, and nothing in it can break out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from pellucid.cli.report import report_command
from pellucid.errors import ServerError, StorageError
from pellucid.results import codec
from pellucid.results.base import Result
from pellucid.server.report import build_report, is_report, write_report
from pellucid.store.run import find_run
from pellucid.store.tables import TABLES
from pellucid.store.writer import RunWriter

from .conftest import make_outline, make_run

SCRIPT = "const s = '</script><!--'; const a = 1 < 2; document.title = s;"
STYLE = "body { content: '</style>' }"


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "report.js").write_text(SCRIPT)
    (folder / "report.css").write_text(STYLE)
    return folder


class Page(HTMLParser):
    """Every element with its attributes and, for scripts and styles, its text: as a browser sees them."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))
        self.inside = True

    def handle_data(self, data):
        if self.inside:
            self.elements[-1][2].append(data)

    def handle_endtag(self, tag):
        self.inside = False

    def text(self, tag, **attributes):
        (found,) = [e for e in self.elements if e[0] == tag and e[1].items() >= attributes.items()]
        return "".join(found[2])


def data_of(page):
    return json.loads(page.text("script", id="pellucid-data"))


def test_the_report_carries_results_verbatim_and_tables(finished, bundle):
    run = find_run(finished[1], finished[0])
    page = Page(build_report(run, bundle=bundle))
    data = data_of(page)
    assert data["run"]["id"] == run.id
    assert set(data["results"]) == {"network_outline", "learning_rate_range"}
    for name, payload in data["results"].items():
        assert base64.b64decode(payload) == run.result_bytes(name)
    assert list(data["tables"]) == list(TABLES)
    _, arrays = codec.unpack(base64.b64decode(data["tables"]["steps"]))
    assert arrays["step"].tolist() == list(range(30))


def test_nothing_is_fetched_from_anywhere(finished, bundle):
    page = Page(build_report(find_run(finished[1], finished[0]), bundle=bundle))
    for tag, attributes, _ in page.elements:
        assert tag not in ("link", "img", "iframe", "base", "object", "embed")
        assert not attributes.keys() & {"src", "href", "srcset", "action", "data"}


def test_the_policy_allows_these_scripts_and_no_others(finished, bundle):
    page = Page(build_report(find_run(finished[1], finished[0]), bundle=bundle))
    (policy,) = [a["content"] for t, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    scripts = [text for tag, attributes, text in page.elements if tag == "script" and not attributes]
    assert len(scripts) == 1
    for rule, text in (("script-src", "".join(scripts[0])), ("style-src", page.text("style"))):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_script_and_style_mean_what_they_meant(finished, bundle):
    page = Page(build_report(find_run(finished[1], finished[0]), bundle=bundle))
    script = "".join(
        text for tag, attributes, parts in page.elements if tag == "script" and not attributes for text in parts
    )
    assert script.replace("\\x3c", "<") == SCRIPT
    assert page.text("style").replace("<\\/", "</") == STYLE


def test_names_cannot_break_out(tmp_path, bundle):
    evil = '</script><script>alert(1)</script><!-- "\u2028&'
    with RunWriter.create(tmp_path, name=evil, kind="fit", source=evil, settings={evil: evil}) as writer:
        writer.append("events", step=0, kind=evil, message=evil)
        writer.put_result("network_outline", make_outline())
    text = build_report(find_run(writer.id, tmp_path), bundle=bundle)
    page = Page(text)
    assert len([tag for tag, _, _ in page.elements if tag == "script"]) == 2
    data = data_of(page)
    assert (data["run"]["name"], data["run"]["settings"]) == (evil, {evil: evil})
    assert "alert(1)" not in re.sub(r'<script type="application/json".*?</script>|<title>.*?</title>', "", text)


def test_tables_are_thinned(tmp_path, bundle):
    with RunWriter.create(tmp_path, name="long", kind="watch") as writer:
        writer.extend("steps", {"step": np.arange(9000), "loss": np.random.default_rng(0).random(9000)})
        for step in range(100):
            writer.append("histograms", step=step, layer="a", kind="weight", counts=np.zeros(64, np.int32))
    data = data_of(Page(build_report(find_run(writer.id, tmp_path), bundle=bundle)))
    rows = {name: codec.unpack(base64.b64decode(data["tables"][name]))[1]["step"] for name in ("steps", "histograms")}
    assert 200 < len(rows["steps"]) <= 2000
    assert len(rows["histograms"]) == 60


def test_a_damaged_result_is_left_out(tmp_path, bundle):
    run_id = make_run(tmp_path, steps=2)
    path = tmp_path / run_id / "results" / "network_outline.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    data = data_of(Page(build_report(find_run(run_id, tmp_path), bundle=bundle)))
    assert [entry["name"] for entry in data["run"]["results"]] == ["learning_rate_range"]
    assert Result.from_bytes(base64.b64decode(data["results"]["learning_rate_range"])).optimizer == "Adam"


def test_writing_is_all_or_nothing(finished, bundle, tmp_path):
    run = find_run(finished[1], finished[0])
    path = tmp_path / "report.html"
    size = write_report(run, path, bundle=bundle)
    assert size == path.stat().st_size
    assert is_report(path)
    before = path.read_bytes()
    with pytest.raises(ServerError, match="make web"):
        write_report(run, path, bundle=tmp_path / "nothing")
    assert path.read_bytes() == before
    with pytest.raises(StorageError, match="not there"):
        write_report(run, tmp_path / "no" / "report.html", bundle=bundle)
    with pytest.raises(StorageError, match="folder"):
        write_report(run, bundle, bundle=bundle)
    assert [each.name for each in tmp_path.iterdir() if "partial" in each.name] == []


def run_report(*arguments):
    app = typer.Typer()
    app.command()(report_command)
    return CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=True)


def test_the_command_writes_a_report_and_spares_other_files(finished, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.server.report._BUNDLE", bundle)
    monkeypatch.chdir(tmp_path)
    said = run_report("latest", "--runs-dir", finished[0])
    assert said.exit_code == 0, said.output
    assert f"{finished[1]}.html" in said.output
    assert is_report(tmp_path / f"{finished[1]}.html")
    again = run_report("Digits", "--runs-dir", finished[0], "--json")  # our own output may be replaced
    assert json.loads(again.output)["bytes"] == (tmp_path / f"{finished[1]}.html").stat().st_size

    (tmp_path / "thesis.html").write_text("years of work")
    refused = run_report("latest", "--runs-dir", finished[0], "-o", "thesis.html")
    assert isinstance(refused.exception, StorageError)
    assert "--force" in refused.exception.remedy
    assert (tmp_path / "thesis.html").read_text() == "years of work"
    assert run_report("latest", "--runs-dir", finished[0], "-o", "thesis.html", "--force").exit_code == 0
    assert is_report(tmp_path / "thesis.html")


def test_the_command_without_a_bundle_writes_nothing(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.server.report._BUNDLE", tmp_path / "nothing")
    said = run_report("latest", "--runs-dir", finished[0], "-o", tmp_path / "report.html")
    assert isinstance(said.exception, ServerError)
    assert list(tmp_path.iterdir()) == []


def scripts_of(page: Page) -> list[str]:
    return ["".join(parts) for tag, attributes, parts in page.elements if tag == "script" and not attributes]


def _landscape(seed: int = 0) -> Result:
    from torch import manual_seed, nn, ones

    import pellucid

    manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    return pellucid.measure_loss_landscape(model, (ones(4, 2), ones(4, 1)), nn.MSELoss(), steps=5)


def test_only_a_report_with_a_surface_carries_the_script_that_draws_it(finished, bundle):
    (bundle / "scene.js").write_text("globalThis.scene = '</script>';")
    run = find_run(finished[1], finished[0])
    assert len(scripts_of(Page(build_report(run, bundle=bundle)))) == 1
    page = Page(build_report(run, bundle=bundle, extra={"loss_landscape": _landscape()}))
    scripts = scripts_of(page)
    assert ["globalThis.scene" in text for text in scripts] == [True, False], "what draws surfaces comes first"
    (policy,) = [a["content"] for _, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    for text in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy


def test_of_too_many_moments_some_are_left_out_evenly_and_that_is_said(tmp_path, bundle, monkeypatch):
    from pellucid.server import report
    from pellucid.store.added_results import add_result

    with RunWriter.create(tmp_path / "runs", name="long", kind="fit", settings={}, environment={}) as writer:
        pass
    run = find_run(writer.id, tmp_path / "runs")
    size = 0
    for epoch in range(8):
        size += add_result(run, f"loss_landscape_epoch_{epoch:04d}", _landscape(epoch))
    add_result(run, "loss_landscape", _landscape())
    monkeypatch.setattr(report, "REPORT_BYTES", size // 4 + 1)
    data = data_of(Page(build_report(run, bundle=bundle)))
    kept = [name for name in data["results"] if name.startswith("loss_landscape")]
    assert kept == ["loss_landscape", *(f"loss_landscape_epoch_{epoch:04d}" for epoch in (0, 4))]
    assert any("left out of the report" in warning for warning in data["run"]["warnings"])


def test_local_models_go_without_the_points_that_no_view_draws(finished, bundle):
    from torch import manual_seed, nn, rand

    import pellucid

    manual_seed(0)
    model, points = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1)), rand(60, 3)
    whole = pellucid.measure_local_linear_models(model, points, model(points).detach())
    from pellucid.server.slimming import slim_payload

    slim = Result.from_bytes(slim_payload(whole) or b"")
    assert all(points.points.size == 0 for points in slim.unvisited)
    assert [points.name for points in slim.unvisited] == [points.name for points in whole.unvisited]
    np.testing.assert_allclose(slim.coefficients, whole.coefficients, rtol=1e-6)
    assert repr(slim.simplified) == repr(whole.simplified)
    assert slim_payload(_landscape()) is None
