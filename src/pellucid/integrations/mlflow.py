"""A run's numbers in an MLflow experiment."""

from __future__ import annotations

from itertools import islice

from pellucid.errors import SettingsError
from pellucid.store.run import Run
from pellucid.store.scalars import scalars_of

__all__ = ["send_run"]

_A_TIME = 1_000
"""MLflow takes at most so many metrics a request."""


def send_run(run: Run, target: str = "") -> str:
    """Log a run's series and settings as one MLflow run, with MLflow's own tracking address.

    Args:
        run: The run.
        target: The experiment's name; ``pellucid`` unless given.

    Returns:
        The id of the MLflow run.

    Raises:
        SettingsError: MLflow is not installed.
    """
    try:
        import mlflow  # pyright: ignore[reportMissingImports]
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SettingsError("MLflow is not installed", place="--to", remedy="pip install 'pellucid[mlflow]'") from error
    mlflow.set_experiment(target or "pellucid")
    client = mlflow.MlflowClient()
    with mlflow.start_run(run_name=run.manifest.name or run.id) as opened:
        mlflow.log_params({name: str(value)[:500] for name, value in run.manifest.settings.items()})
        metrics = (
            Metric(series.name, float(value), int(time_s * 1000), int(step))
            for series in scalars_of(run)
            for step, value, time_s in zip(series.steps, series.values, series.times_s, strict=True)
        )
        while part := list(islice(metrics, _A_TIME)):
            client.log_batch(opened.info.run_id, metrics=part)
        return str(opened.info.run_id)
