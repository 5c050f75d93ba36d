"""Is a classifier as often right as it says?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from pellucid.capture.features import evaluating, first_tensor
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import DataError, SettingsError
from pellucid.results.calibration import Calibration, judge_calibration

__all__ = ["measure_calibration"]

_CHUNK = 1024


def measure_calibration(
    model: nn.Module | None = None,
    loader: Batches | None = None,
    *,
    logits: Any = None,
    probabilities: Any = None,
    labels: Any = None,
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
    split: str = "",
    class_names: Sequence[str] = (),
) -> Calibration:
    """Compare how sure a classifier is with how often it is right, in float64, with one forward pass.

    Args:
        model: A classifier that returns logits: (n, classes), or (n,) or (n, 1) for two classes by a sigmoid.
        loader: (inputs, class numbers) batches.
        logits: In place of model and loader: what the model returned.
        probabilities: Or these: (n, classes) with rows that sum to 1, or (n,) of class 1.
        labels: (n,) class numbers, with ``logits`` or ``probabilities``.
        bins: Of confidence. The errors depend on it, which is why it is shown.
        resamples: Bootstrap samples behind the bands; 0 leaves them out.
        seed: Of them.
        split: What to call the data.
        class_names: What the classes are called.

    Returns:
        Errors, reliability bins, the Brier score in parts. ``temperature()``, ``vector_scaling()`` and ``isotonic()``
        of the result try a remedy.

    Raises:
        DataError: a number is not finite, a label is out of range, rows do not sum to 1, or there is nothing.
        SettingsError: the arguments contradict each other.

    >>> found = measure_calibration(probabilities=[[0.9, 0.1], [1.0, 0.0]], labels=[0, 1])
    >>> round(found["ece"], 12), found["accuracy"]  # |1 − 0.9| ÷ 2 + |0 − 1| ÷ 2 in two bins
    (0.55, 0.5)
    """
    if bins < 1 or resamples < 0:
        raise SettingsError("bins is below 1 or resamples below 0", place="bins", remedy="give 15 and 1000")
    given = sum(one is not None for one in (model, logits, probabilities))
    if given != 1 or (model is None) == (labels is None) or (model is not None and loader is None):
        raise SettingsError(
            "what to measure is not clear",
            place="measure_calibration",
            remedy="give model and loader, or logits= and labels=, or probabilities= and labels=",
        )
    if model is not None:
        logits, labels = _run(model, loader)
    chances = None if probabilities is None else _as_probabilities(_as_array(probabilities, "probabilities"))
    if chances is not None:
        with np.errstate(divide="ignore"):
            values = np.log(chances)
    else:
        values = _as_columns(_as_array(logits, "logits"))
    classes = values.shape[1]
    numbers = _as_labels(labels, len(values), classes)
    if class_names and len(class_names) != classes:
        raise SettingsError(
            f"{len(class_names)} names for {classes} classes", place="class_names", remedy="give one a class"
        )
    return judge_calibration(
        values,
        numbers,
        probabilities=chances,
        bins=bins,
        resamples=resamples,
        seed=seed,
        split=split,
        class_names=class_names,
    )


def _run(model: nn.Module, loader: Any) -> tuple[np.ndarray, np.ndarray]:
    """The model's outputs and the labels, in the loader's order."""
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    outputs, labels = [], []
    with evaluating(model):
        for x, y in batches_of(loader, size=_CHUNK):
            outputs.append(first_tensor(model(x.to(where))).double().cpu().numpy())
            labels.append(y.cpu().numpy())
    return np.concatenate(outputs), np.concatenate(labels)


def _as_array(given: Any, place: str) -> np.ndarray:
    if isinstance(given, torch.Tensor):
        given = given.detach().double().cpu().numpy()
    array = np.asarray(given, dtype=np.float64)
    wrong = ~np.isfinite(array)
    if wrong.any():
        first = int(np.argwhere(wrong)[0][0])
        raise DataError(
            f"{int(wrong.sum()):,} of {array.size:,} {place} are not finite",
            place=f"{place}, example {first}",
            remedy="measure a checkpoint from before the training went wrong",
        )
    if array.ndim not in (1, 2) or not array.size:
        raise DataError(
            f"{place} of shape {array.shape}", place=place, remedy="give (examples, classes) with at least one example"
        )
    return array


def _as_columns(values: np.ndarray) -> np.ndarray:
    """A lone logit is that of class 1 against 0."""
    if values.ndim == 1 or values.shape[1] == 1:
        flat = values.reshape(-1)
        return np.stack([np.zeros_like(flat), flat], axis=1)
    return values


def _as_probabilities(values: np.ndarray) -> np.ndarray:
    if values.ndim == 1 or values.shape[1] == 1:
        flat = values.reshape(-1)
        values = np.stack([1 - flat, flat], axis=1)
    off = np.abs(values.sum(axis=1) - 1)
    if values.min() < 0 or values.max() > 1 or off.max() > 1e-3:
        raise DataError(
            f"no probabilities: from {values.min():.4g} to {values.max():.4g}, sums up to {off.max():.2g} off 1",
            place=f"probabilities, example {int(off.argmax())}",
            remedy="give a softmax's rows, or logits=",
        )
    return values


def _as_labels(given: Any, count: int, classes: int) -> np.ndarray:
    array = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,):
        raise DataError(
            f"labels of shape {array.shape} for {count} examples", place="labels", remedy="give one class number each"
        )
    numbers = np.asarray(array, dtype=np.float64)
    wrong = (numbers != np.round(numbers)) | (numbers < 0) | (numbers >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(
            f"label {array[first]} is no class number from 0 to {classes - 1}",
            place=f"labels, example {first}",
            remedy="give whole numbers, one a class",
        )
    return numbers.astype(np.int64)
