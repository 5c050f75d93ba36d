"""Local linear models, against products of weight matrices, autograd, scikit-learn and SciPy."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn import datasets, metrics
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn

from pellucid.errors import DataError, SettingsError
from pellucid.lenses.local_linear_models import measure_local_linear_models
from pellucid.results.base import Result
from pellucid.results.local_linear_fitting import _RIDGE
from pellucid.results.local_linear_models import LocalLinearModels


def mlp(inputs: int, outputs: int, *, seed: int = 0, widths: tuple[int, ...] = (16, 12)) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def trained(name: str, *, steps: int = 60) -> tuple[nn.Sequential, np.ndarray, np.ndarray, list[str]]:
    """A small network trained for a moment on a data set of scikit-learn, standardised."""
    table = getattr(datasets, f"load_{name}")()
    x = (table.data - table.data.mean(axis=0)) / (table.data.std(axis=0) + 1e-9)
    regression = name == "diabetes"
    y = (table.target - table.target.mean()) / table.target.std() if regression else table.target
    net = mlp(x.shape[1], 1 if regression or name == "breast_cancer" else len(np.unique(y)))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    inputs, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    for _ in range(steps):
        out = net(inputs)
        if regression:
            loss = nn.functional.mse_loss(out[:, 0], targets.float())
        elif out.shape[1] == 1:
            loss = nn.functional.binary_cross_entropy_with_logits(out[:, 0], targets.float())
        else:
            loss = nn.functional.cross_entropy(out, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net, x, y, list(getattr(table, "feature_names", []))


def naive_models(net: nn.Sequential, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patterns, W and b of every example by the paper's formula, W = Wₗ Dₗ₋₁ … D₁ W₁, in NumPy."""
    layers = [m for m in net if isinstance(m, nn.Linear)]
    patterns, weights, shifts = [], [], []
    for row in x:
        w, b, bits = np.eye(len(row)), np.zeros(len(row)), []
        for place, layer in enumerate(layers):
            matrix = layer.weight.detach().double().numpy()
            w, b = matrix @ w, matrix @ b + layer.bias.detach().double().numpy()
            if place < len(layers) - 1:
                on = (w @ row + b > 0).astype(float)
                w, b = on[:, None] * w, on * b
                bits.append(on)
        patterns.append(np.concatenate(bits))
        weights.append(w)
        shifts.append(b)
    return np.array(patterns), np.array(weights), np.array(shifts)


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "diabetes", "digits"])
def test_local_models_are_the_network_on_every_example(name: str) -> None:
    net, x, y, features = trained(name)
    found = measure_local_linear_models(net, x, y, feature_names=features or None, unvisited=16, simplify=())
    patterns, weights, shifts = naive_models(net, x)
    assert len(found.support) == len(np.unique(patterns, axis=0))
    assert found.support.sum() == len(x)
    assert np.abs(found.coefficients[found.data.region] - weights).max() < 1e-12
    assert np.abs(found.intercepts[found.data.region] - shifts).max() < 1e-10
    network = net.double()(torch.tensor(x)).detach().numpy()
    assert np.abs(found.apply(x, found.data.region) - network).max() <= 1e-10
    assert found.error <= 1e-10
    assert found.inside_error <= 1e-10
    assert found.inside_distance > 1e-4
    assert [layer.bits for layer in found.layers] == [16, 12]
    assert found.layers[0].never_on == (patterns[:, :16].sum(axis=0) == 0).sum()
    assert found.layers[1].always_on == patterns[:, 16:].all(axis=0).sum()


class Branched(nn.Module):
    """Batch norm in evaluation, max pooling, a leaky branch and a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.out = nn.Linear(4 * 4 * 4, 3)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        x = nn.functional.leaky_relu(x, 0.1) + x.abs() / 2
        return self.out(nn.functional.max_pool2d(x, 2).flatten(1))


def test_pictures_and_pooling() -> None:
    net, images = Branched(), np.random.default_rng(0).random((40, 1, 8, 8))
    found = measure_local_linear_models(net, images, np.arange(40) % 3, unvisited=4)
    assert found.error <= 1e-10
    assert found.inside_error <= 1e-10
    assert found.features[9] == "x[0,1,1]"
    assert found.task == "multiclass"
    row = int(found.representative[3])
    twin = Branched().double().eval()
    twin.load_state_dict(net.state_dict())
    exact = torch.autograd.functional.jacobian(lambda v: twin(v[None])[0], torch.tensor(images[row]))
    assert np.abs(found.coefficients[3] - exact.numpy().reshape(3, -1)).max() < 1e-12


def test_the_model_is_left_as_it_was() -> None:
    net = Branched().train()
    net.conv.weight.grad = torch.ones_like(net.conv.weight)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    measure_local_linear_models(net, torch.rand(5, 1, 8, 8), unvisited=2)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(net.conv.weight.grad, torch.ones_like(net.conv.weight))
    assert net.conv.weight.dtype == torch.float32


def test_figures_are_those_of_scikit_learn() -> None:
    net, x, y, _ = trained("breast_cancer", steps=8)
    found = measure_local_linear_models(net, x, y, unvisited=0, simplify=())
    logit = found.data.output[:, 0]
    expected = (
        metrics.log_loss(y, 1 / (1 + np.exp(-logit))),
        metrics.accuracy_score(y, logit > 0),
        metrics.roc_auc_score(y, logit),
    )
    assert found.metric_names == ("loss", "accuracy", "auc")
    assert found.overall == pytest.approx(expected, rel=1e-9)
    mixed = [r for r in range(len(found.support)) if len(np.unique(y[found.data.region == r])) == 2][:5]
    assert mixed
    for region in mixed:
        rows = found.data.region == region
        assert found.metrics[region, 2] == pytest.approx(metrics.roc_auc_score(y[rows], logit[rows]))
        assert found.class_balance[region, 1] == pytest.approx(y[rows].mean())
    net, x, y, _ = trained("wine", steps=5)
    several = measure_local_linear_models(net, x, y, unvisited=0, simplify=())
    chance = np.exp(several.data.output) / np.exp(several.data.output).sum(axis=1, keepdims=True)
    assert several.overall[0] == pytest.approx(metrics.log_loss(y, chance))
    assert several.overall[2] == pytest.approx(metrics.roc_auc_score(y, chance, multi_class="ovr"))
    net, x, y, _ = trained("diabetes")
    numbers = measure_local_linear_models(net, x, y, unvisited=0, simplify=())
    fitted = numbers.data.output[:, 0]
    expected = (
        metrics.mean_squared_error(y, fitted),
        metrics.mean_absolute_error(y, fitted),
        metrics.r2_score(y, fitted),
    )
    assert numbers.overall == pytest.approx(expected)


def test_importance_and_table() -> None:
    net, x, y, names = trained("diabetes")
    found = measure_local_linear_models(net, x, y, feature_names=names, unvisited=0, simplify=())
    weights = naive_models(net, x)[1][:, 0]
    joint = x.std(axis=0) * np.sqrt((weights**2).mean(axis=0))
    frame = found.importance("output")
    assert frame.loc[names, "joint"].to_numpy() == pytest.approx(joint / joint.sum())
    assert frame.loc["bmi", "effect"] == pytest.approx(weights[:, 2].mean() * x[:, 2].std())
    assert frame.loc["bmi", "same_sign"] == pytest.approx(max((weights[:, 2] > 0).mean(), (weights[:, 2] < 0).mean()))
    table = found.table()
    assert table["support"].is_monotonic_decreasing
    assert table["bmi"].to_numpy() == pytest.approx(found.coefficients[:, 0, 2])
    assert {"mse", "mae", "r2", "intercept"} <= set(table.columns)


def vee() -> nn.Sequential:
    """|x₁| + 2 x₂ as a ReLU network."""
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
        net[0].bias.zero_()
        net[2].weight.copy_(torch.tensor([[1.0, 1, 2, -2]]))
        net[2].bias.zero_()
    return net


def test_profile_of_an_additive_network_is_its_own_part() -> None:
    """Of f = g(x₁) + h(x₂) the accumulated effect of x₁ is g − E g (Apley and Zhu 2020), whatever the correlation."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 2))
    x[:, 1] += x[:, 0]
    found = measure_local_linear_models(vee(), x, feature_names=("a", "b"), unvisited=0, simplify=())
    assert sorted(found.support.tolist()) == sorted(
        int(((x[:, 0] > 0) == a)[(x[:, 1] > 0) == b].sum()) for a in (True, False) for b in (True, False)
    )
    profile = found.profile("a")
    assert np.abs(profile.effect - (np.abs(profile.grid) - np.abs(x[:, 0]).mean())).max() < 0.05
    assert sorted(profile.coefficient) == pytest.approx([-1, -1, 1, 1])
    across = profile.segments
    assert (across[:, 1, 1] - across[:, 0, 1]) == pytest.approx(
        profile.coefficient * (across[:, 1, 0] - across[:, 0, 0])
    )
    straight = found.profile("b")
    assert straight.effect == pytest.approx(2 * (straight.grid - x[:, 1].mean()), abs=1e-9)


def test_merging_finds_the_two_slopes() -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (300, 2))
    found = measure_local_linear_models(vee(), x, unvisited=50, held_out=(x[:50] * 0.9, None))
    assert len(found.support) == 4
    merged = found.simplify("merge", 2, neighbours=3)
    assert sorted(merged.coefficients[:, 0, 0]) == pytest.approx([-1, 1])
    assert [item.where for item in merged.fidelity] == ["data", "held out"], "no cell is left to visit"
    assert merged.fidelity[0].r2 == pytest.approx(1)
    ruled = found.simplify("tree", 2)
    assert ruled.fidelity[0].r2 > 0.999
    (rule, other) = ruled.rules()
    assert rule.startswith("x0 ≤")
    assert other.startswith("x0 >")


def test_flattening_finds_a_hidden_layer_that_is_there() -> None:
    """w·relu(u) has the local models 0 and w·u, whose units are relu(±w·u): the network itself."""
    net = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1, bias=False))
    x = np.random.default_rng(2).uniform(-1, 1, (200, 2))
    found = measure_local_linear_models(net, x, unvisited=0)
    assert len(found.support) == 2
    flat = found.simplify("flatten", 2)
    assert flat.predict(x) == pytest.approx(found.data.output, abs=1e-9)
    beyond = 5 * x
    expected = net.double()(torch.tensor(beyond)).detach().numpy()
    assert flat.predict(beyond) == pytest.approx(expected, abs=1e-8)


def test_as_many_groups_as_regions_is_the_network() -> None:
    net, x, y, _ = trained("wine")
    found = measure_local_linear_models(net, x, y, unvisited=64, simplify=())
    whole = found.simplify("merge", 10**6)
    assert len(whole.coefficients) == len(found.support)
    assert np.abs(whole.predict(x) - found.data.output).max() < 1e-9
    assert whole.fidelity[0].agreement == 1
    few = found.simplify("merge", 3)
    assert np.bincount(few.example_group).tolist() == few.support.tolist()
    own = few.predict(found.unvisited[0].points)
    network = found.unvisited[0].output
    assert few.fidelity[1].r2 == pytest.approx(
        1 - ((own - network) ** 2).sum() / ((network - network.mean(axis=0)) ** 2).sum()
    )
    assert few.fidelity[1].agreement == pytest.approx((own.argmax(1) == network.argmax(1)).mean())


def test_merging_is_wards_method() -> None:
    """Every region has one example and may join every other: SciPy's agglomeration of the same vectors."""
    net, x, y, _ = trained("diabetes")
    found = measure_local_linear_models(net, x, y, unvisited=0, simplify=())
    single = np.flatnonzero(found.support == 1)[:40]
    rows = found.representative[single]
    few = measure_local_linear_models(net, x[rows], y[rows], unvisited=0, simplify=())
    assert len(few.support) == 40
    merged = few.simplify("merge", 6, neighbours=39)
    level = few.coefficients @ x[rows].mean(axis=0) + few.intercepts
    vectors = np.concatenate([few.coefficients[:, 0] * x[rows].std(axis=0), level], axis=1)
    expected = fcluster(linkage(vectors, "ward"), 6, "maxclust")
    assert metrics.adjusted_rand_score(expected, merged.group) == 1


def test_refits_are_those_of_scikit_learn() -> None:
    net, x, y, _ = trained("diabetes")
    found = measure_local_linear_models(net, x, y, unvisited=0, simplify=())
    one = found.simplify("merge", 1, refit="target")
    share = found.support / found.support.sum()
    start, level = np.einsum("r,rof->of", share, found.coefficients)[0], float((share @ found.intercepts)[0])
    ridge = Ridge(alpha=_RIDGE * len(x)).fit(x / x.std(axis=0), y - x @ start - level)
    assert one.coefficients[0, 0] == pytest.approx(start + ridge.coef_ / x.std(axis=0), abs=1e-8)
    assert one.fidelity[0].score == pytest.approx(metrics.r2_score(y, one.predict(x)[:, 0]))

    net, x, y, _ = trained("breast_cancer")
    for layer in (net[0], net[2], net[4]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    nothing = measure_local_linear_models(net, x, y, unvisited=0, simplify=())
    fitted = nothing.simplify("merge", 1, refit="target")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(x / x.std(axis=0), y)
    assert fitted.predict(x)[:, 0] == pytest.approx(known.decision_function(x / x.std(axis=0)), abs=2e-2)


def test_unvisited_cells_are_visited_by_no_example() -> None:
    net, x, y, _ = trained("wine")
    found = measure_local_linear_models(net, x, y, unvisited=40, simplify=())
    visited = {tuple(row) for row in naive_models(net, x)[0]}
    for points in found.unvisited:
        assert len(points.points) == 40
        patterns = [tuple(row) for row in naive_models(net, points.points)[0]]
        assert not visited & set(patterns)
        assert len(set(patterns)) == 40
        assert points.output == pytest.approx(net.double()(torch.tensor(points.points)).detach().numpy())
        assert (points.points >= x.min(axis=0)).all()
        assert (points.points <= x.max(axis=0)).all()
        net.float()
    again = measure_local_linear_models(net, x, y, unvisited=40, simplify=())
    assert np.array_equal(found.unvisited[1].points, again.unvisited[1].points)


def test_held_out_examples_find_their_regions() -> None:
    net, x, y, _ = trained("breast_cancer")
    found = measure_local_linear_models(net, x[:300], y[:300], held_out=(x[300:], y[300:]), unvisited=8)
    held_out = found.held_out
    assert held_out is not None
    known = {tuple(row) for row in naive_models(net, x[:300])[0]}
    inside = np.array([tuple(row) in known for row in naive_models(net, x[300:])[0]])
    assert ((held_out.region >= 0) == inside).all()
    own = found.apply(x[300:][inside], held_out.region[inside])
    assert np.abs(own - held_out.output[inside]).max() < 1e-10
    assert [item.method for item in found.simplified] == ["merge", "tree", "flatten"]


def test_saved_and_read_again_it_still_simplifies(tmp_path) -> None:
    net, x, y, names = trained("wine")
    found = measure_local_linear_models(net, x, y, feature_names=names, unvisited=16)
    read = Result.load(found.save(tmp_path / "models.safetensors"))
    assert isinstance(read, LocalLinearModels)
    first, second = found.simplify("tree", 5), read.simplify("tree", 5)
    assert np.array_equal(first.predict(x), second.predict(x))
    assert str(read.simplified) == str(found.simplified)


def test_names_of_a_data_frame_and_texts_as_classes() -> None:
    frame = pandas.DataFrame({"age": [1.0, 2, 3, 4], "height": [0.5, 0.1, 0.2, 0.9]})
    found = measure_local_linear_models(mlp(2, 2), frame, ["no", "yes", "no", "no"], unvisited=0)
    assert found.features == ("age", "height")
    assert found.classes == ("no", "yes")
    assert found.data.target.tolist() == [0, 1, 0, 0]
    assert found.profile("age", "yes").feature == "age"
    with pytest.raises(SettingsError, match="no feature 'weight'"):
        found.profile("weight")


# Degenerate inputs


def test_a_dead_layer_leaves_one_constant_model() -> None:
    net = mlp(3, 2)
    with torch.no_grad():
        net[2].bias.fill_(-1e6)
    x = np.random.default_rng(0).standard_normal((30, 3))
    found = measure_local_linear_models(net, x, np.arange(30) % 2, unvisited=4)
    assert found.layers[1].never_on == 12
    assert not found.coefficients.any()
    assert found.error < 1e-10
    assert (found.importance()["joint"] == 0).all()
    assert str(found)


def test_zero_weights() -> None:
    net = mlp(3, 1)
    for value in net.parameters():
        nn.init.zeros_(value)
    found = measure_local_linear_models(net, np.eye(3), np.zeros(3), task="regression", unvisited=4)
    assert len(found.support) == 1
    assert not found.coefficients.any()
    assert found.error == 0
    assert len(found.unvisited[0].points) == 0


def test_a_network_without_kinks_is_one_region() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Dropout(), nn.Linear(5, 2))
    x = np.random.default_rng(0).standard_normal((20, 4))
    found = measure_local_linear_models(net, x, x[:, :2], unvisited=4)
    product = net[2].weight.double() @ net[0].weight.double()
    assert found.support.tolist() == [20]
    assert found.coefficients[0] == pytest.approx(product.detach().numpy())
    assert found.simplify("flatten", 1).fidelity[0].r2 == pytest.approx(1)
    assert found.layers == ()
    assert "none: one region" in str(found)


def test_one_dimension_and_one_example() -> None:
    line = measure_local_linear_models(mlp(1, 1), np.linspace(-3, 3, 200), unvisited=4)
    assert line.error < 1e-12
    assert line.features == ("x0",)
    signs = naive_models(mlp(1, 1), np.linspace(-3, 3, 200)[:, None])[0]
    assert len(line.support) == 1 + (np.abs(np.diff(signs, axis=0)).sum(axis=1) > 0).sum()
    one = measure_local_linear_models(mlp(3, 2), np.ones((1, 3)), [1], unvisited=4)
    assert one.support.tolist() == [1]
    assert one.error < 1e-12
    assert one.profile(0).effect.tolist() == [0.0]
    assert one.simplify("tree", 3).fidelity[0].agreement == 1
    for kind in ("parallel", "profile", "coefficients", "importance"):
        one.plot(kind=kind)


def test_one_class_only() -> None:
    net, x, _, _ = trained("breast_cancer")
    found = measure_local_linear_models(net, x, np.ones(len(x), dtype=int), unvisited=0)
    assert found.task == "binary"
    assert np.isnan(found.overall[2])
    assert (found.class_balance[:, 1] == 1).all()
    assert found.simplify("merge", 2, refit="target").fidelity[0].score == 1
    assert str(found)


def test_not_a_number() -> None:
    net, x = mlp(3, 1), np.ones((5, 3))
    with torch.no_grad():
        net[2].weight[1, 2] = torch.nan
    with pytest.raises(SettingsError, match="finite") as weights:
        measure_local_linear_models(net, x)
    assert "2.weight" in str(weights.value)
    x[3, 1] = np.nan
    with pytest.raises(DataError, match="NaN") as data:
        measure_local_linear_models(mlp(3, 1), x, feature_names=("a", "b", "c"))
    assert "row 3, column b" in str(data.value)


@pytest.mark.parametrize(("layer", "name"), [(nn.Tanh(), "tanh"), (nn.GELU(), "gelu"), (nn.Softmax(-1), "softmax")])
def test_a_smooth_network_is_refused_by_the_activations_name(layer: nn.Module, name: str) -> None:
    net = nn.Sequential(nn.Linear(3, 4), layer, nn.Linear(4, 1))
    with pytest.raises(SettingsError, match=f"{name} is smooth") as found:
        measure_local_linear_models(net, np.ones((5, 3)))
    assert f"{name} in 1" in str(found.value)
    assert "measure_input_jacobian" in str(found.value)


def test_other_wrong_inputs() -> None:
    x = np.ones((5, 3))
    for arguments, error, words in (
        ({"y": np.ones(4)}, DataError, "4 targets for 5 examples"),
        ({"y": [0, 1, 2, 0, 1]}, DataError, "none of the classes"),
        ({"y": np.ones((5, 3))}, DataError, "each target has 3 numbers"),
        ({"feature_names": ["a"]}, SettingsError, "1 names for 3 features"),
        ({"unvisited": -1}, SettingsError, "unvisited is -1"),
        ({"task": "binary"}, SettingsError, "the task is binary"),
    ):
        with pytest.raises(error, match=words):
            measure_local_linear_models(mlp(3, 2), x, **arguments)
    with pytest.raises(DataError, match="no examples"):
        measure_local_linear_models(mlp(3, 2), np.ones((0, 3)))
    with pytest.raises(DataError, match="no numbers"):
        measure_local_linear_models(mlp(3, 2), np.array([["a", "b", "c"]]))
    found = measure_local_linear_models(mlp(3, 2), x, unvisited=0)
    for arguments in ({"method": "prune"}, {"regions": 0}, {"refit": "target"}, {"neighbours": 0}):
        with pytest.raises(SettingsError):
            found.simplify(**arguments)


def test_a_tampered_model_shows_as_an_error() -> None:
    """The error that is reported is measured: other coefficients would give another."""
    net, x, y, _ = trained("diabetes")
    found = measure_local_linear_models(net, x, y, unvisited=0, simplify=())
    worse = replace(found, coefficients=found.coefficients + 1e-3)
    assert np.abs(worse.apply(x, found.data.region) - found.data.output).max() > 1e-4
