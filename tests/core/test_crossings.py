"""Crossings against brute force along a fine line, and cubics against curves that they are exact for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.crossings import maximum_changes, sign_changes
from pellucid.core.hermite import refine


@given(seed=st.integers(0, 10_000), segments=st.integers(0, 4), quantities=st.integers(1, 5))
def test_signs_change_where_the_line_is_zero(seed: int, segments: int, quantities: int) -> None:
    rng = np.random.default_rng(seed)
    start, end = rng.normal(size=(2, segments, quantities))
    segment, quantity, at = sign_changes(start, end)
    assert len(at) == int((np.sign(start) != np.sign(end)).sum())
    value = start[segment, quantity] + at * (end - start)[segment, quantity]
    assert value == pytest.approx(np.zeros(len(at)), abs=1e-12)


@given(seed=st.integers(0, 10_000), members=st.integers(1, 9))
def test_the_largest_member_changes_where_brute_force_sees_it(seed: int, members: int) -> None:
    rng = np.random.default_rng(seed)
    start, end = rng.normal(size=(2, 3, 4, members))
    segment, group, at = maximum_changes(start, end)
    fine = np.linspace(0, 1, 20_001)
    for s in range(3):
        for g in range(4):
            lines = start[s, g] + fine[:, None] * (end - start)[s, g]
            leaders = lines.argmax(1)
            seen = fine[1:][leaders[1:] != leaders[:-1]]
            ours = np.sort(at[(segment == s) & (group == g)])
            for place in seen:
                assert np.abs(ours - place).min() < 1e-4
            assert len(ours) >= len(seen)
            for place in ours:  # each is on the upper envelope, with two members equal
                values = np.sort(start[s, g] + place * (end - start)[s, g])
                assert values[-1] == pytest.approx(values[-2], abs=1e-9)


def test_refinement_reaches_the_tolerance_it_states() -> None:
    points, table, error = refine(
        np.array([0.0, 3.0]),
        lambda a, b: (np.sin(a), np.cos(a), np.sin(b), np.cos(b)),
        np.sin,
        1e-6,
        1000,
    )
    assert error < 1e-6
    assert table[:, 0] == pytest.approx(np.sin(points))
    assert np.isnan(table[0, 1])
    assert np.isnan(table[-1, 2])
    few, _, coarse = refine(
        np.array([0.0, 3.0]), lambda a, b: (np.sin(a), np.cos(a), np.sin(b), np.cos(b)), np.sin, 0.0, 5
    )
    assert len(few) == 5
    assert coarse > error
