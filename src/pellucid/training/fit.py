"""One call from a person's data to a trained, watched and evaluated network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.data.embedded import find_embedded
from pellucid.errors import DataError, SettingsError
from pellucid.store.locations import default_runs_dir
from pellucid.store.writer import RunWriter
from pellucid.training.assembly import build_model, decide, rate_range
from pellucid.training.devices import choose_device, sealed
from pellucid.training.label_noise import prepare_as_trained
from pellucid.training.measuring import check_lenses
from pellucid.training.networks import describe_network
from pellucid.training.progress import Progress
from pellucid.training.session import Session
from pellucid.training.settings import FitSettings
from pellucid.watch.environment import describe_environment

if TYPE_CHECKING:
    from pellucid.data.prepared import Prepared
    from pellucid.store.run import Run

__all__ = ["fit"]


def fit(
    source: str | Path,
    settings: FitSettings | None = None,
    *,
    runs_dir: str | Path | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    **overrides: Any,
) -> Run:
    """Train a network on a person's data under watch, and evaluate it: what ``pellucid fit`` does.

    Args:
        source: A table, a folder or file of images, a text or series file, or the name of an embedded data set.
        settings: What was decided; the rest is chosen from the data and told to ``progress``.
        runs_dir: The folder of all runs; None = ``$PELLUCID_RUNS`` or ``./runs``.
        name: What to call the run; None = after the source.
        progress: Is told what happens; None = nobody is.
        **overrides: Single settings by name: ``target="survived"``, ``network="mlp"``, ``widths=(64, 32)``,
            ``optimizer="sgd"``, ``learning_rate=0.1``, ``epochs=20``, ``seed=1``, ``lenses=("collapse", "margins")`` …

    Returns:
        The run, finished; or stopped, if somebody pressed Ctrl-C: ``resume`` goes on with it.

    Raises:
        DataError: the data cannot be used; the message names file, row and column.
        SettingsError: a setting is unknown, out of range, or does not suit the data.
        DeviceError: the device asked for is not there.
        TrainingError: the loss stopped being finite; the run is kept.
        StorageError: the runs folder cannot be written, or the disk is full.

    >>> run = fit("iris", epochs=5, runs_dir=getfixture("tmp_path"))  # doctest: +SKIP
    >>> run.manifest.metrics["test_accuracy"] > 0.5                   # doctest: +SKIP
    True
    """
    progress = progress or Progress()
    chosen = (settings or FitSettings()).with_changes(**overrides)
    choose_device(chosen.device)
    source = _lasting(source)
    progress.stage("reading the data")
    prepared = prepare_as_trained(source, chosen)
    decided, notes = decide(chosen, prepared)
    check_lenses(prepared, decided)
    for note in (*prepared.notes, *notes):
        progress.note(note)
    device = choose_device(decided.device)
    with sealed(device, seed=decided.seed, threads=decided.threads):
        found = None
        if decided.rate_test:
            progress.stage("testing learning rates")
            decided, found = rate_range(prepared, decided)
            progress.note(f"learning rate {found.suggestion:g}: {found.reason}")
        writer = _create(source, prepared, decided, runs_dir, name)
        if found is not None:
            writer.put_result("learning_rate_range", found)
        return Session(source, prepared, decided, writer, progress).run()


def _create(
    source: str, prepared: Prepared, settings: FitSettings, runs_dir: str | Path | None, name: str | None
) -> RunWriter:
    """The new run's folder with everything that is known before training."""
    if settings.network is None:
        raise SettingsError("the settings are not resolved", place="network", remedy="call resolve(prepared)")
    model = build_model(prepared, settings)
    return RunWriter.create(
        default_runs_dir() if runs_dir is None else runs_dir,
        name=name or Path(source).stem or "fit",
        kind="fit",
        settings=settings.to_json(),
        environment=describe_environment(choose_device(settings.device)),
        task=prepared.task,
        modality=prepared.modality,
        source=source,
        model=describe_network(settings.network),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        seed=settings.seed,
        device=settings.device,
        epochs_planned=settings.epochs,
        epoch=0,
        step=0,
        command=_command(),
    )


def _lasting(source: str | Path) -> str:
    """The source as it can be found again from any working folder."""
    if not isinstance(source, str | Path):
        raise DataError(
            f"a {type(source).__name__} is no source",
            place="fit",
            remedy="give a path or an embedded set's name; write a DataFrame to a Parquet file first",
        )
    path = Path(source)
    return str(source) if not path.exists() and find_embedded(source) is not None else str(path.resolve())


def _command() -> str:
    """The command line, if it is one of Pellucid's; a script's own arguments are nobody's business."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return " ".join(["pellucid", *sys.argv[1:]]) if program in ("pellucid", "pellucid.exe") else ""
