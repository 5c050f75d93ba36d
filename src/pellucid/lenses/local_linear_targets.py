"""What the targets of a data set are, for a network with so many outputs: classes or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from pellucid.errors import DataError, SettingsError
from pellucid.results.local_linear_simplification import Task

__all__ = ["Targets", "read_targets"]


class Targets(NamedTuple):
    """Targets in the form that figures are computed from.

    Attributes:
        task: Told from the targets unless given.
        values: (n,) int64 classes, or (n, outputs) float64; empty where nobody knows them.
        classes: Names; empty for a regression.
        outputs: What the network's outputs are called.
    """

    task: Task
    values: np.ndarray
    classes: tuple[str, ...]
    outputs: tuple[str, ...]

    def read(self, y: Any, count: int) -> np.ndarray:
        """Other targets of the same kind."""
        if y is None:
            return np.empty(0)
        raw = _raw(y)
        _check_length(raw, count)
        if self.task == "regression":
            return _numbers(raw, len(self.outputs))
        return _classes(raw, self.classes, len(self.classes))[0]


def read_targets(
    y: Any,
    outputs: int,
    count: int,
    *,
    task: Task | None,
    classes: Sequence[str] | None,
    output_names: Sequence[str] | None,
) -> Targets:
    """Read targets for ``count`` examples and a network with so many outputs.

    Raises:
        DataError: they are not as many as the examples, not finite, or of more classes than the network knows.
        SettingsError: the task does not fit the outputs, or the names are not as many as what they name.
    """
    raw = None if y is None else _raw(y)
    if raw is not None:
        _check_length(raw, count)
    task = task or _guess(raw, outputs, classes)
    if task not in ("regression", "binary", "multiclass"):
        raise SettingsError(f"there is no task {task!r}", place="task", remedy="use regression, binary or multiclass")
    if (task == "binary" and outputs != 1) or (task == "multiclass" and outputs < 2):
        raise SettingsError(
            f"the task is {task}, and the network has {outputs} {'output' if outputs == 1 else 'outputs'}",
            place="task",
            remedy="binary wants one logit; multiclass one logit for each class",
        )
    if task == "regression":
        values = np.empty(0) if raw is None else _numbers(raw, outputs)
        default = ("output",) if outputs == 1 else tuple(f"output {at}" for at in range(outputs))
        return Targets(task, values, (), _named(output_names, default, "output_names"))
    known = 2 if task == "binary" else outputs
    values, found = (np.empty(0), None) if raw is None else _classes(raw, None, known)
    names = _named(classes, found or tuple(map(str, range(known))), "classes")
    of_outputs = (f"log-odds of {names[1]}",) if task == "binary" else names
    return Targets(task, values, names, _named(output_names, of_outputs, "output_names"))


def _raw(y: Any) -> np.ndarray:
    return y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)


def _check_length(raw: np.ndarray, count: int) -> None:
    if raw.ndim == 0 or len(raw) != count:
        size = "one number" if raw.ndim == 0 else f"{len(raw):,} targets"
        raise DataError(f"there are {size} for {count:,} examples", place="y", remedy="give one target an example")


def _guess(raw: np.ndarray | None, outputs: int, classes: Sequence[str] | None) -> Task:
    """Classes are texts, truth values or whole numbers, and numbers 0 and 1 of one output; the rest is a regression."""
    if raw is None:
        return "regression" if classes is None else "binary" if outputs == 1 else "multiclass"
    flat = raw.reshape(len(raw), -1)
    if flat.shape[1] != 1:
        return "regression"
    if outputs == 1:
        texts = raw.dtype.kind in "OUSb"
        return "binary" if texts or set(np.unique(flat).tolist()) <= {0, 1} else "regression"
    return "regression" if raw.dtype.kind == "f" else "multiclass"


def _numbers(raw: np.ndarray, outputs: int) -> np.ndarray:
    try:
        values = raw.astype(np.float64).reshape(len(raw), -1)
    except ValueError as error:
        raise DataError("the targets are no numbers", place="y", remedy="give task= or numbers") from error
    if values.shape[1] != outputs:
        raise DataError(
            f"each target has {values.shape[1]} numbers, and the network gives {outputs}",
            place="y",
            remedy="give as many targets as outputs",
        )
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        raise DataError(
            "a target is NaN or infinite", place=f"y, row {int(np.flatnonzero(wrong)[0])}", remedy="drop it"
        )
    return values


def _classes(raw: np.ndarray, names: tuple[str, ...] | None, known: int) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Class numbers; texts are numbered in alphabetical order, or by the names given."""
    flat = raw.reshape(len(raw), -1)[:, 0] if raw.ndim > 1 else raw
    if flat.dtype.kind in "OUS":
        texts = np.array([str(item) for item in flat])
        order = names or tuple(np.unique(texts).tolist())
        places = {name: at for at, name in enumerate(order)}
        missing = next((text for text in texts if text not in places), None)
        if missing is not None or len(order) > known:
            what = f"the class {missing!r} is not among {', '.join(order)}" if missing else f"{len(order)} classes"
            raise DataError(
                f"{what}, and the network tells {known} apart", place="y", remedy="give the targets it was trained on"
            )
        full = (*order, *(f"class {at}" for at in range(len(order), known)))
        return np.array([places[text] for text in texts], dtype=np.int64), full
    values = flat.astype(np.float64)
    wrong = ~((values >= 0) & (values < known) & (values == np.floor(values)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{flat[row]} is none of the classes 0 to {known - 1} that the network tells apart",
            place=f"y, row {row}",
            remedy="give class numbers from 0, or task='regression'",
        )
    return values.astype(np.int64), None


def _named(given: Sequence[str] | None, default: tuple[str, ...], place: str) -> tuple[str, ...]:
    if given is None:
        return default
    if len(given) != len(default):
        raise SettingsError(
            f"{len(given)} names for {len(default)}", place=place, remedy=f"give {len(default)} of them"
        )
    return tuple(str(name) for name in given)
