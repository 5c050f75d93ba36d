"""Everything at every step: against autograd and NumPy, both ways of computing it, and training unmoved."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import pellucid
from pellucid.store.run import open_run
from pellucid.watch import updates as updates_module
from pellucid.watch.updates import UpdateMeasure
from tests.watch.test_watch import OPTIMIZERS, batches, make_cnn, make_mlp, train


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [make_mlp, make_cnn])
def test_training_is_bit_for_bit_the_same(make, optimizer, tmp_path):
    plain, watched = make(), make()
    expected, random_after = train(plain, OPTIMIZERS[optimizer](plain.parameters()))
    steps = OPTIMIZERS[optimizer](watched.parameters())
    with pellucid.watch(watched, steps, runs_dir=tmp_path, full=True) as run:
        losses, watched_random_after = train(watched, steps, run)
    assert (losses, watched_random_after) == (expected, random_after)
    for (name, one), other in zip(plain.state_dict().items(), watched.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in watched.modules())


def test_every_step_has_every_layer(tmp_path):
    model, twin = make_mlp(), make_mlp()
    model[2].p = twin[2].p = 0.0
    optimizer, shadow = (torch.optim.Adam(m.parameters(), lr=0.01) for m in (model, twin))
    expected = []
    for x, y in batches():
        shadow.zero_grad()
        functional.cross_entropy(twin(x), y).backward()
        first = twin[0](x).detach().double().numpy()
        before = [p.detach().double().clone() for p in twin[0].parameters()]
        gradient = sum((p.grad.double() ** 2).sum() for p in twin[0].parameters()) ** 0.5
        shadow.step()
        moved = sum(((p.double() - old) ** 2).sum() for p, old in zip(twin[0].parameters(), before, strict=True)) ** 0.5
        weight = sum((old**2).sum() for old in before) ** 0.5
        expected.append([first.mean(), first.std(), gradient.item(), weight.item(), (moved / weight).item()])
    with pellucid.watch(model, optimizer, runs_dir=tmp_path, full=True, budget=0.0) as run:
        train(model, optimizer, run)
    rows = open_run(run.writer.path).table("layers").to_pandas()
    assert rows["layer"].tolist() == [str(i) for i in range(6)] * 6
    assert rows["step"].tolist() == sorted([*range(6)] * 6)
    columns = ["activation_mean", "activation_std", "gradient_norm", "weight_norm", "update_ratio"]
    np.testing.assert_allclose(rows[rows["layer"] == "0"][columns], expected, rtol=2e-5)
    assert rows[rows["layer"] == "1"]["gradient_norm"].isna().all()
    said = open_run(run.writer.path).table("events")["message"].to_pylist()[-1]
    assert said.startswith("the watch took ")
    assert "6 layers sampled at 6 steps" in said


class Shapes(nn.Module):
    """Layouts, types and outputs that a pass over memory could read wrongly."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.narrow = nn.Linear(3, 4).to(torch.bfloat16)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.wide = nn.Linear(5, 2).double()
        self.none = nn.Identity()

    def forward(self, x):
        images = self.conv(x.to(memory_format=torch.channels_last))
        tokens = self.narrow(images.flatten(2).transpose(1, 2).to(torch.bfloat16))
        states, _ = self.lstm(tokens.float())
        self.none(None)
        return self.wide(states.double())


def test_both_ways_agree_on_every_layout_and_type(tmp_path):
    found = []
    for settings in ({"every": 1}, {"full": True}):
        torch.manual_seed(0)
        model, x = Shapes(), torch.randn(4, 2, 6, 6)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pellucid.watch(model, optimizer, runs_dir=tmp_path, **settings) as run:
            model(x).pow(2).mean().backward()
            optimizer.step()
        reader = open_run(run.writer.path)
        assert "watch_error" not in reader.table("events")["kind"].to_pylist()
        found.append(reader.table("layers").to_pandas().set_index("layer"))
        bins = reader.table("histograms").to_pandas().set_index(["layer", "kind"])
        found.append(bins.drop(columns="counts"))
    assert found[0].index.tolist() == ["conv", "narrow", "lstm", "wide"]
    for one, other in zip(found[:2], found[2:], strict=True):
        np.testing.assert_allclose(one.sort_index(), other.sort_index(), rtol=2e-5, atol=1e-7)


def test_of_many_weights_a_share_is_kept(monkeypatch):
    monkeypatch.setattr(updates_module, "MOST_KEPT_BYTES", 40_000)
    torch.manual_seed(0)
    for fast in (True, False):
        weight = nn.Parameter(torch.randn(300, 200))
        measure = UpdateMeasure({0: [weight]})
        assert measure.stride == 6
        weight.grad = torch.randn(300, 200)
        before = weight.detach().clone()
        measure.before(fast=fast)
        with torch.no_grad():
            weight -= 0.1 * weight.grad
        norms, given = measure.after().norms()
        ratio = (weight.detach() - before).norm() / before.norm()
        assert measure.kept_bytes <= 40_000 + 4 * 4096
        assert given.all()
        np.testing.assert_allclose(norms[0, :2], [weight.grad.norm().item(), before.norm().item()], rtol=1e-5)
        assert norms[0, 2] == pytest.approx(ratio.item(), rel=0.03)  # 8,192 of 60,000 entries


@pytest.mark.parametrize("settings", [{"every": 1}, {"full": True}])
@pytest.mark.parametrize("how", ["wrapped", "in place"])
def test_a_compiled_model_stays_as_it_is(how, settings, tmp_path):
    results = []
    for watched in (False, True):
        torch._dynamo.reset()
        model = make_mlp()
        called = model
        if how == "wrapped":
            called = torch.compile(model, backend="eager")
        elif how == "in place":
            model.compile(backend="eager")
        optimizer = OPTIMIZERS["adam"](model.parameters())
        if not watched:
            losses, _ = train(called, optimizer)
        else:
            with pellucid.watch(called, optimizer, runs_dir=tmp_path, **settings) as run:
                losses, _ = train(called, optimizer, run)
            reader = open_run(run.writer.path)
            kinds = reader.table("events")["kind"].to_pylist()
            assert "watch_error" not in kinds
            rows = reader.table("layers").to_pandas()
            assert rows["update_ratio"].notna().sum() == 18
            assert rows["activation_mean"].isna().all()
        results.append(losses)
    assert results[0] == results[1]
