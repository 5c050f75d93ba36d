"""Class geometry on classes whose place, likeness, clusters and features are known."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import ortho_group
from sklearn.metrics.pairwise import cosine_similarity
from torch import nn

from pellucid.errors import DataError, SettingsError
from pellucid.lenses.class_geometry import measure_class_geometry
from pellucid.results.base import Result
from tests.core.test_sparse_rotation import plant

QUICK = {"starts": 12, "draws": 19}


def around(centres, each=20, noise=0.01, seed=0):
    """Examples about given centres."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(centres)), each)
    jitter = noise * generator.standard_normal((len(labels), centres.shape[1]))
    return torch.tensor(centres[labels] + jitter), torch.tensor(labels)


def test_a_collapsed_network_is_a_simplex_whose_classes_share_nothing():
    turn = ortho_group.rvs(12, random_state=0)[:6]
    centres = 5 * (np.eye(6) - 1 / 6) @ turn + 3
    found = measure_class_geometry(
        features=torch.tensor(np.repeat(centres, 4, axis=0)), labels=torch.arange(24) // 4, **QUICK
    )
    assert found.gap == pytest.approx(0.0, abs=1e-7)
    assert found.centres == pytest.approx(found.ideal, abs=1e-9)
    assert found.cosines[~np.eye(6, dtype=bool)] == pytest.approx(np.full(30, -0.2))
    assert found.rotation is not None
    assert not found.rotation.found
    assert found.rotation.p_value > 0.3


def test_likeness_is_sklearns_and_like_classes_are_neighbours():
    generator = np.random.default_rng(0)
    parents = 3 * generator.standard_normal((3, 16))
    centres = np.repeat(parents, 3, axis=0) + 0.3 * generator.standard_normal((9, 16))
    order = generator.permutation(9)
    names = [f"{'abc'[one // 3]}{one % 3}" for one in order]
    features, labels = around(centres[order])
    groups = [name[0] for name in names]
    found = measure_class_geometry(
        features=features, labels=labels, class_names=names, groups=groups, rotate=False, draws=199
    )
    means = np.stack([features[labels == one].mean(0).numpy() for one in range(9)])
    assert found.cosines == pytest.approx(cosine_similarity(means - means.mean(axis=0)), abs=1e-9)
    around_the_ring = [names[one][0] for one in found.order]
    assert sum(a != b for a, b in itertools.pairwise(around_the_ring)) == 2
    assert found.group_gap > 0.5
    assert found.group_p_value <= 0.02  # 280 ways to make three groups of three, one of them this
    across = measure_class_geometry(
        features=features, labels=labels, groups=[name[1] for name in names], rotate=False, draws=199
    )
    assert across.group_p_value > 0.2


def test_planted_features_are_named_with_their_classes():
    # Neurons rest at 0; every class uses two of six features, which no neuron shows.
    centres, basis = plant("positive", 30, 6, 2, seed=3, neurons=24, noise=0.05)
    features, labels = around(centres)
    found = measure_class_geometry(
        features=features, labels=labels, origin="zero", axes=6, starts=24, draws=19
    ).rotation
    assert found is not None
    assert found.found
    assert found.p_value == 0.05
    cosines = found.basis @ basis.T
    rows, columns = linear_sum_assignment(-np.abs(cosines))
    assert np.abs(cosines)[rows, columns].min() > 0.95
    planted = centres @ basis.T
    match = dict(zip(rows, columns, strict=True))
    right = [
        {match[one] for one in found.uses(row)} == set(np.flatnonzero(np.abs(planted[row]) > 0.3)) for row in range(30)
    ]
    assert np.mean(right) > 0.6  # a class with one strong and one weak feature is told by the strong one alone
    for index, one in enumerate(found.features):
        assert all(index in found.uses(row) for row in one.classes)
        assert found.basis[index][list(one.neurons)] == pytest.approx(one.neuron_weights)
    assert sum(one.share for one in found.features) == pytest.approx(1.0)
    assert found.loadings == pytest.approx(
        (found.basis @ np.stack([features[labels == c].mean(0) for c in range(30)]).T).T
    )


def test_clusters_inside_a_class_are_found_where_they_are():
    generator = np.random.default_rng(0)
    centres = 10 * generator.standard_normal((4, 20))
    features, labels = around(centres, each=100, noise=1.0)
    step = torch.zeros(20, dtype=torch.float64)
    step[5] = 6.0
    features[200:250] += step
    found = measure_class_geometry(features=features, labels=labels, rotate=False)
    assert [one.corrected <= 0.05 for one in found.textures] == [False, False, True, False]
    assert found.textures[2].share == pytest.approx(0.5, abs=0.02)
    own = features[labels == 2].numpy()
    expected = np.linalg.eigvalsh(np.cov(own.T, bias=True))[::-1]
    assert found.textures[2].spectrum == pytest.approx(expected[:20])
    assert found.textures[2].size == pytest.approx(expected.sum())


def test_points_lie_where_the_frame_says_and_snapshots_compare():
    features, labels = around(np.random.default_rng(0).standard_normal((5, 9)), each=100, noise=0.2)
    found = measure_class_geometry(features=features, labels=labels, points=120, rotate=False)
    assert len(found.points) <= 120
    assert found.points == pytest.approx(found.point_places @ found.axes, abs=1e-5)
    every = measure_class_geometry(features=features, labels=labels, rotate=False)
    for row in range(5):
        mean = every.point_places[every.point_classes == row].mean(axis=0)
        assert mean == pytest.approx(every.places[row], abs=1e-5)
    batches = [(features[i : i + 33], labels[i : i + 33]) for i in range(0, 500, 33)]
    model = nn.Linear(9, 5).double()
    pieces = measure_class_geometry(model, batches, points=120, rotate=False, order=found.order.tolist())
    assert pieces.points == pytest.approx(found.points, abs=1e-5)
    assert pieces.layer == ""
    assert np.linalg.norm(pieces.classifier @ pieces.axes.T) <= np.linalg.norm(pieces.places) + 1e-9
    ideal, centres, points = every.corner("0", "3", "1")
    assert np.linalg.norm(ideal[0] - ideal[1]) == pytest.approx(np.linalg.norm(ideal[1] - ideal[2]))
    assert points[every.point_classes[np.isin(every.point_classes, [0, 1, 3])] == 3].mean(axis=0) == pytest.approx(
        centres[1], abs=1e-5
    )


def test_a_turned_feature_space_gives_the_same_geometry():
    features, labels = around(np.random.default_rng(1).standard_normal((8, 10)), noise=0.3)
    turn = torch.tensor(ortho_group.rvs(10, random_state=2))
    options = {**QUICK, "origin": "mean", "draws": 9}
    first = measure_class_geometry(features=features, labels=labels, **options)
    second = measure_class_geometry(features=features @ turn + 1, labels=labels, **options)
    assert second.gap == pytest.approx(first.gap, abs=1e-9)
    assert second.points == pytest.approx(first.points, abs=1e-5)
    assert second.cosines == pytest.approx(first.cosines, abs=1e-9)
    assert first.rotation is not None
    assert second.rotation is not None
    assert second.rotation.density == pytest.approx(first.rotation.density, abs=5e-3)


def test_empty_classes_are_left_out_and_said_and_a_result_comes_back():
    features, labels = around(np.random.default_rng(0).standard_normal((4, 6)), each=6)
    labels = torch.where(labels == 3, 4, labels)
    found = measure_class_geometry(features=features, labels=labels, class_names=list("abcde"), **QUICK)
    assert found.class_names == ("a", "b", "c", "e")
    assert found.empty_classes == ("d",)
    again = Result.from_bytes(found.to_bytes())
    assert again.points == pytest.approx(found.points)
    single = measure_class_geometry(features=features[::6], labels=labels[::6], rotate=False)
    assert all(np.isnan(one.p_value) for one in single.textures)


def test_bad_input_is_refused():
    features, labels = around(np.random.default_rng(0).standard_normal((4, 6)), each=6)
    with pytest.raises(DataError, match="only one class"):
        measure_class_geometry(features=features, labels=labels * 0)
    with pytest.raises(SettingsError, match="nothing to measure"):
        measure_class_geometry()
    with pytest.raises(SettingsError, match="9 axes"):
        measure_class_geometry(features=features, labels=labels, axes=9)
    with pytest.raises(SettingsError, match="same point"):
        measure_class_geometry(features=features * 0, labels=labels)
    with pytest.raises(SettingsError, match="origin"):
        measure_class_geometry(features=features, labels=labels, origin="left")
    with pytest.raises(SettingsError, match="order"):
        measure_class_geometry(features=features, labels=labels, order=[0, 0, 1, 2], rotate=False)
    with pytest.raises(SettingsError, match="class_names"):
        measure_class_geometry(features=features, labels=labels, class_names=["a"])
    with pytest.raises(DataError, match="not finite"):
        measure_class_geometry(features=features + torch.nan, labels=labels)
    with pytest.raises(SettingsError, match="linear layer"):
        measure_class_geometry(nn.Sequential(nn.Linear(6, 4), nn.Softmax(dim=1)).double(), (features, labels))
