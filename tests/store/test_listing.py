"""Which runs there are, and which words lead to one."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import pytest

from pellucid.errors import RunCorruptedError, RunNotFoundError, RunTooNewError
from pellucid.store.filesystem import LocalFolder
from pellucid.store.listing import RunSummary, resolve_run_id
from pellucid.store.locations import default_runs_dir
from pellucid.store.manifest import RunManifest, parse_manifest
from pellucid.store.run import find_run, list_runs, open_run
from pellucid.store.writer import RunWriter


def _make(runs_dir, run_id: str, **fields) -> None:
    """A finished run with this id, as another day's writer would have left it."""
    date = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T00:00:00.000+00:00"
    manifest = RunManifest(
        id=run_id, kind="fit", created_at=date, updated_at=date, **{"name": "n", "status": "finished", **fields}
    )
    LocalFolder(runs_dir / run_id).write("run.json", manifest.to_bytes())


@pytest.fixture
def three(runs_dir):
    _make(runs_dir, "20260101-000000-digits-aaaa", name="digits", metrics={"accuracy": 0.9})
    _make(runs_dir, "20260103-000000-digits-bbbb", name="digits", status="failed", message="no")
    _make(runs_dir, "20260102-000000-wine-cccc", name="My wine", task="classification")
    return runs_dir


def test_runs_are_listed_newest_first(three):
    listed = list_runs(three)
    assert [run.id[-4:] for run in listed] == ["bbbb", "cccc", "aaaa"]
    assert listed[0].message == "no"
    assert listed[1].task == "classification"
    assert listed[2].metrics == {"accuracy": 0.9}
    assert all(run.error == "" for run in listed)


def test_a_folder_that_is_not_there_holds_no_runs(tmp_path):
    assert list_runs(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", RunCorruptedError, "not JSON"),
        (b'{"schema": "run/1", "id": "x"', RunCorruptedError, "not JSON"),
        (b"\xff\xfe\x00", RunCorruptedError, "not JSON"),
        (b"[" * 100_000, RunCorruptedError, "not JSON"),
        (b"[]", RunCorruptedError, "not an object"),
        (b"{}", RunCorruptedError, "not the schema of a run"),
        (b'{"schema": "data_report/1"}', RunCorruptedError, "not the schema of a run"),
        (b'{"schema": "run/1"}', RunCorruptedError, "missing"),
        (b'{"schema": "run/0", "created": "yesterday"}', RunCorruptedError, "version 0"),
        (b'{"schema": "run/2", "version": "9.9"}', RunTooNewError, "newer Pellucid (9.9)"),
    ],
)
def test_a_damaged_manifest_is_listed_with_its_error_and_breaks_nothing(three, content, error, said):
    LocalFolder(three / "20260102-000000-wine-cccc").write("run.json", content)
    listed = {run.id[-4:]: run for run in list_runs(three)}
    assert list(listed) == ["bbbb", "cccc", "aaaa"]
    assert said in listed["cccc"].error
    with pytest.raises(error) as caught:
        open_run("20260102", three)
    assert said in caught.value.message
    assert caught.value.place.endswith("run.json")
    assert caught.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"epoch": "many"},
        {"step": True},
        {"metrics": []},
        {"metrics": {"a": "b"}},
        {"status": "asleep"},
        {"status": "interrupted"},
        {"settings": None},
    ],
)
def test_fields_of_a_wrong_kind_are_damage(three, change):
    document = json.loads((three / "20260102-000000-wine-cccc" / "run.json").read_bytes())
    with pytest.raises(RunCorruptedError, match="manifest cannot be read"):
        parse_manifest(json.dumps(document | change).encode())


def test_unknown_fields_of_a_manifest_are_passed_over(three):
    document = json.loads((three / "20260102-000000-wine-cccc" / "run.json").read_bytes())
    assert parse_manifest(json.dumps(document | {"mood": "good"}).encode()).name == "My wine"


def test_other_folders_files_and_links_are_no_runs(three, tmp_path):
    (three / "notes").mkdir()
    (three / "readme.txt").write_text("x")
    (three / "a b").mkdir()
    shutil.copy(three / "20260102-000000-wine-cccc" / "run.json", three / "a b")
    outside = tmp_path / "outside"
    shutil.copytree(three / "20260102-000000-wine-cccc", outside)
    (three / "linked").symlink_to(outside, target_is_directory=True)
    (three / "dangling").symlink_to(tmp_path / "nowhere")
    assert len(list_runs(three)) == 3
    with pytest.raises(RunNotFoundError):
        find_run("linked", three)


def test_a_run_that_lost_its_manifest_is_said_to_have(three):
    broken = three / "20260105-000000-x-dddd"
    (broken / "segments").mkdir(parents=True)
    assert list_runs(three)[0] == RunSummary(broken.name, error="its run.json is missing")
    with pytest.raises(RunCorruptedError, match="missing"):
        open_run(broken)


def test_a_manifest_that_may_not_be_read(three, monkeypatch):
    original = LocalFolder.read

    def refuse(folder, relative):
        if folder.path.name.endswith("cccc") and relative == "run.json":
            raise PermissionError(13, "Permission denied")
        return original(folder, relative)

    monkeypatch.setattr(LocalFolder, "read", refuse)
    assert "Permission denied" in list_runs(three)[1].error


def test_a_copied_run_goes_by_its_folders_name(three):
    shutil.copytree(three / "20260102-000000-wine-cccc", three / "copy")
    assert {run.id for run in list_runs(three)} >= {"copy", "20260102-000000-wine-cccc"}
    assert find_run("copy", three).id == "copy"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("20260101-000000-digits-aaaa", "aaaa"),
        ("20260102", "cccc"),
        ("latest", "bbbb"),
        ("My wine", "cccc"),
        ("digits", "bbbb"),  # of two, the newest
    ],
)
def test_words_that_lead_to_a_run(three, words, found):
    assert resolve_run_id(words, three).endswith(found)
    assert open_run(words, three).id.endswith(found)


def test_words_that_lead_to_none(three, tmp_path):
    with pytest.raises(RunNotFoundError, match="3 runs begin with '2026'") as caught:
        open_run("2026", three)
    assert "20260103-000000-digits-bbbb" in caught.value.remedy
    with pytest.raises(RunNotFoundError, match="no run 'My wime'") as caught:
        open_run("My wime", three)
    assert caught.value.remedy == "did you mean My wine?"
    for words in ("", "latest"):
        with pytest.raises(RunNotFoundError):
            open_run(words, tmp_path / "nothing")
    with pytest.raises(RunNotFoundError, match="no run in this folder"):
        open_run(tmp_path / "nothing")


@pytest.mark.parametrize(
    "hostile",
    [
        "..",
        ".",
        "",
        "../20260102-000000-wine-cccc",
        "/etc",
        "a/b",
        "a\\b",
        "a\0b",
        "~",
        "%2e%2e",
        "x" * 300,
        ".hidden",
        "a..b",
        "CON ",
        "runs\n",
        "latest",
        "2026",
    ],
)
def test_a_strangers_words_reach_nothing_but_an_exact_id(three, hostile):
    LocalFolder(three.parent).write("run.json", (three / "20260102-000000-wine-cccc" / "run.json").read_bytes())
    with pytest.raises(RunNotFoundError):
        find_run(hostile, three)


def test_links_inside_a_run_do_not_lead_out(three, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.safetensors").write_bytes(b"hidden")
    folder = three / "20260102-000000-wine-cccc"
    (folder / "results").symlink_to(secret, target_is_directory=True)
    (folder / "file").symlink_to(secret / "key.safetensors")
    run = find_run(folder.name, three)
    for read in (
        lambda: run.read_file("file"),
        lambda: run.read_file("results/key.safetensors"),
        lambda: run.result_bytes("key"),
        run.result_names,
    ):
        with pytest.raises(RunCorruptedError, match="link leads out"):
            read()


def test_the_runs_folder_itself_may_be_a_link(three, tmp_path):
    (tmp_path / "link").symlink_to(three, target_is_directory=True)
    assert len(list_runs(tmp_path / "link")) == 3
    assert find_run("20260102-000000-wine-cccc", tmp_path / "link").read_file("run.json")


def test_a_run_in_the_working_folder_is_found_by_its_path(three, monkeypatch):
    monkeypatch.chdir(three)
    assert open_run("20260102-000000-wine-cccc").manifest.name == "My wine"
    assert open_run(f"..{os.sep}{three.name}{os.sep}20260101-000000-digits-aaaa").id.endswith("aaaa")


def test_the_default_folder(monkeypatch):
    monkeypatch.setenv("PELLUCID_RUNS", "/somewhere")
    assert str(default_runs_dir()) == "/somewhere"
    monkeypatch.delenv("PELLUCID_RUNS")
    assert str(default_runs_dir()) == "runs"


def test_a_dead_writers_run_is_interrupted(runs_dir):
    writer = RunWriter.create(runs_dir, name="x", kind="fit")
    assert list_runs(runs_dir)[0].status == "running"
    writer.become_inert()  # lets go of the lock without a word, as death does
    assert list_runs(runs_dir)[0].status == "interrupted"
    assert find_run(writer.id, runs_dir).status == "interrupted"
    assert find_run(writer.id, runs_dir).manifest.status == "running"


def test_a_summary_as_json_holds_no_number_that_json_lacks():
    summary = RunSummary("x", metrics={"a": float("nan"), "b": float("inf"), "c": 1.5})
    assert json.loads(json.dumps(summary.to_json(), allow_nan=False))["metrics"] == {"a": None, "b": None, "c": 1.5}


def test_a_manifest_comes_back_as_it_was():
    manifest = RunManifest(
        id="x",
        name="Größe",
        kind="fit",
        created_at="2026-01-01T00:00:00+00:00",
        updated_at="2026-01-01T00:00:00+00:00",
        seed=3,
        metrics={"loss": float("inf")},
        settings={"rates": [0.1, None, True], "nested": {"a": "b"}},
    )
    assert parse_manifest(manifest.to_bytes()) == manifest


def test_settings_of_foreign_types_are_kept_as_plain_ones(runs_dir):
    import numpy as np

    settings = {"a": np.float32(0.5), "b": (1, 2), "c": {3}, "d": runs_dir, 5: "e", "f": np.int64(7)}
    with RunWriter.create(runs_dir, name="x", kind="fit", settings=settings) as writer:
        pass
    kept = open_run(writer.path).manifest.settings
    assert kept == {"a": 0.5, "b": [1, 2], "c": [3], "d": str(runs_dir), "5": "e", "f": 7}
    assert dataclasses.is_dataclass(open_run(writer.path).manifest)
