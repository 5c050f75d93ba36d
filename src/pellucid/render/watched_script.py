"""What the watch learned of a script: its parts as tables."""

# matplotlib leaves **kwargs untyped, which strict checking would report at every call of it.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.render.parts import PALETTE, choose, make_axes, make_table, number
from pellucid.results.rendering import renderer
from pellucid.results.watched_script import CodeLine, WatchedScript

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from rich.console import Group, RenderableType

__all__: list[str] = []

_STEM = "watched_script"
_MOST_LAYERS = 30


@renderer(_STEM, "rich")
def _rich(result: WatchedScript) -> Group:
    """How the script went, then its models, losses, optimisers, schedulers and loaders."""
    from rich.console import Group

    parts: list[RenderableType] = [_overview(result)]
    if result.models:
        rows = [
            (
                one.name,
                one.kind,
                _at(one.place),
                f"{one.parameters_total:,}",
                f"{one.train_calls:,}",
                f"{one.evaluation_calls:,}",
            )
            for one in result.models
        ]
        names = ("model", "class", "first called", "parameters", "training calls", "evaluation calls")
        parts.append(make_table("Models", names, rows, text_columns=3))
    if result.losses:
        rows = [
            (one.kind, one.reduction or "–", _at(one.place), f"{one.steps:,}", number(one.first), number(one.last))
            for one in result.losses
        ]
        parts.append(
            make_table("Losses", ("loss", "reduction", "line", "steps", "first", "last"), rows, text_columns=3)
        )
    if result.optimizers:
        rows = [
            (
                one.kind,
                _at(one.place),
                f"{one.steps:,}",
                _rates(one.groups[0].settings.get("lr") if one.groups else None),
            )
            for one in result.optimizers
        ]
        parts.append(make_table("Optimisers", ("optimiser", "made at", "steps", "rate"), rows, text_columns=2))
    if result.schedulers:
        rows = [(one.kind, _at(one.place), f"{one.calls:,}", number(one.calls_per_epoch)) for one in result.schedulers]
        parts.append(make_table("Schedulers", ("scheduler", "line", "calls", "an epoch"), rows, text_columns=2))
    if result.loaders:
        rows = [
            (
                one.dataset,
                _at(one.place),
                "yes" if one.shuffled else "no",
                f"{one.length:,}",
                f"{one.batch_size:,}",
                f"{one.passes:,}",
            )
            for one in result.loaders
        ]
        names = ("data set", "line", "shuffled", "examples", "batch", "passes")
        parts.append(make_table("Loaders", names, rows, text_columns=3))
    return Group(*parts)


def _overview(result: WatchedScript) -> RenderableType:
    ended = f"{result.ended}: {result.error}" if result.error else result.ended
    rows = [
        ("script", " ".join((result.script, *result.arguments))),
        ("ended", ended),
        ("updates", f"{result.steps:,}"),
        ("epochs", f"{result.epochs:,}" if result.epochs else "not recognised"),
        ("cost of the watch", f"{result.cost:.1%}" if result.cost == result.cost else "–"),
    ]
    if result.nonfinite is not None:
        origin = result.nonfinite
        rows.append(
            ("first NaN or infinity", f"step {origin.step:,}, {origin.phase}: {origin.what} {_at(origin.place)}")
        )
    return make_table("Watched script", ("fact", "value"), rows, text_columns=2)


def _at(place: CodeLine) -> str:
    return f"{place.file}:{place.line}" if place.line else "–"


def _rates(rate: object) -> str:
    return number(float(rate)) if isinstance(rate, int | float) else "–"


@renderer(_STEM, "frame")
def _frame(result: WatchedScript, *, kind: str = "parameters") -> pandas.DataFrame:
    """One row a parameter, or (``kind="calls"``) one a recorded call, or (``kind="modules"``) one a module."""
    import pandas

    if choose(kind, ("parameters", "calls", "modules")) == "calls":
        rows = [
            (one.step, one.phase, one.order, one.function, one.module, one.place.line, one.reaches_loss)
            for one in result.calls
        ]
        names = ["step", "phase", "order", "function", "module", "line", "reaches_loss"]
        return pandas.DataFrame(rows, columns=pandas.Index(names))
    if kind == "modules":
        modules = [
            (model.name, one.name, one.kind, one.parameters, one.registered, one.trained_mode, one.evaluated_mode)
            for model in result.models
            for one in model.modules
        ]
        names = ["model", "module", "kind", "parameters", "registered", "trained_mode", "evaluated_mode"]
        return pandas.DataFrame(modules, columns=pandas.Index(names))
    parameters = [
        (
            model.name,
            one.name,
            one.trainable,
            one.optimizer,
            one.got_gradient,
            one.initial_norm,
            one.final_norm,
            one.moved,
        )
        for model in result.models
        for one in model.parameters
    ]
    names = ["model", "parameter", "trainable", "optimizer", "got_gradient", "initial_norm", "final_norm", "moved"]
    return pandas.DataFrame(parameters, columns=pandas.Index(names))


@renderer(_STEM, "plot")
def _plot(result: WatchedScript, ax: Axes | None = None) -> Axes:
    """Draw how far each parameter went, relative to its size at the start."""
    import math

    ax = make_axes(ax)
    moved = [(one.name, one.moved) for model in result.models for one in model.parameters if math.isfinite(one.moved)]
    shown = moved[-_MOST_LAYERS:]
    ax.barh([name for name, _ in shown], [value for _, value in shown], color=PALETTE[0])
    ax.invert_yaxis()
    ax.set_xlabel("‖θ_end − θ_0‖ ÷ ‖θ_0‖")
    ax.set_title("how far each parameter went")
    return ax
