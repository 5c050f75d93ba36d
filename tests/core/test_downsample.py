"""Thinned rows keep every bucket's extremes, the first and the last row, and no more than asked for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pellucid.core.downsample import choose_rows

_FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@st.composite
def _tables(draw):
    rows = draw(st.integers(1, 120))
    kinds = draw(st.lists(st.sampled_from(["float64", "float32", "int64", "bool"]), min_size=0, max_size=4))
    columns = []
    for kind in kinds:
        elements = _FLOATS if kind.startswith("float") else None
        columns.append(draw(hnp.arrays(kind, rows, elements=elements)))
    return rows, columns


def _buckets(rows: int, kept: np.ndarray, columns: list[np.ndarray], points: int) -> list[slice]:
    """The buckets that the promise speaks of, by its words and not by the code's arithmetic on arrays."""
    winding = [c for c in columns if not _rises(c.tolist()) and not _rises(c.tolist()[::-1])]
    winding = [c for c in winding if any(value == value for value in c.tolist())]  # all NaN needs no care
    need = 2 + sum(2 + any(value != value for value in c.tolist()) for c in winding)
    number = max(1, points // need)
    size = -(-rows // number)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _rises(values: list) -> bool:
    return all(a <= b for a, b in pairwise(values))


@settings(max_examples=200, deadline=None)
@given(table=_tables(), points=st.integers(1, 60))
def test_extremes_ends_and_nan_of_every_bucket_stay(table, points):
    rows, columns = table
    kept = choose_rows(columns, rows, points)
    assert kept.dtype == np.int64
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert kept[0] >= 0
    assert kept[-1] < rows
    if rows <= points:
        assert kept.tolist() == list(range(rows))
        return
    for bucket in _buckets(rows, kept, columns, points):
        inside = [row for row in kept.tolist() if bucket.start <= row < bucket.stop]
        assert bucket.start in inside
        assert bucket.stop - 1 in inside
        for column in columns:
            everything = column[bucket].tolist()
            stayed = [column.tolist()[row] for row in inside]
            numbers = [value for value in everything if value == value]
            numbers_stayed = [value for value in stayed if value == value]
            if numbers:
                assert min(numbers_stayed) == min(numbers)
                assert max(numbers_stayed) == max(numbers)
            assert any(value != value for value in stayed) == any(value != value for value in everything)


@settings(max_examples=200, deadline=None)
@given(table=_tables(), points=st.integers(1, 60))
def test_no_more_rows_than_asked_unless_one_bucket_needs_more(table, points):
    rows, columns = table
    kept = choose_rows(columns, rows, points)
    assert len(kept) <= max(points, 2 + 3 * len(columns))


@settings(max_examples=200, deadline=None)
@given(table=_tables(), points=st.integers(1, 60), data=st.data())
def test_rows_that_stand_unevenly_keep_the_extremes_of_every_stretch(table, points, data):
    rows, columns = table
    gaps = data.draw(hnp.arrays("int64", rows, elements=st.integers(1, 50)))
    at = np.cumsum(gaps).astype(float)
    kept = choose_rows(columns, rows, points, at=at)
    assert kept.tolist() == sorted(set(kept.tolist()))
    if rows <= points:
        assert kept.tolist() == list(range(rows))
        return
    assert len(kept) <= max(points, 2 + 3 * len(columns))
    number = len(_buckets(rows * 1000, kept, columns, points))
    bounds = [*np.linspace(at[0], at[-1], number, endpoint=False).tolist(), np.inf]
    for low, high in pairwise(bounds):
        everything = [row for row in range(rows) if low <= at[row] < high]
        inside = [row for row in everything if row in kept]
        if not everything:
            continue
        assert {everything[0], everything[-1]} <= set(inside)
        for column in (column.tolist() for column in columns):
            of_all, of_kept = ([column[row] for row in some] for some in (everything, inside))
            numbers = [value for value in of_all if value == value]
            if numbers:
                left = [value for value in of_kept if value == value]
                assert (min(left), max(left)) == (min(numbers), max(numbers))
            assert any(value != value for value in of_kept) == any(value != value for value in of_all)


def test_a_dense_end_takes_no_points_from_a_sparse_beginning():
    at = np.concatenate([np.arange(0, 900_000, 1000), np.arange(900_000, 1_000_000)]).astype(float)
    wave = np.sin(at / 7)
    kept = at[choose_rows([wave], len(at), 400, at=at)]
    assert 0.75 <= np.mean(kept < 900_000) <= 0.95


def test_a_single_spike_among_a_million_stays():
    noise = np.random.default_rng(0).normal(size=1_000_000)
    step = np.arange(1_000_000)
    noise[123_456] = 50.0
    noise[654_321] = np.nan
    kept = choose_rows([step, noise, np.zeros(1_000_000)], 1_000_000, 2000)
    assert {0, 123_456, 654_321, 999_999} <= set(kept.tolist())
    assert 1000 <= len(kept) <= 2000


def test_a_column_that_only_rises_costs_no_points():
    step = np.arange(10_000)
    wave = np.sin(step / 100)
    both = choose_rows([step, wave], 10_000, 400)
    assert both.tolist() == choose_rows([wave], 10_000, 400).tolist()


def test_a_column_of_nothing_costs_no_points():
    wave = np.sin(np.arange(10_000) / 100)
    both = choose_rows([np.full(10_000, np.nan), wave], 10_000, 400)
    assert both.tolist() == choose_rows([wave], 10_000, 400).tolist()


@pytest.mark.parametrize("column", [np.array(["a", "b", "c"] * 10), np.zeros((30, 64)), np.array([None] * 30)])
def test_columns_that_are_not_numbers_are_passed_over(column):
    assert choose_rows([column], 30, 4).tolist() == choose_rows([], 30, 4).tolist()
