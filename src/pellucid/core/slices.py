"""A two-dimensional slice of a space of any dimension: where it lies, and how far it reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Slice"]


@dataclass(frozen=True, eq=False)
class Slice:
    """The points ``origin + s·u + t·v`` with s and t in their ranges, as inputs of a network or of one of its layers.

    Attributes:
        origin: The point of s = t = 0; flattened, float64, d numbers.
        u: The direction of s; d numbers. Need not be a unit vector.
        v: The direction of t; d numbers, not parallel to ``u``.
        u_range: The lowest and highest s.
        v_range: The lowest and highest t.
        shape: The shape of one example before flattening; its product is d.
        labels: What s and t are called.
        layer: '' for the network's input; else the module whose output the slice lies in; the network runs from there.
        points: Examples to show in the slice, as (s, t); k × 2.
        point_classes: The class of each, −1 where there is none; k numbers.
        distances: How far each lies from the slice, in the space's own units; k numbers, 0 for one that lies in it.
        template: Where ``layer`` is set: an example of the network's input. What reaches later layers past that layer
            is computed from it.
    """

    origin: np.ndarray
    u: np.ndarray
    v: np.ndarray
    u_range: tuple[float, float]
    v_range: tuple[float, float]
    shape: tuple[int, ...]
    labels: tuple[str, str] = ("s", "t")
    layer: str = ""
    points: np.ndarray | None = None
    point_classes: np.ndarray | None = None
    distances: np.ndarray | None = None
    template: np.ndarray | None = None

    def embed(self, coordinates: np.ndarray) -> np.ndarray:
        """Points of the space at (s, t); n × 2 in, n × d out, float64."""
        return self.origin + np.asarray(coordinates, dtype=np.float64) @ np.stack([self.u, self.v])

    def project(self, points: np.ndarray) -> np.ndarray:
        """The (s, t) of the nearest point of the slice's plane to each given point; n × d in, n × 2 out."""
        basis = np.stack([self.u, self.v], axis=1)
        flat = np.asarray(points, dtype=np.float64).reshape(len(points), len(self.origin)) - self.origin
        return np.linalg.lstsq(basis, flat.T, rcond=None)[0].T
