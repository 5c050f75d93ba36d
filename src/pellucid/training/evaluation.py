"""How well a network does on one split: every figure, from its predictions and the targets, in one place.

The same functions make the report and the figures recomputed from ``predict``'s output, so the two are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from pellucid.errors import DataError, TrainingError
from pellucid.results.classification_evaluation import ClassificationEvaluation, Curve
from pellucid.results.regression_evaluation import RegressionEvaluation
from pellucid.results.worst_examples import WorstExamples

__all__ = [
    "CURVE_POINTS",
    "SAMPLE_ROWS",
    "WORST_EXAMPLES",
    "Preview",
    "evaluate_classification",
    "evaluate_regression",
    "headline_figures",
]

Preview = Callable[[np.ndarray], dict[str, Any]]
"""From row numbers in the source to what a person recognises of them, as ``Preparation.preview``."""

CURVE_POINTS = 200
SAMPLE_ROWS = 2000
WORST_EXAMPLES = 24

_UNDEFINED: Any = 0.0  # what a precision without predictions, or a recall without examples, counts as
_RESIDUAL_BINS = 40
_SHOWN_OUTPUTS = 4


def evaluate_classification(
    probabilities: np.ndarray,
    targets: np.ndarray,
    classes: Sequence[str],
    split: str,
    *,
    rows: np.ndarray | None = None,
    preview: Preview | None = None,
) -> ClassificationEvaluation:
    """How well a classifier does on one split; the class predicted is the first of the highest probability.

    Args:
        probabilities: ``(n, classes)`` that sum to 1 in each row.
        targets: ``(n,)`` class numbers.
        classes: Their names, in the order of the columns.
        split: ``train``, ``validation``, ``test`` …
        rows: ``(n,)`` row numbers in the source; 0, 1, 2 … if not given.
        preview: Shows the worst-predicted rows.

    Returns:
        Accuracy, precision, recall and F1 by class and averaged (0 where undefined, absent classes left out of
        averages), log loss in nats, the confusion matrix, curves thinned to 200 points (areas are of the full ones, nan
        where a class is absent) and the 24 examples with the largest loss.

    Raises:
        DataError: there are no examples, or the shapes do not fit.
        TrainingError: a probability is not finite.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    targets = np.asarray(targets, dtype=np.int64)
    if probabilities.shape != (len(targets), len(classes)):
        raise DataError(f"probabilities of shape {probabilities.shape} for {len(targets)} targets", place=split)
    _check_usable(probabilities, split)
    labels = np.arange(len(classes))
    predicted = probabilities.argmax(axis=1)
    by_class: Any = metrics.precision_recall_fscore_support(targets, predicted, labels=labels, zero_division=_UNDEFINED)
    precision, recall, f1, support = by_class
    averages = {average: _averaged(targets, predicted, average) for average in ("macro", "micro", "weighted")}
    areas = labels[1:] if len(classes) <= 2 else labels
    return ClassificationEvaluation(
        split=split,
        classes=tuple(classes),
        examples=len(targets),
        accuracy=float(metrics.accuracy_score(targets, predicted)),
        balanced_accuracy=float(recall[support > 0].mean()),
        majority_share=float(support.max() / len(targets)),
        log_loss=_log_loss(targets, probabilities, labels),
        precision=precision,
        recall=recall,
        f1=f1,
        support=support.astype(np.int64),
        averages=averages,
        confusion=metrics.confusion_matrix(targets, predicted, labels=labels).astype(np.int64),
        roc=tuple(_roc(targets == label, probabilities[:, label]) for label in areas),
        precision_recall=tuple(_precision_recall(targets == label, probabilities[:, label]) for label in areas),
        worst=_worst_classified(probabilities, targets, tuple(classes), rows, preview),
    )


def evaluate_regression(
    predictions: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    split: str,
    *,
    baseline: np.ndarray | float | None = None,
    rows: np.ndarray | None = None,
    preview: Preview | None = None,
) -> RegressionEvaluation:
    """How well a regression does on one split, in the targets' own units.

    Args:
        predictions: ``(n, outputs)``, or ``(n,)`` for one output.
        targets: Of the same shape.
        names: Of the outputs.
        split: ``train``, ``validation``, ``test`` …
        baseline: What a person would say without a network: numbers that broadcast to the targets (the training
            mean, or a series' last known value). None stands for this split's own mean.
        rows: ``(n,)`` row numbers in the source; 0, 1, 2 … if not given.
        preview: Shows the worst-predicted rows.

    Returns:
        Errors averaged over outputs (the RMSE is the root of the averaged MSE, R² the mean of the outputs' R²), a
        histogram of residuals (prediction − target), at most 2000 rows for plots, and the 24 largest errors.

    Raises:
        DataError: there are no examples, or the shapes do not fit.
        TrainingError: a prediction is not finite.
    """
    targets = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
    predictions = np.asarray(predictions, dtype=np.float64).reshape(len(predictions), -1)
    if predictions.shape != targets.shape or targets.shape[1] != len(names):
        raise DataError(
            f"predictions of shape {predictions.shape} for targets of shape {targets.shape} and {len(names)} names",
            place=split,
        )
    _check_usable(predictions, split)
    rows = np.arange(len(targets)) if rows is None else np.asarray(rows)
    base = np.broadcast_to(targets.mean(axis=0) if baseline is None else np.asarray(baseline), targets.shape)
    mse = float(metrics.mean_squared_error(targets, predictions))
    r2 = _r2(targets, predictions)
    sample = _sample(len(targets))
    counts, edges = np.histogram(predictions - targets, bins=_RESIDUAL_BINS)
    return RegressionEvaluation(
        split=split,
        targets=tuple(names),
        examples=len(targets),
        mae=float(metrics.mean_absolute_error(targets, predictions)),
        mse=mse,
        rmse=mse**0.5,
        r2=float(r2.mean()),
        baseline_mae=float(metrics.mean_absolute_error(targets, base)),
        mae_per_output=np.asarray(metrics.mean_absolute_error(targets, predictions, multioutput="raw_values")),
        r2_per_output=r2,
        sample_rows=rows[sample],
        sample_target=targets[sample],
        sample_prediction=predictions[sample],
        residual_histogram=counts.astype(np.int64),
        residual_edges=edges,
        worst=_worst_regressed(predictions, targets, rows, preview),
    )


def headline_figures(evaluation: ClassificationEvaluation | RegressionEvaluation) -> dict[str, float]:
    """The few figures that stand for an evaluation in lists: accuracy, macro F1, log loss; or R², MAE, RMSE."""
    if isinstance(evaluation, ClassificationEvaluation):
        return {
            "accuracy": evaluation.accuracy,
            "balanced_accuracy": evaluation.balanced_accuracy,
            "macro_f1": evaluation.averages["macro"]["f1"],
            "log_loss": evaluation.log_loss,
        }
    return {"r2": evaluation.r2, "mae": evaluation.mae, "rmse": evaluation.rmse}


def _check_usable(values: np.ndarray, split: str) -> None:
    """Raise unless there is at least one row and every number is finite."""
    if len(values) == 0:
        raise DataError("there is no example to evaluate", place=split, remedy="give the split a larger share")
    broken = ~np.isfinite(values).all(axis=1)
    if broken.any():
        raise TrainingError(
            f"{broken.sum()} of {len(values)} predictions are not finite",
            place=f"{split}, example {int(broken.argmax())}",
            remedy="train with a smaller learning rate or with gradient clipping",
        )


def _averaged(targets: np.ndarray, predicted: np.ndarray, average: Any) -> dict[str, float]:
    """Precision, recall and F1 averaged over the classes that occur among targets or predictions."""
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        targets, predicted, average=average, zero_division=_UNDEFINED
    )
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1)}


def _log_loss(targets: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats; 0 where there is one class only."""
    return float(metrics.log_loss(targets, probabilities, labels=labels)) if len(labels) > 1 else 0.0


def _roc(is_class: np.ndarray, probability: np.ndarray) -> Curve:
    """The ROC curve of one class against the rest."""
    if is_class.all() or not is_class.any():
        return Curve(x=np.empty(0), y=np.empty(0), area=float("nan"))
    x, y, _ = metrics.roc_curve(is_class, probability)
    return _thinned(x, y, float(metrics.auc(x, y)))


def _precision_recall(is_class: np.ndarray, probability: np.ndarray) -> Curve:
    """Precision over growing recall of one class against the rest; the area is the average precision."""
    if not is_class.any():
        return Curve(x=np.empty(0), y=np.empty(0), area=float("nan"))
    precision, recall, _ = metrics.precision_recall_curve(is_class, probability)
    # Σ (R_n − R_{n−1}) P_n, as scikit-learn's average_precision_score, without sorting again.
    area = float(-np.sum(np.diff(recall) * precision[:-1]))
    return _thinned(recall[::-1], precision[::-1], area)


def _thinned(x: np.ndarray, y: np.ndarray, area: float) -> Curve:
    """At most ``CURVE_POINTS`` of a curve's points, evenly spaced along it, both ends kept."""
    if len(x) > CURVE_POINTS:
        along = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))))
        kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], CURVE_POINTS - 1)))
        kept = np.union1d(kept, [len(x) - 1])
        x, y = x[kept], y[kept]
    return Curve(x=np.asarray(x, dtype=np.float64), y=np.asarray(y, dtype=np.float64), area=area)


def _r2(targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """R² of every output; nan for fewer than two examples, where it is not defined."""
    if len(targets) < 2:
        return np.full(targets.shape[1], np.nan)
    return np.asarray(metrics.r2_score(targets, predictions, multioutput="raw_values"), dtype=np.float64)


def _sample(examples: int) -> np.ndarray:
    """At most ``SAMPLE_ROWS`` places, the same for the same size, in order."""
    if examples <= SAMPLE_ROWS:
        return np.arange(examples)
    return np.sort(np.random.default_rng(0).choice(examples, SAMPLE_ROWS, replace=False))


def _largest(loss: np.ndarray) -> np.ndarray:
    """Places of the largest losses, largest first, earlier examples first among equals."""
    return np.argsort(-loss, kind="stable")[:WORST_EXAMPLES]


def _worst_classified(
    probabilities: np.ndarray,
    targets: np.ndarray,
    classes: tuple[str, ...],
    rows: np.ndarray | None,
    preview: Preview | None,
) -> WorstExamples:
    """The examples whose true class got the least probability."""
    given = probabilities[np.arange(len(targets)), targets]
    loss = -np.log(np.maximum(given, np.finfo(np.float64).tiny))
    worst = _largest(loss)
    predicted = probabilities[worst].argmax(axis=1)
    rows = np.arange(len(targets)) if rows is None else np.asarray(rows)
    return _with_preview(
        rows[worst],
        loss[worst],
        tuple(classes[number] for number in targets[worst]),
        tuple(classes[number] for number in predicted),
        confidence=probabilities[worst, predicted],
        preview=preview,
    )


def _worst_regressed(
    predictions: np.ndarray, targets: np.ndarray, rows: np.ndarray, preview: Preview | None
) -> WorstExamples:
    """The examples with the largest absolute error, averaged over outputs."""
    loss = np.abs(predictions - targets).mean(axis=1)
    worst = _largest(loss)
    target, prediction = (tuple(map(_numbers, values[worst])) for values in (targets, predictions))
    return _with_preview(rows[worst], loss[worst], target, prediction, confidence=None, preview=preview)


def _numbers(values: np.ndarray) -> str:
    """A few numbers as text, the rest as an ellipsis."""
    shown = ", ".join(f"{value:.4g}" for value in values[:_SHOWN_OUTPUTS])
    return shown + (", …" if len(values) > _SHOWN_OUTPUTS else "")


def _with_preview(
    rows: np.ndarray,
    loss: np.ndarray,
    target: tuple[str, ...],
    prediction: tuple[str, ...],
    *,
    confidence: np.ndarray | None,
    preview: Preview | None,
) -> WorstExamples:
    """The record, with what the source's preview shows of its rows."""
    shown = preview(rows) if preview is not None else {}
    return WorstExamples(
        rows=rows.astype(np.int64),
        loss=loss,
        target=target,
        prediction=prediction,
        confidence=confidence,
        texts=tuple(shown.get("texts", ())),
        images=shown.get("images"),
        series=shown.get("series"),
    )
