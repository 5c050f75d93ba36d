"""A classifier's evaluation as tables and as confusion matrix, ROC and precision-recall curves."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pellucid.render.parts import ACCENT, QUIET, choose, line_style, make_axes, make_table, number, share
from pellucid.results.classification_evaluation import ClassificationEvaluation, Curve
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group

__all__: list[str] = []

_STEM = "classification_evaluation"
_MOST_NUMBERED = 20  # classes beyond which counts in a confusion matrix are too small to read
_MOST_LISTED = 40  # classes beyond which a table in the terminal is cut
_MOST_CURVES = 10
_WORST_LISTED = 5


@renderer(_STEM, "plot")
def _plot(
    result: ClassificationEvaluation,
    ax: Axes | None = None,
    kind: Literal["confusion", "roc", "precision_recall"] = "confusion",
) -> Axes:
    """Draw the confusion matrix, or the curves of every class (the ten with most examples if there are more)."""
    choose(kind, ("confusion", "roc", "precision_recall"))
    if kind == "confusion":
        return _plot_confusion(result, make_axes(ax, width=5.5, height=5.0))
    return _plot_curves(result, make_axes(ax, width=5.5, height=5.0), kind)


def _plot_confusion(result: ClassificationEvaluation, ax: Axes) -> Axes:
    """Counts, coloured by the share of the true class."""
    counts = result.confusion
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    size = len(result.classes)
    if size <= _MOST_NUMBERED:
        for row, column in np.ndindex(size, size):
            if counts[row, column]:
                color = "white" if share[row, column] > 0.5 else "black"
                text = f"{counts[row, column]}"
                ax.text(column, row, text, ha="center", va="center", color=color, fontsize=10 if size <= 10 else 7)
        ax.set_xticks(range(size), result.classes, rotation=45 if size > 3 else 0, ha="right" if size > 3 else "center")
        ax.set_yticks(range(size), result.classes)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(f"{result.split}: accuracy {number(result.accuracy)}")
    return ax


def _plot_curves(result: ClassificationEvaluation, ax: Axes, kind: str) -> Axes:
    """ROC or precision-recall curves, one a class, for two classes only the second's."""
    for index, (name, curve) in enumerate(_named_curves(result, kind)):
        color, dash = line_style(index)
        ax.plot(curve.x, curve.y, color=color, linestyle=dash, label=f"{name} ({number(curve.area, 3)})")
    if kind == "roc":
        ax.plot([0, 1], [0, 1], color=QUIET, linestyle=":", label="chance (0.5)")
        ax.set_xlabel("false-positive rate")
        ax.set_ylabel("true-positive rate")
    else:
        ax.set_xlabel("recall")
        ax.set_ylabel("precision")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_title(f"{result.split}: {'ROC' if kind == 'roc' else 'precision and recall'}, area in brackets")
    ax.legend(fontsize="small")
    return ax


def _named_curves(result: ClassificationEvaluation, kind: str) -> list[tuple[str, Curve]]:
    """The curves that can be drawn, with their classes' names."""
    curves = result.roc if kind == "roc" else result.precision_recall
    first = len(result.classes) - len(curves)  # for two classes only the second has a curve
    drawable = [first + index for index, curve in enumerate(curves) if len(curve.x)]
    if len(drawable) > _MOST_CURVES:
        drawable = sorted(sorted(drawable, key=lambda index: -result.support[index])[:_MOST_CURVES])
    return [(result.classes[index], curves[index - first]) for index in drawable]


@renderer(_STEM, "frame")
def _frame(
    result: ClassificationEvaluation, kind: Literal["classes", "confusion", "figures", "worst"] = "classes"
) -> pandas.DataFrame:
    """Figures by class and averaged, the confusion matrix, the overall figures, or the worst-predicted examples."""
    import pandas

    choose(kind, ("classes", "confusion", "figures", "worst"))
    if kind == "confusion":
        true = pandas.Index(result.classes, name="true")
        return pandas.DataFrame(result.confusion, index=true, columns=pandas.Index(result.classes, name="predicted"))
    if kind == "figures":
        figures = _figures(result)
        return pandas.DataFrame(
            {result.split: list(figures.values())}, index=pandas.Index(list(figures), name="figure")
        )
    if kind == "worst":
        return _worst_frame(result)
    names = [*result.classes, *(f"{average} average" for average in result.averages)]
    columns: dict[str, Any] = {
        name: [*getattr(result, name), *(average[name] for average in result.averages.values())]
        for name in ("precision", "recall", "f1")
    }
    columns["support"] = [*result.support.tolist(), *[result.examples] * len(result.averages)]
    return pandas.DataFrame(columns, index=pandas.Index(names, name="class"))


def _figures(result: ClassificationEvaluation) -> dict[str, float]:
    return {
        "examples": result.examples,
        "accuracy": result.accuracy,
        "balanced accuracy": result.balanced_accuracy,
        "accuracy of the commonest class": result.majority_share,
        "log loss (nats)": result.log_loss,
        "macro F1": result.averages["macro"]["f1"],
        "mean ROC AUC": _mean_area(result.roc),
        "mean average precision": _mean_area(result.precision_recall),
    }


def _mean_area(curves: tuple[Curve, ...]) -> float:
    """The mean over the classes that occur; nan if none does."""
    areas = [curve.area for curve in curves if not np.isnan(curve.area)]
    return float(np.mean(areas)) if areas else float("nan")


def _worst_frame(result: ClassificationEvaluation) -> pandas.DataFrame:
    import pandas

    worst = result.worst
    columns: dict[str, Any] = {"loss": worst.loss, "target": worst.target, "prediction": worst.prediction}
    if worst.confidence is not None:
        columns["confidence"] = worst.confidence
    if worst.texts:
        columns["shown"] = worst.texts
    return pandas.DataFrame(columns, index=pandas.Index(worst.rows, name="row"))


@renderer(_STEM, "rich")
def _rich(result: ClassificationEvaluation) -> Group:
    """Overall figures, figures by class, and the worst few examples."""
    from rich.console import Group

    overall = [(name, number(value)) for name, value in _figures(result).items()]
    parts = [make_table(f"Evaluation on {result.split}", ("figure", "value"), overall)]
    frame = _frame(result)
    if len(result.classes) > _MOST_LISTED:
        hardest = frame.iloc[: len(result.classes)].sort_values("f1")[:_MOST_LISTED]
        title, frame = f"The {_MOST_LISTED} of {len(result.classes)} classes with the lowest F1", hardest
    else:
        title = "By class"
    rows = [(str(name), *map(share, figures), f"{support:,}") for name, *figures, support in frame.itertuples()]
    parts.append(make_table(title, ("class", *frame.columns), rows))
    if len(result.worst.rows):
        parts.append(_worst_table(result))
    return Group(*parts)


def _worst_table(result: ClassificationEvaluation) -> Any:
    worst = result.worst
    rows: list[tuple[str, ...]] = []
    for index in range(min(_WORST_LISTED, len(worst.rows))):
        confidence = "–" if worst.confidence is None else share(float(worst.confidence[index]))
        shown = worst.texts[index] if worst.texts else ""
        rows.append((worst.target[index], worst.prediction[index], shown, str(worst.rows[index]), confidence))
    columns = ("true class", "predicted", "example", "row", "confidence")
    table = make_table("Worst predicted", columns, rows, text_columns=3)
    table.columns[1].style = ACCENT
    return table
