"""Evaluations against scikit-learn on random data, and on the edges where scikit-learn warns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from pellucid.errors import DataError, TrainingError
from pellucid.results.base import Result
from pellucid.results.classification_evaluation import ClassificationEvaluation
from pellucid.results.regression_evaluation import RegressionEvaluation
from pellucid.training.evaluation import (
    CURVE_POINTS,
    SAMPLE_ROWS,
    WORST_EXAMPLES,
    evaluate_classification,
    evaluate_regression,
    headline_figures,
)


def random_case(seed: int, examples: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and targets among which some classes may be absent."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 9, size=(examples, classes))
    return counts / counts.sum(axis=1, keepdims=True), generator.integers(0, classes, examples)


def names(classes: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(classes))


@given(seed=st.integers(0, 10_000), examples=st.integers(1, 60), classes=st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_classification_figures_are_scikit_learns(seed: int, examples: int, classes: int) -> None:
    probabilities, targets = random_case(seed, examples, classes)
    found = evaluate_classification(probabilities, targets, names(classes), "test")
    predicted = probabilities.argmax(axis=1)
    labels = list(range(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of classes that do not occur
        assert found.accuracy == metrics.accuracy_score(targets, predicted)
        assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(targets, predicted))
        assert found.log_loss == pytest.approx(metrics.log_loss(targets, probabilities, labels=labels))
        report: Any = metrics.classification_report(
            targets, predicted, labels=labels, output_dict=True, zero_division=0.0
        )
        for number in labels:
            for figure, mine in (("precision", found.precision), ("recall", found.recall), ("f1-score", found.f1)):
                assert mine[number] == pytest.approx(report[str(number)][figure])
            assert found.support[number] == report[str(number)]["support"]
        for average in ("macro", "micro", "weighted"):
            assert found.averages[average]["f1"] == pytest.approx(metrics.f1_score(targets, predicted, average=average))
            assert found.averages[average]["precision"] == pytest.approx(
                metrics.precision_score(targets, predicted, average=average, zero_division=0.0)
            )
    assert (found.confusion == metrics.confusion_matrix(targets, predicted, labels=labels)).all()
    assert found.majority_share == np.bincount(targets).max() / examples
    assert_curves(found, probabilities, targets)


def assert_curves(found: ClassificationEvaluation, probabilities: np.ndarray, targets: np.ndarray) -> None:
    classes = range(probabilities.shape[1]) if probabilities.shape[1] > 2 else [1]
    assert len(found.roc) == len(found.precision_recall) == len(classes)
    for number, roc, precision_recall in zip(classes, found.roc, found.precision_recall, strict=True):
        is_class = targets == number
        if is_class.any() and not is_class.all():
            assert roc.area == pytest.approx(metrics.roc_auc_score(is_class, probabilities[:, number]))
            assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
        else:
            assert np.isnan(roc.area)
            assert len(roc.x) == 0
        if is_class.any():
            expected = metrics.average_precision_score(is_class, probabilities[:, number])
            assert precision_recall.area == pytest.approx(expected)
            assert (np.diff(precision_recall.x) >= 0).all()
        else:
            assert np.isnan(precision_recall.area)


def test_nothing_warns_when_classes_are_absent() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_classification(np.eye(4)[[0, 0, 1]], np.array([0, 0, 0]), names(4), "test")
    assert found.accuracy == pytest.approx(2 / 3)
    assert [curve.area for curve in found.roc] == pytest.approx([np.nan] * 4, nan_ok=True)


def test_long_curves_are_thinned_along_their_length() -> None:
    generator = np.random.default_rng(0)
    score = generator.random(5000)
    targets = (score + 0.3 * generator.normal(size=5000) > 0.5).astype(int)
    found = evaluate_classification(np.stack((1 - score, score), axis=1), targets, ("no", "yes"), "test")
    for curve in (*found.roc, *found.precision_recall):
        assert 100 < len(curve.x) <= CURVE_POINTS
    x, y, _ = metrics.roc_curve(targets, score)
    # The curve is 2 long (in |dx| + |dy|), so no point of it is further from a kept one than the kept ones' spacing.
    apart = np.abs(x[:, None] - found.roc[0].x) + np.abs(y[:, None] - found.roc[0].y)
    assert apart.min(axis=1).max() <= 2 / (CURVE_POINTS - 2) + 1e-9
    assert metrics.auc(found.roc[0].x, found.roc[0].y) == pytest.approx(found.roc[0].area, abs=1e-3)


def test_worst_examples_are_those_with_the_largest_loss() -> None:
    probabilities, targets = random_case(5, 50, 3)
    rows = np.arange(50) * 10
    asked: list[np.ndarray] = []

    def preview(wanted: np.ndarray) -> dict[str, Any]:
        asked.append(wanted)
        return {"texts": [f"row {row}" for row in wanted]}

    worst = evaluate_classification(probabilities, targets, names(3), "test", rows=rows, preview=preview).worst
    losses = sorted((-np.log(probabilities[i, targets[i]]) for i in range(50)), reverse=True)
    assert worst.loss == pytest.approx(losses[:WORST_EXAMPLES])
    assert (asked[0] == worst.rows).all()
    for index, row in enumerate(worst.rows):
        place = row // 10
        assert worst.target[index] == f"class {targets[place]}"
        assert worst.prediction[index] == f"class {probabilities[place].argmax()}"
        assert worst.confidence is not None
        assert worst.confidence[index] == probabilities[place].max()
        assert worst.texts[index] == f"row {row}"


def test_an_impossible_prediction_has_a_finite_loss() -> None:
    found = evaluate_classification(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]), ("no", "yes"), "test")
    assert np.isfinite(found.log_loss)
    assert np.isfinite(found.worst.loss).all()


@given(seed=st.integers(0, 10_000), examples=st.integers(2, 40), outputs=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_regression_figures_are_scikit_learns(seed: int, examples: int, outputs: int) -> None:
    generator = np.random.default_rng(seed)
    targets = generator.normal(size=(examples, outputs)) * 100
    predictions = targets + generator.normal(size=(examples, outputs)) * 30
    found = evaluate_regression(predictions, targets, names(outputs), "test", baseline=generator.normal(size=outputs))
    assert found.mae == pytest.approx(metrics.mean_absolute_error(targets, predictions))
    assert found.mse == pytest.approx(metrics.mean_squared_error(targets, predictions))
    assert found.rmse**2 == pytest.approx(found.mse)
    assert found.r2 == pytest.approx(metrics.r2_score(targets, predictions))
    assert found.mae_per_output == pytest.approx(np.abs(targets - predictions).mean(axis=0))
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    assert found.r2_per_output == pytest.approx(1 - ((targets - predictions) ** 2).sum(axis=0) / spread)
    assert found.residual_histogram.sum() == targets.size
    assert found.residual_edges[[0, -1]] == pytest.approx(
        [(predictions - targets).min(), (predictions - targets).max()]
    )
    assert (found.worst.loss[:-1] >= found.worst.loss[1:]).all()
    assert found.worst.loss[0] == pytest.approx(np.abs(predictions - targets).mean(axis=1).max())


def test_baselines_broadcast() -> None:
    targets = np.array([[1.0], [3.0], [8.0]])
    for baseline, expected in ((None, 8 / 3), (3.0, 7 / 3), (np.array([[1.0], [1.0], [8.0]]), 2 / 3)):
        found = evaluate_regression(targets, targets[:, 0], ("y",), "test", baseline=baseline)
        assert found.baseline_mae == pytest.approx(expected)
        assert found.mae == 0
        assert found.r2 == 1


def test_regression_samples_rows_in_order() -> None:
    targets = np.arange(5000.0)
    found = evaluate_regression(targets + 1, targets, ("y",), "test", rows=np.arange(5000) + 7)
    assert len(found.sample_rows) == SAMPLE_ROWS
    assert (np.diff(found.sample_rows) > 0).all()
    assert (found.sample_target[:, 0] == found.sample_rows - 7).all()
    assert (found.sample_prediction == found.sample_target + 1).all()


def test_one_example_has_no_r2() -> None:
    assert np.isnan(evaluate_regression(np.array([1.0]), np.array([2.0]), ("y",), "test").r2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_predictions_are_refused_with_their_place(value: float) -> None:
    with pytest.raises(TrainingError, match="1 of 2 predictions") as caught:
        evaluate_classification(np.array([[0.5, 0.5], [value, 0.5]]), np.array([0, 1]), ("a", "b"), "test")
    assert caught.value.place == "test, example 1"
    with pytest.raises(TrainingError):
        evaluate_regression(np.array([value]), np.array([1.0]), ("y",), "test")


def test_misfits_and_emptiness_are_refused() -> None:
    with pytest.raises(DataError, match="shape"):
        evaluate_classification(np.ones((2, 3)) / 3, np.array([0, 1]), ("a", "b"), "test")
    with pytest.raises(DataError, match="shape"):
        evaluate_regression(np.ones((2, 3)), np.ones((2, 2)), ("a", "b"), "test")
    with pytest.raises(DataError, match="no example"):
        evaluate_classification(np.empty((0, 2)), np.empty(0, dtype=int), ("a", "b"), "test")


def test_evaluations_survive_their_file(tmp_path: Any) -> None:
    probabilities, targets = random_case(1, 20, 3)
    found = evaluate_classification(probabilities, targets, names(3), "test")
    again = ClassificationEvaluation.from_bytes(found.to_bytes())
    assert headline_figures(again) == headline_figures(found)
    assert (again.confusion == found.confusion).all()
    regression = evaluate_regression(np.arange(4.0), np.arange(4.0) ** 2, ("y",), "test")
    loaded = Result.load(regression.save(tmp_path / "evaluation.safetensors"))
    assert isinstance(loaded, RegressionEvaluation)
    assert headline_figures(loaded) == headline_figures(regression)
