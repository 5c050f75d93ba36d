"""Where do the classes lie, which are alike, what is left inside them, and which features are they made of?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.features import find_classifier, read_features
from pellucid.core.class_moments import Centres, ClassMeans
from pellucid.core.cluster_test import holm, judge_clusters
from pellucid.core.simplex_frame import SimplexFrame, frame_axes, nearest_simplex
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.lenses.class_features import Rotating, rotate_classes
from pellucid.results.class_geometry import ClassGeometry, ClassTexture

__all__ = ["measure_class_geometry"]

_MOST_PLACES = 256
_MOST_COSINES = 1024
_CLUSTER_EXAMPLES = 200
_Read = Callable[[], Iterator[tuple[Tensor, Tensor]]]


@dataclass(frozen=True)
class _Source:
    """Features to be read twice, and the classifier on top of them."""

    read: _Read
    layer: str
    weight: Tensor | None


def measure_class_geometry(
    model: nn.Module | None = None,
    loader: Batches | None = None,
    *,
    features: Any = None,
    labels: Any = None,
    weight: Any = None,
    classes: int | None = None,
    class_names: Sequence[str] = (),
    groups: Sequence[str] = (),
    split: str = "",
    points: int = 2000,
    rotate: bool = True,
    origin: str = "auto",
    axes: int | None = None,
    starts: int | None = None,
    draws: int = 99,
    order: Sequence[int] | None = None,
    seed: int = 0,
) -> ClassGeometry:
    """Class centres beside the simplex they would form, how alike they are, and the features that they are made of.

    Args:
        model: A classifier whose output comes from a linear layer; its input there are the features.
        loader: (inputs, class numbers) batches, walked twice.
        features: In place of model and loader: (examples, features).
        labels: Their classes, (examples,) integers.
        weight: The classifier's, (classes, features); None for none.
        classes: How many classes there are; found from the classifier, else from the labels.
        class_names: What they are called.
        groups: What each class belongs to, to ask whether related classes sit nearer to each other.
        split: What to call the data.
        points: At most so many examples are kept for the picture, evenly taken.
        rotate: Whether to look for the readable rotation, which takes longest.
        origin: Where a feature rests: ``zero``, the ``mean`` of the class means, or ``auto``: zero if no feature of any
            example is negative, as after a ReLU, and the mean is less than half of the centres' squared length.
        axes: How many features the rotation has; None for as many as the centres span, up to 24.
        starts: Random starts of the rotation; None for 24.
        draws: Draws of every null model: the least p-value is 1/(draws + 1).
        order: The classes around the picture, such as an earlier result's ``order``, so that pictures compare.
        seed: Of everything that is drawn.

    Raises:
        DataError: fewer than two classes have examples, or features or labels cannot be used.
        SettingsError: the arguments contradict each other, or the model's last layer is not linear.
    """
    source = _of_model(model, loader) if model is not None else _of_features(features, labels)
    weight = source.weight if weight is None else torch.as_tensor(weight)
    means, lowest = _first_pass(source.read, classes or (None if weight is None else len(weight)))
    if weight is not None and tuple(weight.shape) != (means.classes, means.width):
        raise SettingsError(
            f"a weight of {tuple(weight.shape)} does not go with {means.classes} classes and {means.width} features",
            place="weight",
            remedy="give (classes, features)",
        )
    if int((means.counts > 0).sum()) < 2:
        raise DataError(
            "only one class has examples, and there is no geometry of one",
            place="labels",
            remedy="give examples of at least two classes",
        )
    found = _Found.of(means, class_names, groups, weight)
    frame = nearest_simplex(found.centred)
    cosines, tree, leaves = _likeness(found.centred)
    placed = np.asarray(order if order is not None else leaves, dtype=np.int64)
    if sorted(placed.tolist()) != list(range(len(found.names))):
        raise SettingsError(
            "the order does not name every class with examples once", place="order", remedy="give a permutation"
        )
    drawn = frame_axes(placed)
    kept = _second_pass(source.read, found, frame, points)
    gap, p_value = _grouped(cosines, found.groups, draws, seed)
    rotation = None
    if rotate:
        if origin not in ("auto", "zero", "mean"):
            raise SettingsError(f"there is no origin {origin!r}", place="origin", remedy="use auto, zero or mean")
        at = _origin(found, lowest) if origin == "auto" else origin
        rotation = rotate_classes(found.means, found.weight, Rotating(at, axes, starts, draws, seed))
    own = frame.map @ found.centred.T
    few = len(found.names) <= _MOST_PLACES
    rows = _rows(found, frame, own)
    return ClassGeometry(
        layer=source.layer,
        split=split,
        examples=int(found.counts.sum()),
        features=means.width,
        class_names=found.names,
        empty_classes=found.empty,
        counts=found.counts,
        gap=frame.gap,
        exact_simplex=len(found.names) <= means.width + 1,
        places=own.T if few else np.empty((0, 0)),
        axes=drawn,
        ideal=(np.eye(len(drawn)) - 1 / len(drawn)) @ drawn,
        centres=own.T @ drawn,
        classifier=rows @ drawn if len(rows) else np.empty((0, 3)),
        points=(kept.places @ drawn).astype(np.float32),
        point_classes=kept.classes.astype(np.int32),
        point_places=kept.places.astype(np.float32) if few else np.empty((0, 0), dtype=np.float32),
        cosines=cosines,
        tree=tree,
        order=leaves,
        groups=found.groups,
        group_gap=gap,
        group_p_value=p_value,
        textures=_textures(found, kept, draws, seed),
        rotation=rotation,
    )


def _origin(found: _Found, lowest: float) -> str:
    """Where features rest: at zero if they are never negative and classes do not mostly share one common part."""
    common = float((found.means.mean(axis=0) ** 2).sum())
    return "zero" if lowest >= 0 and common < (found.means**2).sum(axis=1).mean() / 2 else "mean"


@dataclass(frozen=True)
class _Found:
    """The classes that have examples."""

    names: tuple[str, ...]
    empty: tuple[str, ...]
    groups: tuple[str, ...]
    row_of: np.ndarray  # by class number; −1 for an empty class
    counts: np.ndarray
    means: np.ndarray
    centred: np.ndarray
    overall: np.ndarray
    weight: np.ndarray | None

    @classmethod
    def of(cls, means: ClassMeans, names: Sequence[str], groups: Sequence[str], weight: Tensor | None) -> _Found:
        centres = Centres.of(means)
        present = centres.present.cpu().numpy()
        for what, given in (("class_names", names), ("groups", groups)):
            if len(given) not in (0, len(present)):
                raise SettingsError(
                    f"{len(given)} {what} for {len(present)} classes", place=what, remedy="give one for each class"
                )
        called = [str(one) for one in names] or [str(number) for number in range(len(present))]
        kept = np.flatnonzero(present)
        row_of = np.full(len(present), -1)
        row_of[kept] = np.arange(len(kept))
        return cls(
            names=tuple(called[one] for one in kept),
            empty=tuple(called[one] for one in np.flatnonzero(~present)),
            groups=tuple(str(groups[int(one)]) for one in kept) if len(groups) else (),
            row_of=row_of,
            counts=centres.counts.cpu().numpy()[kept],
            means=centres.means.cpu().numpy()[kept],
            centred=centres.centred.cpu().numpy()[kept],
            overall=centres.overall.cpu().numpy(),
            weight=None if weight is None else weight.detach().double().cpu().numpy()[kept],
        )


@dataclass(frozen=True)
class _Kept:
    """What the second pass keeps."""

    places: np.ndarray  # (points, classes) in the frame of the simplex
    classes: np.ndarray
    squared: np.ndarray  # (classes,) Σ‖h − μ‖²
    inside: tuple[np.ndarray, ...]  # per class, (some, features) residuals


def _second_pass(read: _Read, found: _Found, frame: SimplexFrame, points: int) -> _Kept:
    """The examples of the picture, and of every class some, evenly taken."""
    total, seen = int(found.counts.sum()), 0
    step = max(1, math.ceil(total / max(points, 1))) if points else total + 1
    steps = np.maximum(1, -(-found.counts // _CLUSTER_EXAMPLES))
    passed = np.zeros(len(found.names), dtype=np.int64)
    squared = np.zeros(len(found.names))
    places: list[np.ndarray] = [np.empty((0, len(found.names)))]
    classes: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
    inside: list[list[np.ndarray]] = [[] for _ in found.names]
    for features, labels in read():
        values = features.detach().double().cpu().numpy()
        rows = found.row_of[labels.cpu().numpy()]
        away = values - found.means[rows]
        np.add.at(squared, rows, (away**2).sum(axis=1))
        for row in sorted({int(one) for one in rows}):
            own = away[rows == row]
            every = int(steps[row])
            inside[row].append(own[int(-passed[row]) % every :: every])
            passed[row] += len(own)
        if points:
            chosen = slice((-seen) % step, None, step)
            places.append((values[chosen] - found.overall) @ frame.map.T)
            classes.append(rows[chosen])
        seen += len(values)
    return _Kept(np.concatenate(places), np.concatenate(classes), squared, tuple(np.concatenate(one) for one in inside))


def _textures(found: _Found, kept: _Kept, draws: int, seed: int) -> tuple[ClassTexture, ...]:
    """What is left inside each class, and whether it falls in two."""
    tests = [judge_clusters(one, draws=draws, seed=seed) for one in kept.inside]
    corrected = holm(np.array([one.normal_p_value for one in tests]))
    rows = []
    for index, (own, test) in enumerate(zip(kept.inside, tests, strict=True)):
        centred = own - own.mean(axis=0)
        values = np.linalg.svd(centred, compute_uv=False) ** 2 / len(own)
        rows.append(
            ClassTexture(
                name=found.names[index],
                examples=int(found.counts[index]),
                looked_at=len(own),
                spectrum=values[:20],
                size=float(kept.squared[index] / found.counts[index]),
                index=test.index,
                null_index=float(test.null.mean()) if len(test.null) else math.nan,
                p_value=test.normal_p_value,
                corrected=float(corrected[index]),
                share=float(test.side.mean()) if len(test.null) else math.nan,
            )
        )
    return tuple(rows)


def _rows(found: _Found, frame: SimplexFrame, own: np.ndarray) -> np.ndarray:
    """The classifier's rows in the frame, together as long as the centres; they count up to a common row."""
    if found.weight is None:
        return np.empty((0, 0))
    placed = (found.weight - found.weight.mean(axis=0)) @ frame.map.T
    size = float(np.linalg.norm(placed))
    return placed * (float(np.linalg.norm(own)) / size) if size > 0 else placed


def _likeness(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosines, the tree of average linkage, and its leaves in the order that puts like beside like."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    count = len(centred)
    if count > _MOST_COSINES:
        return np.empty((0, 0)), np.empty((0, 4)), np.arange(count)
    sizes = np.linalg.norm(centred, axis=1, keepdims=True)
    units = np.divide(centred, sizes, out=np.zeros_like(centred), where=sizes > 0)
    cosines = np.clip(units @ units.T, -1.0, 1.0)
    far = 1 - cosines
    np.fill_diagonal(far, 0.0)
    tree = linkage(squareform((far + far.T) / 2, checks=False), method="average", optimal_ordering=True)
    return cosines, tree, leaves_list(tree).astype(np.int64)


def _grouped(cosines: np.ndarray, groups: tuple[str, ...], draws: int, seed: int) -> tuple[float, float]:
    """How much nearer classes of one group are, and how often chance brings them as near."""
    if not groups or not len(cosines):
        return math.nan, math.nan
    same = np.array(groups)[:, None] == np.array(groups)[None, :]
    pairs = ~np.eye(len(groups), dtype=bool)
    if not (same & pairs).any() or same.all():
        return math.nan, math.nan

    def gap(mask: np.ndarray) -> float:
        return float(cosines[mask & pairs].mean() - cosines[~mask].mean())

    generator, own, hits = np.random.default_rng(seed), gap(same), 0
    for _ in range(draws):
        shuffled = generator.permutation(len(groups))
        hits += gap(same[np.ix_(shuffled, shuffled)]) >= own - 1e-12
    return own, (1 + hits) / (1 + draws)


def _of_model(model: nn.Module, loader: Batches | None) -> _Source:
    if loader is None:
        raise SettingsError("a model without data", place="loader", remedy="give a loader of (inputs, class numbers)")
    first, _ = next(iter(batches_of(loader)))
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    classifier = find_classifier(model, first[:1].to(where))

    def read() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in read_features(model, batches_of(loader), classifier):
            yield batch.features, batch.targets

    return _Source(read, classifier.name, classifier.weight)


def _of_features(features: Any, labels: Any) -> _Source:
    if features is None or labels is None:
        raise SettingsError(
            "there is nothing to measure", place="model", remedy="give model and loader, or features= and labels="
        )
    return _Source(lambda: batches_of((features, labels), size=4096), "", None)


def _first_pass(read: _Read, classes: int | None) -> tuple[ClassMeans, float]:
    """The class means, and the least number among the features."""
    means, lowest = None, math.inf
    for features, labels in read():
        if means is None:
            count = classes or 1 + max(int(one.max()) for _, one in read() if len(one))
            means = ClassMeans(count, features.shape[-1], features.device)
        means.update(features, labels)
        lowest = min(lowest, float(features.min()))
    assert means is not None  # batches_of refuses empty data
    return means, lowest
