"""Neural collapse against a naive float64 reference written from the papers, and on geometries that are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pellucid.core.class_moments import Centres, ClassMeans, ClassScatter
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.neural_collapse import measure_neural_collapse


def naive(features, labels, weight, bias):
    """The formulas of Papyan et al. (2020), Zhu et al. (2021) and Galanti et al. (2021), one loop each, in float64."""
    h, w, b = features.double().numpy(), weight.double().numpy(), bias.double().numpy()
    y = labels.numpy()
    classes = range(len(w))
    count = len(w)
    means = np.stack([h[y == c].mean(0) for c in classes])
    overall = means.mean(0)
    centred = means - overall
    residual = h - means[y]
    within, between = residual.T @ residual / len(h), centred.T @ centred / count
    lengths, rows = np.linalg.norm(centred, axis=1), np.linalg.norm(w, axis=1)
    pairs = [(c, d) for c in classes for d in classes if c != d]
    cosine = [centred[c] @ centred[d] / lengths[c] / lengths[d] for c, d in pairs]
    row_cosine = [w[c] @ w[d] / rows[c] / rows[d] for c, d in pairs]
    variance = [(residual[y == c] ** 2).sum(1).mean() for c in classes]
    simplex = (np.eye(count) - 1 / count) / math.sqrt(count - 1)
    nearest = ((h[:, None, :] - means[None]) ** 2).sum(-1).argmin(1)
    product = w @ centred.T
    dual = np.linalg.norm(w / np.linalg.norm(w) - centred / np.linalg.norm(centred))
    return {
        "nc1": np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)) / count,
        "trace_ratio": np.trace(within) / np.trace(between),
        "cdnv": np.mean([(variance[c] + variance[d]) / 2 / ((means[c] - means[d]) ** 2).sum() for c, d in pairs]),
        "equinorm_centres": lengths.std() / lengths.mean(),
        "equinorm_classifier": rows.std() / rows.mean(),
        "equinorm_classifier_notebook": rows.std(ddof=1) / rows.mean(),
        "equiangular_centres": np.std(cosine),
        "equiangular_classifier": np.std(row_cosine),
        "maximal_angle_centres": np.mean(np.abs(np.array(cosine) + 1 / (count - 1))),
        "maximal_angle_classifier": np.mean(np.abs(np.array(row_cosine) + 1 / (count - 1))),
        "nc2_zhu_classifier": np.linalg.norm(w @ w.T / np.linalg.norm(w @ w.T) - simplex),
        "nc3": dual,
        "nc3_squared": dual**2,
        "nc3_zhu": np.linalg.norm(product / np.linalg.norm(product) - simplex),
        "bias_zhu": np.linalg.norm(b + w @ overall),
        "nc4": (nearest != (h @ w.T + b).argmax(1)).mean(),
    }


def draw(classes=5, width=24, each=40, noise=1.0, common=0.0, seed=0, dtype=torch.float32):
    """Features about random centres, with a common mean of a given norm, and a random classifier."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, dtype=torch.float64, generator=generator) / width**0.5
    mean = torch.randn(width, dtype=torch.float64, generator=generator)
    labels = torch.arange(classes).repeat(each)
    jitter = torch.randn(len(labels), width, dtype=torch.float64, generator=generator) / width**0.5
    features = centres[labels] + common * mean / mean.norm() + noise * jitter
    weight = torch.randn(classes, width, dtype=torch.float64, generator=generator)
    bias = torch.randn(classes, dtype=torch.float64, generator=generator)
    return features.to(dtype), labels, weight.to(dtype), bias.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("classes", "width"), [(5, 24), (12, 8), (2, 3)])
def test_every_measure_equals_the_papers_formula(classes, width, dtype):
    given_ = draw(classes, width, dtype=dtype)
    found, expected = measure(*given_), naive(*given_)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5 if dtype is torch.float32 else 1e-10), name


def measure(features, labels, weight, bias, **more):
    return measure_neural_collapse(features=features, labels=labels, weight=weight, bias=bias, **more)


@pytest.mark.parametrize("noise", [1.0, 0.2, 1e-2, 1e-3, 1e-4, 2e-5])
def test_a_large_common_mean_costs_no_digits(noise):
    given_ = draw(10, 64, 100, noise, common=10.0)
    found, expected = measure(*given_), naive(*given_)
    assert found["nc1"] == pytest.approx(expected["nc1"], rel=1e-5)
    assert found["cdnv"] == pytest.approx(expected["cdnv"], rel=1e-5)
    assert found["nc4"] == expected["nc4"]


def test_a_simplex_etf_has_collapsed():
    classes = 6
    etf = torch.eye(classes, dtype=torch.float64) - 1 / classes
    found = measure(etf.repeat(7, 1), torch.arange(classes).repeat(7), 3 * etf, torch.zeros(classes))
    for one in found.quantities:
        if math.isfinite(one.collapsed):
            assert one.value == pytest.approx(one.collapsed, abs=1e-7), one.name
    assert found.reference == "simplex ETF"
    assert found.accuracy == found.nearest_centre_accuracy == 1.0


def test_pure_noise_has_the_scatter_that_chance_gives():
    # Without class structure the centres' Gram matrix is that of C − 1 Gaussian vectors in d dimensions, over n, and
    # Σ_W is independent of it with mean (n − 1)/n·I: by the mean of the inverse Wishart matrix,
    # E NC1 = (n − 1)(C − 1)/(d − C).
    classes, width, each = 4, 60, 50
    values = []
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn(classes * each, width, dtype=torch.float64, generator=generator)
        found = measure_neural_collapse(features=features, labels=torch.arange(classes).repeat(each))
        values.append(found["nc1"])
    expected = (each - 1) * (classes - 1) / (width - classes)
    assert np.mean(values) == pytest.approx(expected, rel=0.05)


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 7), width=st.integers(2, 12), scale=st.floats(0.01, 100))
def test_rotation_permutation_and_scale_change_nothing(seed, classes, width, scale):
    features, labels, weight, bias = draw(classes, width, 9, seed=seed, dtype=torch.float64)
    found = measure(features, labels, weight, bias)
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=generator))[0]
    order = torch.randperm(len(labels), generator=generator)
    moved = measure(scale * (features @ turn)[order], labels[order], (weight @ turn) / scale, bias)
    swap = torch.randperm(classes, generator=generator)
    renamed = measure(features, torch.argsort(swap)[labels], weight[swap], bias[swap])
    for one in found.quantities:
        for other in (moved, renamed):
            assert other[one.name] == pytest.approx(one.value, rel=1e-6, abs=1e-9, nan_ok=True), one.name


def test_any_cut_into_batches_and_any_merge_gives_the_same():
    features, labels, weight, bias = draw(7, 16, 30)
    whole = measure(features, labels, weight, bias)
    parts = [ClassMeans(7, 16) for _ in range(3)]
    pieces = [(features[i::3], labels[i::3]) for i in range(3)]
    for part, piece in zip(parts, pieces, strict=True):
        part.update(*piece)
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    centres = Centres.of(parts[0])
    sums = [ClassScatter(centres, weight, bias) for _ in range(3)]
    for one, piece in zip(sums, pieces, strict=True):
        one.update(*piece)
    resumed = ClassScatter(centres, weight, bias)
    resumed.load_state_dict(sums[0].state_dict())
    for one in sums[1:]:
        resumed.merge(one)
    nc1 = float(resumed.projected.sum()) / len(labels)
    assert nc1 == pytest.approx(whole["nc1"], rel=1e-12)
    resumed.reset()
    assert float(resumed.squared.sum()) == 0


def test_a_model_is_measured_as_its_own_features_are():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(6, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Dropout(0.5))
    model = nn.Sequential(body, nn.Linear(20, 4)).train()
    inputs, labels = torch.randn(200, 6), torch.randint(4, (200,))
    state = {name: one.clone() for name, one in model.state_dict().items()}
    found = measure_neural_collapse(model, [(inputs[:90], labels[:90]), (inputs[90:], labels[90:])])
    assert model.training
    assert body.training
    assert all(torch.equal(one, state[name]) for name, one in model.state_dict().items())
    with torch.no_grad():
        features = body.eval()(inputs)
    expected = naive(features, labels, model[1].weight.detach(), model[1].bias.detach())
    assert found.layer == "1"
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


def test_the_test_split_is_compared_with_the_training_centres():
    features, labels, weight, bias = draw(4, 10)
    other, other_labels, _, _ = draw(4, 10, seed=3)
    found = measure(features, labels, weight, bias, centres_from=(other, other_labels))
    means = torch.stack([other[other_labels == c].mean(0) for c in range(4)])
    nearest = torch.cdist(features, means).argmin(1)
    assert found["nc4"] == float(((features @ weight.T + bias).argmax(1) != nearest).double().mean())


def test_empty_and_single_classes_are_left_out_and_said():
    features, labels, weight, bias = draw(5, 12)
    kept = (labels != 2) & ((labels != 4) | (torch.arange(len(labels)) < 5))
    found = measure(features[kept], labels[kept], weight, bias)
    assert found.empty_classes == (2,)
    assert found.single_classes == (4,)
    without = labels[kept].clone()
    without[without > 2] -= 1
    rows = [0, 1, 3, 4]
    expected = naive(features[kept], without, weight[rows], bias[rows])
    for name in ("nc1", "nc3", "equinorm_centres", "cdnv"):
        assert found[name] == pytest.approx(expected[name], rel=1e-5), name


def test_what_cannot_be_measured_is_refused():
    features, labels, weight, bias = draw()
    with pytest.raises(DataError, match="only one class"):
        measure(features, torch.zeros_like(labels), weight, bias)
    with pytest.raises(DataError, match="example 7 are not finite"):
        measure(features.index_fill(0, torch.tensor(7), torch.nan), labels, weight, bias)
    with pytest.raises(DataError, match="label 9 is no class"):
        measure(features, labels.index_fill(0, torch.tensor(3), 9), weight, bias)
    with pytest.raises(SettingsError, match="does not come straight from a linear layer"):
        measure_neural_collapse(nn.Sequential(nn.Linear(24, 5), nn.Softmax(1)), (features, labels))
    with pytest.raises(SettingsError, match="weight of shape"):
        measure(features, labels, weight[:, :3], bias)


def test_features_that_are_all_zero_have_no_geometry():
    found = measure(torch.zeros(20, 6), torch.arange(4).repeat(5), torch.randn(4, 6), torch.zeros(4))
    assert math.isnan(found["nc1"])
    assert math.isnan(found["nc3"])
    assert found.accuracy == 0.25
