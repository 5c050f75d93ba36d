"""The sparsest rotation finds a basis that was planted, and finds nothing where nothing was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import ortho_group

from pellucid.core.sparse_rotation import find_sparse_rotation, judge_sparse_rotation, neuron_sparsity

NOISE = 0.2
"""Root mean square of the noise over that of the loadings, inside the span of the features."""


def plant(kind, classes, features, used, seed, neurons=64, noise=NOISE):
    """Classes that use so many features each, in a basis of neurons turned at random, with noise on every neuron."""
    generator = np.random.default_rng(seed)
    loadings = np.zeros((classes, features))
    for row in loadings:
        chosen = generator.choice(features, used, replace=False)
        signs = generator.choice([-1, 1], used) if kind == "signed" else np.ones(used)
        row[chosen] = signs * (1 if kind == "binary" else 0.5 + generator.random(used))
    basis = ortho_group.rvs(neurons, random_state=generator)[:features]
    jitter = noise * np.sqrt((loadings**2).mean()) * generator.standard_normal((classes, features))
    return (loadings + jitter) @ basis, basis


def cut_squares(loadings):
    """Squares cut off at each of five thresholds, as a share of what they could be."""
    total = np.zeros(loadings.shape)
    for level in (0.3, 0.4, 0.5, 0.6, 0.7):
        threshold = level * np.sqrt((loadings**2).mean())
        total += np.where(np.abs(loadings) < threshold, loadings**2, threshold**2)
    return total / (1.35 * (loadings**2).mean())


def recover(centres, basis, **how):
    """How well the worst of the planted directions is found, up to permutation and sign: its |cosine|."""
    _, _, right = np.linalg.svd(centres, full_matrices=False)
    span = right[: len(basis)]
    found = find_sparse_rotation((centres @ span.T)[None], **how)
    cosines = np.abs(found.rotation.T @ span @ basis.T)
    rows, columns = linear_sum_assignment(-cosines)
    return cosines[rows, columns].min()


@pytest.mark.parametrize("kind", ["signed", "binary", "positive"])
@pytest.mark.parametrize(("classes", "features", "used"), [(40, 8, 2), (20, 5, 1), (100, 12, 3), (20, 8, 2)])
def test_a_planted_basis_is_recovered_95_times_in_100(kind, classes, features, used):
    worst = [recover(*plant(kind, classes, features, used, seed)) for seed in range(40)]
    assert np.mean(np.array(worst) > 0.95) >= 0.95


@given(seed=st.integers(0, 10_000), classes=st.integers(4, 12), features=st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_the_rotation_is_orthogonal_and_no_denser_than_varimax_or_the_start(seed, classes, features):
    values = np.random.default_rng(seed).standard_normal((1, classes, features))
    found = find_sparse_rotation(values, starts=12, seed=seed)
    assert found.rotation.T @ found.rotation == pytest.approx(np.eye(features), abs=1e-9)
    naive = cut_squares(values[0] @ found.rotation).mean()
    assert found.density == pytest.approx(naive, abs=1e-9)
    assert found.density <= found.varimax + 1e-12


def test_two_features_are_as_sparse_as_a_search_of_every_angle_finds():
    for seed in range(5):
        values = np.random.default_rng(seed).standard_normal((1, 9, 2))
        angles = np.linspace(0, np.pi, 20_001)
        turns = np.stack([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
        every = cut_squares(np.einsum("ck,kja->cja", values[0], turns)).mean(axis=(0, 1))
        assert find_sparse_rotation(values).density == pytest.approx(every.min(), abs=2e-3)


def test_any_rotation_of_the_same_centres_has_the_same_density():
    values = np.random.default_rng(3).standard_normal((1, 30, 4))
    turn = ortho_group.rvs(4, random_state=5)
    first, second = find_sparse_rotation(values), find_sparse_rotation(values @ turn)
    assert first.density == pytest.approx(float(second.density), abs=1e-3)


def test_planted_features_are_significant_and_random_centres_hold_none():
    planted, _ = plant("signed", 40, 6, 2, 1)
    _, _, right = np.linalg.svd(planted, full_matrices=False)
    assert judge_sparse_rotation((planted @ right[:6].T)[None], starts=16, draws=39).p_value == 1 / 40
    values = [
        judge_sparse_rotation(np.random.default_rng(seed).standard_normal((1, 16, 4)), starts=8, draws=19).p_value
        for seed in range(60)
    ]
    # Exact under the null: uniform on 1/20 … 1. With 60 draws, a share above 0.15 at 5 % has probability below 0.002.
    assert np.mean(np.array(values) <= 0.05) <= 0.15
    assert 0.35 < np.mean(values) < 0.70


def test_nothing_is_found_in_a_simplex():
    simplex = np.eye(7) - 1 / 7
    left, values, _ = np.linalg.svd(simplex)
    assert judge_sparse_rotation((left[:, :6] * values[:6])[None], starts=8, draws=19).p_value > 0.3


def test_neurons_are_privileged_where_classes_own_some_and_not_where_they_were_turned():
    generator = np.random.default_rng(0)
    own = np.repeat(np.eye(8), 4, axis=1) + 0.05 * generator.standard_normal((8, 32))
    density, null, p_value = neuron_sparsity(own, draws=99)
    assert density < null
    assert p_value == 0.01
    assert density == pytest.approx(np.abs(own).mean() / np.sqrt((own**2).mean()), abs=1e-12)
    turned = own @ ortho_group.rvs(32, random_state=1)
    assert neuron_sparsity(turned, draws=99)[2] > 0.05
