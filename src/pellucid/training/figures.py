"""Evaluates a trained network on the splits of its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.training.batches import Batches
from pellucid.training.evaluation import evaluate_classification, evaluate_regression, headline_figures
from pellucid.training.outputs import Predictions, predict_batches, rescale

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pellucid.data.prepared import Prepared
    from pellucid.results.classification_evaluation import ClassificationEvaluation
    from pellucid.results.regression_evaluation import RegressionEvaluation
    from pellucid.training.spec import LossSpec

    Evaluation = ClassificationEvaluation | RegressionEvaluation

__all__ = ["baseline_of", "evaluate_predictions", "evaluate_split", "headlines"]


def evaluate_split(
    model: nn.Module, prepared: Prepared, split: str, *, loss: LossSpec, device: torch.device
) -> Evaluation | None:
    """How well ``model`` does on one split; None for a split without examples.

    The worst examples carry what the preparation shows of their rows.
    """
    part = prepared.splits.get(split)
    if part is None or len(part) == 0:
        return None
    found = predict_batches(
        model,
        Batches.of(prepared, split, device),
        task=prepared.task,
        loss=loss,
        target_scale=prepared.target_scale,
    )
    return evaluate_predictions(found, prepared, split)


def evaluate_predictions(found: Predictions, prepared: Prepared, split: str) -> Evaluation:
    """The figures of predictions with known targets."""
    if found.targets is None:
        raise ValueError("the targets are not known")
    rows = prepared.splits[split].rows[found.examples]
    preview = prepared.preparation.preview
    if prepared.classes is not None:
        return evaluate_classification(found.values, found.targets, prepared.classes, split, rows=rows, preview=preview)
    return evaluate_regression(
        found.values,
        found.targets,
        prepared.target_names,
        split,
        baseline=baseline_of(prepared, split),
        rows=rows,
        preview=preview,
    )


def baseline_of(prepared: Prepared, split: str) -> np.ndarray:
    """What a person would say without a network: the training mean, or a series' last known value.

    A series' first input column is the one that is forecast, scaled as the targets are.
    """
    part = prepared.splits[split]
    if prepared.modality == "series":
        last = part.inputs[:, -1, 0].double().cpu().numpy()[:, None]
        return rescale(np.repeat(last, len(prepared.target_names), axis=1), prepared.target_scale)
    train = prepared.splits["train"].targets.double().cpu().numpy()
    return rescale(train.reshape(len(train), -1), prepared.target_scale).mean(axis=0)


def headlines(evaluation: Evaluation) -> dict[str, float]:
    """The headline figures with the split before each name: ``test_accuracy``."""
    return {f"{evaluation.split}_{name}": value for name, value in headline_figures(evaluation).items()}
