"""``pellucid fit``: from data to a trained, watched and evaluated network."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pellucid.cli.exit_codes import EXIT_INTERRUPTED
from pellucid.cli.words import names_in, number_in, numbers_in, whole_numbers_in
from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from pellucid.store.run import Run
    from pellucid.training.settings import FitSettings

__all__ = ["fit_and_report", "fit_command"]

_DATA = "Data"
_PREPARATION = "Preparation"
_NETWORK = "Network"
_TRAINING = "Training"
_RUN = "Run"


def fit_command(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A table (CSV, TSV, Parquet, JSON lines), a folder of images with a subfolder for each class, IDX, "
            "NPZ or Parquet images, a text or series file; or an embedded data set such as digits or iris.",
            show_default=False,
        ),
    ] = None,
    *,
    target: Annotated[
        str | None,
        typer.Option(help="Column to predict; first_letter for that of each text.", rich_help_panel=_DATA),
    ] = None,
    task: Annotated[str | None, typer.Option(help="auto, classification or regression.", rich_help_panel=_DATA)] = None,
    text: Annotated[str | None, typer.Option(help="Column to read as text.", rich_help_panel=_DATA)] = None,
    text_task: Annotated[
        str | None,
        typer.Option(help="label, or next_token to predict each following token.", rich_help_panel=_DATA),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(help="Columns to forecast from, with commas; the first is forecast.", rich_help_panel=_DATA),
    ] = None,
    time: Annotated[str | None, typer.Option(help="Column that orders a series.", rich_help_panel=_DATA)] = None,
    window: Annotated[int | None, typer.Option(help="Steps of a series that are seen.", rich_help_panel=_DATA)] = None,
    horizon: Annotated[
        int | None, typer.Option(help="Steps of a series that are forecast.", rich_help_panel=_DATA)
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(help="Parquet column that holds the bytes of images.", rich_help_panel=_DATA)
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Pixels a side that images are resized to.", rich_help_panel=_DATA)
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Rows with equal values here stay in one split.", rich_help_panel=_DATA)
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="Only these columns, with commas.", rich_help_panel=_DATA)
    ] = None,
    drop: Annotated[str | None, typer.Option(help="Leave out these columns.", rich_help_panel=_DATA)] = None,
    split: Annotated[
        str | None, typer.Option(help="Shares to train, validate and test: 0.7,0.15,0.15.", rich_help_panel=_DATA)
    ] = None,
    shuffle: Annotated[
        bool | None,
        typer.Option("--shuffle/--no-shuffle", help="Split at random, or in order.", rich_help_panel=_DATA),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate with so many folds.", rich_help_panel=_DATA)] = None,
    limit: Annotated[int | None, typer.Option(help="Use at most so many rows.", rich_help_panel=_DATA)] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            help="Fill gaps by: auto, median, mean, most_frequent; or drop rows.", rich_help_panel=_PREPARATION
        ),
    ] = None,
    outliers: Annotated[
        str | None, typer.Option(help="winsorize (draw in the farthest values) or none.", rich_help_panel=_PREPARATION)
    ] = None,
    scaling: Annotated[
        str | None, typer.Option(help="auto, standard, minmax, robust or none.", rich_help_panel=_PREPARATION)
    ] = None,
    categories: Annotated[
        str | None, typer.Option(help="auto, one_hot or ordinal.", rich_help_panel=_PREPARATION)
    ] = None,
    tokens: Annotated[str | None, typer.Option(help="auto, word or character.", rich_help_panel=_PREPARATION)] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Vary training examples: shift, flip, rotate, cutout, noise, mixup; shift:0.2 says how much.",
            rich_help_panel=_PREPARATION,
        ),
    ] = None,
    label_noise: Annotated[
        float | None,
        typer.Option(help="Share of the training labels to change, to study memorisation.", rich_help_panel=_DATA),
    ] = None,
    label_noise_seed: Annotated[
        int | None, typer.Option(help="Of which labels change, and to what.", rich_help_panel=_DATA)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="mlp, cnn, rnn, gru, lstm or bag.", rich_help_panel=_NETWORK)
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option(help="Units of the hidden layers, channels of a cnn's stages: 64,32.", rich_help_panel=_NETWORK),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            help="relu, leaky_relu, elu, gelu, silu, softplus, tanh, sigmoid or identity.", rich_help_panel=_NETWORK
        ),
    ] = None,
    normalization: Annotated[str | None, typer.Option(help="none, batch or layer.", rich_help_panel=_NETWORK)] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Probability of dropping a unit, 0 to 1.", rich_help_panel=_NETWORK)
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Starting weights: auto, xavier_uniform, xavier_normal, he_uniform, he_normal, orthogonal, lsuv, "
            "normal, uniform, constant or zeros.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    residual: Annotated[
        bool | None,
        typer.Option(
            "--residual/--no-residual", help="Add each stage's input to its output.", rich_help_panel=_NETWORK
        ),
    ] = None,
    bidirectional: Annotated[
        bool | None,
        typer.Option(
            "--bidirectional/--no-bidirectional", help="Read sequences from both ends.", rich_help_panel=_NETWORK
        ),
    ] = None,
    embedding: Annotated[
        str | None, typer.Option(help="Numbers a token is embedded in, or one_hot.", rich_help_panel=_NETWORK)
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="auto, cross_entropy, binary_cross_entropy, hinge, mse, mae or huber.", rich_help_panel=_TRAINING
        ),
    ] = None,
    class_weights: Annotated[
        str | None, typer.Option(help="none, balanced, or one weight a class: 1,5.", rich_help_panel=_TRAINING)
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Share of each target spread over all classes.", rich_help_panel=_TRAINING)
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="adamw, adam, sgd, rmsprop, adagrad, lbfgs or gradient_descent.", rich_help_panel=_TRAINING),
    ] = None,
    lr: Annotated[
        str | None,
        typer.Option(
            help="Learning rate; auto chooses by the data, range measures which rates suit first.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd and rmsprop.", rich_help_panel=_TRAINING)] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Pull of the weights towards 0.", rich_help_panel=_TRAINING)
    ] = None,
    l1: Annotated[
        float | None, typer.Option("--l1", help="Weight of Σ|w| in the loss.", rich_help_panel=_TRAINING)
    ] = None,
    l2: Annotated[
        float | None, typer.Option("--l2", help="Weight of Σw² in the loss.", rich_help_panel=_TRAINING)
    ] = None,
    clip: Annotated[
        float | None, typer.Option(help="Longest gradient allowed; 0 = any.", rich_help_panel=_TRAINING)
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Of the learning rate: constant, step, cosine, one_cycle or plateau.", rich_help_panel=_TRAINING
        ),
    ] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of the steps in which the rate first grows.", rich_help_panel=_TRAINING)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training data.", rich_help_panel=_TRAINING)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step.", rich_help_panel=_TRAINING)] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many epochs without a lower validation loss, and keep the best; 0 = never.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same run.", rich_help_panel=_RUN)] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=_RUN)] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16 or float16.", rich_help_panel=_RUN)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Processor threads. [default: 1 for a small network]", rich_help_panel=_RUN)
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the run.", rich_help_panel=_RUN)] = None,
    runs_dir: Annotated[
        str | None, typer.Option(help="Folder of the runs; $PELLUCID_RUNS or ./runs.", rich_help_panel=_RUN)
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(help="Go on with this stopped or killed run, exactly where it was.", rich_help_panel=_RUN),
    ] = None,
    watch: Annotated[
        bool | None, typer.Option("--watch/--no-watch", help="Record what happens in the layers.", rich_help_panel=_RUN)
    ] = None,
    lens: Annotated[
        str | None,
        typer.Option(
            help="Measure along training, with commas: collapse, layers, calibration, margins, robustness.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say the summary as JSON, and nothing else.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Train a network on your data under watch, and evaluate it. Whatever you leave open is chosen from the data.

    pellucid fit titanic.csv --target survived
    """
    if resume is not None:
        if source is not None:
            raise SettingsError(
                "a resumed run has its own data and settings", place="--resume", remedy="leave out the source"
            )
        _resume_and_report(resume, runs_dir=runs_dir, as_json=as_json)
        return
    if not source:
        raise SettingsError(
            "there is nothing to fit", place="source", remedy="name a file, a folder, or an embedded data set: digits"
        )
    changes: dict[str, Any] = {
        "target": target,
        "task": task,
        "text": text,
        "text_task": text_task,
        "series": names_in(series),
        "time": time,
        "window": window,
        "horizon": horizon,
        "image": image_column,
        "image_size": image_size,
        "group": group,
        "features": names_in(features),
        "drop": names_in(drop),
        "split": None if split is None else numbers_in(split, "--split"),
        "shuffle": shuffle,
        "folds": folds,
        "limit": limit,
        "missing": missing,
        "outliers": outliers,
        "scaling": scaling,
        "categories": categories,
        "tokens": tokens,
        "augment": names_in(augment),
        "network": _network(model),
        "widths": None if widths is None else whole_numbers_in(widths, "--widths"),
        "activation": activation,
        "normalization": normalization,
        "dropout": dropout,
        "initialization": init,
        "residual": residual,
        "bidirectional": bidirectional,
        "embedding": _embedding(embedding),
        "loss": loss,
        "class_weights": _class_weights(class_weights),
        "label_smoothing": label_smoothing,
        "optimizer": optimizer,
        **_learning_rate(lr),
        "momentum": momentum,
        "weight_decay": weight_decay,
        "l1": l1,
        "l2": l2,
        "clip": clip,
        "schedule": schedule,
        "warmup": warmup,
        "epochs": epochs,
        "batch_size": batch_size,
        "patience": patience,
        "seed": seed,
        "device": device,
        "precision": precision,
        "threads": threads,
        "watch": watch,
        "lenses": names_in(lens),
        "label_noise": label_noise,
        "label_noise_seed": label_noise_seed,
    }
    given = {option: value for option, value in changes.items() if value is not None}
    fit_and_report(source, None, runs_dir=runs_dir, name=name, as_json=as_json, **given)


def fit_and_report(
    source: str,
    settings: FitSettings | None,
    *,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    as_json: bool = False,
    **changes: Any,
) -> Run:
    """Fit, with progress on standard error and a summary on standard output.

    Args:
        source: As ``fit``.
        settings: As ``fit``.
        runs_dir: As ``fit``.
        name: As ``fit``.
        as_json: Say the summary as JSON and nothing else.
        **changes: Single settings, as ``fit``.
    """
    from pellucid.cli.progress import TerminalProgress
    from pellucid.training.fit import fit

    progress = TerminalProgress(quiet=as_json)
    with _stoppable("list the runs with `pellucid runs`; `pellucid fit --resume RUN` goes on with one that was begun"):
        run = fit(source, settings, runs_dir=runs_dir, name=name, progress=progress, **changes)
    _report(run, as_json)
    return run


def _resume_and_report(run: str, *, runs_dir: str | None, as_json: bool) -> None:
    from pellucid.cli.progress import TerminalProgress
    from pellucid.store.run import open_run
    from pellucid.training.resume import resume

    opened = open_run(run, runs_dir)
    with _stoppable(f"go on with `pellucid fit --resume {opened.id}`"):
        found = resume(opened, progress=TerminalProgress(quiet=as_json))
    _report(found, as_json)


@contextmanager
def _stoppable(remedy: str) -> Iterator[None]:
    """SIGTERM ends a fit as Ctrl-C does, and either says how to go on.

    In the training loop both are a wish that is answered between two steps; this is for the time before and after.
    """

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, interrupt) if main else None
    try:
        yield
    except KeyboardInterrupt:
        typer.secho(f"Interrupted: {remedy}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _report(run: Run, as_json: bool) -> None:
    """Say how the run ended; a stopped one leaves with a code of its own, for scripts that go on afterwards."""
    from pellucid.cli.summary import run_summary, summary_json

    if as_json:
        typer.echo(summary_json(run))
    else:
        from pellucid.cli.console import PatientConsole

        PatientConsole(soft_wrap=True).print(run_summary(run))
    if run.status == "stopped":
        raise typer.Exit(EXIT_INTERRUPTED)


def _network(model: str | None) -> dict[str, Any] | None:
    """A recurrent cell's name stands for the network that is made of it."""
    if model is None:
        return None
    cells = {"rnn": "plain", "gru": "gru", "lstm": "lstm"}
    return {"kind": "rnn", "cell": cells[model]} if model in cells else {"kind": model}


def _embedding(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdigit() else text


def _class_weights(text: str | None) -> str | tuple[float, ...] | None:
    return text if text is None or text in ("none", "balanced") else numbers_in(text, "--class-weights")


def _learning_rate(text: str | None) -> dict[str, Any]:
    if text is None or text == "auto":
        return {}
    return {"rate_test": True} if text == "range" else {"learning_rate": number_in(text, "--lr")}
