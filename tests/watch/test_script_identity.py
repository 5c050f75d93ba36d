"""Scripts of every kind end with the same bits under watch as under python."""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pellucid.store.run import open_run

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
    watched = ["-m", "pellucid", "run", "--headless", "--runs-dir", str(tmp_path), script]
    said = []
    for words in ([script], watched):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        ranks = [_start(words, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(2)]
        said.append([rank.communicate()[0].splitlines() for rank in ranks])
        assert [rank.returncode for rank in ranks] == [0, 0]
    plain, under_watch = said
    assert [lines[:-1] for lines in under_watch] == plain
    runs = [open_run(lines[-1]) for lines in under_watch]
    assert runs[1].manifest.name == f"{runs[0].manifest.name}-rank1"
    assert all(run.result("watched_script").steps == 12 for run in runs)
