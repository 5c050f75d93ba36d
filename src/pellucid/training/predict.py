"""What a run's network says of raw rows: the same preprocessing, predictions with probabilities out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pellucid.data.load import load_preparation
from pellucid.errors import DataError, RunCorruptedError, SettingsError
from pellucid.results.data_report import DataReport
from pellucid.store.run import Run, open_run
from pellucid.training.assembly import loss_spec
from pellucid.training.batches import Batches
from pellucid.training.devices import choose_device, sealed
from pellucid.training.evaluation import evaluate_classification, evaluate_regression
from pellucid.training.label_noise import prepare_as_trained
from pellucid.training.outputs import Predictions, predict_batches
from pellucid.training.trained import NetworkCard, load_network, settings_of

if TYPE_CHECKING:
    import pandas
    from torch import nn

    from pellucid.data.prepared import Preparation, Prepared, RawRows
    from pellucid.results.classification_evaluation import ClassificationEvaluation
    from pellucid.results.regression_evaluation import RegressionEvaluation
    from pellucid.training.settings import FitSettings

__all__ = ["MOST_PROBABILITIES", "evaluate_frame", "predict"]

MOST_PROBABILITIES = 200
"""With more classes than these (the words of a vocabulary, say) only the predicted one's probability is given."""

_SPLITS = ("train", "validation", "test")


def predict(
    run: Run | str | Path, source: str | Path | pandas.DataFrame | None = None, *, split: str | None = None
) -> pandas.DataFrame:
    """What the run's network predicts for raw rows, or for the rows that it was trained and tested on.

    Args:
        run: A fit; its folder or its id will do.
        source: A file, folder or DataFrame shaped like the training data. None takes the training data itself.
        split: ``train``, ``validation`` or ``test`` of the training data; None takes all three.

    Returns:
        A frame in the rows' own order: what identifies each row (``row`` counts from 0), ``split`` where all were
        taken, ``target`` where it is known, ``prediction``, and for classes ``probability_<class>``; several outputs
        are numbered, ``prediction_1``, ``prediction_2`` … Numbers are in the target's unit. Many-to-many text has a
        line for each step. Every figure of the run's evaluation of a split can be recomputed from it.

    Raises:
        SettingsError: both a source and a split were given, or there is no such split.
        DataError: the rows cannot be used, or the training data has changed since.
        RunError: the run is no fit, or has no weights yet.
    """
    if source is not None and split is not None:
        raise SettingsError(
            "a split belongs to the training data", place="split", remedy="give a source or a split, not both"
        )
    if split is not None and split not in _SPLITS:
        raise SettingsError(f"there is no split {split!r}", place="split", remedy=f"use one of {', '.join(_SPLITS)}")
    run = run if isinstance(run, Run) else open_run(run)
    settings = settings_of(run)
    device = choose_device(_still_there(settings.device))
    model, card = load_network(run, device=device)
    # As many threads as in training, for sums are split among them and round accordingly.
    with sealed(device, seed=settings.seed, threads=settings.threads):
        preparation = _preparation_of(run)
        if source is None:
            return _predict_splits(run, settings, model, card, _SPLITS if split is None else (split,))
        raw = preparation.read(_readable(source, preparation))
        if len(raw.inputs) == 0:
            raise DataError("there is no row to predict", place=str(source), remedy="give a file with at least one row")
        batches, known = _batches_of(raw, card, device)
        return _frame(raw.identifiers, _run_network(model, batches, settings, card, known), card)


def evaluate_frame(
    frame: pandas.DataFrame, card: NetworkCard, split: str = "new"
) -> ClassificationEvaluation | RegressionEvaluation | None:
    """The figures of ``predict``'s output where targets are known.

    None where no target is known, or there are too many classes to keep all their probabilities.
    """
    columns = _columns("target", card)
    if any(column not in frame for column in columns):
        return None
    known = frame[frame[columns].notna().all(axis=1)]
    if known.empty:
        return None
    rows = known["row"].to_numpy() if "row" in known else None
    if card.classes is None:
        predictions = known[_columns("prediction", card)].to_numpy(dtype=np.float64)
        return evaluate_regression(
            predictions, known[columns].to_numpy(dtype=np.float64), card.target_names, split, rows=rows
        )
    if len(card.classes) > MOST_PROBABILITIES:
        return None
    probabilities = known[[f"probability_{name}" for name in card.classes]].to_numpy(dtype=np.float64)
    numbers = {name: number for number, name in enumerate(card.classes)}
    targets = known["target"].map(numbers).to_numpy(dtype=np.int64)
    return evaluate_classification(probabilities, targets, card.classes, split, rows=rows)


def _still_there(device: str) -> str:
    """The run's device if this machine has it: a network trained on an accelerator predicts anywhere."""
    kind = torch.device(device).type
    there = kind == "cpu" or (kind == "cuda" and torch.cuda.is_available())
    return device if there or (kind == "mps" and torch.backends.mps.is_available()) else "auto"


def _preparation_of(run: Run) -> Preparation:
    """The run's own fitted preprocessing, wherever the run lies."""
    with tempfile.TemporaryDirectory() as folder:
        for name in run.file_names("preparation"):
            (Path(folder) / name).write_bytes(run.read_file(f"preparation/{name}"))
        try:
            return load_preparation(folder)
        except RunCorruptedError as error:
            place = error.place.replace(str(folder), f"{run.location}/preparation")
            raise RunCorruptedError(error.message, place=place, remedy=error.remedy) from error


def _readable(source: Any, preparation: Preparation) -> Path | pandas.DataFrame:
    """The source as the preparation reads it."""
    if isinstance(source, str | Path):
        return Path(source)
    if preparation.modality == "image" or not hasattr(source, "columns"):
        raise DataError(
            f"a {type(source).__name__} cannot be predicted here",
            place="source",
            remedy="give the path of a file or a folder"
            + ("" if preparation.modality == "image" else ", or a DataFrame"),
        )
    return source


def _batches_of(raw: RawRows, card: NetworkCard, device: torch.device) -> tuple[Batches, bool]:
    """The raw rows on the device, and whether their targets are known."""
    known = raw.targets is not None
    targets = raw.targets if raw.targets is not None else _no_targets(raw.inputs, card)
    return Batches.from_tensors(raw.inputs, targets, card.pixel_scale, device), known


def _no_targets(inputs: torch.Tensor, card: NetworkCard) -> torch.Tensor:
    """Stand-ins of the right shape."""
    if card.classes is None:
        return torch.zeros(len(inputs), card.outputs)
    return torch.zeros(len(inputs), dtype=torch.int64)


def _predict_splits(
    run: Run, settings: FitSettings, model: nn.Module, card: NetworkCard, splits: tuple[str, ...]
) -> pandas.DataFrame:
    """Predictions for the data of the training, prepared again as it was then."""
    import pandas

    prepared = prepare_as_trained(run.manifest.source, settings)
    _check_unchanged(run, prepared)
    device = next(model.parameters()).device
    frames = []
    for split in splits:
        part = prepared.splits.get(split)
        if part is None or len(part) == 0:
            continue
        batches = Batches.of(prepared, split, device)
        found = _run_network(model, batches, settings, card, True)
        names = pandas.DataFrame({"row": part.rows})
        if len(splits) > 1:
            names["split"] = split
        frames.append(_frame(names, found, card))
    if not frames:
        raise DataError("the split has no rows", place=", ".join(splits), remedy="choose another split")
    by = [column for column in ("row", "step") if column in frames[0]]
    return pandas.concat(frames, ignore_index=True).sort_values(by, kind="stable", ignore_index=True)


def _check_unchanged(run: Run, prepared: Prepared) -> None:
    report = run.result("data_report") if "data_report" in run.result_names() else None
    if isinstance(report, DataReport) and report.fingerprint != prepared.report.fingerprint:
        raise DataError(
            "the data has changed since the run was made, so its splits are not those of the training any more",
            place=run.manifest.source,
            remedy="put the old data back, or predict the file as a source",
        )


def _run_network(
    model: nn.Module, batches: Batches, settings: FitSettings, card: NetworkCard, has_targets: bool
) -> Predictions:
    return predict_batches(
        model,
        batches,
        task=card.task,
        loss=loss_spec(settings, card.task),
        target_scale=card.target_scale,
        has_targets=has_targets,
    )


def _columns(stem: str, card: NetworkCard) -> list[str]:
    """``prediction``, or ``prediction_1`` … for several outputs."""
    if card.classes is not None or card.outputs == 1:
        return [stem]
    return [f"{stem}_{number}" for number in range(1, card.outputs + 1)]


def _frame(identifiers: pandas.DataFrame, found: Predictions, card: NetworkCard) -> pandas.DataFrame:
    """Identifiers, targets, predictions and probabilities side by side."""
    import pandas

    columns: dict[str, Any] = {} if found.steps is None else {"step": found.steps}
    columns |= _quantities(found, card) if card.classes is None else _classes(found, card.classes)
    names = identifiers.iloc[found.examples].reset_index(drop=True)
    # A column of the data that is called like one of ours is kept under another name.
    named = {f"source_{name}" if name in columns else str(name): names[name] for name in names.columns}
    return pandas.DataFrame(named | columns)


def _quantities(found: Predictions, card: NetworkCard) -> dict[str, Any]:
    """Targets and predictions of every output, in the target's own unit."""
    columns: dict[str, Any] = {}
    if found.targets is not None:
        columns |= dict(zip(_columns("target", card), found.targets.reshape(len(found.values), -1).T, strict=True))
    return columns | dict(zip(_columns("prediction", card), found.values.T, strict=True))


def _classes(found: Predictions, names: tuple[str, ...]) -> dict[str, Any]:
    """True and predicted class by name, and probabilities."""
    columns: dict[str, Any] = {}
    classes = np.array(names, dtype=object)
    best = found.values.argmax(axis=1)
    if found.targets is not None:
        known = found.targets >= 0
        named = classes[np.where(known, found.targets, 0)]
        named[~known] = None
        columns["target"] = named
    columns["prediction"] = classes[best]
    if len(classes) > MOST_PROBABILITIES:
        return columns | {"probability": found.values[np.arange(len(best)), best]}
    return columns | {f"probability_{name}": found.values[:, number] for number, name in enumerate(names)}
