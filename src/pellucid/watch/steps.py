"""The row that every optimiser step leaves: loss, learning rate, time, and the gradient's norm where it was taken."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from pellucid.core.tensor_summary import global_norm
from pellucid.core.transfer import Transfer
from pellucid.store.tables import TABLES
from pellucid.store.writer import RunWriter

__all__ = ["StepRecorder"]

_COLUMNS = tuple(TABLES["steps"].names)
_MEASURED = tuple(_COLUMNS.index(name) for name in ("loss", "learning_rate", "gradient_norm"))
"""The figures that may come as tensors."""

_LONGEST_ON_DEVICE_S = 0.2
"""Values wait on an accelerator for each other at most this long, so that they leave it in batches."""

_Row = tuple[Any, ...]


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
        # Of the step under way, or of the one before, which is still open to a late log.
        self._loss: Any = None
        self._norm: Any = None
        self._batch_size: Any = None
        self._finished: tuple[int, int, float, float, float] | None = None
        self._passed: list[tuple[int, float, Any, Any, Any, Any]] = []
        self._on_device: list[_Row] = []
        self._sent_s = self._began_s
        self._arriving: deque[tuple[list[_Row], Transfer]] = deque()

    def elapsed_s(self) -> float:
        """Seconds of training so far, those before a resumption included."""
        return self._writer.elapsed_before_s + time.perf_counter() - self._began_s

    def begin(self, batch_size: int | None) -> None:
        """A training forward pass begins; several may belong to one step."""
        if self._finished is not None:
            self.settle()
        if batch_size is not None:
            self._batch_size = batch_size + (self._batch_size or 0)

    def log(self, values: dict[str, Any]) -> None:
        """Loss, gradient norm or batch size of the step under way, or of the one just finished if no new one began."""
        loss = values.get("loss")
        if loss is not None:
            # Near, a loss is a number at once: kept as a tensor it would keep the graph that made it.
            self._loss = loss.detach() if isinstance(loss, Tensor) and not loss.is_cpu else _number(loss)
        if "gradient_norm" in values:
            self._norm = values["gradient_norm"]
        if "batch_size" in values:
            self._batch_size = values["batch_size"]

    @torch.no_grad()
    def see_gradients(self, optimizer: Optimizer, *, fast: bool = False) -> None:
        """Take the global gradient norm that the optimiser is about to use. ``fast`` allows the compiled pass."""
        if self._finished is not None:
            self.settle()
        if self._norm is not None:
            return
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if gradients:
            self._norm = _norm(gradients, fast=fast)

    def finish(self, optimizer: Optimizer) -> float:
        """The optimiser has stepped: close the row and return the step's duration in seconds."""
        if self._finished is not None:
            self.settle()
        now = time.perf_counter()
        duration = now - self._ended_s
        self._ended_s = now
        elapsed_s = self._writer.elapsed_before_s + now - self._began_s
        self._finished = (self.next_step, self.epoch, elapsed_s, optimizer.param_groups[0]["lr"], duration)
        self.next_step += 1
        return duration

    def add_examples(self, count: int) -> None:
        """So many more in the batch of the step under way, of which nothing is left to settle before."""
        if count:
            self._batch_size = count + (self._batch_size or 0)

    def pass_over(self, loss: Any, learning_rate: Any) -> float:
        """A step is over of which nothing else was told: its row is made later, by ``settle_passed``; the time."""
        now = time.perf_counter()
        self._passed.append((self.epoch, now, loss, learning_rate, self._norm, self._batch_size))
        self._norm = self._batch_size = None
        self.next_step += 1
        return now

    def settle_passed(self) -> float:
        """Hand on the rows of the steps passed over; how many seconds they took together."""
        passed, self._passed = self._passed, []
        before_s, step = self._ended_s, self.next_step - len(passed)
        began_s = self._began_s - self._writer.elapsed_before_s
        for epoch, now, loss, learning_rate, norm, size in passed:
            self._hand_on((step, epoch, now - began_s, loss, learning_rate, now - self._ended_s, norm, size))
            self._ended_s = now
            step += 1
        return self._ended_s - before_s

    def settle(self) -> None:
        """The finished row will not change any more: hand it on."""
        finished = self._finished
        if finished is None:
            return
        step, epoch, time_s, learning_rate, duration = finished
        row = (step, epoch, time_s, self._loss, learning_rate, duration, self._norm, self._batch_size)
        self._finished = self._loss = self._norm = self._batch_size = None
        self._hand_on(row)

    def flush(self) -> None:
        """Hand on everything, that which waits on an accelerator included."""
        self.settle_passed()
        self.settle()
        self._send()
        self._take_arrived(wait=True)

    def _hand_on(self, row: _Row) -> None:
        measured = [value for place in _MEASURED if isinstance(value := row[place], Tensor)]
        if measured and all(value.is_cpu for value in measured):
            row = tuple(_number(value) for value in row)
            measured = []
        if not measured and not self._on_device and not self._arriving:
            self._writer.append_row("steps", row)
            return
        self._on_device.append(row)
        if time.perf_counter() - self._sent_s > _LONGEST_ON_DEVICE_S:
            self._send()
        self._take_arrived(wait=False)

    def _send(self) -> None:
        """Send all waiting values on their way, in one transfer."""
        self._sent_s = time.perf_counter()
        rows, self._on_device = self._on_device, []
        if rows:
            values = [value for row in rows for value in row if isinstance(value, Tensor)]
            self._arriving.append((rows, Transfer(values)))

    def _take_arrived(self, *, wait: bool) -> None:
        """Hand on the rows whose values have come over, in order."""
        while self._arriving and (wait or self._arriving[0][1].is_ready):
            rows, transfer = self._arriving.popleft()
            numbers = iter(transfer.numbers())
            for row in rows:
                arrived = [next(numbers)[0] if isinstance(value, Tensor) else value for value in row]
                self._writer.append_row("steps", tuple(arrived))


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _norm(gradients: list[Tensor], *, fast: bool) -> Tensor | float:
    """The norm over all of them, without waiting for a device."""
    if fast:
        from pellucid.core.tensor_pass import is_plain, norm_of_plain

        if all(is_plain(gradient) for gradient in gradients):
            return norm_of_plain(gradients)
    return global_norm(gradients)
