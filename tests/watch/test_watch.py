"""The watch against autograd, NumPy and the same training without it."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid
from pellucid.errors import SettingsError
from pellucid.store.run import list_runs, open_run


def make_mlp():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)
    )


def make_cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)
    )


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
}


def batches(count=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)


def train(model, optimizer, run=None, *, log_after=False):
    torch.manual_seed(5)
    losses = []
    for x, y in batches():

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        if isinstance(optimizer, torch.optim.LBFGS):
            loss = optimizer.step(closure)
            if run:
                run.log(loss=loss)
        else:
            loss = closure()
            if run and not log_after:
                run.log(loss=loss)
            optimizer.step()
            if run and log_after:
                run.log(loss=loss)
        losses.append(loss.item())
        with torch.no_grad():
            model(x)
    return losses, torch.rand(1).item()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [make_mlp, make_cnn])
def test_training_is_bit_for_bit_the_same(make, optimizer, tmp_path):
    plain, watched = make(), make()
    expected, random_after = train(plain, OPTIMIZERS[optimizer](plain.parameters()))
    steps = OPTIMIZERS[optimizer](watched.parameters())
    with pellucid.watch(watched, steps, runs_dir=tmp_path, every=1) as run:
        losses, watched_random_after = train(watched, steps, run)
    assert losses == expected
    assert watched_random_after == random_after
    for (name, one), other in zip(plain.state_dict().items(), watched.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    recorded = open_run(run.writer.path).table("steps")["loss"].to_pylist()
    assert recorded == losses


@pytest.mark.parametrize("log_after", [False, True])
def test_step_rows_hold_what_happened(tmp_path, log_after):
    model = make_mlp()
    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    norms = []
    torch.manual_seed(5)
    for x, y in batches(1):
        functional.cross_entropy(twin(x), y).backward()
        norms.append(math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in twin.parameters())))
    with pellucid.watch(model, optimizer, runs_dir=tmp_path) as run:
        optimizer.register_step_post_hook(lambda *_: schedule.step())
        losses, _ = train(model, optimizer, run, log_after=log_after)
    frame = open_run(run.writer.path).table("steps").to_pandas()
    assert frame["step"].tolist() == list(range(6))
    assert frame["loss"].tolist() == losses
    assert frame["learning_rate"].tolist() == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    assert frame["gradient_norm"][0] == pytest.approx(norms[0], rel=1e-5)
    assert frame["batch_size"].tolist() == [16] * 6
    assert (frame["step_time_s"] > 0).all()
    assert frame["time_s"].is_monotonic_increasing


def test_layer_rows_equal_a_computation_by_hand(tmp_path):
    model = make_mlp()
    model[2].p = 0.0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    twin = copy.deepcopy(model)
    (x, y), *_ = batches(1)
    first = twin[0](x)
    second = torch.tanh(first)
    functional.cross_entropy(twin(x), y).backward()
    gradient = torch.cat([p.grad.flatten() for p in twin[0].parameters()])
    weight = torch.cat([p.detach().flatten() for p in twin[0].parameters()])
    with pellucid.watch(model, optimizer, runs_dir=tmp_path, every=1) as run:
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    reader = open_run(run.writer.path)
    rows = reader.table("layers").to_pandas().set_index("layer")
    assert rows.loc["0", "activation_mean"] == pytest.approx(first.mean().item(), rel=1e-5)
    assert rows.loc["0", "activation_std"] == pytest.approx(first.std(correction=0).item(), rel=1e-5)
    assert rows.loc["0", "gradient_norm"] == pytest.approx(gradient.norm().item(), rel=1e-5)
    assert rows.loc["0", "weight_norm"] == pytest.approx(weight.norm().item(), rel=1e-5)
    assert rows.loc["0", "update_ratio"] == pytest.approx(0.5 * (gradient.norm() / weight.norm()).item(), rel=1e-4)
    assert rows.loc["1", "activation_saturated"] == pytest.approx((second.abs() >= 0.98).float().mean().item())
    assert np.isnan(rows.loc["0", "activation_saturated"])
    assert np.isnan(rows.loc["1", "gradient_norm"])
    histograms = reader.table("histograms").to_pandas().set_index(["layer", "kind"])
    counts = np.stack(histograms.loc[("0", "weight"), "counts"])
    assert counts.sum() == histograms.loc[("0", "weight"), "elements"] == 48
    assert histograms.loc[("0", "gradient"), "high"] == pytest.approx(twin[0].weight.grad.max().item())
    assert histograms.loc[("0", "activation"), "low"] == pytest.approx(first.min().item())


def test_micro_batches_are_one_step(tmp_path):
    model = make_mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pellucid.watch(model, optimizer, runs_dir=tmp_path) as run:
        for x, y in batches(4):
            functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert open_run(run.writer.path).table("steps")["batch_size"].to_pylist() == [64]


def test_without_an_optimizer_every_one_that_moves_the_model_counts(tmp_path):
    model, stranger = make_mlp(), make_mlp()
    mine, other = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, stranger))
    with pellucid.watch(model, runs_dir=tmp_path) as run:
        train(stranger, other)
        train(model, mine)
    assert open_run(run.writer.path).row_count("steps") == 6
    train(model, mine)
    assert open_run(run.writer.path).row_count("steps") == 6


def test_metrics_epochs_and_events(tmp_path):
    model = make_mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pellucid.watch(model, optimizer, runs_dir=tmp_path, name="my run") as run:
        run.epoch(3)
        train(model, optimizer, run)
        run.log(temperature=0.5)
        run.log_metrics("validation", {"accuracy": torch.tensor(0.25)})
        run.event("note", "half-way")
        assert run.run.row_count("steps") == 6
    reader = open_run(run.writer.path)
    assert (reader.manifest.name, reader.manifest.kind, reader.status) == ("my run", "watch", "finished")
    assert set(reader.table("steps")["epoch"].to_pylist()) == {3}
    metrics = reader.table("metrics").to_pandas()
    assert metrics[["split", "metric", "value", "step"]].to_numpy().tolist() == [
        ["", "temperature", 0.5, 5],
        ["validation", "accuracy", 0.25, 5],
    ]
    assert "half-way" in reader.table("events")["message"].to_pylist()
    outline = reader.result("network_outline")
    assert [layer.kind for layer in outline.layers] == ["Linear", "Tanh", "Dropout", "Linear", "ReLU", "Linear"]
    assert set(outline.edges) == {(i - 1, i) for i in range(6)}


def test_an_error_inside_the_watch_switches_off_its_part_only(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("planted")

    monkeypatch.setattr("pellucid.watch.layers.summarize_activation", broken)
    plain, watched = make_mlp(), make_mlp()
    expected, _ = train(plain, OPTIMIZERS["adam"](plain.parameters()))
    optimizer = OPTIMIZERS["adam"](watched.parameters())
    with pellucid.watch(watched, optimizer, runs_dir=tmp_path, every=1) as run:
        losses, _ = train(watched, optimizer, run)
    assert losses == expected
    reader = open_run(run.writer.path)
    assert reader.table("steps")["loss"].to_pylist() == losses
    messages = reader.table("events")["message"].to_pylist()
    assert any("layers switched off" in m and "planted" in m for m in messages)


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "stopped"), (ValueError("the loop broke"), "failed")]
)
def test_a_loop_that_ends_badly_leaves_a_run_that_says_so(tmp_path, error, status):
    model = make_mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = pellucid.watch(model, optimizer, runs_dir=tmp_path)

    def loop():
        with run:
            train(model, optimizer, run)
            raise error

    with pytest.raises(type(error)):
        loop()
    reader = open_run(run.writer.path)
    assert reader.status == status
    assert reader.row_count("steps") == 6
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_between_samples_the_layers_carry_no_hook(tmp_path):
    model = make_mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (x, y), *_ = batches(1)
    with pellucid.watch(model, optimizer, runs_dir=tmp_path, every=100):
        for _ in range(2):
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        assert not any(m._forward_hooks for m in model.modules())


def test_bad_settings_are_refused_before_anything_is_made(tmp_path):
    model = make_mlp()
    for wrong in ({"budget": 2.0}, {"every": 0}, {"layers": ["nowhere"]}):
        with pytest.raises(SettingsError):
            pellucid.watch(model, runs_dir=tmp_path, **wrong)
    assert list_runs(tmp_path) == []


def test_only_the_layers_asked_for(tmp_path):
    model = make_mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pellucid.watch(model, optimizer, runs_dir=tmp_path, every=1, layers=["0", "5"]) as run:
        train(model, optimizer, run)
    assert set(open_run(run.writer.path).table("layers")["layer"].to_pylist()) == {"0", "5"}


def test_sparse_gradients_and_unused_parameters(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(20, 4, sparse=True), nn.Flatten(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pellucid.watch(model, optimizer, runs_dir=tmp_path, every=1) as run:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randint(0, 20, (5, 2))).pow(2).mean().backward()
            optimizer.step()
    reader = open_run(run.writer.path)
    assert "watch_error" not in reader.table("events")["kind"].to_pylist()
    assert reader.table("layers").to_pandas().query("layer == '0'")["gradient_norm"].gt(0).all()


def test_of_a_large_activation_some_examples_are_summarised_and_the_row_says_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr("pellucid.watch.layers._MOST_ACTIVATION_ELEMENTS", 40)
    model = make_mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (x, y), *_ = batches(1)
    with torch.no_grad():
        expected = model[0](x)[::4]
    with pellucid.watch(model, optimizer, runs_dir=tmp_path, every=1) as run:
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    rows = open_run(run.writer.path).table("layers").to_pandas().set_index("layer")
    assert rows.loc["0", "examples"] == 4  # 16 × 8 entries, every fourth example
    assert rows.loc["0", "activation_mean"] == pytest.approx(expected.mean().item(), rel=1e-5)
    assert rows.loc["5", "examples"] == 8
