"""The same run on other file systems than the local one."""

from __future__ import annotations

import uuid

import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem, _MockFileSystem

from pellucid.errors import RunLockedError, RunNotFoundError, SettingsError, StorageError
from pellucid.store import flushing as flushing_module
from pellucid.store.filesystem import LocalFolder, RemoteFolder, open_folder
from pellucid.store.listing import find_run_folder
from pellucid.store.run import Run, find_run, list_runs, open_run
from pellucid.store.writer import RunWriter


@pytest.fixture(params=["local", "subtree", "mock", "puts"])
def folder(request, tmp_path):
    """The same kind of folder on several file systems; ``puts`` is treated like an object store."""
    if request.param == "local":
        return LocalFolder(tmp_path / "folder")
    if request.param == "subtree":
        return RemoteFolder(SubTreeFileSystem(str(tmp_path), LocalFileSystem()), "folder", "subtree://folder")
    made = RemoteFolder(_MockFileSystem(), "folder", "mock://folder")
    if request.param == "puts":
        made.system.create_dir("folder/sub")
        made._puts_atomically = True
    return made


def test_files_are_written_whole_listed_replaced_and_deleted(folder):
    assert folder.names() in ([], ["sub"])
    assert not folder.exists("sub/a")
    with pytest.raises(FileNotFoundError):
        folder.read("sub/a")
    folder.write("sub/a", b"one", durable=True)
    folder.write("sub/a", b"two")
    folder.write("sub/b", b"")
    assert folder.names("sub") == ["a", "b"]
    assert folder.names() == ["sub"]
    assert folder.exists("sub/a")
    assert folder.read("sub/a") == b"two"
    assert folder.child("sub").read("a") == b"two"
    with folder.open_arrow("sub/a") as source:
        assert source.read() == b"two"
    folder.delete("sub/a")
    folder.delete("sub/a")
    assert folder.names("sub") == ["b"]
    assert folder.names("nothing") == []
    folder.delete_partials()


@pytest.mark.parametrize("relative", ["../x", "/x", "a/../../x", "."])
def test_no_path_leads_out(folder, relative):
    for call in (folder.read, folder.delete, folder.exists, folder.child, folder.open_arrow):
        with pytest.raises(SettingsError):
            call(relative)


@pytest.fixture
def memory_uri():
    """An fsspec address that lives in this process's memory."""
    return f"memory://{uuid.uuid4().hex}/runs"


def test_a_run_on_an_fsspec_uri(memory_uri, steps, monkeypatch):
    monkeypatch.setattr(flushing_module, "FLUSH_INTERVAL_S", 0.02)
    writer = RunWriter.create(memory_uri, name="Away", kind="watch")
    for first in range(0, 300, 10):
        steps(writer, first, 10)
        writer.flush()
    writer.put_file("checkpoints/last.safetensors", b"123")
    with pytest.raises(RunLockedError):
        RunWriter.resume(writer.location)
    assert open_run(writer.location).status == "running"
    with pytest.raises(StorageError, match="not on the local"):
        _ = writer.path
    writer.close()

    assert [summary.name for summary in list_runs(memory_uri)] == ["Away"]
    run = open_run("latest", memory_uri)
    assert run.id == writer.id
    assert run.status == "finished"
    assert run.table("steps", after=290)["step"].to_pylist() == list(range(290, 300))
    assert run.read_file("checkpoints/last.safetensors") == b"123"
    with pytest.raises(StorageError, match="not on the local"):
        _ = run.path
    assert find_run(writer.id, memory_uri).row_count("steps") == 300

    resumed = RunWriter.resume(writer.location, after_step=99)
    assert resumed.elapsed_before_s == 99 / 8
    steps(resumed, 100, 1)
    resumed.close()
    assert run.refresh().table("steps")["step"].to_pylist() == list(range(101))


def test_runs_that_are_not_there(memory_uri):
    assert list_runs(memory_uri) == []
    with pytest.raises(RunNotFoundError):
        open_run(memory_uri + "/x")
    with pytest.raises(RunNotFoundError):
        find_run_folder("x", memory_uri)


def test_an_address_that_nobody_knows():
    with pytest.raises(StorageError, match="cannot be opened"):
        open_folder("nonsense-protocol://bucket/x")


def test_a_folder_may_be_given_as_such(tmp_path, steps):
    with RunWriter.create(tmp_path, name="x", kind="fit") as writer:
        steps(writer, 0, 3)
    system = SubTreeFileSystem(str(tmp_path), LocalFileSystem())
    assert Run(RemoteFolder(system, writer.id, "subtree://x")).row_count("steps") == 3
