"""The fitted preprocessing of a series: which columns, how they are cut into windows, and their scale."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pellucid.data.columns import Column
from pellucid.data.persistence import read_document, write_document
from pellucid.data.prepared import RawRows
from pellucid.data.series_reading import read_series
from pellucid.data.windows import cut_windows
from pellucid.errors import DataError, PellucidError, RunCorruptedError

if TYPE_CHECKING:
    import torch

__all__ = ["SeriesPreparation"]


@dataclass(frozen=True, eq=False)
class SeriesPreparation:
    """How a series becomes windows.

    Attributes:
        source: The absolute path trained on, or a name where there is none.
        columns: How the columns are read; the first is forecast.
        time: How the time column is read.
        window: Steps that are known.
        horizon: Steps that are forecast.
        offset: ``(columns,)`` what is taken off each value …
        scale: ``(columns,)`` … before it is divided by this; both from the training part.
        seed: From which an embedded set was made.
    """

    source: str
    columns: tuple[Column, ...]
    time: Column | None
    window: int
    horizon: int
    offset: np.ndarray
    scale: np.ndarray
    seed: int = 0
    modality: Literal["series"] = "series"

    def read(self, path: str | Path | Any) -> RawRows:
        """Every window of a series: all whose horizon is known, then the last one, whose horizon is the future.

        The targets of that last window are NaN. The identifier ``row`` is that of a window's last known value.

        Raises:
            DataError: The series cannot be read or is shorter than a window.
        """
        import pandas
        import torch

        reading, _, _ = read_series(path, self.columns, self.time, seed=self.seed)
        rows = len(reading.values)
        if rows < self.window:
            raise DataError(
                f"{rows} rows are fewer than one window of {self.window}",
                place=reading.place,
                remedy=f"give at least {self.window} rows",
            )
        complete = np.arange(max(0, rows - self.window - self.horizon + 1))
        starts = np.append(complete, rows - self.window)
        inputs, targets = self.cut(reading.values, complete)
        last, _ = self.cut(reading.values, starts[-1:], with_targets=False)
        unknown = torch.full((1, self.horizon), float("nan"))
        ends = starts + self.window - 1
        named: dict[str, Any] = {"row": reading.rows[ends]}
        if self.time is not None and reading.times is not None and self.time.name != "row":
            named[self.time.name] = [reading.times[end] for end in ends]
        return RawRows(
            torch.cat([inputs, last]),
            torch.cat([targets, unknown]) if len(complete) and targets is not None else None,
            pandas.DataFrame(named),
        )

    def cut(
        self, values: np.ndarray, starts: np.ndarray, *, with_targets: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``(starts, window, columns)`` inputs and ``(starts, horizon)`` targets, both scaled."""
        import torch

        scaled = ((values - self.offset) / self.scale).astype(np.float32)
        inputs = torch.from_numpy(cut_windows(scaled, starts, self.window))
        if not with_targets:
            return inputs, None
        return inputs, torch.from_numpy(cut_windows(scaled[:, 0], starts + self.window, self.horizon))

    def preview(self, rows: np.ndarray) -> dict[str, Any]:
        """The windows that end at source rows: ``{"texts": [...], "series": (rows, window)}``; ``{}`` if gone."""
        try:
            reading, _, _ = read_series(self.source, self.columns, self.time, seed=self.seed)
        except (PellucidError, OSError):
            return {}
        step = np.full(len(reading.rows), -1)
        step[reading.rows] = np.arange(len(reading.rows))
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows.max() >= len(step) or step[rows].min() < self.window - 1):
            return {}  # the source has changed since
        windows = cut_windows(reading.values[:, 0], step[rows] - self.window + 1, self.window)
        names = [f"row {row}" if reading.times is None else reading.times[step[row]] for row in rows]
        texts = [
            f"up to {name}: … {' '.join(f'{value:.4g}' for value in window[-6:])}"
            for name, window in zip(names, windows, strict=True)
        ]
        return {"texts": texts, "series": windows}

    def save(self, folder: Path) -> None:
        """Write ``preparation.json``."""
        document = {
            "source": self.source,
            "columns": [asdict(column) for column in self.columns],
            "time": None if self.time is None else asdict(self.time),
            "window": self.window,
            "horizon": self.horizon,
            "offset": self.offset.tolist(),
            "scale": self.scale.tolist(),
            "seed": self.seed,
        }
        write_document(Path(folder), document, modality="series")

    @classmethod
    def load(cls, folder: Path) -> SeriesPreparation:
        """Read what ``save`` wrote.

        Raises:
            RunCorruptedError: It is missing, damaged or of another kind of data.
        """
        document = read_document(Path(folder), modality="series")
        try:
            return cls(
                source=str(document["source"]),
                columns=tuple(_column(entry) for entry in document["columns"]),
                time=None if document["time"] is None else _column(document["time"]),
                window=int(document["window"]),
                horizon=int(document["horizon"]),
                offset=np.array(document["offset"], dtype=np.float64),
                scale=np.array(document["scale"], dtype=np.float64),
                seed=int(document["seed"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RunCorruptedError(
                f"the series preparation cannot be read ({error})", place=str(folder), remedy="train again"
            ) from error


def _column(entry: dict[str, Any]) -> Column:
    return Column(**{**entry, "values": tuple(entry["values"]), "marks": tuple(entry["marks"])})
