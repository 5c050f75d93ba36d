"""The further measures of collapse, each against a closed form or a naive reference written from its paper."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from pellucid.core.collapse_references import reference_of, seli_grams
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.neural_collapse import measure_neural_collapse
from tests.lenses.test_neural_collapse import draw


def test_unequal_classes_have_the_geometry_of_the_encoded_labels():
    counts = torch.tensor([6, 6, 2, 2])
    labels = torch.arange(4).repeat_interleave(counts)
    hot = np.eye(4)[labels.numpy()].T
    left, values, right = np.linalg.svd(hot - 0.25, full_matrices=False)
    rows, embeddings = left * np.sqrt(values), right.T * np.sqrt(values)
    centres, weights = seli_grams(counts)
    np.testing.assert_allclose(weights, rows @ rows.T, atol=1e-12)
    firsts = embeddings[[0, 6, 12, 14]]
    np.testing.assert_allclose(centres, firsts @ firsts.T, atol=1e-12)
    found = measure_neural_collapse(
        features=torch.from_numpy(embeddings), labels=labels, weight=torch.from_numpy(rows), bias=torch.zeros(4)
    )
    assert found["seli_centres"] == pytest.approx(0, abs=1e-10)
    assert found["seli_classifier"] == pytest.approx(0, abs=1e-10)
    assert found["nc2_zhu_classifier"] > 0.1


def test_the_norms_of_two_sizes_of_classes_are_those_in_closed_form():
    # Half the classes with R examples, half with 1: PDP has eigenvalues R and 1 on each half's contrasts and (R + 1)/2
    # between the halves, so that ‖w‖² = √R(1 − 2/k) + √((R + 1)/2)/k and (1 − 2/k) + √((R + 1)/2)/k.
    count, ratio = 6, 10
    _, weights = seli_grams(torch.tensor([ratio] * 3 + [1] * 3))
    cross = math.sqrt((ratio + 1) / 2) / count
    expected = [math.sqrt(ratio) * (1 - 2 / count) + cross] * 3 + [(1 - 2 / count) + cross] * 3
    np.testing.assert_allclose(weights.diagonal(), expected, rtol=1e-12)


def test_minority_collapse_is_seen():
    rows = torch.eye(5, 8, dtype=torch.float64)
    rows[4] = rows[3]
    labels = torch.arange(5).repeat_interleave(torch.tensor([9, 9, 9, 2, 2]))
    found = measure_neural_collapse(features=rows[labels], labels=labels, weight=rows, bias=torch.zeros(5))
    assert found["minority_cosine_classifier"] == pytest.approx(1)
    assert found["minority_cosine_centres"] == pytest.approx(1)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_the_squared_error_is_the_sum_of_its_parts(decay):
    features, labels, weight, bias = draw(5, 12, dtype=torch.float64)
    kept = (labels != 2) | (torch.arange(len(labels)) < 60)
    features, labels = features[kept], labels[kept]
    found = measure_neural_collapse(
        features=features, labels=labels, weight=weight, bias=bias, covariance=True, weight_decay=decay
    )
    missed = features @ weight.T + bias - nn.functional.one_hot(labels, 5)
    loss = float(missed.square().sum(1).mean() + decay * (weight.square().sum() + bias.square().sum())) / 2
    assert found["mse_loss"] == pytest.approx(loss, rel=1e-10)
    # The parts by their formulas, with the least-squares classifier solved by numpy.
    h = np.hstack([features.numpy(), np.ones((len(labels), 1))])
    y = np.eye(5)[labels.numpy()]
    best = np.linalg.solve(h.T @ h / len(h) + decay * np.eye(13), h.T @ y / len(h)).T
    means = np.stack([h[labels.numpy() == c].mean(0) for c in range(5)])
    residual = h - means[labels.numpy()]
    noise = residual.T @ residual / len(h) + decay * np.eye(13)
    assert found["mse_nc1"] == pytest.approx(np.trace(best @ noise @ best.T) / 2, rel=1e-9)
    fit = ((means @ best.T - np.eye(5)) ** 2).sum(1)[labels.numpy()].mean() / 2
    assert found["mse_nc23"] == pytest.approx(fit, rel=1e-9)


def test_on_the_central_path_nothing_is_left():
    features, labels, _, _ = draw(5, 12, dtype=torch.float64)
    h = np.hstack([features.numpy(), np.ones((len(labels), 1))])
    best = np.linalg.lstsq(h, np.eye(5)[labels.numpy()], rcond=None)[0].T
    weight, bias = torch.from_numpy(best[:, :-1].copy()), torch.from_numpy(best[:, -1].copy())
    found = measure_neural_collapse(features=features, labels=labels, weight=weight, bias=bias, covariance=True)
    assert found["mse_perp"] == pytest.approx(0, abs=1e-15)


def test_the_variability_index_is_its_formula_and_is_blind_to_linear_maps():
    features, labels, _, _ = draw(4, 10, dtype=torch.float64)
    found = measure_neural_collapse(features=features, labels=labels, covariance=True)["vci"]
    h, y = features.numpy(), labels.numpy()
    means = np.stack([h[y == c].mean(0) for c in range(4)])
    moved, residual = means - means.mean(0), h - means[y]
    between, within = moved.T @ moved / 4, residual.T @ residual / len(h)
    assert found == pytest.approx(1 - np.trace(np.linalg.pinv(within + between) @ between) / 3, rel=1e-9)
    mapped = features @ torch.randn(10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert measure_neural_collapse(features=mapped, labels=labels, covariance=True)["vci"] == pytest.approx(found)


def test_outliers_are_judged_by_the_centres_span():
    features, labels, _, _ = draw(4, 10, noise=0.2, dtype=torch.float64)
    foreign = torch.randn(50, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) + 0.3
    found = measure_neural_collapse(features=features, labels=labels, outliers=foreign)
    h, y, o = features.numpy(), labels.numpy(), foreign.numpy()
    means = np.stack([h[y == c].mean(0) for c in range(4)])
    mean = o.mean(0)
    cosines = [abs(m @ mean) / np.linalg.norm(m) / np.linalg.norm(mean) for m in means]
    assert found["nc5"] == pytest.approx(np.mean(cosines), rel=1e-10)
    overall = means.mean(0)
    basis = np.linalg.svd(means - overall, full_matrices=False)[2][:3]
    score = [np.linalg.norm((x - overall) @ basis.T, axis=1) / np.linalg.norm(x - overall, axis=1) for x in (h, o)]
    truth = np.r_[np.ones(len(h)), np.zeros(len(o))]
    assert found["neco_auroc"] == pytest.approx(roc_auc_score(truth, np.concatenate(score)), rel=1e-12)


def test_the_reference_follows_the_regime():
    cross = torch.cat([torch.eye(4), -torch.eye(4)]).double()
    found = measure_neural_collapse(features=cross.repeat(3, 1), labels=torch.arange(8).repeat(3), weight=cross)
    assert found.reference == "orthoplex"
    assert found["reference_gap_centres"] == pytest.approx(0, abs=1e-12)
    simplex = {one.name: one for one in found.quantities}["maximal_angle_centres"]
    assert math.isnan(simplex.collapsed)
    assert "orthoplex" in simplex.note
    corner = torch.eye(4).double()
    found = measure_neural_collapse(features=corner.repeat(3, 1), labels=torch.arange(4).repeat(3), weight=corner)
    assert found["largest_cosine_centres"] == pytest.approx(-1 / 3)
    assert found["reference_gap_centres"] == pytest.approx(0, abs=1e-12)
    assert found["reference_gap_classifier"] == pytest.approx(1 / 3)
    assert reference_of(9, 4).name == "softmax code"
    draws = draw(12, 3)
    assert measure_neural_collapse(features=draws[0], labels=draws[1]).reference == "softmax code"


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say():
    # The share of examples that classifier and nearest centre call differently is a mean of independent draws: its
    # interval must cover the share of the whole population in about 95 of 100 samples.
    features, labels, weight, bias = draw(3, 6, each=2000, dtype=torch.float64)
    centres = (features, labels)
    truth = measure_neural_collapse(features=features, labels=labels, weight=weight, bias=bias, centres_from=centres)
    covered = 0
    for seed in range(60):
        rows = torch.cat(
            [torch.randperm(2000, generator=torch.Generator().manual_seed(seed))[:60] * 3 + c for c in range(3)]
        )
        found = measure_neural_collapse(
            features=features[rows], labels=labels[rows], weight=weight, bias=bias, centres_from=centres, bootstrap=60
        )
        one = {quantity.name: quantity for quantity in found.quantities}["nc4"]
        assert one.low <= one.value <= one.high
        covered += one.low <= truth["nc4"] <= one.high
    assert covered >= 50


def test_intervals_follow_the_seed_and_keep_every_class():
    features, labels, weight, bias = draw(4, 6, each=5)
    asked = {"features": features, "labels": labels, "weight": weight, "bias": bias, "bootstrap": 12}
    first, again, other = (measure_neural_collapse(**asked, seed=seed) for seed in (3, 3, 4))
    assert [one.low for one in first.quantities[:3]] == [one.low for one in again.quantities[:3]]
    assert first.quantities[0].low != other.quantities[0].low
    assert first.resamples == 12


def test_features_are_kept_where_they_fit_and_computed_again_where_they_do_not():
    class Counting(nn.Sequential):
        calls = 0

        def forward(self, x):
            self.calls += len(x) > 1
            return super().forward(x)

    torch.manual_seed(0)
    model = Counting(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
    loader = [(torch.randn(20, 6), torch.arange(20) % 3) for _ in range(4)]
    kept = measure_neural_collapse(model, loader)
    assert model.calls == 4
    again = measure_neural_collapse(model, loader, memory=1000)
    assert model.calls == 12
    assert kept["nc1"] == again["nc1"]
    with pytest.raises(SettingsError, match="resample would run the model twice"):
        measure_neural_collapse(model, loader, memory=1000, bootstrap=3)
    foreign = measure_neural_collapse(model, loader, outliers=torch.randn(30, 6))
    assert 0 <= foreign["nc5"] <= 1


def test_a_loader_of_features_will_do():
    features, labels, weight, bias = draw(4, 6)
    whole = measure_neural_collapse(features=features, labels=labels, weight=weight, bias=bias)
    parts = list(zip(features.split(7), labels.split(7), strict=True))
    assert measure_neural_collapse(features=parts, weight=weight, bias=bias)["nc1"] == pytest.approx(
        whole["nc1"], rel=1e-12
    )


def test_what_is_wrong_is_refused_with_its_place():
    features, labels, weight, bias = draw()
    with pytest.raises(DataError, match="not class numbers"):
        measure_neural_collapse(features=features, labels=labels.float())
    with pytest.raises(DataError, match="label -1 is no class"):
        measure_neural_collapse(features=features, labels=labels - 1, weight=weight)
    with pytest.raises(DataError, match="no examples"):
        measure_neural_collapse(features=features[:0], labels=labels[:0])
    with pytest.raises(DataError, match="do not go with"):
        measure_neural_collapse(features=features[:, :, None], labels=labels)
    with pytest.raises(SettingsError, match="bias of shape"):
        measure_neural_collapse(features=features, labels=labels, weight=weight, bias=bias[:2])
    with pytest.raises(SettingsError, match="nothing to measure"):
        measure_neural_collapse()
    with pytest.raises(SettingsError, match="without data"):
        measure_neural_collapse(nn.Linear(2, 2))
    with pytest.raises(SettingsError, match="no linear layer"):
        measure_neural_collapse(nn.Conv1d(1, 1, 1), (torch.zeros(3, 1, 4), torch.arange(3)))
