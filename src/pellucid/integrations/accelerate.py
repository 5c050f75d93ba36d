"""Accelerate: a tracker that watches the prepared model and keeps what ``accelerator.log`` is given."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, on_main_process
from torch import Tensor, nn

from pellucid.watch.recorder import Watch, watch

__all__ = ["WatchTracker"]


class WatchTracker(GeneralTracker):
    """Records the training into a run.

    ``accelerator = Accelerator(log_with=WatchTracker(model))``, then as with any tracker
    ``accelerator.init_trackers("project")``, ``accelerator.log({"loss": loss})`` and ``accelerator.end_training()``.

    Args:
        model: The network, prepared or not.
        runs_dir: Where to make the run; None means ``$PELLUCID_RUNS`` or ``./runs``.
        name: The run's name.
        budget: Share of the training time that the watch may cost.
    """

    name = "pellucid"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self, model: nn.Module, runs_dir: str | Path | None = None, *, name: str | None = None, budget: float = 0.03
    ) -> None:
        super().__init__()
        self._model = model
        self._settings: dict[str, Any] = {"runs_dir": runs_dir, "name": name, "budget": budget}
        self._open = ExitStack()
        self.watched: Watch | None = None
        """The watch, once the trackers were started."""

    @property
    def tracker(self) -> Watch | None:
        """The watch itself."""
        return self.watched

    @on_main_process
    def start(self) -> None:
        """Begin the run."""
        self.watched = self._open.enter_context(watch(self._model, **self._settings))

    @on_main_process
    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Keep the settings as an event: they are the script's, not the watch's."""
        if self.watched is not None and values:
            self.watched.event("settings", ", ".join(f"{name} = {value}" for name, value in values.items()))

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Record values of this step; ``loss`` is the step's own."""
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float | Tensor)}
        if self.watched is not None and numbers:
            self.watched.log(**numbers)

    @on_main_process
    def finish(self) -> None:
        """End the run."""
        self._open.close()
