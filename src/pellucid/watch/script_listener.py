"""Who is told of what torch and Python do in a script, and how errors of theirs are kept from it."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from pellucid.watch.guard import Guard

__all__ = ["TAPPED", "GuardedListener", "TapsListener"]


class TapsListener(Protocol):
    """Who is told. Every method is guarded already, and is called while ``is_listening`` only."""

    @property
    def updates(self) -> int:
        """How often an optimiser has stepped."""
        ...

    def is_listening(self) -> bool:
        """Whether this thread and process are watched."""
        ...

    def backward_begins(self, loss: Any) -> None:
        """``torch.autograd.backward`` is called."""
        ...

    def backward_ends(self, loss: Any) -> None:
        """It has returned or failed."""
        ...

    def optimizer_made(self, optimizer: Optimizer) -> None:
        """Made by the running line."""
        ...

    def scheduler_made(self, scheduler: Any) -> None:
        """Made by the running line."""
        ...

    def scheduler_steps(self, scheduler: Any) -> None:
        """Called by the script."""
        ...

    def loader_begins(self, loader: Any) -> None:
        """A pass begins."""
        ...

    def iterator_made(self, iterator: Any, loader: Any) -> None:
        """For that pass."""
        ...

    def batch_given(self, iterator: Any) -> None:
        """By a loader's iterator."""
        ...

    def loss_scaled(self, scaled: Tensor, loss: Tensor) -> None:
        """By a gradient scaler."""
        ...

    def update_skipped(self) -> None:
        """By a gradient scaler that met an infinite gradient."""
        ...

    def compiling(self, what: Any) -> None:
        """``torch.compile`` is called."""
        ...

    def compiled(self, module: torch.nn.Module) -> None:
        """What it gave is a module around the compiled one."""
        ...

    def reading_begins(self) -> None:
        """The code of modules is about to be read, for export say."""
        ...

    def reading_ends(self) -> None:
        """It has been."""
        ...

    def processes_start(self, arguments: Any) -> Any:
        """By ``torch.multiprocessing.spawn``, each to be given these; answers what to give them."""
        ...

    def process_starts(self, process: Any) -> None:
        """By Python's own means."""
        ...

    def warned(self, text: str, file: str, line: int) -> None:
        """A Python warning is shown."""
        ...

    def written(self, text: str) -> None:
        """To standard output or error."""
        ...


TAPPED = (
    "backward_begins",
    "backward_ends",
    "optimizer_made",
    "scheduler_made",
    "scheduler_steps",
    "loader_begins",
    "iterator_made",
    "batch_given",
    "loss_scaled",
    "update_skipped",
    "compiling",
    "compiled",
    "reading_begins",
    "reading_ends",
    "processes_start",
    "process_starts",
    "warned",
    "written",
)
_PARTS = {"backward_begins": "steps", "backward_ends": "steps", "written": "printed", "warned": "warnings"}


class GuardedListener:
    """A listener whose methods are each under the guard.

    Args:
        watch: The listener itself.
        guard: Keeps its errors from the script.
    """

    def __init__(self, watch: Any, guard: Guard) -> None:
        self._watch = watch
        self.is_listening = watch.is_listening
        for name in TAPPED:
            setattr(self, name, guard(_PARTS.get(name, "parts"), getattr(watch, name)))

    is_listening: Any
    backward_begins: Any
    backward_ends: Any
    optimizer_made: Any
    scheduler_made: Any
    scheduler_steps: Any
    loader_begins: Any
    iterator_made: Any
    batch_given: Any
    loss_scaled: Any
    update_skipped: Any
    compiling: Any
    compiled: Any
    reading_begins: Any
    reading_ends: Any
    processes_start: Any
    process_starts: Any
    warned: Any
    written: Any

    @property
    def updates(self) -> int:
        """How often an optimiser has stepped."""
        return self._watch.updates
