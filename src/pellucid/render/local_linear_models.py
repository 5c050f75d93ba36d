"""The linear models of a network on its data: as a table, as parallel coordinates, and one feature's profile."""

# matplotlib and numpy leave much untyped, which strict checking would report at every call.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pellucid.render.parts import ACCENT, PALETTE, QUIET, choose, make_axes, make_table, number, share
from pellucid.results.local_linear_models import LocalLinearModels
from pellucid.results.local_linear_simplification import Fidelity
from pellucid.results.rendering import renderer

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group

__all__: list[str] = []

_STEM = "local_linear_models"
_ROWS = 12
_FEATURES = 12
_LINES = 300
_SEGMENTS = 400


@renderer(_STEM, "rich")
def _rich(result: LocalLinearModels) -> Group:
    """What was found and how exactly; the largest regions; the most important features."""
    from rich.console import Group

    parts: list[object] = [
        make_table(_title(result), ("fact", "value"), _facts(result), text_columns=2),
        make_table(
            f"Largest regions ({min(_ROWS, len(result.support))} of {len(result.support):,})",
            ("region", "examples", "share", *result.metric_names, *(f"share {name}" for name in result.classes[:4])),
            _region_rows(result),
        ),
        make_table(
            "Importance of the features, all outputs together",
            ("feature", "joint"),
            [(str(name), share(float(row["joint"]))) for name, row in result.importance().head(_ROWS).iterrows()],
        ),
    ]
    if result.simplified:
        sets = [item.where for item in result.simplified[0].fidelity]
        rows = [(item.method, str(item.groups), *map(_agreement, item.fidelity)) for item in result.simplified]
        measure = (
            "R² of the network's output" if result.task == "regression" else "share of the network's decisions kept"
        )
        parts.append(make_table(f"Fewer models: {measure}", ("method", "models", *sets), rows))
    return Group(*parts)  # type: ignore[arg-type]  # tables


def _title(result: LocalLinearModels) -> str:
    count, examples = len(result.support), len(result.data.points)
    return f"{result.model}: {count:,} linear {'model' if count == 1 else 'models'} on {examples:,} examples"


def _facts(result: LocalLinearModels) -> list[tuple[str, str]]:
    single = int((result.support == 1).sum())
    bits = sum(layer.bits for layer in result.layers)
    still = sum(layer.never_on + layer.always_on for layer in result.layers)
    rows = [
        (
            "largest |local model − network|",
            f"{number(result.error, 2)} (outputs up to {number(result.output_scale, 3)})",
        ),
        ("the same elsewhere in each cell", _inside(result)),
        ("examples in the largest region", share(float(result.support[0]) / len(result.data.points))),
        ("regions with a single example", f"{single:,}"),
        ("bits of a pattern", f"{bits:,}, of which {still:,} never change on the data" if bits else "none: one region"),
    ]
    for name, value in zip(result.metric_names, result.overall, strict=True):
        rows.append((f"{name}, all examples", number(float(value))))
    if result.held_out is not None and len(result.held_out.region):
        rows.append(("held-out examples in a visited region", share(float((result.held_out.region >= 0).mean()))))
    for points in result.unvisited:
        rows.append((points.name, f"{len(points.points):,} sampled"))
    return rows


def _inside(result: LocalLinearModels) -> str:
    return f"{number(result.inside_error, 2)} ({number(result.inside_distance, 2)} standard deviations away)"


def _agreement(item: Fidelity) -> str:
    return number(item.r2, 3) if math.isnan(item.agreement) else share(item.agreement)


def _region_rows(result: LocalLinearModels) -> list[tuple[str, ...]]:
    total = len(result.data.points)
    rows: list[tuple[str, ...]] = []
    for region in range(min(_ROWS, len(result.support))):
        count = int(result.support[region])
        balance = tuple(share(float(value)) for value in result.class_balance[region, :4])
        balance += ("–",) * (min(4, len(result.classes)) - len(balance))
        figures = (number(float(value)) for value in result.metrics[region])
        rows.append((str(region), f"{count:,}", share(count / total), *figures, *balance))
    return rows


@renderer(_STEM, "frame")
def _frame(result: LocalLinearModels, *, kind: str = "regions", output: str | int | None = None) -> pandas.DataFrame:
    """One row a region (``kind="regions"``), a feature (``"importance"``) or a kink (``"layers"``)."""
    import pandas

    choose(kind, ("regions", "importance", "layers"))
    if kind == "regions":
        return result.table(0 if output is None else output)
    if kind == "importance":
        return result.importance(output)
    columns = ("op", "bits", "never_on", "always_on")
    return pandas.DataFrame(
        {name: [getattr(layer, name) for layer in result.layers] for name in columns},
        index=pandas.Index([layer.name for layer in result.layers], name="layer"),
    )


@renderer(_STEM, "plot")
def _plot(
    result: LocalLinearModels,
    ax: Axes | None = None,
    *,
    kind: str = "parallel",
    feature: str | int | None = None,
    output: str | int = 0,
) -> Axes:
    """Draw all local models as lines over the features (``kind="parallel"``), the features' joint importance
    (``"importance"``), or of one ``feature`` every region's line and their common effect (``"profile"``) or its
    coefficients' distribution over the examples (``"coefficients"``).
    """
    ax = make_axes(ax, width=7.0)
    choose(kind, ("parallel", "profile", "coefficients", "importance"))
    if kind == "parallel":
        return _parallel(result, ax, output)
    if kind == "importance":
        return _importance(result, ax)
    wanted = str(result.importance(output).index[0]) if feature is None else feature
    return _profile(result, ax, wanted, output) if kind == "profile" else _coefficients(result, ax, wanted, output)


def _parallel(result: LocalLinearModels, ax: Axes, output: str | int) -> Axes:
    """One line a region, as wide as its support; the axes are the most important features."""
    from matplotlib.collections import LineCollection

    frame = result.importance(output)
    names = [str(name) for name in frame.index[:_FEATURES]]
    place = result.profile(0, output).output
    at = [result.features.index(name) for name in names]
    scale = result.data.points.std(axis=0)[at]
    shown = min(_LINES, len(result.support))
    heights = result.coefficients[:shown, result.outputs.index(place)][:, at] * scale
    across = np.arange(len(names))
    lines = [np.stack([across, row], axis=1) for row in heights]
    widths = 0.5 + 6.0 * np.sqrt(result.support[:shown] / len(result.data.points))
    level = np.bincount(result.data.region, result.data.output[:, result.outputs.index(place)])[:shown]
    drawn = LineCollection(lines[::-1], linewidths=widths[::-1], alpha=0.55, cmap="cividis")
    drawn.set_array((level / result.support[:shown])[::-1])
    ax.add_collection(drawn)
    ax.axhline(0, color=QUIET, linewidth=0.8)
    ax.autoscale()
    ax.set_xticks(across, names, rotation=35, ha="right", fontsize="small")
    ax.set_ylabel(f"change of {place}\nover one standard deviation")
    ax.set_title(_title(result) + ("" if shown == len(result.support) else f", the largest {shown}"))
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(drawn, ax=ax, label=f"mean {place} in the region")
    return ax


def _profile(result: LocalLinearModels, ax: Axes, feature: str | int, output: str | int) -> Axes:
    """Each region's line over its examples (at least 3 % of the range), and the accumulated effect."""
    from matplotlib.collections import LineCollection

    profile = result.profile(feature, output)
    largest = np.argsort(-profile.support, kind="stable")[:_SEGMENTS]
    widths = 0.8 + 4.0 * np.sqrt(profile.support[largest] / len(result.data.points))
    middle = float(result.data.output[:, result.outputs.index(profile.output)].mean())
    segments = _visible(profile.segments, profile.coefficient, float(np.ptp(profile.grid)))[largest]
    segments = segments - np.array([0.0, middle])
    lines = LineCollection(list(segments), linewidths=widths, colors=PALETTE[0], alpha=0.6, label="one region")
    ax.add_collection(lines)
    ax.plot(profile.grid, profile.effect, color=ACCENT, linewidth=2, label="accumulated effect")
    ax.axhline(0, color=QUIET, linewidth=0.8)
    ax.autoscale()
    ax.set_xlabel(profile.feature)
    ax.set_ylabel(f"{profile.output} − its mean")
    ax.set_title(f"{profile.feature} in {len(profile.regions):,} local models")
    ax.legend(fontsize="small")
    return ax


def _visible(segments: np.ndarray, slope: np.ndarray, reach: float) -> np.ndarray:
    """The segments, those of regions with few examples drawn longer at their slope, so that they are seen."""
    middle = segments.mean(axis=1)
    half = np.maximum(np.ptp(segments[..., 0], axis=1) / 2, 0.015 * reach)
    step = np.stack([half, slope * half], axis=1)
    return np.stack([middle - step, middle + step], axis=1)


def _coefficients(result: LocalLinearModels, ax: Axes, feature: str | int, output: str | int) -> Axes:
    """How the coefficient is spread over the examples."""
    profile = result.profile(feature, output)
    bins = max(1, min(40, len(np.unique(profile.coefficient))))
    ax.hist(profile.coefficient, bins=bins, weights=profile.support, color=PALETTE[0])
    ax.axvline(0, color=QUIET, linewidth=0.8)
    ax.set_xlabel(f"coefficient of {profile.feature} for {profile.output}")
    ax.set_ylabel("examples")
    ax.set_title(f"{profile.feature} in {len(profile.regions):,} local models")
    return ax


def _importance(result: LocalLinearModels, ax: Axes) -> Axes:
    frame = result.importance().head(20)[::-1]
    ax.barh([str(name) for name in frame.index], frame["joint"].to_numpy(), color=PALETTE[0])
    ax.set_xlabel("joint importance, share of 1")
    ax.set_title(_title(result))
    return ax
