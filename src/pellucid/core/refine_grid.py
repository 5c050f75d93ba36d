"""A grid that is computed only where it bends: from a coarse one, cell by cell, to the finest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["COARSEST", "refine_grid", "round_up"]

COARSEST = 8
"""Fine steps in the first grid's step."""


def round_up(resolution: int) -> int:
    """The smallest number of grid points, not below ``resolution``, that a coarse grid divides evenly."""
    return -(-max(1, resolution - 1) // COARSEST) * COARSEST + 1


def refine_grid(values: np.ndarray, evaluate: Callable[[np.ndarray, np.ndarray], None], tolerance: float) -> np.ndarray:
    """Fill a grid of several surfaces: computed where any of them bends, interpolated between four corners elsewhere.

    A cell is split while the middle points of its sides or its own differ from the corners' interpolation by more than
    ``tolerance`` times that surface's range so far; its neighbours are split with it.

    Args:
        values: surfaces × rows × columns, to be filled; rows and columns are multiples of ``COARSEST`` plus 1.
        evaluate: Writes the true values at the given rows and columns into ``values``.
        tolerance: The share of a surface's range that is flat enough.

    Returns:
        rows × columns: where a value was computed.
    """
    rows, columns = values.shape[1:]
    known = np.zeros((rows, columns), dtype=bool)
    coarse = np.zeros_like(known)
    coarse[::COARSEST, ::COARSEST] = True
    evaluate(*np.nonzero(coarse))
    known |= coarse
    step = COARSEST
    active = np.ones(((rows - 1) // step, (columns - 1) // step), dtype=bool)
    while step > 1:
        half = step // 2
        _interpolate(values, known, step)
        wanted = _middles(active, rows, columns, half) & ~known
        row, column = np.nonzero(wanted)
        guess = values[:, row, column]
        evaluate(row, column)
        known |= wanted
        bent = np.zeros((rows, columns), dtype=bool)
        bent[row, column] = _off(values, values[:, row, column], guess, known, tolerance)
        active = _split(_touched(bent[::half, ::half]) & active)
        step = half
    return known


def _interpolate(values: np.ndarray, known: np.ndarray, step: int) -> None:
    """Middle points that are not known, from the ends or corners of their cell."""
    half = step // 2
    corners = values[:, ::step, ::step]
    across = (corners[:, :, :-1] + corners[:, :, 1:]) / 2
    down = (corners[:, :-1] + corners[:, 1:]) / 2
    centre = (across[:, :-1] + across[:, 1:]) / 2
    for rows, columns, guess in (
        (slice(None, None, step), slice(half, None, step), across),
        (slice(half, None, step), slice(None, None, step), down),
        (slice(half, None, step), slice(half, None, step), centre),
    ):
        place = values[:, rows, columns]
        np.copyto(place, guess, where=~known[rows, columns])


def _middles(active: np.ndarray, rows: int, columns: int, half: int) -> np.ndarray:
    """The five middle points of every active cell."""
    fine = np.zeros((2 * active.shape[0] + 1, 2 * active.shape[1] + 1), dtype=bool)
    for row, column in ((0, 1), (1, 0), (1, 1), (1, 2), (2, 1)):
        fine[row : row + 2 * active.shape[0] : 2, column : column + 2 * active.shape[1] : 2] |= active
    wanted = np.zeros((rows, columns), dtype=bool)
    wanted[::half, ::half] = fine
    return wanted


def _off(values: np.ndarray, found: np.ndarray, guess: np.ndarray, known: np.ndarray, tolerance: float) -> np.ndarray:
    """Whether any surface's true value is far from its guess; a value that is no number always is."""
    seen = values[:, known]
    with np.errstate(invalid="ignore"):
        finite = np.where(np.isfinite(seen), seen, np.nan)
        size = np.array([np.ptp(one[~np.isnan(one)]) if (~np.isnan(one)).any() else 0.0 for one in finite])
        apart = np.abs(found - guess)
    wrong = (apart > tolerance * size[:, None]) | (np.isnan(apart) & ~np.isnan(found))
    return np.asarray(wrong.any(axis=0))


def _touched(bent: np.ndarray) -> np.ndarray:
    """The cells of twice the step that hold or border a bent point, and their neighbours."""
    cells = np.zeros(((bent.shape[0] - 1) // 2, (bent.shape[1] - 1) // 2), dtype=bool)
    for row in range(3):
        for column in range(3):
            cells |= bent[row : row + 2 * cells.shape[0] : 2, column : column + 2 * cells.shape[1] : 2][
                : cells.shape[0], : cells.shape[1]
            ]
    wide, found = np.pad(cells, 1), np.zeros_like(cells)
    for row in range(3):
        for column in range(3):
            found |= wide[row : row + cells.shape[0], column : column + cells.shape[1]]
    return found


def _split(cells: np.ndarray) -> np.ndarray:
    """Each cell as its four quarters."""
    return cells.repeat(2, axis=0).repeat(2, axis=1)
