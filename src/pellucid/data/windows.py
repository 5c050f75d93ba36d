"""Which windows of a series train, validate and test, without the future leaking into the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.data.splits import MINIMUM_ROWS, SPLITS, split_rows

__all__ = ["WindowPlan", "cut_windows", "needed_rows", "plan_windows"]


@dataclass(frozen=True)
class WindowPlan:
    """How a series is cut: a window of known values, then a horizon of values to be forecast.

    Attributes:
        window: Steps that are known.
        horizon: Steps that are forecast.
        stride: Steps between the starts of two windows of one split.
    """

    window: int
    horizon: int
    stride: int = 1


def plan_windows(
    plan: WindowPlan, parts: Mapping[str, np.ndarray], filled: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Find where the windows of each split start.

    A window belongs to the split in which its whole horizon lies; one whose horizon would lie in two is left out.
    Training windows so end before the first validation target, and validation windows before the first test target,
    while the known values of a validation or test window may reach back into the split before, as they would in use.

    Args:
        plan: Window, horizon and stride.
        parts: Consecutive row numbers of each split, in time order.
        filled: ``(rows,)`` whether a row's value was interpolated. A gap that ends a split was filled with what
            follows it, so that split then ends before the gap.

    Returns:
        Ascending starts by split; empty where a split is too short.
    """
    starts, origin = {}, int(parts["train"][0])
    for name in SPLITS:
        begin, end = int(parts[name][0]), int(parts[name][-1]) + 1
        while filled is not None and name != "test" and end > begin and filled[end - 1]:
            end -= 1
        first = begin if name == "train" else max(origin, begin - plan.window)
        starts[name] = np.arange(first, end - plan.window - plan.horizon + 1, plan.stride)
    return starts


def needed_rows(plan: WindowPlan, fractions: Sequence[float]) -> int:
    """The length of the shortest series of which every split holds a window."""
    rows = max(MINIMUM_ROWS, plan.window + plan.horizon)
    while not all(len(found) for found in plan_windows(plan, split_rows(rows, fractions, shuffle=False)).values()):
        rows += 1
    return rows


def cut_windows(values: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """``(starts, length, …)`` copies of ``values`` from each start on."""
    return values[starts[:, None] + np.arange(length)]
