# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# scikit-learn has no types.
"""Fewer linear models in the place of many: merging, rules, one hidden layer; and how faithful they stay."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from pellucid.errors import SettingsError

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

_RIDGE = 0.1
"""For features in units of their standard deviation. Less follows the examples closer, and goes astray elsewhere."""

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
        member = _merge(effects, patterns, support, min(regions, len(support)), neighbours)[data.region]
    groups = len(tree) // 2 + 1 if method == "tree" else int(member.max()) + 1
    wanted = _wanted(data, task) if refit == "target" else data.output
    fitted = data.output if method == "flatten" else wanted
    logistic = refit == "target" and task != "regression"
    models = [
        _refit(
            data.points[chosen],
            fitted[chosen],
            _average(chosen, data.region, coefficients, intercepts),
            scale,
            logistic=logistic and method != "flatten",
        )
        for chosen in (member == group for group in range(groups))
    ]
    weights, shifts = (np.stack(part) for part in zip(*models, strict=True))
    hidden = np.empty((0, data.output.shape[1]))
    if method == "flatten":
        hidden = _output_layer(_units(data.points, weights, shifts), data.output, wanted, logistic=logistic)
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
    # Frozen records are filled once; what they predict is needed for the last field.
    object.__setattr__(found, "fidelity", tuple(_compare(found, points) for points in sets if len(points.points)))
    return found


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


def _merge(effects: np.ndarray, patterns: np.ndarray, support: np.ndarray, count: int, neighbours: int) -> np.ndarray:
    """Ward's agglomeration of neighbouring regions, each weighing as many examples as it has."""
    regions = len(effects)
    if count >= regions:
        return np.arange(regions)
    near = _neighbour_pairs(patterns, min(neighbours, regions - 1))
    group = np.arange(regions)
    weight, middle = support.astype(np.float64), effects.copy()
    links: list[set[int]] = [set() for _ in range(regions)]
    for first, second in near:
        links[first].add(second)
        links[second].add(first)
    alive = set(range(regions))
    heap = [(_ward(weight, middle, a, b), a, b, 0) for a in alive for b in links[a] if a < b]
    heapq.heapify(heap)
    age = np.zeros(regions, dtype=np.int64)
    while len(alive) > count:
        if not heap:  # What is left is not connected: the nearest remaining pair joins.
            left = sorted(alive)
            heap = [(_ward(weight, middle, a, b), a, b, int(age[a] + age[b])) for a in left for b in left if a < b]
            heapq.heapify(heap)
        _, a, b, seen = heapq.heappop(heap)
        if a not in alive or b not in alive or seen != age[a] + age[b]:
            continue
        middle[a] = (weight[a] * middle[a] + weight[b] * middle[b]) / (weight[a] + weight[b])
        weight[a] += weight[b]
        age[a] += regions
        alive.discard(b)
        group[group == b] = a
        links[a] = {other for other in links[a] | links[b] if other in alive and other != a}
        for other in links[a]:
            links[other].discard(b)
            links[other].add(a)
            low, high = min(a, other), max(a, other)
            heapq.heappush(heap, (_ward(weight, middle, low, high), low, high, int(age[low] + age[high])))
    return np.unique(group, return_inverse=True)[1]


def _ward(weight: np.ndarray, middle: np.ndarray, a: int, b: int) -> float:
    """How much the squared distances to the groups' means grow when two groups join."""
    return float(weight[a] * weight[b] / (weight[a] + weight[b]) * ((middle[a] - middle[b]) ** 2).sum())


def _neighbour_pairs(patterns: np.ndarray, neighbours: int) -> list[tuple[int, int]]:
    """Each region with those whose patterns differ in the fewest bits."""
    bits = np.unpackbits(patterns, axis=1).astype(np.float32)
    ones = bits.sum(axis=1)
    pairs: list[tuple[int, int]] = []
    rows = max(1, _BLOCK // len(bits))
    for start in range(0, len(bits), rows):
        block = bits[start : start + rows]
        apart = ones[start : start + rows, None] + ones - 2 * (block @ bits.T)
        apart[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        nearest = np.argsort(apart, axis=1, kind="stable")[:, :neighbours]
        pairs += [(start + at, int(other)) for at, others in enumerate(nearest) for other in others]
    return pairs


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


def _average(
    chosen: np.ndarray, region: np.ndarray, coefficients: np.ndarray, intercepts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the local models of some examples."""
    counts = np.bincount(region[chosen], minlength=len(coefficients)).astype(np.float64)
    share = counts / max(1.0, counts.sum())
    return np.einsum("r,rof->of", share, coefficients), share @ intercepts


def _refit(
    points: np.ndarray,
    wanted: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    scale: np.ndarray,
    *,
    logistic: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares (or, to classes, logistic regression) around the mean of the local models.

    The ridge draws towards that mean, so that a group of few examples keeps it.
    """
    weights, shifts = start
    if logistic:
        return _logistic(points / scale, wanted, weights * scale, shifts, scale)
    if not len(points):
        return start
    residual = wanted - (points @ weights.T + shifts)
    middle = points.mean(axis=0)
    rows = (points - middle) / scale
    ridge = np.sqrt(_RIDGE * len(points))
    stacked = np.concatenate([rows, ridge * np.eye(rows.shape[1])])
    moved = np.concatenate([residual - residual.mean(axis=0), np.zeros((rows.shape[1], residual.shape[1]))])
    change = np.linalg.lstsq(stacked, moved, rcond=None)[0].T / scale
    return weights + change, shifts + residual.mean(axis=0) - change @ middle


def _logistic(
    rows: np.ndarray, wanted: np.ndarray, weights: np.ndarray, shifts: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The logits' change that lowers the log loss of the classes, with a unit ridge; by L-BFGS from no change."""
    from scipy.optimize import minimize

    base = rows @ weights.T + shifts
    outputs, inputs = weights.shape

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        change = flat.reshape(outputs, inputs + 1)
        logits = base + rows @ change[:, :-1].T + change[:, -1]
        value, slope = _log_loss(logits, wanted)
        value += 0.5 * float((change[:, :-1] ** 2).sum())
        slope = np.concatenate([slope.T @ rows + change[:, :-1], slope.sum(axis=0)[:, None]], axis=1)
        return value, slope.ravel()

    found = minimize(loss, np.zeros(outputs * (inputs + 1)), jac=True, method="L-BFGS-B").x.reshape(outputs, -1)
    return (weights + found[:, :-1]) / scale, shifts + found[:, -1]


def _log_loss(logits: np.ndarray, wanted: np.ndarray) -> tuple[float, np.ndarray]:
    """Σ −log p of one-hot (or, of one logit, 0/1) targets, and its slope by the logits."""
    if logits.shape[1] == 1:
        value = np.logaddexp(0, logits) - wanted * logits
        return float(value.sum()), 1 / (1 + np.exp(-np.clip(logits, -700, 700))) - wanted
    top = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=1, keepdims=True)) + top
    return float((total[:, 0] - (wanted * logits).sum(axis=1)).sum()), np.exp(logits - total) - wanted


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


def _output_layer(units: np.ndarray, output: np.ndarray, wanted: np.ndarray, *, logistic: bool) -> np.ndarray:
    """The output layer by least squares, of smallest norm where several are equally good; to classes by logistic."""
    size = np.sqrt((units**2).mean(axis=0))
    size = np.where(size > 0, size, 1.0)
    start = np.linalg.lstsq(units / size, output if logistic else wanted, rcond=1e-10)[0] / size[:, None]
    if not logistic:
        return start
    weights, shifts = _logistic(units / size, wanted, start.T * size, np.zeros(len(start.T)), size)
    weights[:, -1] += shifts  # The last unit is the constant 1.
    return weights.T


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
