"""What a watch says of things it came too late for, or that go on elsewhere; and how a run says it was started."""

import multiprocessing
import subprocess
import sys

import pytest
import torch
from torch import nn

import pellucid
from pellucid.store.run import open_run
from pellucid.watch.script_parts import ScriptSettings
from pellucid.watch.script_watch import ScriptWatch


def idle():
    pass


def events(watch, kind):
    table = open_run(watch.writer.path).table("events").to_pylist()
    return [event["message"] for event in table if event["kind"] == kind]


def train(model, parameters, count):
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    losses = []
    for step in range(count):
        x = torch.linspace(-1, 1, 24).reshape(6, 4) * (step + 1)
        loss = nn.functional.cross_entropy(model(x), (x.sum(1) > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["wrapped", "in place", "function"])
def test_what_was_compiled_before_is_spared_and_said(kind, tmp_path):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()

    def make():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        if kind == "in place":
            net.compile(backend="eager")
            return net, net

        def function(x):
            return net(x)

        return torch.compile(net if kind == "wrapped" else function, backend="eager"), net

    model, net = make()
    expected = train(model, net.parameters(), 40)
    model, net = make()
    found = train(model, net.parameters(), 3)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    watch = pellucid.watch(runs_dir=tmp_path)
    try:
        rest = train(model, net.parameters(), 40)
    finally:
        watch.stop()
    assert found == expected[:3]
    assert len(rest) == 40
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs
    assert any("before the watch began" in message for message in events(watch, "compiled"))
    script = open_run(watch.writer.path).result("watched_script")
    assert script.steps == 40
    if kind == "wrapped":
        assert [(each.compiled, each.train_calls) for each in script.models] == [(True, 40)]


def test_processes_that_nobody_watches_are_told_once(tmp_path):
    watch = ScriptWatch(ScriptSettings(runs_dir=tmp_path))
    watch.start()
    start, made = multiprocessing.Process.start, subprocess.Popen.__init__
    try:
        loader = torch.utils.data.DataLoader(torch.zeros(4, 1), num_workers=1)
        assert len(list(loader)) == 4
        subprocess.run(["true"], check=True)
        assert watch._has_processes is False
        process = multiprocessing.get_context("fork").Process(target=idle)
        process.start()
        process.join()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
    finally:
        watch.stop()
    assert multiprocessing.Process.start is not start
    assert subprocess.Popen.__init__ is not made
    assert events(watch, "processes") == [
        "the script started a process; what happens in it and in others is not watched"
    ]


RUN = ("pellucid", "run")


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"title": "train.py", "arguments": ("--lr", "0.1"), "starter": RUN}, "pellucid run train.py --lr 0.1"),
        ({"title": "pack.train", "module": "pack.train", "starter": RUN}, "pellucid run -m pack.train"),
        ({"title": "a b.py", "starter": ("python",)}, "python 'a b.py'"),
        ({}, "session"),
    ],
)
def test_a_run_says_how_it_was_started(settings, command):
    assert ScriptSettings(**settings).command == command
