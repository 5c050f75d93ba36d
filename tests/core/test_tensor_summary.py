"""Summaries of tensors against NumPy in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.tensor_summary import (
    ACTIVATION_FIGURES,
    count_histogram,
    global_norm,
    summarize_activation,
)

shapes = st.lists(st.integers(1, 7), min_size=2, max_size=4).map(tuple)


def activation(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator).relu()
    values[..., 0] = 0.0
    return values


@settings(max_examples=60, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**31), unit_last=st.booleans())
def test_activation_figures_equal_numpy(shape, seed, unit_last):
    values = activation(shape, seed)
    axis = len(shape) - 1 if unit_last else 1
    figures = dict(zip(ACTIVATION_FIGURES, summarize_activation(values, unit_axis=axis).tolist(), strict=True))
    array = values.double().numpy()
    per_unit = np.moveaxis(array, axis, 0).reshape(shape[axis], -1)
    assert figures["mean"] == pytest.approx(array.mean(), rel=1e-5, abs=1e-7)
    assert figures["std"] == pytest.approx(array.std(), rel=1e-5, abs=1e-7)
    assert (figures["min"], figures["max"]) == (array.min(), array.max())
    assert figures["zero"] == pytest.approx((array == 0).mean())
    assert figures["dead_units"] == pytest.approx((per_unit == 0).all(axis=1).mean())
    assert np.isnan(figures["saturated"])


def test_a_large_mean_costs_the_spread_no_digits():
    values = 1e4 + torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    std = summarize_activation(values, unit_axis=1)[1].item()
    assert std == pytest.approx(values.double().numpy().std(), rel=1e-3)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, 6.0)])
def test_saturation_counts_what_is_within_one_percent_of_a_bound(bounds):
    low, high = bounds
    inside = torch.linspace(low, high, 1001, dtype=torch.float64)
    share = summarize_activation(inside[:, None], unit_axis=1, bounds=bounds)[5].item()
    margin = 0.01 * (high - low)
    expected = ((inside <= low + margin) | (inside >= high - margin)).double().mean().item()
    assert share == pytest.approx(expected, abs=2e-3)


def test_nan_is_not_hidden():
    values = torch.tensor([[1.0, float("nan")], [2.0, 3.0]])
    assert summarize_activation(values, unit_axis=1).isnan()[:4].all()


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 400), bins=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_histogram_equals_numpy(count, bins, seed):
    # Halves are exact in binary, so that no value sits by rounding on the wrong side of an edge.
    values = torch.randint(-50, 50, (count,), generator=torch.Generator().manual_seed(seed)).double() / 2
    edges, counts = count_histogram(values, bins, most=10_000)
    low, high = edges.tolist()
    assert (low, high) == (values.min().item(), values.max().item())
    assert counts.sum() == count
    if high > low:
        position = np.floor((values.numpy() - low) / (high - low) * bins).clip(0, bins - 1)
        assert counts.tolist() == np.bincount(position.astype(int), minlength=bins).tolist()


def test_histogram_leaves_out_what_is_not_finite():
    values = torch.tensor([1.0, float("nan"), 2.0, float("inf"), -float("inf")])
    edges, counts = count_histogram(values, 4, most=100)
    assert edges.tolist() == [1.0, 2.0]
    assert counts.tolist() == [1, 0, 0, 1]
    edges, counts = count_histogram(torch.full((3,), float("nan")), 4, most=100)
    assert edges.isnan().all()
    assert counts.sum() == 0


def test_histogram_counts_an_even_share_of_a_large_tensor():
    _, counts = count_histogram(torch.rand(100_000), 8, most=1_000)
    assert 500 <= counts.sum() <= 1_000


def test_global_norm_takes_sparse_and_dense_together():
    dense = torch.randn(5, 3)
    sparse = torch.randn(4, 2).to_sparse()
    expected = np.sqrt((dense.numpy() ** 2).sum() + (sparse.to_dense().numpy() ** 2).sum())
    assert global_norm([dense, sparse]).item() == pytest.approx(expected, rel=1e-6)
    assert global_norm([]).item() == 0.0


def test_the_way_without_synchronisation_counts_alike(monkeypatch):
    values = torch.randint(-50, 50, (300,), generator=torch.Generator().manual_seed(1)).double() / 2
    values[::7] = torch.nan
    values[3] = torch.inf
    expected = count_histogram(values, 16, most=10_000)
    monkeypatch.setattr("pellucid.core.tensor_summary._is_near", lambda tensor: False)
    edges, counts = count_histogram(values, 16, most=10_000)
    assert torch.equal(edges, expected[0])
    assert torch.equal(counts, expected[1])
