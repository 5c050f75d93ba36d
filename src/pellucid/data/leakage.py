"""Does one feature alone give the target away? A small tree on each feature, cross-validated."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from pellucid.results.data_report import LeakageSuspect

if TYPE_CHECKING:
    import pandas

    from pellucid.data.prepared import Task

__all__ = ["find_leakage"]

_MOST_ROWS = 5_000
_FEWEST_ROWS = 30
_SUSPICIOUS = 0.98
_FOLDS = 3
_MOST_COLUMNS = 200
_RANGES = 32


def find_leakage(
    features: pandas.DataFrame, target: np.ndarray, task: Task, seed: int = 0
) -> tuple[LeakageSuspect, ...]:
    """Find features that alone predict the target nearly perfectly.

    A decision tree of limited depth is fitted on each feature by itself and scored on held-out thirds: balanced
    accuracy for classes, R² for quantities. Above 0.98 a feature is suspected. Of more than 5,000 rows, 5,000 are
    drawn at random; of more than 200 features only the 200 are tried whose ranks, cut into ranges, tell most.

    Args:
        features: Parsed columns: float64 numbers with NaN, or text objects with None.
        target: ``(rows,)`` class numbers or quantities.
        task: Classification or regression.
        seed: Of the drawing of rows and folds.

    Returns:
        The suspects, the strongest first; none for fewer than 30 rows.
    """
    rows = np.arange(len(target))
    if len(rows) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_ROWS, replace=False))
    if task == "classification":
        counts = np.bincount(target[rows])
        rows = rows[counts[target[rows]] >= _FOLDS]
    wanted = target[rows]
    if len(rows) < _FEWEST_ROWS or len(np.unique(wanted)) < 2:
        return ()
    suspects = []
    for name in _foremost(features.iloc[rows], wanted, task):
        values = _as_numbers(features[name].iloc[rows])
        score = _held_out_score(_ranks(values), wanted, task, seed)
        if score >= _SUSPICIOUS:
            suspects.append(LeakageSuspect(str(name), round(score, 4), _reason(values, wanted, task)))
    return tuple(sorted(suspects, key=lambda suspect: -suspect.score))


def _foremost(features: pandas.DataFrame, target: np.ndarray, task: Task) -> list[str]:
    """The columns worth a tree of their own: all, or the most telling of very many."""
    names = list(features.columns)
    if len(names) <= _MOST_COLUMNS:
        return names
    told = [_told_by_ranges(_ranks(_as_numbers(features[name])), target, task) for name in names]
    return [names[number] for number in np.argsort(told, kind="stable")[::-1][:_MOST_COLUMNS]]


def _told_by_ranges(ranks: np.ndarray, target: np.ndarray, task: Task) -> float:
    """What the ranks, cut into ranges, say of the same rows: balanced accuracy for classes, else R²."""
    classes = len(np.unique(target)) if task == "classification" else _RANGES
    cells = max(_RANGES, 4 * classes)
    missing = np.isnan(ranks)
    top = 0.0 if missing.all() else np.nanmax(ranks)
    ranges = np.where(missing, cells, np.floor(np.where(missing, 0, ranks) * cells / (top + 1))).astype(np.int64)
    if task == "regression":
        sums, counts = np.bincount(ranges, target), np.maximum(np.bincount(ranges), 1)
        return 1 - float(((target - (sums / counts)[ranges]) ** 2).sum() / ((target - target.mean()) ** 2).sum())
    numbered = np.unique(target, return_inverse=True)[1]
    pairs, inverse = np.unique(ranges * classes + numbered, return_inverse=True)
    weights = np.bincount(inverse, (1 / np.bincount(numbered))[numbered])
    best = np.zeros(cells + 1)
    np.maximum.at(best, pairs // classes, weights)
    return float(best.sum() / classes)


def _as_numbers(column: pandas.Series) -> np.ndarray:
    """Numbers as they are, names numbered in sorted order, missing ones NaN."""
    if column.dtype == np.float64:
        return column.to_numpy()
    codes, _ = column.factorize(sort=True)
    return np.where(codes < 0, np.nan, codes.astype(np.float64))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, which a tree splits alike, and which no number is too large for."""
    codes = np.unique(values, return_inverse=True)[1]
    return np.where(np.isnan(values), np.nan, codes.astype(np.float64))


def _held_out_score(values: np.ndarray, target: np.ndarray, task: Task, seed: int) -> float:
    """The mean score over three folds, 0 where the feature hardly varies."""
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    if len(np.unique(values[~np.isnan(values)])) + bool(np.isnan(values).any()) < 2:
        return 0.0
    if task == "classification":
        classes = len(np.unique(target))
        if len(np.unique(values[~np.isnan(values)])) + 1 < classes:
            return 0.0  # fewer values than classes cannot tell all classes apart
        depth = math.ceil(math.log2(classes)) + 2
        model = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=2, class_weight="balanced", random_state=0)
        folds, scoring = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed), "balanced_accuracy"
    else:
        model = DecisionTreeRegressor(max_depth=7, min_samples_leaf=3, random_state=0)
        folds, scoring = KFold(_FOLDS, shuffle=True, random_state=seed), "r2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that a fold lacks
        return float(np.mean(cross_val_score(model, values[:, None], target, cv=folds, scoring=scoring)))


def _reason(values: np.ndarray, target: np.ndarray, task: Task) -> str:
    """What makes the feature suspicious, in words."""
    present = ~np.isnan(values)
    if task == "regression":
        correlation = float(np.corrcoef(values[present], target[present])[0, 1])
        if abs(correlation) > 0.9999:
            return f"it nearly equals the target up to scale (correlation {correlation:.6f})"
        return "a small tree on this column alone predicts the target nearly perfectly on held-out rows"
    pairs = {(value, klass) for value, klass in zip(values[present].tolist(), target[present].tolist(), strict=True)}
    if len(pairs) == len({value for value, _ in pairs}) == len({klass for _, klass in pairs}):
        return "it is the target under other names: each of its values stands for one class"
    return "a small tree on this column alone tells the classes apart on held-out rows"
