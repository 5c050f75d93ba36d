"""The compiled passes against NumPy in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.tensor_pass import (
    addresses,
    count_bins,
    is_plain,
    measure_after_update,
    measure_before_update,
    norm_of_plain,
    summarize_plain,
)

shapes = st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 9), st.integers(1, 80))


def entries(shape, seed, kind):
    generator = np.random.default_rng(seed)
    values = np.maximum(generator.standard_normal(shape), 0).astype(kind)
    values[:, :, 0] = 0.0
    return values


@settings(max_examples=80, deadline=None)
@given(
    shape=shapes,
    seed=st.integers(0, 2**31),
    every=st.integers(1, 3),
    kind=st.sampled_from([np.float32, np.float64]),
)
def test_figures_equal_numpy(shape, seed, every, kind):
    values = entries(shape, seed, kind)
    figures = np.empty(7)
    summarize_plain(values.reshape(-1), shape, (0.0, 1.0), figures, every=every)
    taken = values[::every].astype(np.float64)
    per_unit = np.moveaxis(taken, 2, 0).reshape(shape[2], -1)
    expected = [
        taken.mean(),
        taken.std(),
        taken.min(),
        taken.max(),
        (taken == 0).mean(),
        ((taken <= 0.01) | (taken >= 0.99)).mean(),
        (per_unit == 0).all(axis=1).mean(),
    ]
    np.testing.assert_allclose(figures, expected, rtol=1e-9, atol=1e-12)


def test_a_constant_has_no_spread_and_a_large_mean_costs_none():
    figures = np.empty(7)
    summarize_plain(np.full(1000, 0.1, dtype=np.float32), (10, 1, 100, 1), None, figures)
    assert figures[1] == 0.0
    values = (1e6 + np.random.default_rng(0).standard_normal(10_000)).astype(np.float32)
    summarize_plain(values, (100, 1, 100, 1), None, figures)
    assert figures[1] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)
    assert np.isnan(figures[5])


@pytest.mark.parametrize("place", [0, 3, 129])
def test_nan_and_infinity_are_not_hidden(place):
    values = np.arange(130, dtype=np.float32)
    figures = np.empty(7)
    values[place] = np.nan
    summarize_plain(values, (13, 1, 10, 1), None, figures)
    assert np.isnan(figures[:4]).all()
    values[place] = np.inf
    summarize_plain(values, (13, 1, 10, 1), None, figures)
    assert figures[3] == np.inf
    assert figures[2] == np.delete(values, place).min()


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 400), bins=st.integers(1, 40), every=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_bins_equal_numpy(count, bins, every, seed):
    # Halves are exact in binary, so that no value sits by rounding on the wrong side of an edge.
    values = np.random.default_rng(seed).integers(-50, 50, count).astype(np.float32) / 2
    low, high, counts = count_bins(values, bins, every=every)
    taken = values[::every].astype(np.float64)
    assert (low, high) == (taken.min(), taken.max())
    position = np.floor((taken - low) / (high - low) * bins).clip(0, bins - 1) if high > low else np.zeros(len(taken))
    assert counts.tolist() == np.bincount(position.astype(int), minlength=bins).tolist()


def test_bins_leave_out_what_is_not_finite():
    low, high, counts = count_bins(np.array([np.nan, 1, 2, np.inf, -np.inf], dtype=np.float32), 4)
    assert (low, high, counts.tolist()) == (1.0, 2.0, [1, 0, 0, 1])
    low, high, counts = count_bins(np.full(3, np.nan, dtype=np.float32), 4)
    assert np.isnan([low, high]).all()
    assert counts.sum() == 0


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    block=st.integers(1, 40),
    stride=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_updates_equal_numpy(sizes, block, stride, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(size, generator=generator) for size in sizes]
    gradients = [None if i % 3 == 2 else torch.randn(size, generator=generator) for i, size in enumerate(sizes)]
    kept = [torch.full((size,), torch.nan) for size in sizes]
    seen, moved = np.zeros((len(sizes), 2)), np.zeros((len(sizes), 2))
    before = [weight.double().numpy().copy() for weight in weights]
    numbers = np.array(sizes)
    measure_before_update(addresses(weights), addresses(gradients), addresses(kept), numbers, block, stride, seen)
    for weight in weights:
        weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    measure_after_update(addresses(weights), addresses(kept), numbers, block, stride, moved)
    for i, size in enumerate(sizes):
        share = np.arange(size) // block % stride == 0
        squares = 0.0 if gradients[i] is None else (gradients[i].double().numpy() ** 2).sum()
        update = weights[i].double().numpy() - before[i]
        np.testing.assert_allclose(seen[i], [squares, (before[i] ** 2).sum()], rtol=1e-9)
        np.testing.assert_allclose(moved[i], [(before[i][share] ** 2).sum(), (update[share] ** 2).sum()], rtol=1e-9)


def test_norm_and_what_counts_as_plain():
    tensors = [torch.randn(5, 3), torch.randn(200)]
    assert norm_of_plain(tensors) == pytest.approx(torch.cat([t.flatten() for t in tensors]).double().norm().item())
    assert is_plain(torch.nn.Parameter(torch.zeros(2)))
    for other in (
        torch.zeros(2).double(),
        torch.zeros(2, 3).T,
        torch.zeros(2, device="meta"),
        torch.eye(2).to_sparse(),
    ):
        assert not is_plain(other)
