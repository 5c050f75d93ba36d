"""``pellucid run``: a script behaves as under python, whatever it does, and leaves a run that opens."""

import http.client
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from pellucid.cli.run import run_main
from pellucid.store.listing import list_runs
from pellucid.store.run import open_run

TRAIN = """
import torch
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
def train(steps):
    for _ in range(steps):
        loss = ((net(torch.randn(8, 3)) - 1) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
train(5)
"""


def start(words, folder, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **more}
    return subprocess.Popen(
        [sys.executable, *words],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Both:
    """What a script does under python and under watch."""

    def __init__(self, folder, source, *arguments, name="train.py", words=None, run=None, **more):
        (folder / name).write_text(textwrap.dedent(source))
        words = words or [name]
        plain = start([*words, *arguments], folder, **more)
        watch = ["-m", "pellucid", "run", "--headless", "--runs-dir", "runs"]
        watched = start([*watch, *words, *arguments], folder, **more)
        self.plain, self.plain_error = plain.communicate()
        said, self.watched_error = watched.communicate()
        self.codes = plain.returncode, watched.returncode
        self.watched = said
        runs = [each for each in list_runs(folder / "runs") if run in (None, each.name)]
        self.run = open_run(folder / "runs" / runs[0].id) if runs else None
        if self.run is not None and said.endswith(f"{self.run.location}\n"):
            self.watched = said.removesuffix(f"{self.run.location}\n")

    def is_same(self):
        assert self.watched == self.plain
        assert self.watched_error == self.plain_error
        assert self.codes[0] == self.codes[1]
        return self.run


SHOW = """
import json, os, pickle, sys
class Thing:
    def __init__(self): self.x = 1
main = sys.modules["__main__"]
import helper
print(json.dumps({
    "argv": sys.argv, "name": __name__, "file": __file__, "cwd": os.getcwd(), "path": sys.path[0],
    "spec": __spec__ is None or __spec__.name, "package": __package__, "cached": __cached__,
    "here": main.__dict__ is globals(), "names": sorted(globals()), "loader": type(__loader__).__name__,
    "pickled": pickle.dumps(Thing()).hex(), "again": type(pickle.loads(pickle.dumps(Thing()))) is Thing,
    "omp": os.environ.get("OMP_WAIT_POLICY"), "flags": list(sys.flags), "threads": None,
}))
"""


def test_a_script_finds_what_it_finds_under_python(tmp_path):
    (tmp_path / "helper.py").write_text("")
    both = Both(tmp_path, SHOW, "--lr", "0.1", "--headless", "-m", "x")
    run = both.is_same()
    assert json.loads(both.plain)["argv"] == ["train.py", "--lr", "0.1", "--headless", "-m", "x"]
    assert run.result("watched_script").arguments == ("--lr", "0.1", "--headless", "-m", "x")


def test_a_module_finds_what_it_finds_under_python(tmp_path):
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    Both(tmp_path, SHOW, "--lr", "0.1", name="package/train.py", words=["-m", "package.train"]).is_same()


def test_what_is_set_before_torch_is_loaded_counts(tmp_path):
    source = """
    import os
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch
    print(torch.get_num_threads(), "numpy" in __import__("sys").modules)
    """
    both = Both(tmp_path, source, OMP_NUM_THREADS="2")
    assert both.is_same() is not None
    assert both.plain.startswith("1 ")


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit(3)",
        "sys.exit('no data')",
        "raise SystemExit",
        "os._exit(5)",
        "torch.nn.Linear(2, 2)(torch.ones(3))",
        "net(torch.ones(1, 3)).backward(); loss = net(torch.ones(1, 3)); loss.backward(); loss.backward()",
        "1 / 0",
    ],
)
def test_a_script_ends_as_under_python(tmp_path, ending):
    both = Both(tmp_path, f"import os, sys\n{TRAIN}\ndef last():\n    {ending}\nlast()\n")
    plain = [line for line in both.plain_error.splitlines() if "_call_impl" not in line and "^^^" not in line]
    watched = [line for line in both.watched_error.splitlines() if "_call_impl" not in line and "^^^" not in line]
    # A module with hooks is left through another line of torch's own.
    ignored = {"    return forward_call(*args, **kwargs)", "    return inner()"}
    assert [line for line in watched if line not in ignored] == [line for line in plain if line not in ignored]
    assert both.codes[0] == both.codes[1]
    assert both.watched == both.plain
    if "_exit" not in ending:
        script = both.run.result("watched_script")
        assert script.steps == 5
        assert (script.ended == "failed") == ("Error" in both.plain_error)
        assert script.error == (both.plain_error.splitlines()[-1] if "Error" in both.plain_error else "")
        if script.error:
            assert script.error_place.file == "train.py"
            assert script.error_place.function == "last"


def test_a_script_may_leave_a_pool_of_threads_open(tmp_path):
    pool = """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        print(pool.submit(sum, [1, 2]).result())
    """
    assert Both(tmp_path, TRAIN + textwrap.dedent(pool)).is_same().status == "finished"


def test_a_script_that_is_no_python_fails_as_under_python(tmp_path):
    both = Both(tmp_path, "import sys\nprint('a'\n")
    assert both.is_same().result("watched_script").error.startswith("SyntaxError")


def test_a_hook_for_errors_is_called_once_and_what_is_left_for_the_end_is_done(tmp_path):
    source = """
    import atexit, sys, threading, time
    sys.excepthook = lambda kind, error, trace: print("hook", kind.__name__, trace.tb_lineno)
    atexit.register(print, "the end")
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
    raise KeyError(3)
    """
    both = Both(tmp_path, source)
    assert both.codes == (1, 1)
    assert both.plain.splitlines() == ["hook KeyError 6", "thread", "the end"]
    assert [line for line in both.watched.splitlines() if "runs" not in line] == both.plain.splitlines()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "ended"), [(signal.SIGINT, "stopped"), (signal.SIGTERM, "running")])
def test_a_signal_ends_a_script_as_under_python(tmp_path, number, ended):
    both = Both(
        tmp_path, f"{TRAIN}\nimport os, time\ntime.sleep(1)\nos.kill(os.getpid(), {int(number)})\ntime.sleep(5)\n"
    )
    assert both.codes == (-number, -number)
    assert both.watched_error == both.plain_error
    assert both.run.status in ("stopped", "interrupted")
    assert both.run.result("watched_script").ended == ended


def test_children_train_by_themselves_and_those_that_torch_spawns_are_watched(tmp_path):
    source = f"""
import multiprocessing, os, sys
{TRAIN}
def child(seed):
    torch.manual_seed(seed)
    train(7)
    return float(net.weight.sum()), len(net._forward_hooks), torch.autograd.backward.__module__
def rank(number, steps):
    train(steps)
    if steps == 4:
        raise ValueError("no more")
if __name__ == "__main__":
    print(len(net._forward_hooks) >= 0)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.map(child, [3])[0][1:])
    if not (pid := os.fork()):
        train(3)
        os._exit(0)
    print(os.waitpid(pid, 0)[1])
    torch.multiprocessing.spawn(rank, (6,), nprocs=2)
    try:
        torch.multiprocessing.spawn(rank, (4,))
    except torch.multiprocessing.ProcessRaisedException as error:
        print(str(error).replace("module/", ""))
"""
    both = Both(tmp_path, source, run="train")
    script = both.is_same().result("watched_script")
    assert script.steps == 5
    assert both.run.table("steps").num_rows == 5
    found = [open_run(tmp_path / "runs" / each.id) for each in list_runs(tmp_path / "runs")]
    assert sorted(run.manifest.name for run in found) == ["train", *["train-process0"] * 2, "train-process1"]
    ends = {(run.manifest.name, each.ended, each.steps) for run in found if (each := run.result("watched_script"))}
    assert ends >= {("train-process1", "finished", 6), ("train-process0", "failed", 4)}


def test_a_script_goes_on_when_the_app_is_killed(tmp_path):
    source = f"""
import pathlib, time
{TRAIN.replace("import torch", "import torch; torch.manual_seed(0)")}
while not pathlib.Path("killed").exists():
    time.sleep(0.05)
train(7)
print(net.weight.tolist())
"""
    (tmp_path / "runs").mkdir()
    words = ["-m", "pellucid", "open", "--headless", "--json", "--port", "0", "--runs-dir", "runs"]
    app = start(words, tmp_path)

    def kill():
        said = json.loads(app.stdout.readline())
        page = http.client.HTTPConnection("127.0.0.1", said["port"], timeout=20)
        page.request("GET", "/")
        page.getresponse()
        while not list_runs(tmp_path / "runs"):
            time.sleep(0.05)
        app.kill()
        app.communicate()
        (tmp_path / "killed").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    both = Both(tmp_path, source)
    killer.join()
    assert both.is_same().result("watched_script").steps == 12


def test_weights_that_are_never_changed_are_told(tmp_path):
    source = TRAIN.replace("optimizer.step()", "pass").replace("train(5)", "train(80)")
    script = Both(tmp_path, source).is_same().result("watched_script")
    assert [optimizer.steps for optimizer in script.optimizers] == [0]
    assert script.steps > 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to run"),
        (["nowhere.py"], "no script 'nowhere.py'"),
        (["-m", "no_such.module"], "no_such"),
        (["--budget", "much", "train.py"], "no share"),
    ],
)
def test_what_cannot_be_run_is_said(words, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert run_main(words) == 1
    assert said in capsys.readouterr().err
