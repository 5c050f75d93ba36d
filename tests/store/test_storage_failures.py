"""A full or forbidden disk: a clear word, training goes on, nothing half written."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from pellucid.errors import RunNotFoundError, StorageError
from pellucid.store import appender as appender_module
from pellucid.store import rows as rows_module
from pellucid.store.filesystem import PARTIAL, LocalFolder
from pellucid.store.run import open_run
from pellucid.store.writer import RunWriter


class _FullDisk:
    """Makes every write fail like a full disk, until it is emptied."""

    def __init__(self, monkeypatch) -> None:
        self.full = False
        original = LocalFolder.write

        def write(folder, relative, content, *, durable=False):
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            original(folder, relative, content, durable=durable)

        monkeypatch.setattr(LocalFolder, "write", write)


@pytest.fixture
def disk(monkeypatch):
    return _FullDisk(monkeypatch)


def test_rows_wait_in_memory_until_there_is_space(writer, steps, disk):
    steps(writer, 0, 10)
    writer.flush()
    disk.full = True
    steps(writer, 10, 10)
    writer.update(epoch=7)
    writer.flush()
    writer.flush()
    assert writer.problem == "the disk is full"
    assert open_run(writer.path).row_count("steps") == 10
    with pytest.raises(StorageError, match="the disk is full"):
        writer.put_file("checkpoints/last.safetensors", b"1")
    disk.full = False
    steps(writer, 20, 10)
    writer.close()
    run = open_run(writer.path)
    assert run.table("steps")["step"].to_pylist() == list(range(30))
    assert run.manifest.epoch == 7
    events = run.table("events").to_pylist()
    assert [event["kind"] for event in events] == ["storage"]
    assert "the disk is full" in events[0]["message"]


def test_closing_on_a_full_disk_says_what_is_lost(runs_dir, steps, disk):
    writer = RunWriter.create(runs_dir, name="x", kind="fit")
    steps(writer, 0, 5)
    writer.flush()
    disk.full = True
    steps(writer, 5, 3)
    with pytest.raises(StorageError, match="the disk is full") as caught:
        writer.close()
    assert caught.value.remedy
    writer.close()  # once said is enough
    run = open_run(writer.path)
    assert (run.row_count("steps"), run.status) == (5, "interrupted")
    assert not list(runs_dir.rglob("*" + PARTIAL))


def test_an_error_on_its_way_out_is_not_hidden_by_a_full_disk(runs_dir, disk):
    def train() -> None:
        with RunWriter.create(runs_dir, name="x", kind="fit"):
            disk.full = True
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        train()


def test_memory_stays_bounded_and_what_was_lost_is_counted(writer, disk, monkeypatch):
    monkeypatch.setattr(appender_module, "_MOST_PENDING_BYTES", 10_000)
    disk.full = True
    for first in range(0, 3000, 100):
        writer.extend("steps", {"step": list(range(first, first + 100))})
        writer.flush()
    disk.full = False
    writer.close()
    run = open_run(writer.path)
    kept = run.table("steps")["step"].to_pylist()
    assert kept == list(range(3000 - len(kept), 3000))  # the latest, without a hole
    assert 0 < len(kept) < 3000
    messages = run.table("events")["message"].to_pylist()
    assert any(message.startswith(f"{3000 - len(kept)} rows of steps were lost") for message in messages)


def test_rows_that_no_thread_fetches_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(rows_module, "_MOST_ENTRIES", 10)
    buffer = rows_module.RowBuffer("steps")
    for step in range(25):
        buffer.append({"step": step})
    assert buffer.lost == 15
    assert buffer.drain()["step"].to_pylist() == list(range(15, 25))


def test_creating_a_run_on_a_full_disk_leaves_nothing(runs_dir, disk):
    disk.full = True
    with pytest.raises(StorageError, match="the disk is full") as caught:
        RunWriter.create(runs_dir, name="x", kind="fit")
    assert caught.value.place == str(runs_dir)
    assert "--runs-dir" in caught.value.remedy
    assert list(runs_dir.iterdir()) == []


def test_a_file_in_the_folders_place(tmp_path):
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        RunWriter.create(tmp_path / "runs", name="x", kind="fit")
    with pytest.raises(StorageError, match="a file stands"):
        RunWriter.create(tmp_path / "runs" / "deeper", name="x", kind="fit")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        RunWriter.create(tmp_path / "runs", name="x", kind="fit")


def test_a_folder_that_the_system_forbids(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StorageError, match="cannot be written"):
        RunWriter.create(tmp_path / "runs", name="x", kind="fit")


def test_resuming_what_is_not_there(tmp_path):
    with pytest.raises(RunNotFoundError, match="no run in this folder"):
        RunWriter.resume(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


_LIMITED = """
import resource, signal, sys
import pyarrow as pa; pa.array([0])
from pellucid.errors import StorageError
from pellucid.store.writer import RunWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = RunWriter.create(sys.argv[1], name="x", kind="fit")
writer.extend("steps", {"step": list(range(50))})
writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
writer.extend("steps", {"step": list(range(50, 20000)), "loss": [step ** 0.5 for step in range(50, 20000)]})
writer.flush()
print(writer.problem)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_writes_that_the_kernel_really_cuts_short(runs_dir):
    told = subprocess.run([sys.executable, "-c", _LIMITED, str(runs_dir)], check=True, capture_output=True, text=True)
    assert "file grew beyond the size" in told.stdout
    assert open_run("latest", runs_dir).table("steps")["step"].to_pylist() == list(range(20000))
    assert not list(runs_dir.rglob("*" + PARTIAL))


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 256 KB."""
    mounted = tmp_path / "tiny"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mounted)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_a_really_full_disk(tiny_disk, steps):
    writer = RunWriter.create(tiny_disk, name="x", kind="fit")
    steps(writer, 0, 100)
    writer.flush()
    ballast = tiny_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    steps(writer, 100, 900)
    writer.flush()
    assert writer.problem == "the disk is full"
    ballast.unlink()
    steps(writer, 1000, 10)
    writer.close()
    assert open_run(writer.path).table("steps")["step"].to_pylist() == list(range(1010))
