"""A watched run's tables as series by name, read when they are first asked for; or the same given by hand."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.series import Series

if TYPE_CHECKING:
    import pyarrow as pa

    from pellucid.store.run import Run

__all__ = ["GivenRecords", "Records", "RunRecords"]


@dataclass(frozen=True)
class GivenRecords:
    """Records held in memory."""

    steps: dict[str, np.ndarray] = field(default_factory=dict)
    observations: dict[tuple[str, str, str], Series] = field(default_factory=dict)
    layers: dict[tuple[str, str], Series] = field(default_factory=dict)
    metrics: dict[tuple[str, str], Series] = field(default_factory=dict)


class RunRecords:
    """Records of a run on disk."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @cached_property
    def steps(self) -> dict[str, np.ndarray]:
        """The columns of the table of steps."""
        table = self._run.table("steps")
        return {name: _numbers(table, name) for name in table.column_names}

    @cached_property
    def observations(self) -> dict[tuple[str, str, str], Series]:
        """By phase, subject and quantity."""
        table = self._run.table("observations")
        return {
            (key[0], key[1], key[2]): series
            for key, series in _grouped(table, ("phase", "subject", "quantity")).items()
        }

    @cached_property
    def metrics(self) -> dict[tuple[str, str], Series]:
        """By split and name."""
        table = self._run.table("metrics")
        return {(key[0], key[1]): series for key, series in _grouped(table, ("split", "metric")).items()}

    @cached_property
    def layers(self) -> dict[tuple[str, str], Series]:
        """By layer and quantity."""
        table = self._run.table("layers")
        found: dict[tuple[str, str], Series] = {}
        for name in table.column_names:
            if name in ("step", "layer"):
                continue
            for (layer,), series in _grouped(table, ("layer",), name).items():
                found[layer, name] = series
        return found


Records = GivenRecords | RunRecords
"""The series of a run."""


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _labels(table: pa.Table, name: str) -> tuple[np.ndarray, list[str]]:
    """The labels of a column as numbers, and what they stand for."""
    column = table.column(name).unify_dictionaries().combine_chunks()
    return np.asarray(column.indices.to_numpy(zero_copy_only=False)).astype(np.int64), list(
        map(str, column.dictionary.to_pylist())
    )


def _grouped(table: pa.Table, by: tuple[str, ...], value: str = "value") -> dict[tuple[str, ...], Series]:
    """One series for each combination of labels."""
    if table.num_rows == 0:
        return {}
    columns = [_labels(table, name) for name in by]
    key = np.zeros(table.num_rows, dtype=np.int64)
    for numbers, names in columns:
        key = key * len(names) + numbers
    x, y = _numbers(table, "step"), _numbers(table, value)
    order = np.argsort(key, kind="stable")
    edges = np.flatnonzero(np.diff(key[order])) + 1
    found: dict[tuple[str, ...], Series] = {}
    for rows in np.split(order, edges):
        found[tuple(names[numbers[rows[0]]] for numbers, names in columns)] = Series(x[rows], y[rows])
    return found
