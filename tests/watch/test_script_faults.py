"""Whatever fails inside the watch, the script ends with the same bits, and the run opens."""

import errno
import os
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import pellucid
from pellucid.store import flushing
from pellucid.store.filesystem import LocalFolder
from pellucid.store.run import open_run
from pellucid.watch import script_watch
from pellucid.watch.script_events import ScriptEvents, ScriptObserver
from pellucid.watch.script_listener import TAPPED
from pellucid.watch.script_parts import ScriptSettings
from pellucid.watch.script_watch import ScriptWatch

EVENTS = [name for name in ScriptEvents.__annotations__ if not name.startswith("_")]
CALLBACKS = [*TAPPED, "root_begins", "root_ends", "settled", "module_begins", "module_ends"]
INNER = ["_update_begins", "_update_ends", "_save", "_look_at_gradients", "describe", "_report_cost", "_finish_step"]


class Speechless(nn.Module):
    """Returns nothing."""

    def forward(self, x):
        self.seen = x.sum().item()


def train(model=None, epochs=2, batch=8):
    torch.manual_seed(0)
    net = model if model is not None else nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    speechless = Speechless()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    loader = torch.utils.data.DataLoader(torch.randn(48, 4), batch_size=batch, shuffle=True)
    losses = []
    for epoch in range(epochs):
        for x in loader:
            loss = nn.functional.cross_entropy(net(x), (x.sum(1) > 0).long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            speechless(x)
        scheduler.step()
        with torch.no_grad():
            print(f"epoch {epoch} loss {losses[-1]:.3f} acc {net(x).mean():.3f}")
    return losses, [p.detach().clone() for p in net.parameters()], torch.get_rng_state()


def watched(folder, work=train, full=False):
    watch = ScriptWatch(ScriptSettings(runs_dir=folder, name="faulty", full=full))
    watch.start()
    try:
        found = work()
    finally:
        watch.stop()
    return found, watch


def assert_same(found, expected):
    assert found[0] == expected[0]
    assert all(torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True))
    assert torch.equal(found[2], expected[2])


OURS = str(Path(pellucid.__file__).parent) + os.sep


def is_wrapped_by_us(function):
    """Others wrap it too: Lightning does when it is imported."""
    while function is not None:
        if function.__code__.co_filename.startswith(OURS):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def assert_left_alone():
    assert torch.autograd.backward.__module__ == "torch.autograd"
    assert not is_wrapped_by_us(torch.compile)
    hooks = torch.nn.modules.module
    assert not hooks._has_any_global_hook()
    assert "__reduce_ex__" not in vars(nn.Module)


def errors(watch):
    table = open_run(watch.writer.path).table("events").to_pylist()
    return [row["message"] for row in table if row["kind"] == "watch_error"]


@pytest.fixture(scope="module")
def expected():
    return train()


def test_a_script_is_left_as_it_was(tmp_path, expected):
    found, watch = watched(tmp_path)
    assert_same(found, expected)
    assert_left_alone()
    run = open_run(watch.writer.path)
    script = run.result("watched_script")
    assert (script.steps, script.epochs, script.epoch_steps) == (12, 2, 6.0)
    assert [loader.shuffled for loader in script.loaders] == [True]
    assert [scheduler.calls for scheduler in script.schedulers] == [2]
    assert run.table("steps")["loss"].to_pylist() == found[0]
    assert not errors(watch)


@pytest.mark.parametrize("name", CALLBACKS + INNER)
def test_a_callback_that_raises_switches_off_its_part_only(name, tmp_path, expected, monkeypatch):
    def fail(self, *args, **kwargs):
        raise RuntimeError(f"{name} fails")

    monkeypatch.setattr(ScriptWatch, name, fail)
    found, watch = watched(tmp_path)
    assert_same(found, expected)
    assert_left_alone()
    assert open_run(watch.writer.path).status == "finished"
    assert all("fails" in message for message in errors(watch))


@pytest.mark.parametrize("event", [*EVENTS, "parts"])
def test_an_observer_that_raises_is_switched_off_alone(event, tmp_path, expected, monkeypatch):
    class Fails(ScriptObserver):
        part = "fails"

    class Counts(ScriptObserver):
        part = "counts"
        updates = 0

        def update_ends(self, optimizer, step):
            Counts.updates += 1

    def fail(self, *args):
        raise ValueError(event)

    setattr(Fails, event, fail)
    monkeypatch.setattr(script_watch, "observers_of", lambda probe: (Fails, Counts))
    found, watch = watched(tmp_path)
    assert_same(found, expected)
    assert Counts.updates == 12
    assert errors(watch) == [f"fails switched off: ValueError: {event}"]
    assert open_run(watch.writer.path).result("watched_script").steps == 12


def test_a_full_disk_is_told_and_harms_nothing(tmp_path, expected, monkeypatch):
    watch = ScriptWatch(ScriptSettings(runs_dir=tmp_path))

    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(LocalFolder, "write", full)
        watch.start()
        found = train()
        watch.stop()
    assert_same(found, expected)
    assert "space" in watch.problem.lower() or "full" in watch.problem.lower()
    assert open_run(watch.writer.path).manifest.kind == "watch"


def test_a_dead_writing_thread_harms_nothing(tmp_path, expected, monkeypatch):
    monkeypatch.setattr(flushing.threading.Thread, "start", lambda self: None)
    monkeypatch.setattr(flushing.threading.Thread, "join", lambda self: None)
    found, watch = watched(tmp_path)
    assert_same(found, expected)
    assert open_run(watch.writer.path).table("steps").num_rows == 12


def test_a_writer_that_was_closed_by_others_harms_nothing(tmp_path, expected):
    watch = ScriptWatch(ScriptSettings(runs_dir=tmp_path))
    watch.start()
    watch.writer.close("stopped", "killed")
    found = train()
    watch.stop()
    assert_same(found, expected)
    assert open_run(watch.writer.path).status == "stopped"


@pytest.mark.parametrize("clock", ["perf_counter", "thread_time", "process_time", "monotonic", "time"])
def test_a_jumping_clock_harms_nothing(clock, tmp_path, expected, monkeypatch):
    true, jumps = getattr(time, clock), iter(range(10**9))

    def jump():
        number = next(jumps)
        return true() + (1e6 if number % 3 else -1e6) * (number % 7)

    with monkeypatch.context() as patched:
        patched.setattr(time, clock, jump)
        found, watch = watched(tmp_path)
    assert_same(found, expected)
    assert open_run(watch.writer.path).table("steps").num_rows == 12


def test_ten_thousand_modules(tmp_path):
    def work():
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(4, 2), *(nn.Identity() for _ in range(10_000)))
        return train(net, epochs=1, batch=24)

    expected = work()
    found, watch = watched(tmp_path, work)
    assert_same(found, expected)
    script = open_run(watch.writer.path).result("watched_script")
    assert (script.steps, len(script.models[0].modules)) == (2, 10_002)


def test_weights_that_are_nowhere(tmp_path):
    def work():
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).to("meta")
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(3):
            net(torch.ones(2, 4, device="meta")).sum().backward()
            optimizer.step()
        return next(net.parameters()).device.type

    found, watch = watched(tmp_path, work)
    assert found == "meta"
    assert open_run(watch.writer.path).result("watched_script").steps == 3


def test_one_line_watches_from_within(tmp_path, expected):
    watch = pellucid.watch(runs_dir=tmp_path, name="inside")
    found = train()
    watch.stop()
    assert_same(found, expected)
    assert open_run(watch.writer.path).result("watched_script").steps == 12


def test_an_optimizer_that_was_there_before_is_counted_as_one(tmp_path):
    net = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def work():
        for _ in range(4):
            optimizer.zero_grad()
            net(torch.ones(2, 3)).sum().backward()
            optimizer.step()

    script = open_run(watched(tmp_path, work)[1].writer.path).result("watched_script")
    assert script.steps == 4
    assert [each.steps for each in script.optimizers] == [4]
