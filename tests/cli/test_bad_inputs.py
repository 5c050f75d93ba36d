"""Inputs that cannot be used: each gives a message that names the place and the remedy, an exit code, and no debris.

The list is the specification: a new way to fail belongs here first.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pellucid.cli.main import main

Case = Callable[[Path], list[str]]
CASES: dict[str, tuple[Case, tuple[str, ...]]] = {}
"""Name → (what makes the files and gives the arguments, what the message must contain)."""


def case(name: str, *fragments: str) -> Callable[[Case], Case]:
    def register(make: Case) -> Case:
        CASES[name] = (make, fragments)
        return make

    return register


def table(folder: Path, text: str | bytes, name: str = "data.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def rows(count: int = 60, columns: str = "a,b,y") -> str:
    rng = np.random.default_rng(0)
    return columns + "\n" + "\n".join(f"{rng.normal():.3f},{rng.normal():.3f},{i % 2}" for i in range(count)) + "\n"


# Tables


@case("missing file", "nowhere.csv")
def _(folder):
    return ["fit", str(folder / "nowhere.csv"), "--target", "y"]


@case("empty file", "data.csv", "empty")
def _(folder):
    return ["fit", table(folder, ""), "--target", "y"]


@case("only a header", "data.csv")
def _(folder):
    return ["fit", table(folder, "a,b,y\n"), "--target", "y"]


@case("ragged rows", "data.csv", "line 4")
def _(folder):
    return ["fit", table(folder, "a,b,y\n1,2,0\n2,3,1\n1,2,3,4,5\n2,2,1\n"), "--target", "y"]


@case("wrong encoding", "data.csv", "UTF-8")
def _(folder):
    return ["fit", table(folder, "name,y\nJos\xe9,1\nZo\xeb,0\n".encode("latin-1")), "--target", "y"]


@case("all-missing target column", "y")
def _(folder):
    return ["fit", table(folder, "a,y\n" + "1,\n2,\n" * 20), "--target", "y"]


@case("only an all-missing feature", "data.csv")
def _(folder):
    return ["fit", table(folder, "a,y\n" + ",0\n,1\n" * 20), "--target", "y"]


@case("one class", "y", "class")
def _(folder):
    return ["fit", table(folder, "a,b,y\n" + "".join(f"{i},{i * i % 7},yes\n" for i in range(50))), "--target", "y"]


@case("target absent", "survived", "survive")
def _(folder):
    return ["fit", table(folder, rows(columns="a,b,survived")), "--target", "survive"]


@case("no target named", "--target")
def _(folder):
    return ["fit", table(folder, rows(columns="height,width,depth"))]


@case("constant regression target", "y")
def _(folder):
    text = "a,y\n" + "".join(f"{i * 1.37},2.5\n" for i in range(50))
    return ["fit", table(folder, text), "--target", "y"]


@case("infinite values", "b", "inf")
def _(folder):
    return ["fit", table(folder, rows() + "inf,inf,1\n"), "--target", "y"]


@case("one row", "row")
def _(folder):
    return ["fit", table(folder, "a,b,y\n1,2,0\n"), "--target", "y"]


@case("duplicate column names", "'a'")
def _(folder):
    return ["fit", table(folder, "a,a,y\n" + "1,2,0\n2,3,1\n" * 20), "--target", "y"]


@case("broken JSON lines", "data.jsonl", "line 3")
def _(folder):
    good = '{"a": 1, "y": 0}\n{"a": 2, "y": 1}\n'
    return ["fit", table(folder, good + '{"a": 3, "y"\n' + good * 10, "data.jsonl"), "--target", "y"]


@case("truncated Parquet", "data.parquet")
def _(folder):
    path = folder / "data.parquet"
    pd.DataFrame({"a": np.arange(100.0), "y": np.arange(100) % 2}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-300])
    return ["fit", str(path), "--target", "y"]


@case("an unknown kind of file", "data.docx")
def _(folder):
    return ["fit", table(folder, "a,b\n1,2\n", "data.docx"), "--target", "b"]


@case("an unknown group column", "patient")
def _(folder):
    return ["fit", table(folder, rows()), "--target", "y", "--group", "patient"]


@case("a remark above the header", "data.csv", "line 2", "nothing stand above")
def _(folder):
    return ["fit", table(folder, "# measured in May\n" + rows()), "--target", "y"]


@case("a number beyond single precision", "a")
def _(folder):
    return ["fit", table(folder, rows() + "1e308,1,0\n" * 3), "--target", "y", "--outliers", "none"]


@case("nothing but the target", "data.csv", "no other column")
def _(folder):
    return ["fit", table(folder, "y\n" + "0\n1\n" * 20), "--target", "y"]


@case("nested JSON lines", "data.jsonl", "dict")
def _(folder):
    return ["fit", table(folder, '{"a": {"b": 1}, "y": 0}\n{"a": {"b": 2}, "y": 1}\n' * 10, "data.jsonl")]


@case("UTF-16", "data.csv", "UTF-16")
def _(folder):
    return ["fit", table(folder, rows().encode("utf-16")), "--target", "y"]


@case("zero bytes in a text", "data.csv", "byte 5")
def _(folder):
    return ["fit", table(folder, "a,b,y\0" + rows()), "--target", "y"]


@case("a class in every row", "y", "classes")
def _(folder):
    return ["fit", table(folder, "a,y\n" + "".join(f"{i},c{i}\n" for i in range(50))), "--target", "y"]


@case("words for regression", "y", "regression")
def _(folder):
    text = "a,y\n" + "".join(f"{i * i % 7},{'yes' if i % 2 else 'no'}\n" for i in range(50))
    return ["fit", table(folder, text), "--target", "y", "--task", "regression"]


@case("a single group", "data.csv", "group")
def _(folder):
    text = "a,g,y\n" + "".join(f"{i * i % 7},one,{i % 2}\n" for i in range(50))
    return ["fit", table(folder, text), "--target", "y", "--group", "g"]


@case("more folds than rows allow", "100 folds")
def _(folder):
    return ["fit", table(folder, rows()), "--target", "y", "--folds", "100"]


@case("an address", "example.com", "download")
def _(folder):
    return ["fit", "https://example.com/data.csv", "--target", "y"]


@case("no source", "source")
def _(folder):
    return ["fit", ""]


# Images


def image_folder(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / "photos" / label).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{index}.png")
    return folder / "photos"


@case("a text file named as an image", "3.png")
def _(folder):
    photos = image_folder(folder)
    (photos / "cat" / "3.png").write_text("this is no picture")
    return ["fit", str(photos)]


@case("truncated PNG", "5.png")
def _(folder):
    photos = image_folder(folder)
    path = photos / "dog" / "5.png"
    path.write_bytes(path.read_bytes()[:60])
    return ["fit", str(photos)]


@case("an empty image folder", "photos")
def _(folder):
    (folder / "photos").mkdir()
    return ["fit", str(folder / "photos")]


@case("one class folder", "photos")
def _(folder):
    photos = image_folder(folder)
    for path in (photos / "dog").iterdir():
        path.unlink()
    (photos / "dog").rmdir()
    return ["fit", str(photos)]


@case("a folder of tables", "tables", "data.csv")
def _(folder):
    (folder / "tables").mkdir()
    table(folder / "tables", rows())
    return ["fit", str(folder / "tables")]


@case("an NPZ that is none", "images.npz", "no ZIP archive")
def _(folder):
    return ["fit", table(folder, rows(), "images.npz")]


@case("truncated IDX", "images-idx3-ubyte")
def _(folder):
    images = struct.pack(">4BIII", 0, 0, 8, 3, 100, 28, 28) + bytes(1000)
    labels = struct.pack(">4BI", 0, 0, 8, 1, 100) + bytes(100)
    (folder / "train-images-idx3-ubyte").write_bytes(images)
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)
    return ["fit", str(folder / "train-images-idx3-ubyte")]


@case("truncated gzip", "train-images-idx3-ubyte.gz")
def _(folder):
    content = gzip.compress(struct.pack(">4BIII", 0, 0, 8, 3, 100, 28, 28) + os.urandom(78400))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content[: len(content) // 2])
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 100) + bytes(100))
    )
    return ["fit", str(folder / "train-images-idx3-ubyte.gz")]


class _Planted:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (Path.touch, (Path(self.path),))


@case("an NPZ that holds a pickle", "images.npz")
def _(folder):
    labels = np.array([_Planted(folder / "planted")] * 30, dtype=object)
    np.savez(folder / "images.npz", images=np.zeros((30, 8, 8), np.uint8), labels=labels)
    return ["fit", str(folder / "images.npz")]


# Text and series


@case("text column absent", "review")
def _(folder):
    return ["fit", table(folder, "text,label\n" + "good,1\nbad,0\n" * 20), "--text", "review", "--target", "label"]


@case("lines without anything to learn", "lines.txt", "--text-task next_token")
def _(folder):
    return ["fit", table(folder, "emma\nolivia\nava\n" * 10, "lines.txt")]


@case("several series in one file", "when", "same time")
def _(folder):
    text = "when,value\n" + "".join(f"2026-01-{1 + i % 28:02},{i}\n" for i in range(200))
    return ["fit", table(folder, text), "--series", "value", "--time", "when", "--window", "8", "--horizon", "2"]


@case("series too short for its window", "48")
def _(folder):
    return ["fit", table(folder, "value\n" + "\n".join(map(str, range(30)))), "--series", "value"]


@case("infinite value in a series", "value")
def _(folder):
    text = "value\n" + "\n".join(["1.5", "inf", *map(str, range(300))])
    return ["fit", table(folder, text), "--series", "value", "--window", "8", "--horizon", "2"]


@case("words in a series", "value")
def _(folder):
    text = "value\n" + "\n".join(["few", "many", "some"] * 100)
    return ["fit", table(folder, text), "--series", "value", "--window", "8", "--horizon", "2"]


# Settings and machine


@case("an unknown activation", "activation", "relu")
def _(folder):
    return ["fit", "iris", "--activation", "reglu"]


@case("a negative learning rate", "-1")
def _(folder):
    return ["fit", "iris", "--lr", "-1"]


@case("an accelerator that is not there", "cuda")
def _(folder):
    return ["fit", "iris", "--device", "cuda:7"]


@case("shares that do not make a whole", "split")
def _(folder):
    return ["fit", "iris", "--split", "0.9,0.5,0.1"]


@case("a rate at which training explodes", "loss", "--lr")
def _(folder):
    return ["fit", "diabetes", "--lr", "1e30", "--optimizer", "sgd", "--clip", "0", "--epochs", "20"]


# Runs


@case("an unknown run", "no-such-run")
def _(folder):
    return ["open", "no-such-run", "--no-browser"]


@case("an unknown run to predict with", "no-such-run")
def _(folder):
    return ["predict", "no-such-run", table(folder, rows())]


@case("a run name that leads elsewhere", "..")
def _(folder):
    return ["report", "../../etc"]


@case("export to an unknown format", "xml")
def _(folder):
    return ["export", "latest", "--to", "xml"]


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PELLUCID_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    make, fragments = CASES[name]
    code = main(make(tmp_path))
    shown = capfd.readouterr()
    assert code not in (0, 70), shown.err
    assert "Traceback" not in shown.out + shown.err
    flat = " ".join(shown.err.split())
    for fragment in fragments:
        assert fragment in flat, flat
    if code == 1:
        assert "to do:" in shown.err
    assert not (tmp_path / "planted").exists()
    for manifest in (tmp_path / "runs").glob("*/run.json"):
        assert json.loads(manifest.read_text())["status"] == "failed"
    assert not list((tmp_path / "runs").rglob("*.partial"))


def test_there_are_enough_cases():
    assert len(CASES) >= 25


# What needs more than files


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """A small trained run to be damaged: its folder."""
    import pellucid

    return pellucid.fit("iris", runs_dir=tmp_path_factory.mktemp("runs"), epochs=2).path


@pytest.fixture
def damaged(finished_run, tmp_path, monkeypatch):
    """A copy of it in a runs folder of its own."""
    import shutil

    copy = tmp_path / "runs" / finished_run.name
    shutil.copytree(finished_run, copy)
    monkeypatch.setenv("PELLUCID_RUNS", str(tmp_path / "runs"))
    return copy


def refused(arguments: list[str], capfd) -> str:
    code = main(arguments)
    shown = capfd.readouterr()
    assert code == 1, shown.out + shown.err
    assert "Traceback" not in shown.err
    assert "to do:" in shown.err
    return " ".join(shown.err.split())


def test_corrupted_manifest(damaged, capfd):
    (damaged / "run.json").write_text('{"schema": "run/1", "id"')
    assert "run.json" in refused(["report", damaged.name], capfd)


def test_manifest_of_a_newer_version(damaged, capfd):
    manifest = json.loads((damaged / "run.json").read_text())
    (damaged / "run.json").write_text(json.dumps({**manifest, "schema": "run/99"}))
    assert "newer" in refused(["report", damaged.name], capfd)


@pytest.mark.parametrize("command", ["predict", "resume"])
def test_a_checkpoint_that_is_a_malicious_pickle(damaged, tmp_path, capfd, command):
    for path in (damaged / "checkpoints").iterdir():
        path.write_bytes(pickle.dumps(_Planted(tmp_path / "planted")))
    arguments = (
        ["predict", damaged.name, "--split", "test"] if command == "predict" else ["fit", "--resume", damaged.name]
    )
    assert "checkpoints" in refused(arguments, capfd)
    assert not (tmp_path / "planted").exists()


def test_a_fitted_preprocessing_that_is_a_malicious_pickle(damaged, tmp_path, capfd):
    for path in (damaged / "preparation").iterdir():
        if path.suffix != ".json":
            path.write_bytes(pickle.dumps(_Planted(tmp_path / "planted")))
    message = refused(["predict", damaged.name, "--split", "test"], capfd)
    assert "preparation" in message
    assert not (tmp_path / "planted").exists()


def test_prediction_rows_that_lack_a_column(damaged, tmp_path, capfd):
    path = table(tmp_path, "sepal length (cm),sepal width (cm)\n5.1,3.5\n")
    message = refused(["predict", damaged.name, path], capfd)
    assert "petal length (cm)" in message


@pytest.mark.parametrize(
    ("text", "fragment"),
    [("", "empty"), ("a,b,c,d\n", "no rows"), ("sepal length (cm),b\nlong,2\n", "add what the network learned from")],
)
def test_prediction_rows_that_cannot_be_read(damaged, tmp_path, capfd, text, fragment):
    path = table(tmp_path, text, "new.csv")
    message = refused(["predict", damaged.name, path, "-o", str(tmp_path / "out.csv")], capfd)
    assert "new.csv" in message
    assert fragment in message
    assert not (tmp_path / "out.csv").exists()


def test_a_word_where_training_had_numbers(damaged, tmp_path, capfd):
    header = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
    message = refused(["predict", damaged.name, table(tmp_path, f"{header}\n5,3,1,1\n5,wide,1,1\n")], capfd)
    assert "'wide'" in message
    assert "column 'sepal width (cm)', row 2 below the header" in message


@pytest.mark.parametrize("command", ["export", "report"])
def test_a_file_or_folder_in_the_way(damaged, tmp_path, capfd, command):
    place = tmp_path / "there"
    place.write_text("mine")
    assert "there" in refused([command, damaged.name, "-o", str(place)], capfd)
    assert place.read_text() == "mine"


def test_resuming_where_the_data_has_changed(tmp_path, capfd):
    import pellucid

    path = Path(table(tmp_path, rows()))
    run = pellucid.fit(path, runs_dir=tmp_path / "runs", target="y", epochs=1)
    manifest = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**manifest, "status": "stopped"}))
    path.write_text(rows(61))
    assert "changed" in refused(["fit", "--resume", str(run.path)], capfd)
    path.unlink()
    assert "data.csv" in refused(["fit", "--resume", str(run.path)], capfd)


def test_a_truncated_result_is_named_and_the_rest_is_shown(damaged, tmp_path, capfd):
    path = damaged / "results" / "data_report.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert main(["report", damaged.name, "-o", str(tmp_path / "report.html")]) == 0
    assert "data_report is damaged" in capfd.readouterr().err


def test_port_taken(damaged, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert str(port) in refused(["open", "--no-browser", "--port", str(port)], capfd)


def test_a_runs_folder_that_cannot_be_written(tmp_path, capfd):
    # Root may write anywhere, so the folder is made impossible rather than forbidden.
    (tmp_path / "file").write_text("not a folder")
    assert "file" in refused(["fit", "iris", "--epochs", "1", "--runs-dir", str(tmp_path / "file" / "runs")], capfd)


def test_an_output_that_cannot_be_written(damaged, tmp_path, capfd):
    (tmp_path / "file").write_text("not a folder")
    assert "out.csv" in refused(
        ["predict", damaged.name, "--split", "test", "-o", str(tmp_path / "file" / "out.csv")], capfd
    )


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB, where one can be mounted."""
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_disk_full(small_disk, capfd):
    message = refused(["fit", "digits", "--epochs", "2", "--runs-dir", str(small_disk)], capfd)
    assert "No space left" in message or "full" in message
    assert not list(small_disk.rglob("*.partial"))
    for manifest in small_disk.glob("*/run.json"):
        assert json.loads(manifest.read_text())["status"] != "finished"
