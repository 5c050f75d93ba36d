"""How the geometry moved along training, and what the terminal phase did to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pellucid.errors import SettingsError
from pellucid.results.base import Result

if TYPE_CHECKING:
    import pandas

__all__ = ["GeometryHistory", "GeometrySeries", "MeasuredTraining", "TerminalPhase"]


@dataclass(frozen=True)
class MeasuredTraining:
    """One run along which the geometry was measured; epochs are counted as whole ones done, −1 is none."""

    run: str
    seed: int
    last: int  # the last epoch at which the lenses looked
    first_zero: int  # the first epoch after which the training error was 0
    zero_error: int  # the first epoch from which on it stayed 0
    at_zero: int  # the first epoch from then on at which the lenses looked
    best: int  # where early stopping would have ended: the lowest held-out loss
    best_split: str  # of which split; '' where none was held out
    flipped: int  # training labels that were changed on purpose


@dataclass(frozen=True)
class TerminalPhase:
    """The epochs after the training error has come to stay at 0; of several runs those in which all are there."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class GeometrySeries:
    """One quantity along training."""

    split: str  # '' for what belongs to the weights
    lens: str  # collapse, layers, calibration, margins, robustness; errors and weights come with any of them
    layer: str  # whose input it is of; '' for what belongs to the whole network
    quantity: str
    label: str
    epochs: np.ndarray  # (points,) int64
    values: np.ndarray  # (points,) of one run; over several runs the mean
    low: np.ndarray  # (points,) 95 % t interval of that mean; nan for one run
    high: np.ndarray
    at_zero: np.ndarray  # (runs,) at each run's own ``at_zero``; nan where there is none
    final: np.ndarray  # (runs,) at the last epoch

    @property
    def falls(self) -> int:
        """In how many runs it is lower at the end than at zero error."""
        return int((self.final < self.at_zero).sum())

    @property
    def rises(self) -> int:
        """In how many runs it is higher at the end than at zero error."""
        return int((self.final > self.at_zero).sum())


@dataclass(frozen=True, eq=False)
class GeometryHistory(Result):
    """Every quantity of the geometry lenses along one training, or along several of one kind."""

    schema: ClassVar[str] = "geometry_history/1"

    runs: tuple[MeasuredTraining, ...]
    held_out: str  # the split that stands for new data: "test", else "validation"; '' for none
    lenses: tuple[str, ...]
    layers: tuple[str, ...]  # in the order in which they run
    series: tuple[GeometrySeries, ...]

    def get(
        self, quantity: str, *, split: str | None = None, lens: str | None = None, layer: str = ""
    ) -> GeometrySeries:
        """One quantity; what is left open takes the first that has it, the training split before others.

        Raises:
            SettingsError: it was not measured.
        """
        for one in self.series:
            if one.quantity != quantity or one.layer != layer:
                continue
            if (split is None or one.split == split) and (lens is None or one.lens == lens):
                return one
        known = sorted({one.quantity for one in self.series if one.layer == layer and lens in (None, one.lens)})
        raise SettingsError(
            f"{quantity!r} was not measured there",
            place=", ".join(part for part in (split, lens, layer) if part) or "quantity",
            remedy=f"use one of {', '.join(known)}",
        )

    @property
    def terminal_phase(self) -> TerminalPhase | None:
        """The epochs after the training error came to stay at 0; None if it did not in every run."""
        if not self.runs or any(one.zero_error < 0 for one in self.runs):
            return None
        return TerminalPhase(max(one.zero_error for one in self.runs), min(one.last for one in self.runs))

    def table(self) -> pandas.DataFrame:
        """Every quantity at zero error and at the last epoch, train and held out; in how many runs it fell and rose."""
        return self.to_frame()

    @classmethod
    def across(cls, histories: Sequence[GeometryHistory]) -> GeometryHistory:
        """Several runs as one: means and 95 % t intervals over the epochs at which all of them were measured.

        Values at zero error and at the end stay those of each run, each at its own epochs.

        Raises:
            SettingsError: there is none, or they have no quantity in common.
        """
        if not histories:
            raise SettingsError("there is no history", place="histories", remedy="give at least one")
        if len(histories) == 1:
            return histories[0]
        if len({one.held_out for one in histories}) > 1:
            raise SettingsError(
                "the histories hold out different splits", place="histories", remedy="give runs of one kind"
            )
        found = [{_key(one): one for one in history.series} for history in histories]
        joined = tuple(_join([one[key] for one in found]) for key in found[0] if all(key in one for one in found))
        if not joined:
            raise SettingsError(
                "the histories have no quantity in common", place="histories", remedy="give runs of one kind"
            )
        first = histories[0]
        return cls(
            runs=tuple(run for history in histories for run in history.runs),
            held_out=first.held_out,
            lenses=tuple(lens for lens in first.lenses if all(lens in one.lenses for one in histories)),
            layers=first.layers,
            series=joined,
        )


def _key(one: GeometrySeries) -> tuple[str, str, str, str]:
    return one.split, one.lens, one.layer, one.quantity


def _join(parts: Sequence[GeometrySeries]) -> GeometrySeries:
    """The mean of one quantity over runs, where all have it."""
    from functools import reduce

    from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

    first, count = parts[0], len(parts)
    epochs = reduce(np.intersect1d, [one.epochs for one in parts]).astype(np.int64)
    values = np.stack([one.values[np.searchsorted(one.epochs, epochs)] for one in parts])
    mean = values.mean(axis=0)
    half = float(stdtrit(count - 1, 0.975)) * values.std(axis=0, ddof=1) / math.sqrt(count)
    return GeometrySeries(
        split=first.split,
        lens=first.lens,
        layer=first.layer,
        quantity=first.quantity,
        label=first.label,
        epochs=epochs,
        values=mean,
        low=mean - half,
        high=mean + half,
        at_zero=np.concatenate([one.at_zero for one in parts]),
        final=np.concatenate([one.final for one in parts]),
    )
