"""The row that every optimiser step leaves: loss, learning rate, time, gradient norm."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from pellucid.core.tensor_summary import fetch, global_norm
from pellucid.store.writer import RunWriter

__all__ = ["StepRecorder"]

_MEASURED = ("loss", "gradient_norm")
"""The figures of a step that may come as tensors."""

_LONGEST_ON_DEVICE_S = 0.2
"""Values wait on an accelerator for each other at most this long, so that they leave it in batches."""


class StepRecorder:
    """Collects one row a step and hands finished rows to the run's writer.

    A row is settled when the next step begins, so that a loss may be logged before or after ``optimizer.step()``.

    Args:
        writer: The run.
        first_step: Number of the first step.
    """

    def __init__(self, writer: RunWriter, *, first_step: int) -> None:
        self._writer = writer
        self.next_step = first_step
        self.epoch = 0
        self._began_s = self._ended_s = time.perf_counter()
        self._next: dict[str, Any] = {}  # of the step under way
        self._finished: dict[str, Any] | None = None  # of the step before, still open to a late log
        self._on_device: list[dict[str, Any]] = []
        self._fetched_s = self._began_s

    def elapsed_s(self) -> float:
        """Seconds of training so far, those before a resumption included."""
        return self._writer.elapsed_before_s + time.perf_counter() - self._began_s

    def begin(self, batch_size: int | None) -> None:
        """A training forward pass begins; several may belong to one step."""
        if self._finished is not None:
            self.settle()
        if batch_size is not None:
            self._next["batch_size"] = self._next.get("batch_size", 0) + batch_size

    def log(self, values: dict[str, Any]) -> None:
        """Values of the step under way, or of the one just finished if no new one has begun."""
        (self._next if self._finished is None else self._finished).update(values)

    @torch.no_grad()
    def see_gradients(self, optimizer: Optimizer) -> None:
        """Take the global gradient norm that the optimiser is about to use."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if gradients and "gradient_norm" not in self._next:
            self._next["gradient_norm"] = global_norm(gradients)

    def finish(self, optimizer: Optimizer) -> float:
        """The optimiser has stepped: close the row and return the step's duration in seconds."""
        self.settle()
        now = time.perf_counter()
        duration = now - self._ended_s
        self._ended_s = now
        self._finished = {
            **self._next,
            "step": self.next_step,
            "epoch": self.epoch,
            "time_s": self.elapsed_s(),
            "learning_rate": optimizer.param_groups[0]["lr"],
            "step_time_s": duration,
        }
        self._next = {}
        self.next_step += 1
        return duration

    def settle(self) -> None:
        """The finished row will not change any more: hand it on."""
        row, self._finished = self._finished, None
        if row is not None:
            self._hand_on(row)

    def flush(self) -> None:
        """Hand on everything, that which waits on an accelerator included."""
        self.settle()
        self._fetch()

    def _hand_on(self, row: dict[str, Any]) -> None:
        far = False
        for name in _MEASURED:
            value = row.get(name)
            if isinstance(value, Tensor):
                near = value.device.type == "cpu"
                row[name] = value.item() if near else value.detach()
                far = far or not near
        if not far and not self._on_device:
            self._writer.append("steps", **row)
            return
        self._on_device.append(row)
        if time.perf_counter() - self._fetched_s > _LONGEST_ON_DEVICE_S:
            self._fetch()

    def _fetch(self) -> None:
        """Bring all waiting values over in one transfer."""
        self._fetched_s = time.perf_counter()
        rows, self._on_device = self._on_device, []
        places = [(row, name) for row in rows for name, value in row.items() if isinstance(value, Tensor)]
        for (row, name), (value,) in zip(places, fetch([row[name] for row, name in places]), strict=True):
            row[name] = value
        for row in rows:
            self._writer.append("steps", **row)
