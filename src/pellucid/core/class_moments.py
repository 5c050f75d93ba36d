"""Class means, and the scatter about them, gathered batch by batch in float64 without a features × features matrix.

Two passes over the same features: ``ClassMeans`` finds the centres, ``ClassScatter`` measures what lies about them.
Centring before squaring keeps a collapsed class exact: in one pass its scatter would be the small difference of two
large sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.core.across_processes import sum_in_order
from pellucid.errors import DataError

__all__ = ["Centres", "ClassMeans", "ClassScatter", "check_batch"]

_DROPPED = 1e-12
"""Eigenvalues of the centres' Gram matrix below this share of the largest count as zero."""


def check_batch(features: Tensor, labels: Tensor, classes: int, width: int) -> tuple[Tensor, Tensor]:
    """The batch as a float matrix and int64 labels.

    Raises:
        DataError: shapes do not fit, a label is out of range, or a feature is NaN or infinite.
    """
    if features.ndim != 2 or labels.ndim != 1 or len(features) != len(labels):
        raise DataError(
            f"features of shape {tuple(features.shape)} do not go with labels of shape {tuple(labels.shape)}",
            place="features",
            remedy="give (examples, features) and (examples,)",
        )
    if features.shape[1] != width:
        raise DataError(
            f"{features.shape[1]} features, where {width} were before",
            place="features",
            remedy="measure one layer at a time",
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise DataError(
            f"labels are {labels.dtype}, not class numbers",
            place="labels",
            remedy=f"give integers from 0 to {classes - 1}",
        )
    labels = labels.long()
    if len(labels):
        low, high = (int(one) for one in torch.aminmax(labels))
        if low < 0 or high >= classes:
            raise DataError(
                f"label {low if low < 0 else high} is no class",
                place="labels",
                remedy=f"give integers from 0 to {classes - 1}",
            )
    if not features.is_floating_point() or features.element_size() < 4:
        features = features.float()
    return features.detach(), labels


def _refuse_nonfinite(features: Tensor, seen: int) -> None:
    """Name the first example that is not finite."""
    bad = ~torch.isfinite(features).all(dim=1)
    if bool(bad.any()):
        place = int(bad.nonzero()[0])
        raise DataError(
            f"the features of example {seen + place} are not finite",
            place="features",
            remedy="look for NaN in the inputs or weights (pellucid.trace names the operation)",
        )


class ClassMeans:
    """How many examples each class has, and the sum of their features.

    Args:
        classes: How many classes there are, with or without examples.
        width: How many features.
        device: Where the sums lie; the features' device.

    >>> means = ClassMeans(2, 1)
    >>> means.update(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1]))
    >>> means.means().flatten().tolist()
    [2.0, 5.0]
    """

    def __init__(self, classes: int, width: int, device: torch.device | str = "cpu") -> None:
        self.classes, self.width = classes, width
        self.counts = torch.zeros(classes, dtype=torch.int64, device=device)
        self.sums = torch.zeros(classes, width, dtype=torch.float64, device=device)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch: (examples, features) and (examples,) class numbers."""
        features, labels = check_batch(features, labels, self.classes, self.width)
        seen = int(self.counts.sum())
        self.counts += torch.bincount(labels, minlength=self.classes)
        before = self.sums if len(features) else None
        self.sums.index_add_(0, labels, features.double())
        if before is not None and not bool(torch.isfinite(self.sums.sum())):
            _refuse_nonfinite(features, seen)

    def means(self) -> Tensor:
        """The class means, (classes, features) float64; NaN for a class without an example."""
        return self.sums / self.counts[:, None]

    def merge(self, other: ClassMeans) -> None:
        """Take in what another gathered on other examples."""
        self.counts += other.counts.to(self.counts.device)
        self.sums += other.sums.to(self.sums.device)

    def reduce(self, group: Any = None) -> None:
        """Sum over the processes of a ``torch.distributed`` group; every process gets the same bits."""
        sum_in_order([self.counts, self.sums], group)

    def reset(self) -> None:
        """Forget everything."""
        self.counts.zero_()
        self.sums.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """What was gathered, to go on from later."""
        return {"counts": self.counts.clone(), "sums": self.sums.clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``state_dict`` gave."""
        self.counts.copy_(state["counts"])
        self.sums.copy_(state["sums"])


class Centres:
    """The centres that a second pass measures about, and the directions that they span.

    Attributes:
        counts: Examples a class, (classes,).
        means: (classes, features) float64; zeros for an empty class.
        present: Which classes have examples.
        overall: The mean of the class means (or of all examples), (features,).
        centred: means − overall, zero where a class is empty.
        directions: An orthonormal basis of what ``centred`` spans, (rank, features), largest first.
        strengths: The eigenvalues of the centres' scatter along it (not divided by the classes), (rank,).
    """

    def __init__(self, counts: Tensor, means: Tensor, *, overall: str = "classes", weighted: bool = False) -> None:
        self.counts, self.present = counts, counts > 0
        self.means = means.double().masked_fill(~self.present[:, None], 0.0)
        weights = self.present.double() if overall == "classes" else counts.double()
        self.overall = (weights @ self.means) / weights.sum()
        self.centred = (self.means - self.overall).masked_fill_(~self.present[:, None], 0.0)
        # ``weighted``: a class counts in the scatter of the centres by its examples, C·n_c/N in place of 1.
        share = counts.double() * len(counts) / counts.sum() if weighted else self.present.double()
        self.strengths, self.directions = _span(self.centred * share.sqrt()[:, None])

    @classmethod
    def of(cls, means: ClassMeans, *, overall: str = "classes", weighted: bool = False) -> Centres:
        """The centres that a first pass found."""
        return cls(means.counts, means.means(), overall=overall, weighted=weighted)


def _span(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and directions of the centres' scatter, from the Gram matrix of the smaller side."""
    classes, width = centred.shape
    if classes <= width:
        values, vectors = torch.linalg.eigh(centred @ centred.T)
        kept = _kept(values)
        directions = (vectors[:, kept].T @ centred) / values[kept].sqrt()[:, None]
    else:
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        kept = _kept(values)
        directions = vectors[:, kept].T.contiguous()
    return values[kept], directions


def _kept(values: Tensor) -> Tensor:
    """Which eigenvalues are not zero, largest first."""
    largest = float(values[-1]) if len(values) else 0.0
    order = torch.arange(len(values) - 1, -1, -1, device=values.device)
    return order[values[order] > _DROPPED * largest] if largest > 0 else order[:0]


class ClassScatter:
    """The second pass: how far examples lie from their class's centre, and whom centres and classifier take them for.

    Args:
        centres: Of the same examples.
        weight: The classifier's, (classes, features); None to leave its decisions out.
        bias: The classifier's, (classes,); None for none.
        nearest_to: The centres that the nearest one is looked for among (the training set's); None for ``centres``.

    What is measured of residuals is float64 throughout, so that any cut into batches gives the same to 1e-12 or so;
    the two decisions are taken in the features' own type.
    """

    SUMS = ("squared", "projected", "inside", "right", "right_by_centre", "mismatched", "along")

    def __init__(
        self,
        centres: Centres,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        nearest_to: Centres | None = None,
    ) -> None:
        self.centres, classes = centres, len(centres.counts)
        device = centres.means.device
        self.squared = torch.zeros(classes, dtype=torch.float64, device=device)
        """Σ‖h − μ‖² a class."""
        self.projected = torch.zeros_like(self.squared)
        """Σ (h − μ)ᵀ(ṀᵀṀ)†(h − μ) a class."""
        self.inside = torch.zeros_like(self.squared)
        """Σ of the squared residual inside the span of the centres, a class."""
        self.along = torch.zeros(len(centres.strengths), dtype=torch.float64, device=device)
        """The same, along each direction of the span."""
        self.right = torch.zeros(classes, dtype=torch.int64, device=device)
        """Examples of a class that the classifier takes for it."""
        self.right_by_centre = torch.zeros_like(self.right)
        self.mismatched = torch.zeros_like(self.right)
        """Examples of a class on which classifier and nearest centre differ."""
        self._weight, self._bias, self._nearest_to = weight, bias, nearest_to or centres
        self._deciders: dict[torch.dtype, _Decider] = {}

    def update(self, features: Tensor, labels: Tensor, decisions: Tensor | None = None) -> None:
        """Add a batch; ``decisions`` are the model's own classes, (examples,), where they are known."""
        features, labels = check_batch(features, labels, len(self.squared), self.centres.means.shape[1])
        if not len(features):
            return
        residual = features.double() - self.centres.means[labels]
        self.squared.index_add_(0, labels, torch.linalg.vector_norm(residual, dim=1).square_())
        along = (residual @ self.centres.directions.T).square_()
        self.along += along.sum(dim=0)
        self.inside.index_add_(0, labels, along.sum(dim=1))
        self.projected.index_add_(0, labels, along @ (1 / self.centres.strengths))
        self._decide(features, labels, decisions)

    def _decide(self, features: Tensor, labels: Tensor, decisions: Tensor | None) -> None:
        """Count whom the classifier and the nearest centre take each example for."""
        if decisions is None and self._weight is None:
            return
        ready = self._deciders.get(features.dtype)
        if ready is None:
            ready = _Decider(self._nearest_to, self._weight, self._bias, features.dtype)
            self._deciders[features.dtype] = ready
        nearest = ready.nearest(features)
        if decisions is None:
            decisions = ready.classify(features)
        for name, hit in (
            ("right", decisions == labels),
            ("right_by_centre", nearest == labels),
            ("mismatched", decisions != nearest),
        ):
            getattr(self, name).add_(torch.bincount(labels[hit], minlength=len(self.squared)))

    def merge(self, other: ClassScatter) -> None:
        """Take in what another gathered about the same centres on other examples."""
        for name in self.SUMS:
            getattr(self, name).add_(getattr(other, name).to(self.squared.device))

    def reduce(self, group: Any = None) -> None:
        """Sum over the processes of a ``torch.distributed`` group; every process gets the same bits."""
        sum_in_order([getattr(self, name) for name in self.SUMS], group)

    def reset(self) -> None:
        """Forget everything but the centres."""
        for name in self.SUMS:
            getattr(self, name).zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """What was gathered, to go on from later about the same centres."""
        return {name: getattr(self, name).clone() for name in self.SUMS}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``state_dict`` gave."""
        for name in self.SUMS:
            getattr(self, name).copy_(state[name])


class _Decider:
    """Nearest centre and classifier, in the features' own type."""

    def __init__(self, nearest: Centres, weight: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.overall = nearest.overall.to(dtype)
        self.towards = nearest.centred.T.to(dtype).contiguous()
        missed = nearest.overall - self.overall.double()
        half = nearest.centred.square().sum(dim=1) / 2 + nearest.centred @ missed
        self.half = torch.where(nearest.present, half, torch.inf).to(dtype)
        self.weight = None if weight is None else weight.detach().T.to(dtype).contiguous()
        self.bias = None if bias is None else bias.detach().to(dtype)

    def nearest(self, features: Tensor) -> Tensor:
        """The class whose centre is nearest: argmax of (h − g)·ṁ − ‖ṁ‖²/2."""
        return ((features - self.overall) @ self.towards).sub_(self.half).argmax(dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """The classifier's own decision, bias and all."""
        assert self.weight is not None
        scores = features @ self.weight if self.bias is None else torch.addmm(self.bias, features, self.weight)
        return scores.argmax(dim=1)
