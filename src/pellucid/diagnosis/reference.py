"""What can be predicted from the examples at all: a forest of trees and a linear model on the sample that was seen.

A network that stays far below both has a fault; labels that neither can predict are not those of the inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pellucid.results.watched_script import ExamplesSeen

__all__ = ["reference_score", "transferred_score"]

_NAN = float("nan")
_LEAST_ROWS = 40
_MOST_ROWS = 600
_TREES = 60
_MOST_CLASSES = 0.25
"""Classes, as a share of the rows: with fewer than four rows each there is nothing to learn one from."""
_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
_FOLDS = 3


def reference_score(seen: ExamplesSeen, task: str) -> float:
    """The better of forest and linear model, by three-fold cross-validation; nan where there are too few examples.

    Args:
        seen: Examples with targets.
        task: As ``Outcome.task``: the score is accuracy, for "regression" R².
    """
    inputs, targets = _usable(seen)
    if len(inputs) < _LEAST_ROWS:
        return _NAN
    if task in ("classes", "binary"):
        targets = targets.argmax(axis=1) if targets.ndim == 2 and targets.shape[1] > 1 else targets.reshape(-1).round()
        if not 2 <= len(np.unique(targets)) <= _MOST_CLASSES * len(targets):
            return _NAN
    elif targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # small matrices: more threads only get into each other's way
        return max(_cross_validated(model, inputs, targets, task) for model in _models(task))


def transferred_score(source: ExamplesSeen, target: ExamplesSeen, task: str) -> float:
    """What a forest fitted to one sample of examples reaches on another; nan where there is too little of either.

    Args:
        source: Fitted to.
        target: Scored on.
        task: As ``Outcome.task``.
    """
    (inputs, targets), (others, aims) = _usable(source), _usable(target)
    if min(len(inputs), len(others)) < _LEAST_ROWS or inputs.shape[1] != others.shape[1]:
        return _NAN
    targets, aims = _as_scored(targets, task), _as_scored(aims, task)
    if targets.shape[1:] != aims.shape[1:] or (task in ("classes", "binary") and len(np.unique(targets)) < 2):
        return _NAN
    predicted = np.asarray(_models(task)[0].fit(inputs, targets).predict(others))
    return _score(predicted, aims, task)


def _as_scored(targets: np.ndarray, task: str) -> np.ndarray:
    """Class numbers of one-hot rows, numbers without their second axis of one."""
    if task in ("classes", "binary"):
        return targets.argmax(axis=1) if targets.ndim == 2 and targets.shape[1] > 1 else targets.reshape(-1).round()
    return targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets


def _usable(seen: ExamplesSeen) -> tuple[np.ndarray, np.ndarray]:
    """Distinct finite rows: the same example seen in two epochs would stand in training and test part alike."""
    inputs = np.asarray(seen.inputs, dtype=np.float64).reshape(len(seen.inputs), -1)
    targets = np.asarray(seen.targets, dtype=np.float64)
    if len(inputs) != len(targets):
        return inputs[:0], targets[:0]
    finite = np.isfinite(inputs).all(axis=1) & np.isfinite(targets.reshape(len(targets), -1)).all(axis=1)
    inputs, targets = inputs[finite], targets[finite]
    if not len(inputs):
        return inputs, targets
    kept = np.sort(np.unique(inputs, axis=0, return_index=True)[1])
    if len(kept) > _MOST_ROWS:
        kept = kept[np.linspace(0, len(kept) - 1, _MOST_ROWS).round().astype(int)]
    return inputs[kept], targets[kept]


def _models(task: str) -> list[Any]:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if task == "regression":
        return [ExtraTreesRegressor(_TREES, random_state=0), make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))]
    if task == "labels":
        return [ExtraTreesClassifier(_TREES, random_state=0)]
    linear = make_pipeline(StandardScaler(), RidgeClassifierCV(_PENALTIES))
    return [ExtraTreesClassifier(_TREES, random_state=0), linear]


def _cross_validated(model: Any, inputs: np.ndarray, targets: np.ndarray, task: str) -> float:
    order = np.random.default_rng(0).permutation(len(inputs))
    scores = []
    for fold in range(_FOLDS):
        held = np.zeros(len(inputs), dtype=bool)
        held[order[fold::_FOLDS]] = True
        if task in ("classes", "binary") and len(np.unique(targets[~held])) < 2:
            return _NAN
        predicted = np.asarray(model.fit(inputs[~held], targets[~held]).predict(inputs[held]))
        scores.append(_score(predicted, targets[held], task))
    return float(np.mean(scores))


def _score(predicted: np.ndarray, targets: np.ndarray, task: str) -> float:
    if task != "regression":
        return float((predicted == targets).mean())
    spread = float(np.square(targets - targets.mean(axis=0)).sum())
    return 1 - float(np.square(predicted - targets).sum()) / spread if spread > 0 else 0.0
