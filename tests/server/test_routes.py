"""The API's answers, held against what was written into the run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from pellucid.results import codec
from pellucid.results.base import Result
from pellucid.store.added_results import add_result
from pellucid.store.run import open_run
from pellucid.store.tables import TABLES
from pellucid.store.writer import RunWriter
from tests.render.diagnosed_results_to_render import watched_script

from .conftest import LAYERS, TOKEN, client_of, make_outline, make_run


def read_frame(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/octet-stream"
    return codec.unpack(response.content)


def test_runs_lists_what_is_there(client, finished):
    (run,) = client.get("/api/runs").json()["runs"]
    assert (run["id"], run["name"], run["status"], run["kind"]) == (finished[1], "Digits", "finished", "fit")
    assert run["metrics"] == {"accuracy": 0.25, "loss": None}
    assert run["error"] == ""


def test_run_tells_all_of_one(client, finished):
    run = client.get(f"/api/runs/{finished[1]}").json()
    rows = {"steps": 30, "layers": 90, "histograms": 180, "metrics": 2, "observations": 0, "geometry": 0, "events": 1}
    assert run["tables"] == rows
    assert all(entry.pop("version") for entry in run["results"])
    assert run["results"] == [
        {"name": "learning_rate_range", "schema": "learning_rate_range/1"},
        {"name": "network_outline", "schema": "network_outline/1"},
    ]
    assert run["settings"] == {"epochs": 3, "rates": [0.1, None]}
    assert (run["seed"], run["resumes"], run["environment"]) == (7, 0, {"python": "3.11"})


def test_result_is_the_file_verbatim(client, finished):
    response = client.get(f"/api/runs/{finished[1]}/results/network_outline")
    path = finished[0] / finished[1] / "results" / "network_outline.safetensors"
    assert response.content == path.read_bytes()
    assert [layer.name for layer in Result.from_bytes(response.content).layers] == list(LAYERS)


def test_a_brief_surface_has_its_ranges_alone(tmp_path, static):
    from pellucid.core.slices import Slice
    from pellucid.lenses.neuron_surface import measure_neuron_surface

    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 3))
    plane = Slice(np.zeros(2), np.eye(2)[0], np.eye(2)[1], (-1.0, 1.0), (-1.0, 1.0), (2,))
    whole = measure_neuron_surface(model, plane)
    run = make_run(tmp_path)
    add_result(open_run(run, tmp_path), "neuron_surface", whole)
    client = client_of(tmp_path, static, Authorization=f"Bearer {TOKEN}")
    at = f"/api/runs/{run}/results"
    brief = Result.from_bytes(client.get(f"{at}/neuron_surface?brief=true").content)
    for one, known in zip(brief.layers, whole.layers, strict=True):
        assert np.array_equal(one.low, known.values.min((1, 2)))
        assert np.array_equal(one.high, known.values.max((1, 2)))
        assert (one.name, one.units.tolist(), one.values.size) == (known.name, known.units.tolist(), 0)
    other = client.get(f"{at}/network_outline?brief=true").content
    assert other == client.get(f"{at}/network_outline").content


def test_a_slim_result_lacks_what_no_view_draws(tmp_path, static):
    whole = watched_script()
    with RunWriter.create(tmp_path, name="watched", kind="run") as writer:
        writer.put_result("watched_script", whole)
        writer.put_result("network_outline", make_outline())
    client = client_of(tmp_path, static, Authorization=f"Bearer {TOKEN}")
    at = f"/api/runs/{writer.id}/results"
    verbatim, slim = (client.get(f"{at}/watched_script{ending}").content for ending in ("", "?slim=true"))
    assert verbatim == whole.to_bytes()
    assert whole.calls
    assert whole.examples
    assert Result.from_bytes(slim).to_bytes() == replace(whole, calls=(), examples=()).to_bytes()
    drawn_whole = client.get(f"{at}/network_outline?slim=true").content
    assert drawn_whole == client.get(f"{at}/network_outline").content


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_its_columns(client, finished, table):
    document, arrays = read_frame(client.get(f"/api/runs/{finished[1]}/tables/{table}"))
    assert list(document["columns"]) == TABLES[table].names
    assert (document["schema"], document["table"], document["run"]) == ("table_frame/1", table, finished[1])
    assert (document["first_row"], document["sampled"]) == (0, False)
    assert {len(array) for array in arrays.values()} == {document["next_row"]}


def test_numbers_and_texts_arrive_as_written(client, finished):
    document, arrays = read_frame(client.get(f"/api/runs/{finished[1]}/tables/histograms"))
    assert arrays["counts"].shape == (180, 64)
    assert arrays["step"].dtype == np.float64
    assert np.array_equal(arrays["counts"], np.arange(64)[None, :] + arrays["step"][:, None])
    layers = document["columns"]["layer"]
    read = [layers["labels"][code] for code in arrays[layers["codes"]["$array"]]]
    assert read == [layer for _ in range(30) for layer in LAYERS for _ in range(2)]
    assert np.isnan(arrays["elements"]).all()  # never written


def test_after_leaves_out_what_is_known(client, finished):
    document, arrays = read_frame(client.get(f"/api/runs/{finished[1]}/tables/steps?after=25"))
    assert arrays["step"].tolist() == [25, 26, 27, 28, 29]
    assert (document["first_row"], document["next_row"]) == (25, 30)
    beyond, _ = read_frame(client.get(f"/api/runs/{finished[1]}/tables/steps?after=31"))
    assert (beyond["first_row"], beyond["next_row"]) == (0, 30)


def test_layer_and_kind_choose_rows(client, finished):
    url = f"/api/runs/{finished[1]}/tables/histograms?layer=head&kind=weight"
    document, arrays = read_frame(client.get(url))
    assert arrays["step"].tolist() == list(range(30))
    assert document["next_row"] == 180
    _, none = read_frame(client.get(f"/api/runs/{finished[1]}/tables/layers?layer=nowhere"))
    assert len(none["step"]) == 0


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/runs/nowhere", 404, "no run 'nowhere'"),
        ("/api/runs/nowhere/tables/steps", 404, "no run"),
        ("/api/runs/{id}/results/nothing", 404, "no result 'nothing'"),
        ("/api/runs/{id}/tables/nothing", 422, "request is not understood"),
        ("/api/runs/{id}/tables/steps?after=-1", 422, "request is not understood"),
        ("/api/runs/{id}/tables/steps?points=0", 422, "request is not understood"),
        ("/api/runs/{id}/tables/steps?points=99999999", 422, "request is not understood"),
        ("/api/runs/{id}/tables/steps?layer=head", 400, "no column layer"),
        ("/api/nothing", 404, "no such address"),
        ("/api", 404, "no such address"),
    ],
)
def test_errors_say_what_and_where(client, finished, path, status, words):
    response = client.get(path.format(id=finished[1]))
    assert response.status_code == status
    error = response.json()["error"]
    assert words in error["message"]
    assert set(error) == {"message", "where", "remedy"}


def test_a_damaged_run_is_listed_and_breaks_nothing(tmp_path, static):
    good, bad = make_run(tmp_path, "good", 5), make_run(tmp_path, "bad", 5)
    (tmp_path / bad / "run.json").write_text('{"schema": "run/1", "id":')
    client = client_of(tmp_path, static, Authorization="Bearer a-token-of-the-tests")
    runs = {run["id"]: run for run in client.get("/api/runs").json()["runs"]}
    assert runs[good]["status"] == "finished"
    assert runs[bad]["status"] == "unreadable"
    assert "not JSON" in runs[bad]["error"]
    response = client.get(f"/api/runs/{bad}")
    assert response.status_code == 422
    assert "run.json" in response.json()["error"]["where"]


def test_a_damaged_result_has_no_schema_and_a_damaged_segment_is_a_warning(tmp_path, static):
    run_id = make_run(tmp_path, steps=5)
    (tmp_path / run_id / "results" / "network_outline.safetensors").write_bytes(b"\xff" * 40)
    (segment,) = (tmp_path / run_id / "segments" / "steps").iterdir()
    segment.write_bytes(segment.read_bytes()[:-20])
    client = client_of(tmp_path, static, Authorization="Bearer a-token-of-the-tests")
    results = {entry["name"]: entry["schema"] for entry in client.get(f"/api/runs/{run_id}").json()["results"]}
    assert results == {"learning_rate_range": "learning_rate_range/1", "network_outline": ""}
    document, arrays = read_frame(client.get(f"/api/runs/{run_id}/tables/steps"))
    assert len(arrays["step"]) == 0
    assert document["next_row"] == 5


def test_the_list_follows_the_folder(tmp_path, static):
    client = client_of(tmp_path / "runs", static, Authorization="Bearer a-token-of-the-tests")
    assert client.get("/api/runs").json() == {"runs": []}
    with RunWriter.create(tmp_path / "runs", name="one", kind="watch") as writer:
        (run,) = client.get("/api/runs").json()["runs"]
        assert (run["kind"], run["status"]) == ("watch", "running")
        writer.update(step=12)
        writer.flush()
        assert client.get("/api/runs").json()["runs"][0]["step"] == 12
    assert client.get("/api/runs").json()["runs"][0]["status"] == "finished"
    (tmp_path / "runs" / writer.id).rename(tmp_path / "gone")
    assert client.get("/api/runs").json() == {"runs": []}


def test_version_names_the_folder(client, finished):
    assert client.get("/api/version").json()["runs_dir"] == str(finished[0])


def test_a_method_that_a_route_lacks_is_an_error_in_json(client):
    response = client.head("/api/runs")
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/json"
