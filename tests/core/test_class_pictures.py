"""The nearest simplex, its picture, clusters inside a class and the likeness of layers, against references."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from scipy.stats import ortho_group
from sklearn.cluster import KMeans

from pellucid.core.cluster_test import holm, judge_clusters
from pellucid.core.layer_similarity import LayerSimilarity
from pellucid.core.simplex_frame import frame_axes, nearest_simplex


def simplex(classes):
    return np.eye(classes) - 1 / classes


@given(seed=st.integers(0, 10_000), classes=st.integers(2, 8), scale=st.floats(0.01, 100))
def test_a_turned_simplex_is_one(seed, classes, scale):
    turn = ortho_group.rvs(classes + 3, random_state=seed)[:classes]
    frame = nearest_simplex(scale * simplex(classes) @ turn)
    assert frame.gap == pytest.approx(0.0, abs=1e-6)
    placed = (frame.map @ (scale * simplex(classes) @ turn).T).T
    assert placed == pytest.approx(simplex(classes), abs=1e-9)


def test_no_other_turn_brings_the_simplex_nearer():
    generator = np.random.default_rng(0)
    centred = generator.standard_normal((4, 3))
    centred -= centred.mean(axis=0)
    corners = np.linalg.svd(simplex(4))[0][:, :3]  # the simplex in its own three dimensions

    def off(turn):
        fitted = corners @ turn
        scale = (fitted * centred).sum() / (fitted**2).sum()
        return float(((scale * fitted - centred) ** 2).sum() / (centred**2).sum()) ** 0.5

    starts = Rotation.random(30, random_state=0).as_rotvec()
    mirrors = [np.eye(3), np.diag([1.0, 1.0, -1.0])]
    best = min(
        minimize(lambda v, mirror=mirror: off(mirror @ Rotation.from_rotvec(v).as_matrix()), start).fun
        for start in starts
        for mirror in mirrors
    )
    assert nearest_simplex(centred).gap == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 6, 10, 17])
def test_the_picture_shows_a_regular_polygon_in_the_order_given(classes):
    order = np.random.default_rng(classes).permutation(classes)
    axes = frame_axes(order)
    vertices = (simplex(classes) @ axes)[order]
    gram = axes.T @ axes
    used = min(3, classes - 1)
    assert gram[:used, :used] == pytest.approx(np.eye(used), abs=1e-12)
    assert axes.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)
    if classes > 2:
        steps = np.linalg.norm(np.roll(vertices, -1, axis=0)[:, :2] - vertices[:, :2], axis=1)
        assert steps == pytest.approx(np.full(classes, steps[0]))
    if classes == 4:
        gaps = [np.linalg.norm(a - b) for a, b in itertools.combinations(vertices, 2)]
        assert gaps == pytest.approx([2**0.5] * 6)


def test_two_clouds_are_found_and_cut_as_sklearn_cuts_them():
    generator = np.random.default_rng(0)
    side = np.arange(120) % 3 == 0
    points = generator.standard_normal((120, 30)) + 4.0 * side[:, None] * (np.arange(30) == 7)
    found = judge_clusters(points)
    assert found.p_value == 0.01
    assert found.normal_p_value < 1e-4
    assert (found.side == side).mean() > 0.95
    few = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    seen = few[0][:, :10] * few[1][:10]
    ours = judge_clusters(points, directions=10).index
    reference = KMeans(2, n_init=50, random_state=0).fit(seen)
    assert ours == pytest.approx(reference.inertia_ / (seen**2).sum(), rel=1e-3)


def test_one_gaussian_cloud_is_not_cut_more_often_than_chance():
    spectrum = np.array([3.0, 2.0, 1.0, 1.0, 0.5])
    found = [
        judge_clusters(np.random.default_rng(seed).standard_normal((80, 5)) * spectrum, seed=seed) for seed in range(60)
    ]
    assert np.mean([one.p_value <= 0.05 for one in found]) <= 0.15
    assert np.mean([one.normal_p_value <= 0.05 for one in found]) <= 0.15
    assert np.isnan(judge_clusters(np.zeros((10, 3))).p_value)
    assert np.isnan(judge_clusters(np.eye(3)).index)


def test_holm_is_the_textbooks():
    # Holm 1979: 4 · 0.01, then 3 · 0.02 = 0.06, then 2 · 0.03 = 0.06, then 0.05 raised to what stands before it.
    assert holm(np.array([0.02, 0.01, np.nan, 0.05, 0.03])) == pytest.approx(
        [0.06, 0.04, np.nan, 0.06, 0.06], nan_ok=True
    )


def naive_hsic(first, second):
    """The unbiased estimator as an average over four distinct examples (Song et al. 2012, eq. 4)."""
    k, kk = first @ first.T, second @ second.T
    total, count = 0.0, 0
    for i, j, q, r in itertools.permutations(range(len(k)), 4):
        total += k[i, j] * (kk[i, j] + kk[q, r] - 2 * kk[i, q])
        count += 1
    return total / count


def test_cka_is_that_of_the_four_point_average():
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((7, 3)), generator.standard_normal((7, 4))
    b[:, 0] += a[:, 0]
    seen = LayerSimilarity(2)
    seen.update([torch.tensor(a), torch.tensor(b)])
    expected = naive_hsic(a, b) / np.sqrt(naive_hsic(a, a) * naive_hsic(b, b))
    assert float(seen.cka()[0][0, 1]) == pytest.approx(expected, rel=1e-10)
    assert bool(seen.cka()[1].isnan().all())


def test_cka_of_batches_comes_to_that_of_all_examples_within_its_error():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4096, 10, generator=generator, dtype=torch.float64)
    y = x @ torch.randn(10, 20, generator=generator, dtype=torch.float64) + 2 * torch.randn(
        4096, 20, generator=generator, dtype=torch.float64
    )
    seen = LayerSimilarity(2)
    for begin in range(0, 4096, 128):
        seen.update([x[begin : begin + 128], y[begin : begin + 128]])
    cka, error = (float(one[0, 1]) for one in seen.cka())
    a, b = x - x.mean(dim=0), y - y.mean(dim=0)
    whole = float((b.T @ a).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm()))
    assert 0 < error < 0.02
    assert abs(cka - whole) < 4 * error + 1e-3


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10))
@settings(max_examples=20)
def test_cka_does_not_see_turns_shifts_and_scale(seed, scale):
    generator = np.random.default_rng(seed)
    a, b = generator.standard_normal((12, 4)), generator.standard_normal((12, 5))
    turned = scale * a @ ortho_group.rvs(4, random_state=seed) + generator.standard_normal(4)
    plain, moved = LayerSimilarity(2), LayerSimilarity(2)
    plain.update([torch.tensor(a), torch.tensor(b)])
    moved.update([torch.tensor(turned), torch.tensor(b)])
    assert moved.cka()[0].numpy() == pytest.approx(plain.cka()[0].numpy(), rel=1e-6, abs=1e-9)
