"""Lanczos, Hutchinson and the quadrature against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.hutchinson import hutch_plus_plus, hutchinson, lanczos_quadrature
from pellucid.core.lanczos import find_extremes, lanczos


def symmetric(size: int, seed: int) -> torch.Tensor:
    matrix = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (matrix + matrix.T) / 2


@given(size=st.integers(1, 30), seed=st.integers(0, 10_000))
def test_all_steps_give_all_eigenvalues(size: int, seed: int) -> None:
    matrix = symmetric(size, seed)
    start = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    found = lanczos(lambda v: matrix @ v, start, size)
    assert found.eigen()[0] == pytest.approx(torch.linalg.eigvalsh(matrix).numpy(), abs=1e-8)
    assert (found.basis @ found.basis.T - torch.eye(size)).abs().max() < 1e-12


@given(size=st.integers(20, 60), seed=st.integers(0, 10_000), steps=st.integers(3, 15))
def test_residuals_are_true_and_bound_the_error(size: int, seed: int, steps: int) -> None:
    matrix = symmetric(size, seed)
    start = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    found = find_extremes(lambda v: matrix @ v, start, top=2, bottom=1, tolerance=0.0, steps=steps)
    exact = torch.linalg.eigvalsh(matrix).numpy()
    for value, residual, vector in zip(found.largest, found.largest_residuals, found.largest_vectors, strict=True):
        assert float((matrix @ vector - value * vector).norm()) == pytest.approx(residual, abs=1e-9)
        assert np.abs(exact - value).min() <= residual + 1e-9
    assert found.largest[0] <= exact[-1] + 1e-9
    assert found.smallest[0] >= exact[0] - 1e-9


def test_an_invariant_subspace_ends_it() -> None:
    found = lanczos(lambda v: 3 * v, torch.ones(7), 7)
    assert found.eigen()[0] == pytest.approx([3.0])
    assert found.last == 0.0
    nothing = find_extremes(lambda v: 0 * v, torch.ones(7))
    assert nothing.largest == pytest.approx([0.0])
    assert nothing.converged


def test_traces_within_their_errors() -> None:
    values = torch.cat([torch.tensor([100.0, 50.0, 20.0]), torch.rand(97)]).double()
    turn = torch.linalg.qr(symmetric(100, 0))[0]
    matrix = (turn * values) @ turn.T
    like = torch.zeros(100, dtype=torch.float64)
    plain = hutchinson(lambda v: matrix @ v, like, 60, torch.Generator().manual_seed(0))
    better = hutch_plus_plus(lambda v: matrix @ v, like, 60, torch.Generator().manual_seed(0))
    exact = float(values.sum())
    assert abs(plain.value - exact) < 4 * plain.error
    assert abs(better.value - exact) < 4 * better.error
    assert better.error < plain.error / 5, "the large eigenvalues are taken exactly"
    assert better.products == 60
    whole = hutch_plus_plus(lambda v: matrix @ v, like, 300, torch.Generator())
    assert whole.value == pytest.approx(exact)
    assert whole.error == 0


def test_quadrature_has_the_moments_of_its_probes() -> None:
    matrix = symmetric(40, 3)
    like = torch.zeros(40, dtype=torch.float64)
    found = lanczos_quadrature(lambda v: matrix @ v, like, 30, 40, torch.Generator().manual_seed(1))
    exact = torch.linalg.eigvalsh(matrix).numpy()
    assert found.weights.sum(1) == pytest.approx(np.ones(30))
    for power in (1, 2, 3):
        mean, error = found.moment(power)
        assert abs(mean - (exact**power).mean()) < 4 * error + 1e-9
    share, error = found.below(0.0)
    assert abs(share - (exact < 0).mean()) < 4 * error
    grid = np.linspace(-30, 30, 4001)
    density, _ = found.smooth(grid, 0.5)
    assert np.trapezoid(density, grid) == pytest.approx(1.0)
