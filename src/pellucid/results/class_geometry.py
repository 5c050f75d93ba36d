"""Where the classes of a network lie, what they share, and which features they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["ClassFeature", "ClassGeometry", "ClassTexture", "ReadableRotation"]


@dataclass(frozen=True)
class ClassTexture:
    """What is left inside one class."""

    name: str
    examples: int
    looked_at: int  # so many of them
    spectrum: np.ndarray  # eigenvalues of their covariance, largest first, at most 20
    size: float  # mean squared distance from the centre, over all examples
    index: float  # what two clusters leave of the squared distances, 0–1; nan for fewer than four examples
    null_index: float  # the same of Gaussian clouds of this spectrum, mean
    p_value: float  # of two clusters against one cloud, by a normal curve through the null indices
    corrected: float  # by Holm, over the classes
    share: float  # of the examples in the smaller cluster


@dataclass(frozen=True)
class ClassFeature:
    """One axis of the rotated feature space."""

    name: str  # f1, f2 … by how much of the centres they carry
    share: float  # of the centres' squared length, 0–1
    classes: tuple[int, ...]  # that use it, strongest first
    neurons: tuple[int, ...]  # that it is mostly made of, strongest first, at most 5
    neuron_weights: tuple[float, ...]  # of unit length over all neurons


@dataclass(frozen=True)
class ReadableRotation:
    """The rotation of feature space in which centres and classifier are sparsest."""

    origin: str  # where features rest: "zero" or "mean"
    joint: bool  # whether the classifier's rows were turned together with the centres
    loadings: np.ndarray  # (classes, features) of the centres
    classifier: np.ndarray  # (classes, features) of the classifier's rows; empty without one
    basis: np.ndarray  # (features, neurons) orthonormal rows
    features: tuple[ClassFeature, ...]
    carried: float  # share of the centres' squared length inside these features, 0–1
    classifier_carried: float  # the same of the classifier's rows; nan without one
    density: float  # share of the loadings in use, 0–1; 0.71 for Gaussian loadings; see core.sparse_rotation
    density_varimax: float
    null_density: np.ndarray  # of random mixtures of the classes
    p_value: float
    agreeing: float  # share of the starts that ended at the same density
    starts: int
    neuron_density: float  # mean |loading| over root mean square in the network's own neurons
    neuron_null: float  # of the same centres in a random orientation, mean
    neuron_p_value: float
    used_share: float  # what a class uses: the fewest features that carry this share of its squared length

    @property
    def found(self) -> bool:
        """Whether the classes are made of fewer features than chance gives, at 5 %."""
        return self.p_value <= 0.05

    def uses(self, row: int) -> tuple[int, ...]:
        """The features that a class uses, strongest first."""
        squares = self.loadings[row] ** 2
        order = np.argsort(-squares, kind="stable")
        if not squares.any():
            return ()
        reached = np.cumsum(squares[order]) >= self.used_share * squares.sum() - 1e-12
        return tuple(int(one) for one in order[: int(reached.argmax()) + 1])


@dataclass(frozen=True, eq=False)
class ClassGeometry(Result):
    """Class centres beside the ideal simplex, their likeness, what is left inside classes, and a readable basis."""

    schema: ClassVar[str] = "class_geometry/1"

    layer: str  # the module whose input the features are; '' for features that were given
    split: str
    examples: int
    features: int
    class_names: tuple[str, ...]  # of the classes with examples: all arrays run over these
    empty_classes: tuple[str, ...]
    counts: np.ndarray  # (classes,)
    gap: float  # between centres and the nearest simplex, 0 for a simplex, at most 1
    exact_simplex: bool  # False: there are fewer features than a simplex needs
    places: np.ndarray  # (classes, classes) the centres among the vertices e_c − 1/C; empty above 256 classes
    axes: np.ndarray  # (classes, 3) orthonormal directions of class space that are drawn
    ideal: np.ndarray  # (classes, 3) vertices of the simplex as drawn
    centres: np.ndarray  # (classes, 3) as drawn
    classifier: np.ndarray  # (classes, 3) its rows as drawn, as long as the centres together; empty without one
    points: np.ndarray  # (points, 3) float32: examples as drawn, evenly taken from all
    point_classes: np.ndarray  # (points,) int32
    point_places: np.ndarray  # (points, classes) float32 among the vertices; empty above 256 classes
    cosines: np.ndarray  # (classes, classes) of the centred class means; empty above 1,024 classes
    tree: np.ndarray  # (classes − 1, 4) average linkage of 1 − cosine, as scipy gives it
    order: np.ndarray  # (classes,) the tree's leaves: neighbours are alike
    groups: tuple[str, ...]  # what each class belongs to, where somebody said; else empty
    group_gap: float  # mean cosine inside groups − between them; nan without groups
    group_p_value: float  # by permuting the classes
    textures: tuple[ClassTexture, ...]
    rotation: ReadableRotation | None  # None where it was not asked for

    def corner(self, first: str, second: str, third: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Three classes on the triangle of their own simplex: its vertices, their centres, their points; (…, 2).

        Points that are not of the three classes are left out.
        """
        rows = [self.class_names.index(one) for one in (first, second, third)]
        flat = np.array([[2.0, -1.0, -1.0], [0.0, 3**0.5, -(3**0.5)]]).T / 6**0.5
        kept = np.isin(self.point_classes, rows)
        return flat, self.places[np.ix_(rows, rows)] @ flat, self.point_places[kept][:, rows].astype(np.float64) @ flat
