"""The slice that a picture lies in: its ranges, the names of its directions, and the examples shown in it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

__all__ = ["SlicePlane"]


@dataclass(frozen=True, eq=False)
class SlicePlane:
    """The points origin + s·u + t·v, as ``Slice`` describes them, in a form that is kept with a result."""

    origin: np.ndarray  # (d,) the point of s = t = 0
    u: np.ndarray  # (d,) the direction of s
    v: np.ndarray  # (d,)
    u_range: tuple[float, float]
    v_range: tuple[float, float]
    shape: tuple[int, ...]  # of one example
    labels: tuple[str, str]
    layer: str  # '' for the network's input, else the module whose output the slice lies in
    points: np.ndarray | None  # (k, 2) examples as (s, t)
    point_classes: np.ndarray | None  # (k,) −1 where there is none
    distances: np.ndarray | None  # (k,) from the slice

    @classmethod
    def of(cls, slice_: Any) -> Self:
        """What a ``Slice`` says, with its numbers in plain types."""
        given = {entry.name: getattr(slice_, entry.name) for entry in fields(cls)}
        for name in ("u_range", "v_range"):
            given[name] = (float(given[name][0]), float(given[name][1]))
        given["shape"] = tuple(int(axis) for axis in given["shape"])
        return cls(**given)

    def axes(self, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """So many values of s and of t, evenly from one end of the range to the other."""
        return np.linspace(*self.u_range, columns), np.linspace(*self.v_range, rows)
