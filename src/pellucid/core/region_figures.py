"""Figures of merit of groups of examples: loss, accuracy and AUC of classes, errors and R² of numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["RegionFigures", "region_figures"]


class RegionFigures(NamedTuple):
    """What the figures are called, and their values.

    Attributes:
        names: "loss", "accuracy", "auc" of classes; "mse", "mae", "r2" of numbers.
        values: regions × figures; nan where one is not defined.
        overall: The figures of all examples together.
    """

    names: tuple[str, ...]
    values: np.ndarray
    overall: np.ndarray


def region_figures(task: str, target: np.ndarray, output: np.ndarray, region: np.ndarray, count: int) -> RegionFigures:
    """The figures of every region and of all examples.

    Args:
        task: "regression", "binary" (one logit) or "multiclass".
        target: (n,) classes or (n, outputs) numbers; empty for no figures.
        output: (n, outputs) the network's.
        region: (n,) which region each is in.
        count: How many regions there are; none is empty.
    """
    if not len(target):
        return RegionFigures((), np.empty((count, 0)), np.empty(0))
    names = ("mse", "mae", "r2") if task == "regression" else ("loss", "accuracy", "auc")
    measure = _of_numbers if task == "regression" else _of_classes
    order = np.argsort(region, kind="stable")
    ends = np.cumsum(np.bincount(region, minlength=count))[:-1]
    values = np.array([measure(target[rows], output[rows]) for rows in np.split(order, ends)])
    return RegionFigures(names, values.reshape(count, len(names)), np.array(measure(target, output)))


def _of_numbers(target: np.ndarray, output: np.ndarray) -> tuple[float, float, float]:
    """Mean squared error, mean absolute error, and R², the outputs taken together; R² is nan where nothing varies."""
    wanted = target.reshape(len(target), -1)
    square = (wanted - output) ** 2
    total = float(((wanted - wanted.mean(axis=0)) ** 2).sum())
    r2 = 1 - float(square.sum()) / total if total > 0 else np.nan
    return float(square.mean()), float(np.abs(wanted - output).mean()), r2


def _of_classes(target: np.ndarray, output: np.ndarray) -> tuple[float, float, float]:
    """Mean log loss, accuracy, and AUC (of several classes the mean of each against the rest); nan if one is absent."""
    logits = np.concatenate([np.zeros_like(output), output], axis=1) if output.shape[1] == 1 else output
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    loss = float((total - logits[np.arange(len(target)), target]).mean())
    accuracy = float((logits.argmax(axis=1) == target).mean())
    if len(np.unique(target)) < logits.shape[1]:
        return loss, accuracy, np.nan
    scores = np.exp(logits - total[:, None])
    classes = (1,) if output.shape[1] == 1 else range(logits.shape[1])
    ranked = [logits[:, 1] if output.shape[1] == 1 else scores[:, name] for name in classes]
    return (
        loss,
        accuracy,
        float(np.mean([_area_under_roc(target == c, s) for c, s in zip(classes, ranked, strict=True)])),
    )


def _area_under_roc(positive: np.ndarray, score: np.ndarray) -> float:
    """The chance that a positive scores higher than a negative, ties counting half (Mann and Whitney 1947).

    >>> _area_under_roc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    from scipy.stats import rankdata

    count = int(positive.sum())
    above = float(rankdata(score)[positive].sum()) - count * (count + 1) / 2
    return above / (count * (len(score) - count))
