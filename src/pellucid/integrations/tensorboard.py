"""A run's numbers as TensorBoard event files."""

from __future__ import annotations

from pathlib import Path

from pellucid.errors import SettingsError
from pellucid.store.run import Run
from pellucid.store.scalars import scalars_of

__all__ = ["send_run"]


def send_run(run: Run, target: str = "") -> str:
    """Write a run's series as scalars that ``tensorboard --logdir`` shows.

    Args:
        run: The run.
        target: Folder for the event files; ``tensorboard/<run>`` unless given.

    Returns:
        Where they are.

    Raises:
        SettingsError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SettingsError(
            "TensorBoard is not installed", place="--to", remedy="pip install 'pellucid[tensorboard]'"
        ) from error
    folder = Path(target) if target else Path("tensorboard") / run.id
    with SummaryWriter(str(folder)) as writer:
        for series in scalars_of(run):
            for step, value, time_s in zip(series.steps, series.values, series.times_s, strict=True):
                writer.add_scalar(series.name, float(value), int(step), walltime=float(time_s))
    return str(folder)
