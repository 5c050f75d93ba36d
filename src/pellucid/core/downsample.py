"""Thinning rows for a picture: fewer rows, but every peak and dip that the eye would see is still there."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["choose_rows"]

_Numbers = np.ndarray


def choose_rows(columns: Iterable[np.ndarray], rows: int, points: int, *, at: np.ndarray | None = None) -> np.ndarray:
    """Which rows to keep so that about ``points`` remain and no extreme is lost?

    The rows are cut into equal buckets, or, where the rows do not stand evenly, into those of equal width. Of each
    bucket the first and the last row are kept, and for every column a row with its smallest and a row with its largest
    value there, and one with NaN if there is any. This is the min-max thinning of time-series databases, done for all
    columns at once so that one set of rows serves every curve.

    Args:
        columns: Numbers by row, ``rows`` long each; others than one-dimensional numeric arrays are passed over.
        rows: How many rows there are.
        points: How many to keep, at least 1. More are kept only if one bucket alone needs more: two for each column
            that goes up and down, one more for each that has NaN, and two.
        at: Where each row stands, ascending, if they do not stand evenly: rows that were thinned already in part.

    Returns:
        Row numbers, ascending, without duplicates (``int64``); all of them if there are no more than ``points``.

    Source: U. Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014, section 4.2.

    >>> choose_rows([np.array([0.0, 1.0, 9.0, 1.0, 0.0, 1.0, -7.0, 1.0])], rows=8, points=4)
    array([0, 2, 6, 7])
    """
    if rows <= points:
        return np.arange(rows, dtype=np.int64)
    numeric = [column for column in columns if column.ndim == 1 and column.dtype.kind in "iufb"]
    # A column that only rises or only falls has its extremes in a bucket's first and last row, which are kept anyway.
    winding = [column for column in numeric if not _is_monotone(column) and not _is_all_nan(column)]
    with_nan = sum(_has_nan(column) for column in winding)
    buckets = max(1, points // (2 * len(winding) + with_nan + 2))
    if at is None:
        size = -(-rows // buckets)
        starts = np.arange(0, rows, size)
        found = [_extremes(column, size, starts) for column in winding]
    else:
        starts = _starts(at, buckets)
        found = [_extremes_between(column, starts) for column in winding]
    kept = [starts, np.append(starts[1:], rows) - 1, *(part for parts in found for part in parts)]
    marked = np.zeros(rows, dtype=bool)
    marked[np.concatenate(kept)] = True
    return np.flatnonzero(marked)


def _starts(at: _Numbers, buckets: int) -> _Numbers:
    """The first row of each bucket that has any, if they are equally wide."""
    bounds = np.linspace(at[0], at[-1], buckets, endpoint=False)
    return np.unique(np.searchsorted(at, bounds))


def _is_monotone(column: _Numbers) -> bool:
    earlier, later = column[:-1], column[1:]
    return bool((earlier <= later).all()) or bool((earlier >= later).all())


def _has_nan(column: _Numbers) -> bool:
    return column.dtype.kind == "f" and bool(np.isnan(column).any())


def _is_all_nan(column: _Numbers) -> bool:
    return column.dtype.kind == "f" and bool(np.isnan(column).all())


def _extremes(column: _Numbers, size: int, starts: _Numbers) -> list[_Numbers]:
    """Row numbers of each bucket's smallest and largest value, and of a NaN where there is one."""
    full = len(column) // size
    blocks = [column[: full * size].reshape(full, size)]
    if full < len(starts):
        blocks.append(column[full * size :].reshape(1, -1))
    found = [_extremes_of_block(block) for block in blocks if block.size]
    lowest, highest, nan = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return [starts + lowest, starts + highest, (starts + nan)[nan >= 0]]


def _extremes_of_block(block: _Numbers) -> tuple[_Numbers, _Numbers, _Numbers]:
    """Per line of the block: where its smallest, its largest value and a NaN (−1: none) are."""
    lowest, highest = block.argmin(axis=1), block.argmax(axis=1)
    nan = np.full(len(block), -1)
    if block.dtype.kind == "f":
        # NumPy's argmin stops at the first NaN: those lines are searched again without theirs.
        affected = np.flatnonzero(np.isnan(block[np.arange(len(block)), lowest]))
        nan[affected] = lowest[affected]
        lines = block[affected]
        lowest[affected] = np.where(np.isnan(lines), np.inf, lines).argmin(axis=1)
        highest[affected] = np.where(np.isnan(lines), -np.inf, lines).argmax(axis=1)
    return lowest, highest, nan


def _extremes_between(column: _Numbers, starts: _Numbers) -> list[_Numbers]:
    """As ``_extremes``, of buckets of any lengths."""
    bucket = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(column)))
    found = [_first_of_each(bucket, column == most.reduceat(column, starts)[bucket]) for most in (np.fmin, np.fmax)]
    return [*found, _first_of_each(bucket, np.isnan(column))]


def _first_of_each(bucket: _Numbers, wanted: _Numbers) -> _Numbers:
    """The first wanted row of each bucket that has one."""
    rows = np.flatnonzero(wanted)
    return rows[np.flatnonzero(np.diff(bucket[rows], prepend=-1))]
