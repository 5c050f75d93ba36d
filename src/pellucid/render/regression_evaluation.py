"""A regression's evaluation as tables and as prediction, residual and histogram plots."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pellucid.render.parts import PALETTE, QUIET, choose, line_style, make_axes, make_table, number
from pellucid.results.regression_evaluation import RegressionEvaluation
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group

__all__: list[str] = []

_STEM = "regression_evaluation"
_MOST_OUTPUTS = 8  # outputs drawn or listed before the rest is left out
_WORST_LISTED = 5


@renderer(_STEM, "plot")
def _plot(
    result: RegressionEvaluation,
    ax: Axes | None = None,
    kind: Literal["prediction", "residuals", "histogram"] = "prediction",
) -> Axes:
    """Draw predictions against targets, residuals against predictions, or how residuals are distributed."""
    choose(kind, ("prediction", "residuals", "histogram"))
    ax = make_axes(ax, width=5.5, height=5.0)
    ax.set_title(f"{result.split}: R² {number(result.r2, 3)}, MAE {number(result.mae, 3)}")
    if kind == "histogram":
        return _plot_histogram(result, ax)
    for index, name in enumerate(result.targets[:_MOST_OUTPUTS]):
        color, _ = line_style(index)
        target, prediction = result.sample_target[:, index], result.sample_prediction[:, index]
        x, y = (target, prediction) if kind == "prediction" else (prediction, prediction - target)
        ax.plot(x, y, ".", color=color, alpha=0.5, markersize=5, label=name, rasterized=len(x) > 500)
    if kind == "prediction":
        both = np.concatenate((result.sample_target.ravel(), result.sample_prediction.ravel()))
        ends = [float(both.min()), float(both.max())]
        ax.plot(ends, ends, color=QUIET, linewidth=1)
        ax.set_xlabel("target")
        ax.set_ylabel("prediction")
    else:
        ax.axhline(0, color=QUIET, linewidth=1)
        ax.set_xlabel("prediction")
        ax.set_ylabel("residual (prediction − target)")
    if len(result.targets) > 1:
        ax.legend(fontsize="small")
    return ax


def _plot_histogram(result: RegressionEvaluation, ax: Axes) -> Axes:
    """Counts of residuals over all examples and outputs."""
    ax.stairs(result.residual_histogram, result.residual_edges, fill=True, color=PALETTE[0])
    ax.axvline(0, color=QUIET, linewidth=1)
    ax.set_xlabel("residual (prediction − target)")
    ax.set_ylabel("count")
    return ax


@renderer(_STEM, "frame")
def _frame(
    result: RegressionEvaluation, kind: Literal["outputs", "figures", "sample", "worst"] = "outputs"
) -> pandas.DataFrame:
    """Figures by output, the overall figures, the sampled targets and predictions, or the worst-predicted examples."""
    import pandas

    choose(kind, ("outputs", "figures", "sample", "worst"))
    if kind == "figures":
        figures = _figures(result)
        return pandas.DataFrame(
            {result.split: list(figures.values())}, index=pandas.Index(list(figures), name="figure")
        )
    if kind == "sample":
        columns: dict[str, Any] = {}
        for index, name in enumerate(result.targets):
            columns[name] = result.sample_target[:, index]
            columns[f"{name} predicted"] = result.sample_prediction[:, index]
        return pandas.DataFrame(columns, index=pandas.Index(result.sample_rows, name="row"))
    if kind == "worst":
        worst = result.worst
        columns = {"error": worst.loss, "target": worst.target, "prediction": worst.prediction}
        if worst.texts:
            columns["shown"] = worst.texts
        return pandas.DataFrame(columns, index=pandas.Index(worst.rows, name="row"))
    return pandas.DataFrame(
        {"mae": result.mae_per_output, "r2": result.r2_per_output}, index=pandas.Index(result.targets, name="output")
    )


def _figures(result: RegressionEvaluation) -> dict[str, float]:
    return {
        "examples": result.examples,
        "R²": result.r2,
        "MAE": result.mae,
        "RMSE": result.rmse,
        "MSE": result.mse,
        "MAE without a network": result.baseline_mae,
    }


@renderer(_STEM, "rich")
def _rich(result: RegressionEvaluation) -> Group:
    """Overall figures, figures by output where there are several, and the worst few examples."""
    from rich.console import Group

    overall = [(name, number(value)) for name, value in _figures(result).items()]
    parts = [make_table(f"Evaluation on {result.split}", ("figure", "value"), overall)]
    if len(result.targets) > 1:
        rows = [
            (name, number(float(mae)), number(float(r2)))
            for name, mae, r2 in zip(result.targets, result.mae_per_output, result.r2_per_output, strict=True)
        ]
        left_out = len(rows) - _MOST_OUTPUTS
        title = f"By output (the last {left_out} left out)" if left_out > 0 else "By output"
        parts.append(make_table(title, ("output", "MAE", "R²"), rows[:_MOST_OUTPUTS]))
    worst = result.worst
    if len(worst.rows):
        listed = [
            (
                worst.texts[index] if worst.texts else "",
                str(worst.rows[index]),
                worst.target[index],
                worst.prediction[index],
                number(float(worst.loss[index])),
            )
            for index in range(min(_WORST_LISTED, len(worst.rows)))
        ]
        parts.append(make_table("Worst predicted", ("example", "row", "target", "prediction", "error"), listed))
    return Group(*parts)
