"""Scripts of every kind end with the same bits under watch as under python."""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pellucid.store.run import open_run
from pellucid.watch.launchers import watched_arguments

SCRIPTS = Path(__file__).parent / "scripts"
LOOPS = (
    "plain_loop",
    "amp_bf16",
    "grad_scaler",
    "accumulate",
    "gan",
    "lbfgs",
    "rnn",
    "workers",
    "checkpointed",
    "by_hand",
    "transformer",
    "functional",
    "compiled",
)
FRAMEWORKS = {"hf_trainer": "accelerate", "accelerated": "accelerate", "lightning_loop": "lightning"}


def _environment(**more):
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **more}


def _start(words, **more):
    return subprocess.Popen(
        [sys.executable, *words], env=_environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _compare(script, folder, **more):
    """Run both ways; the run's folder."""
    plain = _start([str(script)], **more)
    watched = _start(["-m", "pellucid", "run", "--headless", "--runs-dir", str(folder), str(script)], **more)
    said, error = plain.communicate()
    said_watched, error_watched = watched.communicate()
    *lines, run = said_watched.splitlines()
    assert [line for line in lines if "runtime" not in line] == [s for s in said.splitlines() if "runtime" not in s]
    assert error_watched == error
    assert (watched.returncode, plain.returncode) == (0, 0)
    return open_run(run)


def _errors(run):
    events = run.table("events")
    return [m for k, m in zip(events["kind"], events["message"], strict=True) if str(k) == "watch_error"]


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_a_script_ends_with_the_same_bits(name, tmp_path):
    run = _compare(SCRIPTS / f"{name}.py", tmp_path)
    script = run.result("watched_script")
    assert script.steps > 10
    assert script.ended == "finished"
    assert not _errors(run)


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_framework_ends_with_the_same_bits(name, tmp_path):
    if find_spec(FRAMEWORKS[name]) is None:
        pytest.skip(f"{FRAMEWORKS[name]} is not installed")
    run = _compare(SCRIPTS / f"{name}.py", tmp_path)
    assert run.result("watched_script").steps > 5


@pytest.mark.slow
def test_two_processes_end_with_the_same_bits_and_each_writes_its_part(tmp_path):
    script = str(SCRIPTS / "several_processes.py")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [_start([script], RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(2)]
    plain = [rank.communicate()[0].splitlines() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]

    spread = ["--standalone", "--nproc-per-node", "2", "--redirects", "3", "--log-dir", str(tmp_path / "log")]
    watch = ["-m", "pellucid", "run", "--headless", "--runs-dir", str(tmp_path / "runs")]
    launcher = _start([*watch, "-m", "torch.distributed.run", *spread, script])
    _, error = launcher.communicate()
    assert launcher.returncode == 0, error
    said = [file.read_text().splitlines() for file in sorted((tmp_path / "log").rglob("stdout.log"))]
    assert [lines[:-1] for lines in said] == plain
    runs = [open_run(lines[-1]) for lines in said]
    assert [run.manifest.name for run in runs] == ["several_processes", "several_processes-rank1"]
    assert all(run.result("watched_script").steps == 12 for run in runs)


WATCH = ["pellucid", "run", "--budget", "0.03"]


@pytest.mark.parametrize(
    ("target", "given", "changed"),
    [
        ("torchrun", "--nproc-per-node 2 train.py --lr 1 -m", "--nproc-per-node 2 -m WATCH train.py --lr 1 -m"),
        ("/bin/torchrun", "--nnodes=1 -m pack.train a", "--nnodes=1 -m WATCH -m pack.train a"),
        ("torch.distributed.run", "train.py", "-m WATCH train.py"),
        ("torchrun", "--no-python --nnodes=1 train.sh", None),
        ("torchrun", "--help", None),
        ("accelerate", "launch --cpu train.py a", "launch --cpu -m WATCH train.py a"),
        ("accelerate", "config", None),
        ("train.py", "torchrun train.py", None),
    ],
)
def test_launchers_are_told_to_watch_what_they_launch(target, given, changed):
    found = watched_arguments(target, given.split(), WATCH[2:])
    assert found == (None if changed is None else tuple(changed.replace("WATCH", " ".join(WATCH)).split()))
