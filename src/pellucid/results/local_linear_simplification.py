# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# scikit-learn has no types.
"""Fewer linear models in the place of many: merging, rules, one hidden layer; and how faithful they stay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid.errors import SettingsError
from pellucid.results.local_linear_fitting import average_models, fit_output_layer, refit_model
from pellucid.results.local_linear_merging import merge_regions

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Fidelity",
    "PointSet",
    "Refit",
    "SimplificationMethod",
    "SimplificationSummary",
    "SimplifiedModels",
    "Task",
    "simplify_models",
]

Task = Literal["regression", "binary", "multiclass"]
SimplificationMethod = Literal["merge", "tree", "flatten"]
Refit = Literal["network", "target"]

_PURSUIT = 32
_BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class PointSet:
    """Points, and what the network says of them."""

    name: str
    points: np.ndarray  # (n, features) flattened, float64
    target: np.ndarray  # (n,) classes, (n, outputs) numbers; empty where nobody knows
    output: np.ndarray  # (n, outputs) the network's, float64
    region: np.ndarray  # (n,) int32; −1 in a cell that no example visits


@dataclass(frozen=True)
class Fidelity:
    """How far simplified models agree with the network on one set of points."""

    where: str
    points: int
    agreement: float  # share of equal class decisions; nan for a regression
    r2: float  # of the network's outputs by the simplified ones: 1 is equality, 0 no better than their mean
    largest_error: float  # largest |difference of an output|
    score: float  # accuracy, or R², of the simplified models; nan where no target is known
    network_score: float  # the same of the network


@dataclass(frozen=True)
class SimplificationSummary:
    """What a simplification came to, without its models."""

    method: SimplificationMethod
    refit: Refit
    groups: int
    rules: tuple[str, ...]  # of a tree, by group
    fidelity: tuple[Fidelity, ...]


@dataclass(frozen=True, eq=False)
class SimplifiedModels:
    """Linear models on fewer regions, or one hidden layer, that stand for a network."""

    method: SimplificationMethod
    refit: Refit
    task: Task
    features: tuple[str, ...]
    group: np.ndarray  # (regions,) the group of each of the network's regions; −1 where its examples are in several
    coefficients: np.ndarray  # (groups, outputs, features)
    intercepts: np.ndarray  # (groups, outputs)
    support: np.ndarray  # (groups,) examples
    fidelity: tuple[Fidelity, ...]
    examples: np.ndarray  # merge, flatten: points whose nearest decides, in units of ``scale``; empty for a tree
    example_group: np.ndarray  # the group of each
    scale: np.ndarray  # (features,) standard deviations, 1 for a constant feature
    tree: np.ndarray  # (nodes, 5): feature (−1: leaf), threshold, left, right, group; empty but for a tree
    hidden: np.ndarray  # flatten: (2·units + 1, outputs) weights of relu(u), relu(−u) for every unit, and a constant

    def groups_of(self, points: np.ndarray) -> np.ndarray:
        """The group that each point belongs to; n × features in."""
        flat = np.asarray(points, dtype=np.float64).reshape(len(points), -1)
        if len(self.tree):
            return _descend(self.tree, flat)
        return self.example_group[_nearest(flat / self.scale, self.examples)]

    def predict(self, points: np.ndarray) -> np.ndarray:
        """The outputs that stand for the network's: numbers, or logits; n × outputs."""
        flat = np.asarray(points, dtype=np.float64).reshape(len(points), -1)
        if self.method == "flatten":
            return _units(flat, self.coefficients, self.intercepts) @ self.hidden
        group = self.groups_of(flat)
        return np.einsum("nof,nf->no", self.coefficients[group], flat) + self.intercepts[group]

    def table(self) -> pandas.DataFrame:
        """One row a set of points: how far the models agree with the network there, and both scores."""
        import pandas

        columns = ("points", "agreement", "r2", "largest_error", "score", "network_score")
        return pandas.DataFrame(
            {name: [getattr(item, name) for item in self.fidelity] for name in columns},
            index=pandas.Index([item.where for item in self.fidelity], name="where"),
        )

    def rules(self) -> tuple[str, ...]:
        """A tree's leaves as conditions on the features, by group; empty for the other methods."""
        found: dict[int, str] = {}
        waiting: list[tuple[int, tuple[str, ...]]] = [(0, ())] if len(self.tree) else []
        while waiting:
            node, conditions = waiting.pop()
            feature, threshold, left, right, group = self.tree[node]
            if feature < 0:
                found[int(group)] = " and ".join(conditions) or "always"
                continue
            name = self.features[int(feature)]
            waiting.append((int(left), (*conditions, f"{name} ≤ {threshold:.4g}")))
            waiting.append((int(right), (*conditions, f"{name} > {threshold:.4g}")))
        return tuple(found[key] for key in sorted(found))

    def summary(self) -> SimplificationSummary:
        """How faithful the models are, without themselves."""
        return SimplificationSummary(self.method, self.refit, len(self.coefficients), self.rules(), self.fidelity)

    def __str__(self) -> str:
        lines = [f"{self.method}: {len(self.coefficients)} linear models for {len(self.group)} regions"]
        return "\n".join([*lines, *self.rules(), self.table().to_string(float_format="{:.4g}".format)])


def simplify_models(
    method: SimplificationMethod,
    regions: int,
    *,
    refit: Refit,
    neighbours: int,
    task: Task,
    features: tuple[str, ...],
    sets: tuple[PointSet, ...],
    coefficients: np.ndarray,
    intercepts: np.ndarray,
    support: np.ndarray,
    patterns: np.ndarray,
) -> SimplifiedModels:
    """What ``LocalLinearModels.simplify`` does; the first of ``sets`` is the data.

    Raises:
        SettingsError: a method, a number of regions or of neighbours that does not exist.

    Source: Sudjianto et al. 2020 (merging neighbours by their coefficients, then a refit); Knauth 2020, *The
    self-simplifying machine* (one hidden layer whose units are the local models).
    """
    _check(method, refit, regions, neighbours, sets[0])
    data = sets[0]
    scale = data.points.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    effects = _effects(coefficients, intercepts, data, scale, task)
    tree = np.empty((0, 5))
    if method == "tree":
        tree = _grow(data.points, effects[data.region], regions)
        member = _descend(tree, data.points)
    else:
        member = merge_regions(effects, patterns, support, min(regions, len(support)), neighbours)[data.region]
    groups = len(tree) // 2 + 1 if method == "tree" else int(member.max()) + 1
    wanted = _wanted(data, task) if refit == "target" else data.output
    fitted = data.output if method == "flatten" else wanted
    logistic = refit == "target" and task != "regression"
    models = [
        refit_model(
            data.points[chosen],
            fitted[chosen],
            average_models(chosen, data.region, coefficients, intercepts),
            scale,
            logistic=logistic and method != "flatten",
        )
        for chosen in (member == group for group in range(groups))
    ]
    weights, shifts = (np.stack(part) for part in zip(*models, strict=True))
    hidden = np.empty((0, data.output.shape[1]))
    if method == "flatten":
        hidden = fit_output_layer(_units(data.points, weights, shifts), data.output, wanted, logistic=logistic)
    group_of = np.array([_only(member[data.region == region]) for region in range(len(support))], dtype=np.int32)
    found = SimplifiedModels(
        method=method,
        refit=refit,
        task=task,
        features=features,
        group=group_of,
        coefficients=weights,
        intercepts=shifts,
        support=np.bincount(member, minlength=groups),
        fidelity=(),
        examples=np.empty((0, data.points.shape[1])) if method == "tree" else data.points / scale,
        example_group=np.empty(0, np.int32) if method == "tree" else member.astype(np.int32),
        scale=scale,
        tree=tree,
        hidden=hidden,
    )
    return replace(found, fidelity=tuple(_compare(found, points) for points in sets if len(points.points)))


def _check(method: str, refit: str, regions: int, neighbours: int, data: PointSet) -> None:
    """Settings that exist."""
    for name, value, known in (
        ("method", method, ("merge", "tree", "flatten")),
        ("refit", refit, ("network", "target")),
    ):
        if value not in known:
            raise SettingsError(f"there is no {name} {value!r}", place=name, remedy=f"use one of {', '.join(known)}")
    for name, value in (("regions", regions), ("neighbours", neighbours)):
        if value < 1:
            raise SettingsError(f"{name} is {value}", place=name, remedy="give 1 or more")
    if refit == "target" and not len(data.target):
        raise SettingsError("there are no targets to fit to", place="refit", remedy='use refit="network"')


def _effects(
    coefficients: np.ndarray, intercepts: np.ndarray, data: PointSet, scale: np.ndarray, task: Task
) -> np.ndarray:
    """What decides whether two models are alike: their coefficients over one standard deviation, and their level.

    The level is the output at the data's mean point. Of several classes the mean over the outputs is taken off.
    """
    level = coefficients @ data.points.mean(axis=0) + intercepts
    effects = np.concatenate([coefficients * scale, level[..., None]], axis=2)
    if task == "multiclass":
        effects = effects - effects.mean(axis=1, keepdims=True)
    flat = effects.reshape(len(effects), -1)
    if flat.shape[1] <= _PURSUIT:
        return flat
    centred = flat - flat.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :_PURSUIT] * values[:_PURSUIT]


def _grow(points: np.ndarray, effects: np.ndarray, leaves: int) -> np.ndarray:
    """A regression tree of the local models on the features, as rows of (feature, threshold, left, right, group)."""
    from sklearn.tree import DecisionTreeRegressor

    if leaves < 2:
        return np.array([[-1.0, 0.0, -1.0, -1.0, 0.0]])
    grown = DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=0).fit(points, effects).tree_
    leaf = grown.children_left < 0
    group = np.where(leaf, np.cumsum(leaf) - 1, -1)
    feature = np.where(leaf, -1, grown.feature)
    return np.stack([feature, grown.threshold, grown.children_left, grown.children_right, group], axis=1).astype(float)


def _descend(tree: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The group of the leaf that each point falls into."""
    node = np.zeros(len(points), dtype=np.int64)
    rows = np.arange(len(points))
    while (inner := tree[node, 0] >= 0).any():
        feature = np.where(inner, tree[node, 0], 0).astype(np.int64)
        lower = points[rows, feature] <= tree[node, 1]
        node = np.where(inner, np.where(lower, tree[node, 2], tree[node, 3]).astype(np.int64), node)
    return tree[node, 4].astype(np.int64)


def _wanted(data: PointSet, task: Task) -> np.ndarray:
    """The targets in the outputs' shape: numbers, 0/1, or one-hot rows."""
    if task == "multiclass":
        return np.eye(data.output.shape[1])[data.target.astype(np.int64)]
    return data.target.reshape(len(data.target), -1).astype(np.float64)


def _units(points: np.ndarray, weights: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """relu(u), relu(−u) of every linear model u, and a constant."""
    value = np.einsum("kof,nf->nko", weights, points) + shifts
    flat = value.reshape(len(points), -1)
    return np.concatenate([np.maximum(flat, 0), np.maximum(-flat, 0), np.ones((len(points), 1))], axis=1)


def _nearest(points: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """The nearest example of each point; the first of equals."""
    from scipy.spatial import KDTree

    if examples.shape[1] <= 16:
        return np.asarray(KDTree(examples).query(points)[1])
    sizes = (examples**2).sum(axis=1)
    rows = max(1, _BLOCK // len(examples))
    parts = [points[start : start + rows] for start in range(0, len(points), rows)]
    return np.concatenate([np.argmin(sizes - 2 * (part @ examples.T), axis=1) for part in parts])


def _only(groups: np.ndarray) -> int:
    return int(groups[0]) if len(groups) and (groups == groups[0]).all() else -1


def _decide(output: np.ndarray, task: Task) -> np.ndarray:
    return (output[:, 0] > 0).astype(np.int64) if task == "binary" else output.argmax(axis=1)


def _compare(found: SimplifiedModels, points: PointSet) -> Fidelity:
    """The simplified models against the network on one set of points."""
    own, network = found.predict(points.points), points.output
    agreement = score = network_score = float("nan")
    if found.task == "regression":
        if len(points.target):
            wanted = points.target.reshape(len(points.target), -1)
            score, network_score = _r2(wanted, own), _r2(wanted, network)
    else:
        chosen, decided = _decide(own, found.task), _decide(network, found.task)
        agreement = float((chosen == decided).mean())
        if len(points.target):
            score = float((chosen == points.target).mean())
            network_score = float((decided == points.target).mean())
    return Fidelity(
        where=points.name,
        points=len(own),
        agreement=agreement,
        r2=_r2(network, own),
        largest_error=float(np.abs(own - network).max()),
        score=score,
        network_score=network_score,
    )


def _r2(wanted: np.ndarray, found: np.ndarray) -> float:
    """1 − Σ(wanted − found)² / Σ(wanted − mean)² over all outputs; nan where nothing varies."""
    total = float(((wanted - wanted.mean(axis=0)) ** 2).sum())
    return 1 - float(((wanted - found) ** 2).sum()) / total if total > 0 else float("nan")
