"""A run's numbers as named series over steps, as experiment trackers take them."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from pellucid.store.run import Run

__all__ = ["Scalars", "scalars_of"]

_OF_STEPS = ("loss", "learning_rate", "gradient_norm", "step_time_s")


@dataclass(frozen=True, eq=False)
class Scalars:
    """One series; rows without a value are left out, NaN and infinities are kept."""

    name: str  # "step/loss", "validation/accuracy", "layer/fc1/update_ratio"
    steps: np.ndarray  # int64
    values: np.ndarray  # float64
    times_s: np.ndarray  # float64, seconds since 1970


def scalars_of(run: Run) -> Iterator[Scalars]:
    """Every series of a run: figures of its steps, its metrics by split, its layers' figures."""
    began = datetime.fromisoformat(run.manifest.created_at).timestamp()
    steps = run.table("steps", columns=["step", "time_s", *_OF_STEPS])
    numbers, seconds = _column(steps, "step"), _column(steps, "time_s")
    for name in _OF_STEPS:
        yield from _series(f"step/{name}", numbers, _column(steps, name), began + seconds)
    metrics = run.table("metrics")
    labels = list(zip(metrics["split"].to_pylist(), metrics["metric"].to_pylist(), strict=True))
    for split, metric in dict.fromkeys(labels):
        rows = np.array([label == (split, metric) for label in labels])
        values, at = _column(metrics, "value")[rows], _column(metrics, "step")[rows]
        yield from _series(f"{split or 'logged'}/{metric}", at, values, began + _column(metrics, "time_s")[rows])
    yield from _layer_series(run, numbers, began + seconds)


def _layer_series(run: Run, steps: np.ndarray, times_s: np.ndarray) -> Iterator[Scalars]:
    layers = run.table("layers")
    names = np.array(layers["layer"].to_pylist(), dtype=object)
    at = _column(layers, "step")
    places = np.clip(np.searchsorted(steps, at), 0, max(0, len(steps) - 1))
    when = times_s[places] if len(steps) else np.zeros(len(at))
    figures = [name for name in layers.column_names if name not in ("step", "layer", "examples")]
    for layer in dict.fromkeys(names):
        rows = names == layer
        for figure in figures:
            yield from _series(f"layer/{layer}/{figure}", at[rows], _column(layers, figure)[rows], when[rows])


def _series(name: str, steps: np.ndarray, values: np.ma.MaskedArray, times_s: np.ndarray) -> Iterator[Scalars]:
    kept = ~np.ma.getmaskarray(values)
    if kept.any():
        plain = (np.asarray(one)[kept] for one in (steps, values, times_s))
        steps, numbers, seconds = plain
        yield Scalars(name, steps.astype(np.int64), numbers.astype(np.float64), seconds.astype(np.float64))


def _column(table: pa.Table, name: str) -> np.ma.MaskedArray:
    """A column's values, those that are null masked: NaN is a value."""
    column = table[name].combine_chunks()
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return np.ma.masked_array(column.fill_null(0).to_numpy(zero_copy_only=False), missing)
