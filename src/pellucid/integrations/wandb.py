"""A run's numbers in Weights & Biases."""

from __future__ import annotations

from collections import defaultdict

from pellucid.errors import SettingsError
from pellucid.store.run import Run
from pellucid.store.scalars import scalars_of

__all__ = ["send_run"]


def send_run(run: Run, target: str = "") -> str:
    """Log a run's series and settings as one W&B run; ``WANDB_MODE=offline`` keeps it on this machine.

    Args:
        run: The run.
        target: The project; ``pellucid`` unless given.

    Returns:
        The id of the W&B run.

    Raises:
        SettingsError: W&B is not installed.
    """
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SettingsError("W&B is not installed", place="--to", remedy="pip install 'pellucid[wandb]'") from error
    rows: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for series in scalars_of(run):
        for step, value in zip(series.steps, series.values, strict=True):
            rows[int(step)][series.name] = float(value)
    opened = wandb.init(project=target or "pellucid", name=run.manifest.name or run.id, config=run.manifest.settings)
    try:
        for step in sorted(rows):  # W&B takes steps in rising order only
            opened.log(rows[step], step=step)
    finally:
        opened.finish()
    return str(opened.id)
