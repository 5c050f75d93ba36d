"""Trains once a fold with the same settings: how much do the figures depend on which rows were held out?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from pellucid.data.folds import prepare_folds
from pellucid.errors import TrainingError
from pellucid.results.cross_validation import CrossValidation
from pellucid.training.assembly import build_trainer, loss_spec
from pellucid.training.batches import stream_seed
from pellucid.training.evaluation import headline_figures
from pellucid.training.figures import evaluate_split
from pellucid.training.label_noise import with_noise
from pellucid.training.progress import Progress
from pellucid.training.recorders import SilentRecorder
from pellucid.training.stopping import StopRequest

if TYPE_CHECKING:
    from pellucid.training.settings import FitSettings

__all__ = ["cross_validate"]


def cross_validate(source: str | Path, settings: FitSettings, *, progress: Progress | None = None) -> CrossValidation:
    """Train and evaluate once for each of ``settings.data.folds`` folds, each time from fresh weights.

    Args:
        source: The data, as ``prepare`` takes it.
        settings: Resolved; every fold is trained alike.
        progress: Shows a person how far it is.

    Returns:
        The headline figures on the rows each fold held out; their mean and sample standard deviation.

    Raises:
        KeyboardInterrupt: somebody stopped it; there are no figures then.
    """
    progress = progress or Progress()
    folds = settings.data.folds
    figures: list[dict[str, float]] = []
    sizes: list[int] = []
    method = ""
    for number, prepared in enumerate(prepare_folds(source, settings.data, seed=settings.seed), start=1):
        progress.stage(f"fold {number} of {folds}")
        method = method or prepared.report.split_method
        trainer = build_trainer(with_noise(prepared, settings), settings)
        torch.manual_seed(stream_seed(settings.seed, 3))
        with StopRequest() as asked:
            outcome = trainer.run(SilentRecorder(), progress=progress, should_stop=asked)
        if outcome.stopped:
            raise KeyboardInterrupt
        loss = loss_spec(settings, prepared.task)
        found = evaluate_split(trainer.model, prepared, "test", loss=loss, device=trainer.device)
        if found is None:
            raise TrainingError(f"fold {number} holds out no example", remedy="ask for fewer folds")
        figures.append(headline_figures(found))
        sizes.append(found.examples)
    values = {name: np.array([each[name] for each in figures]) for name in figures[0]}
    return CrossValidation(
        folds=folds,
        method=method,
        values=values,
        mean={name: float(column.mean()) for name, column in values.items()},
        std={name: float(column.std(ddof=1)) for name, column in values.items()},
        sizes=np.array(sizes, dtype=np.int64),
    )
