"""A table from file to tensors: read, split, preprocess by what the training rows say, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.data.columns import Column
from pellucid.data.data_report import report_table
from pellucid.data.persistence import load_estimator, read_document, save_estimator, write_document
from pellucid.data.prepared import Modality, Prepared, RawRows, Split
from pellucid.data.preprocessing import build_transformer, name_features
from pellucid.data.settings import DataSettings
from pellucid.data.splits import describe_split, fold_rows, quantile_labels, split_rows
from pellucid.data.table_reading import IN_MEMORY, TableReading, read_columns, read_source, read_table
from pellucid.data.target import Target, encode_target, missing_column
from pellucid.errors import DataError, PellucidError, RunCorruptedError

if TYPE_CHECKING:
    import pandas
    import torch
    from sklearn.compose import ColumnTransformer

__all__ = ["TablePreparation", "as_inputs", "as_targets", "prepare_reading", "prepare_table"]

_TRANSFORMER = "transformer.skops"


@dataclass(frozen=True, eq=False)
class TablePreparation:
    """The fitted preprocessing of a table.

    Attributes:
        columns: Feature columns in the order in which the transformer wants them.
        identifiers: Columns that only tell rows apart; they name the rows of a prediction.
        target: What is predicted.
        target_scale: Mean and standard deviation of a regression target.
        transformer: scikit-learn's, fitted on the training rows.
        feature_names: What a person calls each number that reaches the network.
        source: The path or name of the training data.
        seed: From which an embedded set was made.
    """

    columns: tuple[Column, ...]
    identifiers: tuple[str, ...]
    target: Target
    target_scale: tuple[np.ndarray, np.ndarray] | None
    transformer: ColumnTransformer
    feature_names: tuple[str, ...]
    source: str
    seed: int
    modality: Modality = "table"
    _frames: dict[str, pandas.DataFrame] = field(default_factory=dict, repr=False)  # the source, read at most once

    def read(self, path: str | Path | pandas.DataFrame) -> RawRows:
        """Read raw rows from a file, an embedded set or a DataFrame, and transform them.

        Columns beyond those trained on are passed over; the target may be there or not. Every row gives one input, in
        order. A missing or unknown class becomes -100, a missing quantity NaN.

        Raises:
            DataError: a column is missing, or a cell cannot be read as what its column was in training.
        """
        as_text = [column.name for column in (*self.columns, self.target.column) if column.stored_as_text]
        frame = read_source(path, seed=self.seed, as_text=as_text)
        place = str(path) if isinstance(path, str | Path) else IN_MEMORY
        absent = [column.name for column in self.columns if column.name not in frame]
        if absent:
            error = missing_column(absent, list(frame.columns), place=place)
            remedy = f"add what the network learned from, with empty cells where it is unknown; {error.remedy}"
            raise DataError(error.message, place=place, remedy=remedy)
        parsed = read_columns(frame, self.columns, np.arange(len(frame)), place=place)
        targets = None
        if self.target.column.name in frame:
            values = encode_target(self.target, frame[self.target.column.name], place=place)
            targets = as_targets(values, self.target_scale)
        return RawRows(as_inputs(self.transformer, parsed), targets, self._name_rows(frame))

    def preview(self, rows: np.ndarray) -> dict[str, Any]:
        """Source rows as lines such as ``"age 29 · sex male"``; nothing if the source is gone."""
        if self.source not in self._frames:
            try:
                self._frames[self.source] = read_source(self.source, seed=self.seed)
            except (PellucidError, OSError):
                return {}
        frame = self._frames[self.source]
        names = [column.name for column in self.columns if column.name in frame][:12]
        if len(rows) and int(np.max(rows)) >= len(frame):
            return {}  # the source has changed since
        return {"texts": [_line(names, cells) for cells in frame[names].iloc[rows].itertuples(index=False)]}

    def save(self, folder: Path) -> None:
        """Write ``preparation.json`` and the transformer as a skops file."""
        document = {
            "columns": [asdict(column) for column in self.columns],
            "identifiers": list(self.identifiers),
            "target": asdict(self.target),
            "target_scale": None if self.target_scale is None else [part.tolist() for part in self.target_scale],
            "feature_names": list(self.feature_names),
            "source": self.source,
            "seed": self.seed,
        }
        write_document(Path(folder), document, modality="table")
        save_estimator(Path(folder) / _TRANSFORMER, self.transformer)

    @classmethod
    def load(cls, folder: Path) -> TablePreparation:
        """Read a preparation that ``save`` wrote.

        Raises:
            RunCorruptedError: a file of it is missing, damaged or hostile.
        """
        document = read_document(Path(folder), modality="table")
        transformer = load_estimator(Path(folder) / _TRANSFORMER)
        try:
            target = document["target"]
            scale = document["target_scale"]
            return cls(
                columns=tuple(_column(entry) for entry in document["columns"]),
                identifiers=tuple(map(str, document["identifiers"])),
                target=Target(
                    column=_column(target["column"]),
                    task=target["task"],
                    classes=None if target["classes"] is None else tuple(map(str, target["classes"])),
                    note=str(target["note"]),
                ),
                target_scale=None if scale is None else (np.asarray(scale[0]), np.asarray(scale[1])),
                transformer=transformer,
                feature_names=tuple(map(str, document["feature_names"])),
                source=str(document["source"]),
                seed=int(document["seed"]),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise RunCorruptedError(
                f"the fitted preparation is damaged ({error!r})", place=str(folder), remedy="fit again"
            ) from None

    def _name_rows(self, frame: pandas.DataFrame) -> pandas.DataFrame:
        """Row numbers, and the identifier columns where they stand in the file."""
        import pandas

        named: dict[str, Any] = {"row": np.arange(len(frame))}
        named |= {name: frame[name] for name in self.identifiers if name in frame and name != "row"}
        return pandas.DataFrame(named, index=frame.index)


def prepare_table(
    source: str | Path | pandas.DataFrame,
    settings: DataSettings | None = None,
    seed: int = 0,
    *,
    fold: int | None = None,
) -> Prepared:
    """Read a table, split it, and preprocess it by what its training rows say.

    Args:
        source: A CSV, TSV, Parquet or JSON-lines file, an embedded set's name, or a DataFrame.
        settings: Which column is the target, how to split and preprocess; everything has a default.
        seed: Of the split, and of embedded sets made on the spot.
        fold: Which of ``settings.folds`` folds is the test split, from 0; None splits by ``settings.split``.

    Raises:
        DataError: the table cannot be used; the message names file, row and column.
    """
    settings = settings or DataSettings()
    reading = read_table(source, settings, seed)
    return prepare_reading(reading, _split(reading, settings, seed, fold), settings, seed, fold=fold)


def _split(reading: TableReading, settings: DataSettings, seed: int, fold: int | None) -> dict[str, np.ndarray]:
    """Positions among the rows in use by split name, in the order of time where that is asked for."""
    options: dict[str, Any] = {
        "labels": reading.values if reading.target.classes else quantile_labels(reading.values),
        "groups": reading.groups,
        "shuffle": settings.shuffle,
        "seed": seed,
        "place": reading.source,
    }
    if fold is None:
        split = split_rows(len(reading.rows), settings.split, **options)
    else:
        split = fold_rows(len(reading.rows), settings.folds, fractions=settings.split, **options)[fold]
    if settings.shuffle:
        return split
    return {name: np.sort(reading.order[positions]) for name, positions in split.items()}


def prepare_reading(
    reading: TableReading,
    split: dict[str, np.ndarray],
    settings: DataSettings,
    seed: int,
    *,
    fold: int | None = None,
) -> Prepared:
    """Fit the preprocessing on the training rows of a split and transform every row.

    Args:
        reading: The table.
        split: Positions among the rows in use, by split name.
        settings: How to preprocess.
        seed: Kept, to make embedded data again.
        fold: Which fold the split is, for the report.
    """
    training = reading.features.iloc[split["train"]]
    transformer = build_transformer(reading.columns, settings, len(training))
    with np.errstate(over="ignore", invalid="ignore"):  # as_inputs names what is too large
        transformer.fit(training)
    names = name_features(transformer)
    scale = _target_scale(reading, split["train"])
    inputs = as_inputs(transformer, reading.features)
    targets = as_targets(reading.values, scale)
    preparation = TablePreparation(
        columns=tuple(reading.columns),
        identifiers=reading.identifiers,
        target=reading.target,
        target_scale=scale,
        transformer=transformer,
        feature_names=names,
        source=_lasting(reading.source),
        seed=seed,
    )
    method = describe_split(
        target=reading.target.column.name,
        quantiles=not reading.target.classes,
        group=settings.group,
        shuffle=settings.shuffle,
        folds=0 if fold is None else settings.folds,
    )
    report = report_table(reading, split, transformer, names, split_method=method, seed=seed)
    return Prepared(
        modality="table",
        task=reading.target.task,
        splits={name: Split(inputs[rows], targets[rows], reading.rows[rows]) for name, rows in split.items()},
        input_shape=(len(names),),
        classes=reading.target.classes,
        target_names=(reading.target.column.name,),
        target_scale=scale,
        preparation=preparation,
        report=report,
        notes=(*reading.notes, f"Rows were split {method}: {_sizes(split)}.", *report.warnings),
    )


def as_inputs(transformer: ColumnTransformer, parsed: pandas.DataFrame) -> torch.Tensor:
    """``(rows, features)`` float32.

    Raises:
        DataError: a number is too large for single precision.
    """
    import torch

    with np.errstate(over="ignore"):
        inputs = np.ascontiguousarray(transformer.transform(parsed), dtype=np.float32)
    if not np.isfinite(inputs).all():
        feature = name_features(transformer)[int(np.flatnonzero(~np.isfinite(inputs).all(axis=0))[0])]
        raise DataError(
            "a number is too large for single precision",
            place=f"feature {feature!r}",
            remedy="write the column in a larger unit, or scale it",
        )
    return torch.from_numpy(inputs)


def as_targets(values: np.ndarray, scale: tuple[np.ndarray, np.ndarray] | None) -> torch.Tensor:
    """``(rows,)`` int64 class numbers, or ``(rows, 1)`` float32 standardised quantities."""
    import torch

    if scale is None:
        return torch.from_numpy(values.astype(np.int64))
    mean, std = scale
    return torch.from_numpy(((values[:, None] - mean) / std).astype(np.float32))


def _target_scale(reading: TableReading, training: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and standard deviation of the training rows' quantities; 1 where they do not vary."""
    if reading.target.classes is not None:
        return None
    values = reading.values[training]
    return np.array([values.mean()]), np.array([values.std() or 1.0])


def _lasting(source: str) -> str:
    """The source under a name that holds from every folder."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else source


def _sizes(split: dict[str, np.ndarray]) -> str:
    """``"623 train, 134 validation, 134 test"``."""
    return ", ".join(f"{len(rows)} {name}" for name, rows in split.items())


def _line(names: Sequence[str], cells: Sequence[Any]) -> str:
    """A row as a person would say it."""
    import pandas

    shown = []
    for name, cell in zip(names, cells, strict=True):
        text = "–" if pandas.isna(cell) else f"{cell:.4g}" if isinstance(cell, float) else str(cell)
        shown.append(f"{name} {text}")
    return " · ".join(shown)


def _column(entry: dict[str, Any]) -> Column:
    """A column from its JSON form."""
    return Column(**{**entry, "values": tuple(entry["values"]), "marks": tuple(entry["marks"])})
