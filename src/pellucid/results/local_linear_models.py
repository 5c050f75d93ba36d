# pyright: reportUnknownMemberType=false
# pandas leaves much untyped.
"""A piecewise linear network on a data set: one linear model for each activation pattern that an example shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from pellucid.errors import SettingsError
from pellucid.results.base import Result
from pellucid.results.local_linear_simplification import (
    PointSet,
    Refit,
    SimplificationMethod,
    SimplificationSummary,
    SimplifiedModels,
    Task,
    simplify_models,
)

if TYPE_CHECKING:
    import pandas

__all__ = ["FeatureProfile", "KinkLayer", "LocalLinearModels"]

_MOST_BINS = 64
_MOST_COLUMNS = 200


@dataclass(frozen=True)
class KinkLayer:
    """An operation that bends the network, and how many bits of the pattern are its own."""

    name: str
    op: str
    bits: int
    never_on: int  # bits that are 0 for every example
    always_on: int  # bits that are 1 for every example: such a unit is linear on the data


@dataclass(frozen=True, eq=False)
class FeatureProfile:
    """One feature's coefficient in every region, and its effect along its own axis."""

    feature: str
    output: str
    regions: np.ndarray  # (regions,) by coefficient, smallest first
    coefficient: np.ndarray  # (regions,) in that order
    support: np.ndarray  # (regions,) examples, in that order
    segments: (
        np.ndarray
    )  # (regions, 2, 2): each local model's line over its examples' range: two ends of (value, output)
    grid: np.ndarray  # (points,) values of the feature, at quantiles of the data
    slope: np.ndarray  # (points − 1,) mean coefficient of the examples between two points
    effect: np.ndarray  # (points,) the slopes added up, with mean 0 over the data


@dataclass(frozen=True, eq=False)
class LocalLinearModels(Result):
    """The linear models that a piecewise linear network is, on the cells that its examples lie in.

    In the cell of region r the network's output is exactly ``coefficients[r] @ x + intercepts[r]``, with x the
    flattened input. Regions stand by support, largest first; of equals, the one whose first example comes first.
    """

    schema: ClassVar[str] = "local_linear_models/1"

    model: str
    task: Task
    features: tuple[str, ...]
    outputs: tuple[str, ...]  # what the network returns, one name an output
    classes: tuple[str, ...]  # empty for a regression
    shape: tuple[int, ...]  # of one example before flattening
    layers: tuple[KinkLayer, ...]
    data: PointSet
    held_out: PointSet | None
    unvisited: tuple[PointSet, ...]  # points in cells that no example visits, by the way they were drawn
    patterns: np.ndarray  # (regions, bytes) uint8, bits packed
    coefficients: np.ndarray  # (regions, outputs, features)
    intercepts: np.ndarray  # (regions, outputs)
    support: np.ndarray  # (regions,) examples
    representative: np.ndarray  # (regions,) the example farthest from every kink, at which the model was taken
    metric_names: tuple[str, ...]
    metrics: np.ndarray  # (regions, metrics); nan where one is not defined, such as an AUC with one class
    overall: np.ndarray  # (metrics,) of all examples together
    class_balance: np.ndarray  # (regions, classes) shares; (regions, 0) for a regression
    error: float  # largest |local model − network| over examples and outputs, float64
    inside_error: float  # the same at a random other point of each region's cell; this alone tests lonely examples
    inside_distance: float  # median distance of those points from the example, in standard deviations of the features
    output_scale: float  # largest |output| over the examples
    settings: dict[str, float]  # how the unvisited cells were sampled
    simplified: tuple[SimplificationSummary, ...]  # what fewer models achieve, measured with the rest

    def apply(self, points: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """Each point through the local model of the region named for it; n × features in, n × outputs out."""
        flat = np.asarray(points, dtype=np.float64).reshape(len(points), -1)
        return np.einsum("nof,nf->no", self.coefficients[regions], flat) + self.intercepts[regions]

    def table(self, output: str | int = 0) -> pandas.DataFrame:
        """One row a region: support, share, figures, class balance, intercept and coefficients of one output.

        Args:
            output: Its name or number.

        Returns:
            A frame of at most 200 coefficient columns, those of the most important features if there are more.
        """
        import pandas

        place = self._output(output)
        columns: dict[str, np.ndarray] = {
            "support": self.support,
            "share": self.support / max(1, int(self.support.sum())),
            **{name: self.metrics[:, at] for at, name in enumerate(self.metric_names)},
            **{f"share of {name}": self.class_balance[:, at] for at, name in enumerate(self.classes)},
            "intercept": self.intercepts[:, place],
        }
        kept = np.arange(len(self.features))
        if len(kept) > _MOST_COLUMNS:
            kept = np.argsort(-self._joint(place), kind="stable")[:_MOST_COLUMNS]
        for at in kept:
            name = self.features[at]
            columns[f"coefficient of {name}" if name in columns else name] = self.coefficients[:, place, at]
        return pandas.DataFrame(columns, index=pandas.RangeIndex(len(self.support), name="region"))

    def importance(self, output: str | int | None = None) -> pandas.DataFrame:
        """How much each feature moves the output, over all regions that the data visits.

        With πᵣ the share of the examples in region r, wᵣⱼ the coefficient and sⱼ the feature's standard deviation,
        the joint importance is sⱼ·√(Σᵣ πᵣ wᵣⱼ²), divided by its sum over the features. Of several classes the mean
        over the outputs is taken off the coefficients first, because the softmax does not see it.

        Args:
            output: One output's name or number; None for all together.

        Returns:
            One row a feature, largest first: ``joint`` (share of 1); ``effect``, the output's mean change over one
            standard deviation; ``spread``, that change's standard deviation over the examples; ``same_sign``, the share
            of examples whose coefficient has the more frequent sign. The last three are nan for all outputs together.
        """
        import pandas

        place = None if output is None else self._output(output)
        joint = self._joint(place)
        total = float(joint.sum())
        columns = {"joint": joint / total if total > 0 else joint}
        if place is None:
            columns |= dict.fromkeys(("effect", "spread", "same_sign"), np.full(len(joint), np.nan))
        else:
            weight = self.support / self.support.sum()
            moved = self._centred()[:, place] * self._scale()
            mean = weight @ moved
            columns["effect"] = mean
            columns["spread"] = np.sqrt(weight @ (moved - mean) ** 2)
            columns["same_sign"] = np.maximum(weight @ (moved > 0), weight @ (moved < 0))
        frame = pandas.DataFrame(columns, index=pandas.Index(self.features, name="feature"))
        return frame.sort_values("joint", ascending=False, kind="stable")

    def profile(self, feature: str | int, output: str | int = 0) -> FeatureProfile:
        """How one feature acts: its coefficient in every region, each local line, and the lines' common effect.

        The effect is the accumulated local effect with the network's own slopes: m(t) = ∫ E[∂f/∂xⱼ | xⱼ = s] ds, the
        expectation taken over the examples between two neighbouring quantiles. It is piecewise linear.

        Args:
            feature: Its name or number.
            output: The output's name or number.

        Source: Sudjianto et al. 2020, local linear profile plot; Apley and Zhu 2020, equation 6, for the effect.
        """
        at, place = self._feature(feature), self._output(output)
        values = self.data.points[:, at]
        weight = self.coefficients[:, place, at]
        order = np.argsort(weight, kind="stable")
        grid, slope, effect = _accumulate(values, weight[self.data.region])
        return FeatureProfile(
            feature=self.features[at],
            output=self.outputs[place],
            regions=order,
            coefficient=weight[order],
            support=self.support[order],
            segments=self._segments(values, weight, self.data.output[:, place])[order],
            grid=grid,
            slope=slope,
            effect=effect,
        )

    def simplify(
        self, method: SimplificationMethod = "merge", regions: int = 8, *, refit: Refit = "network", neighbours: int = 8
    ) -> SimplifiedModels:
        """Fewer linear models in the place of these, and how faithful they are, also where the data never was.

        Args:
            method: ``"merge"`` joins neighbouring regions with similar coefficients and fits one model to each group; a
                point belongs to the group of the nearest example. ``"tree"`` finds rules on the features whose leaves
                have similar coefficients. ``"flatten"`` makes the merged models the units of a network with one hidden
                layer.
            regions: Groups, leaves, or hidden pairs of units.
            refit: What the models are fitted to: the ``"network"``'s outputs, or the ``"target"``s, as the paper does.
            neighbours: For merging: each region may join so many others whose patterns differ in the fewest bits.

        Returns:
            The models, and their agreement with the network on the data, on held-out data and in unvisited cells.

        Raises:
            SettingsError: a method, a number of regions or of neighbours that does not exist.
        """
        return simplify_models(
            method,
            regions,
            refit=refit,
            neighbours=neighbours,
            task=self.task,
            features=self.features,
            sets=(self.data, *((self.held_out,) if self.held_out is not None else ()), *self.unvisited),
            coefficients=self.coefficients,
            intercepts=self.intercepts,
            support=self.support,
            patterns=self.patterns,
        )

    def _segments(self, values: np.ndarray, weight: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Each region's line through its examples' mean, over their range."""
        region, count = self.data.region, len(self.support)
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(low, region, values)
        np.maximum.at(high, region, values)
        middle = np.bincount(region, values, count) / self.support
        level = np.bincount(region, output, count) / self.support
        ends = np.stack([low, high], axis=1)
        return np.stack([ends, level[:, None] + weight[:, None] * (ends - middle[:, None])], axis=2)

    def _scale(self) -> np.ndarray:
        return self.data.points.std(axis=0)

    def _centred(self) -> np.ndarray:
        if self.task != "multiclass":
            return self.coefficients
        return self.coefficients - self.coefficients.mean(axis=1, keepdims=True)

    def _joint(self, place: int | None) -> np.ndarray:
        """sⱼ·√(Σᵣ πᵣ wᵣⱼ²), over one output or all."""
        weights = self._centred() if place is None else self._centred()[:, place : place + 1]
        share = self.support / self.support.sum()
        return self._scale() * np.sqrt(np.einsum("r,rof->f", share, weights**2))

    def _feature(self, feature: str | int) -> int:
        return _find(feature, self.features, "feature")

    def _output(self, output: str | int) -> int:
        return _find(output, self.outputs, "output")


def _find(wanted: str | int, names: tuple[str, ...], kind: Literal["feature", "output"]) -> int:
    """The place of a name or number among the names."""
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    if isinstance(wanted, int) and -len(names) <= wanted < len(names):
        return wanted % len(names)
    shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    raise SettingsError(f"there is no {kind} {wanted!r}", place=kind, remedy=f"name one of {shown}")


def _accumulate(values: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles of the values, the mean slope between neighbours, and its integral with mean 0 over the data."""
    bins = min(_MOST_BINS, max(1, len(values) - 1))
    grid = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1), method="inverted_cdf"))
    if len(grid) < 2:
        return grid, np.empty(0), np.zeros(len(grid))
    place = np.clip(np.searchsorted(grid, values, side="left") - 1, 0, len(grid) - 2)
    count = np.bincount(place, minlength=len(grid) - 1)  # Every bin holds the example at its right end.
    slope = np.bincount(place, slopes, len(grid) - 1) / count
    effect = np.concatenate([[0.0], np.cumsum(slope * np.diff(grid))])
    return grid, slope, effect - float(np.interp(values, grid, effect).mean())
