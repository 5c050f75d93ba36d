"""Goes on with a run that was stopped or killed, exactly as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.errors import DataError, RunNotFoundError
from pellucid.results.data_report import DataReport
from pellucid.store.run import Run, open_run
from pellucid.store.writer import RunWriter
from pellucid.training.checkpoints import LAST, unpack_state
from pellucid.training.devices import choose_device, sealed
from pellucid.training.keeper import resume_point
from pellucid.training.label_noise import prepare_as_trained
from pellucid.training.progress import Progress
from pellucid.training.session import Session
from pellucid.training.trained import settings_of

if TYPE_CHECKING:
    from pellucid.data.prepared import Prepared

__all__ = ["resume"]


def resume(run: Run | str | Path, *, progress: Progress | None = None) -> Run:
    """Train a run to its end from its last checkpoint, or from the beginning if it has none.

    The result equals, bit for bit, that of the run never stopped, on the same machine and versions: weights, losses,
    figures. Rows recorded after the checkpoint are taken back first. A finished run is returned as it is.

    Args:
        run: The run, its folder or its id.
        progress: Is told what happens.

    Raises:
        DataError: the data has changed since, or is gone.
        RunCorruptedError: the checkpoint is truncated, damaged or hostile.
        RunLockedError: another process is writing the run.
        RunError: the run is no fit.
    """
    progress = progress or Progress()
    run = run if isinstance(run, Run) else open_run(run)
    run.refresh()
    settings = settings_of(run)
    state = _checkpoint(run)
    if run.status == "finished":
        progress.note(f"{run.id} is finished already")
        return run
    device = choose_device(settings.device)
    source = run.manifest.source
    progress.stage("reading the data")
    prepared = prepare_as_trained(source, settings)
    _check_unchanged(run, prepared)
    with sealed(device, seed=settings.seed, threads=settings.threads):
        writer = RunWriter.resume(run.location, after_step=resume_point(state))
        return Session(source, prepared, settings, writer, progress).run(state)


def _checkpoint(run: Run) -> dict[str, Any] | None:
    """The last checkpoint; None if the run was killed before its first."""
    try:
        payload = run.read_file(LAST)
    except RunNotFoundError:
        return None
    return unpack_state(payload, place=f"{run.location}/{LAST}")


def _check_unchanged(run: Run, prepared: Prepared) -> None:
    """Raise if the data is not what the run was trained on so far."""
    if "data_report" not in run.result_names():
        return
    report = run.result("data_report")
    if isinstance(report, DataReport) and report.fingerprint != prepared.report.fingerprint:
        raise DataError(
            "the data has changed since the run began",
            place=run.manifest.source,
            remedy="put the old data back, or fit anew",
        )
