"""Regression collapse against the paper's formulas written with loops, and on optima that are known."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.optimize import minimize_scalar
from sklearn.decomposition import PCA
from torch import nn

from pellucid.errors import DataError, SettingsError
from pellucid.lenses.regression_collapse import measure_regression_collapse


def draw(examples=300, width=8, count=3, noise=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn(examples, count, generator=generator) @ torch.randn(count, count, generator=generator)
    features = targets @ torch.randn(count, width, generator=generator) + 0.5
    features = features + noise * torch.randn(examples, width, generator=generator)
    return features.double(), targets.double(), torch.randn(count, width, generator=generator).double()


def outside(h, basis):
    """Mean ‖h̃ − proj(h̃ | C)‖² with proj = C C†, example by example."""
    project = basis.T @ np.linalg.pinv(basis.T)
    return np.mean([np.sum((x / np.linalg.norm(x) - project @ x / np.linalg.norm(x)) ** 2) for x in h])


def test_the_measures_are_the_papers_formulas():
    features, targets, weight = draw()
    found = measure_regression_collapse(features=features, targets=targets, weight=weight, bias=torch.ones(3))
    h, y, w = features.numpy(), targets.numpy(), weight.numpy()
    assert found["nrc1"] == pytest.approx(outside(h, PCA(3).fit(h).components_), rel=1e-10)
    assert found["nrc1_uncentred"] == pytest.approx(outside(h, np.linalg.svd(h)[2][:3]), rel=1e-10)
    assert found["nrc2"] == pytest.approx(outside(h, w), rel=1e-10)
    root, gram = sqrtm(np.cov(y.T, bias=True)).real, w @ w.T

    def nrc3(tau):
        ideal = root - tau * np.eye(3)
        return np.linalg.norm(gram / np.linalg.norm(gram) - ideal / np.linalg.norm(ideal)) ** 2

    limit = np.sqrt(np.linalg.eigvalsh(np.cov(y.T, bias=True))[0])
    least = minimize_scalar(nrc3, bounds=(0, limit), method="bounded", options={"xatol": 1e-12})
    assert found["nrc3"] == pytest.approx(min(least.fun, nrc3(0), nrc3(limit)), abs=1e-10)
    assert found.nrc3_curve.min() >= found["nrc3"] - 1e-12
    np.testing.assert_allclose(found.spectrum[:3], PCA(3).fit(h).explained_variance_ratio_, rtol=1e-10)
    assert found.error == pytest.approx(np.mean((h @ w.T + 1 - y) ** 2), rel=1e-10)


def test_the_optimum_of_the_unconstrained_features_has_collapsed():
    # Andriopoulos et al. 2024, theorem 4.1: WWᵀ ∝ Σ^½ − √c I, H along Wᵀ.
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    root = sqrtm(covariance).real
    generator = np.random.default_rng(0)
    y = generator.standard_normal((500, 2))
    y -= y.mean(0)
    y = y @ np.linalg.inv(np.linalg.cholesky(np.cov(y.T, bias=True))).T @ np.linalg.cholesky(covariance).T
    inner = root - 0.4 * np.eye(2)
    weight = sqrtm(inner).real @ np.linalg.qr(generator.standard_normal((6, 2)))[0].T
    features = y @ np.linalg.inv(root) @ weight
    found = measure_regression_collapse(features=features, targets=y, weight=weight)
    for name in ("nrc1", "nrc2", "nrc3"):
        assert found[name] == pytest.approx(0, abs=1e-12), name
    assert found.gamma == pytest.approx(0.4 / np.sqrt(np.linalg.eigvalsh(covariance)[0]), rel=1e-6)


def test_any_cut_and_any_rotation_gives_the_same():
    features, targets, weight = draw()
    turn = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))[0]
    first = measure_regression_collapse(features=features, targets=targets, weight=weight)
    other = measure_regression_collapse(features=2 * features @ turn, targets=targets, weight=weight @ turn / 2)
    for one in first.quantities:
        assert other[one.name] == pytest.approx(one.value, rel=1e-9), one.name


def test_a_model_is_measured_as_its_features_are():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 2))
    inputs, targets = torch.randn(90, 5), torch.randn(90, 2)
    found = measure_regression_collapse(model, [(inputs[:40], targets[:40]), (inputs[40:], targets[40:])])
    with torch.no_grad():
        features = model[:2](inputs)
    other = measure_regression_collapse(features=features, targets=targets, weight=model[2].weight, bias=model[2].bias)
    assert found.layer == "2"
    for one in other.quantities:
        assert found[one.name] == pytest.approx(one.value, rel=1e-6), one.name


def test_one_target_has_no_third_measure():
    features, targets, weight = draw()
    found = measure_regression_collapse(features=features, targets=targets[:, 0], weight=weight[:1])
    assert np.isnan(found["nrc3"])
    assert found["nrc1"] > 0


def test_what_cannot_be_measured_is_refused():
    features, targets, weight = draw()
    with pytest.raises(DataError, match="do not go with a weight"):
        measure_regression_collapse(features=features, targets=targets[:, :2], weight=weight)
    with pytest.raises(DataError, match="not finite"):
        measure_regression_collapse(features=features / 0, targets=targets, weight=weight)
    with pytest.raises(DataError, match="all the same"):
        measure_regression_collapse(features=features, targets=torch.ones(300, 3), weight=weight)
    with pytest.raises(SettingsError, match="no last layer"):
        measure_regression_collapse(features=features, targets=targets)
    with pytest.raises(SettingsError, match="bias of shape"):
        measure_regression_collapse(features=features, targets=targets, weight=weight, bias=torch.zeros(2))
    zeros = measure_regression_collapse(features=torch.zeros(300, 8), targets=targets, weight=weight)
    assert np.isnan(zeros["nrc1"])
