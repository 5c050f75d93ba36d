"""Steps at which nothing is due: their rows are whole, what is odd is noticed, and the script stays as it was."""

import math
import time

import pytest
import torch
from torch import nn

from pellucid.store.run import open_run
from pellucid.watch import observed, script_steps
from pellucid.watch.script_light import LightSteps
from pellucid.watch.script_parts import ScriptSettings
from pellucid.watch.script_watch import ScriptWatch

STEPS = 300
WAYS = ("_forward_begins", "_forward_ends", "_backward_begins", "_update_begins", "_update_ends", "_examples")


@pytest.fixture(autouse=True)
def look_rarely(monkeypatch):
    monkeypatch.setattr(script_steps, "_LOOKS", 4)
    monkeypatch.setattr(observed, "_ALLOWANCE_S", 0.0)


def make():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.ReLU(), nn.Linear(8, 2))
    return net, torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)


def batches(count=STEPS, rows=8):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(rows if i % 10 else 3, 4, generator=generator) for i in range(count)]


def aim(x):
    return (x.sum(1) > 0).long()


def train(epochs=5):
    net, optimizer = make()
    given = batches(STEPS // epochs)
    losses = []
    for epoch in range(epochs):
        for x in given:
            loss = nn.functional.cross_entropy(net(x), aim(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        optimizer.param_groups[0]["lr"] = 0.05 / (epoch + 2)
    return losses, [p.detach().clone() for p in net.parameters()], torch.get_rng_state()


def watched(folder, work, **settings):
    watch = ScriptWatch(ScriptSettings(runs_dir=folder, name="light", **settings))
    watch.start()
    try:
        found = work()
    finally:
        watch.stop()
    return found, watch, open_run(watch.writer.path)


def assert_same(found, expected):
    assert found[0] == expected[0]
    assert all(torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True))
    assert torch.equal(found[2], expected[2])


def messages(run, kind):
    events = run.table("events").to_pylist()
    return [event["message"] for event in events if event["kind"] == kind]


def test_a_light_step_leaves_a_whole_row(tmp_path):
    expected = train()
    found, watch, run = watched(tmp_path, train)
    assert_same(found, expected)
    assert watch._light.steps > 0.8 * STEPS
    rows = run.table("steps").to_pandas()
    assert rows["step"].tolist() == list(range(STEPS))
    assert rows["loss"].tolist() == expected[0]
    assert rows["epoch"].tolist() == [step // 60 for step in range(STEPS)]
    assert rows["batch_size"].tolist() == [8 if step % 10 else 3 for step in range(STEPS)]
    assert rows["learning_rate"].tolist() == pytest.approx([0.05 / (step // 60 + 1) for step in range(STEPS)])
    assert rows["time_s"].is_monotonic_increasing
    assert rows["step_time_s"].sum() == pytest.approx(rows["time_s"].iloc[-1], rel=1e-6)
    script = run.result("watched_script")
    assert (script.steps, script.epochs, script.models[0].train_calls) == (STEPS, 5, STEPS)
    assert [(line.steps, line.last) for line in script.losses] == [(STEPS, expected[0][-1])]
    assert [(one.steps, one.backwards_per_step) for one in script.optimizers] == [(STEPS, 1.0)]
    assert not messages(run, "watch_error")


def test_every_step_is_told_in_full_where_that_is_asked_for(tmp_path):
    _, watch, run = watched(tmp_path, train, full=True)
    assert watch._light.steps == 0
    assert len(set(run.table("layers")["step"].to_pylist())) == STEPS


@pytest.mark.parametrize("name", WAYS)
def test_a_light_way_that_raises_is_left_and_the_long_one_taken(name, tmp_path, monkeypatch):
    def fail(self, *args):
        raise RuntimeError(f"{name} fails")

    expected = train()
    monkeypatch.setattr(LightSteps, name, fail)
    found, _, run = watched(tmp_path, train)
    assert_same(found, expected)
    assert run.row_count("steps") == STEPS
    assert messages(run, "watch_error") == [f"light switched off: RuntimeError: {name} fails"]


@pytest.mark.parametrize("clock", ["perf_counter", "thread_time", "process_time"])
def test_a_jumping_clock_harms_nothing(clock, tmp_path, monkeypatch):
    expected = train()
    true, jumps = getattr(time, clock), iter(range(10**9))

    def jump():
        number = next(jumps)
        return true() + (1e6 if number % 3 else -1e6) * (number % 7)

    with monkeypatch.context() as patched:
        patched.setattr(time, clock, jump)
        found, _, run = watched(tmp_path, train)
    assert_same(found, expected)
    assert run.table("steps")["loss"].to_pylist() == expected[0]


def test_evaluations_in_between_are_seen(tmp_path):
    def forward(net, x):
        return net(x)

    def work():
        net, optimizer = make()
        given = batches()
        for step, x in enumerate(given):
            loss = nn.functional.cross_entropy(forward(net, x), aim(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 49:
                net.eval()
                with torch.no_grad():
                    forward(net, given[0])
                forward(net, given[1])  # with gradients, by the line that trains
                net.train()

    _, watch, run = watched(tmp_path, work)
    model = run.result("watched_script").models[0]
    assert (model.train_calls, model.evaluation_calls) == (STEPS, 12)
    rows = [row for row in run.table("observations").to_pylist() if row["phase"] == "evaluation"]
    assert {row["step"] for row in rows} >= {50, 100, 150, 200, 250}
    modes = {module.name: module for module in model.modules}
    assert (modes["1"].trained_mode, modes["1"].evaluated_mode) == (1.0, 0.0)
    assert 30 < watch._light.steps <= 50  # from then on the line may mean either


@pytest.mark.parametrize("poisoned", ["input", "target"])
def test_a_batch_that_is_not_finite_is_traced_in_a_light_step(poisoned, tmp_path):
    def work():
        net, _ = make()
        net[-1] = nn.Linear(8, 4)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for step, x in enumerate(batches()):
            y = x.clone()
            if step == 201:
                (x if poisoned == "input" else y)[0, 0] = math.nan
            output = net(x)
            loss = nn.functional.mse_loss(output, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    _, watch, run = watched(tmp_path, work)
    origin = run.result("watched_script").nonfinite
    assert (origin.step, origin.phase, origin.what, origin.kind) == (201, "data", poisoned, "nan")
    assert ("net(x)" if poisoned == "input" else "backward") in origin.place.text
    assert watch._light.steps > 150


def test_a_forward_pass_that_is_not_finite_is_traced_in_a_light_step(tmp_path):
    class Overflows(nn.Module):
        def forward(self, x):
            return x * self.factor

    def work():
        net, optimizer = make()
        net.append(Overflows())
        for step, x in enumerate(batches()):
            net[-1].factor = math.inf if step == 201 else 1.0
            loss = nn.functional.cross_entropy(net(x), aim(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    _, _, run = watched(tmp_path, work)
    origin = run.result("watched_script").nonfinite
    assert (origin.step, origin.phase) == (201, "forward")


def test_micro_batches_and_closures_and_several_optimisers(tmp_path):
    def accumulate():
        net, optimizer = make()
        for step, x in enumerate(batches()):
            nn.functional.cross_entropy(net(x), aim(x)).backward()
            if step % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()

    _, watch, run = watched(tmp_path, accumulate)
    script = run.result("watched_script")
    assert (script.steps, script.optimizers[0].backwards_per_step) == (100, 3.0)
    assert script.models[0].train_calls == STEPS
    assert set(run.table("steps")["batch_size"].to_pylist()) == {24, 19}
    assert watch._light.steps > 50

    def closures():
        net, _ = make()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
        for x in batches():

            def closure(x=x):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(net(x), aim(x))
                loss.backward()
                return loss

            optimizer.step(closure)

    _, _, run = watched(tmp_path, closures)
    assert run.result("watched_script").steps == STEPS
    assert not run.table("steps")["loss"].null_count

    def two():
        (one, first), (other, second) = make(), make()
        for x in batches():
            for net, optimizer in ((one, first), (other, second)):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x), aim(x)).backward()
                optimizer.step()

    _, _, run = watched(tmp_path, two)
    script = run.result("watched_script")
    assert (script.steps, [each.steps for each in script.optimizers]) == (STEPS, [STEPS, STEPS])
    assert [model.train_calls for model in script.models] == [STEPS, STEPS]


def test_a_scaler_skips_nothing_in_light_steps(tmp_path):
    def work():
        net, optimizer = make()
        scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
        losses = []
        for x in batches():
            loss = nn.functional.cross_entropy(net(x), aim(x))
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        return losses

    losses, watch, run = watched(tmp_path, work)
    assert watch._light.steps > 100
    assert not messages(run, "update_skipped")
    assert run.table("steps")["loss"].to_pylist() == losses


def test_a_second_line_and_a_second_model_are_noticed(tmp_path):
    def work():
        net, optimizer = make()
        for x in batches():
            nn.functional.cross_entropy(net(x), aim(x)).backward()
            optimizer.step()
            optimizer.zero_grad()
        net, optimizer = make()
        for x in batches():
            (net(x)[:, 0] - x[:, 0]).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    _, _, run = watched(tmp_path, work)
    script = run.result("watched_script")
    assert sorted((line.kind, line.steps) for line in script.losses) == [("cross_entropy", STEPS), ("mse", STEPS)]
    assert [model.train_calls for model in script.models] == [STEPS, STEPS]
