"""When the layers are looked at, and where what was seen goes."""

from __future__ import annotations

import time

from torch import nn

from pellucid.store.writer import RunWriter
from pellucid.watch.budget import Budget
from pellucid.watch.guard import Guard
from pellucid.watch.layers import LayerSampler

__all__ = ["Sampling"]

_PART = "layers"

_LEAST_SHARE = 1 / 3
"""Of the budget: kept for samples even where the rows of very short steps have used it up."""


class Sampling:
    """Samples the layers at the steps that the budget allows and writes the rows.

    The budget is for everything the watch does: what the rows of the steps leave of it is shared equally between layer
    figures and histograms. A step with histograms has the figures too.

    Args:
        model: The network in training.
        writer: The run.
        guard: Keeps errors away from training and tells what the hooks cost.
        budget: Share of the training time that the watch may cost.
        every: Sample each so many steps instead; None lets the budget decide.
        layers: Qualified names of the layers; None for all.
    """

    def __init__(
        self,
        model: nn.Module,
        writer: RunWriter,
        guard: Guard,
        *,
        budget: float,
        every: int | None,
        layers: list[str] | None,
    ) -> None:
        self._writer = writer
        self._guard = guard
        self._budget = budget
        self._figures, self._histograms = Budget(every), Budget(every)
        self._rows_before_s = 0.0
        self._sampler = LayerSampler(model, lambda hook: guard(_PART, hook), layers)
        self._spent_before_s = 0.0
        self._with_histograms = False
        self.steps = 0
        """Steps sampled so far."""
        self.start_if_due = guard(_PART, self._start_if_due)
        self.before_update = guard(_PART, self._sampler.before_update)
        self.after_update = guard(_PART, self._after_update)

    @property
    def is_on(self) -> bool:
        """Whether the step under way is sampled."""
        return self._sampler.is_sampling

    def stop(self) -> None:
        """Take every hook off the model."""
        self._sampler.stop()

    def earn(self, step_time_s: float) -> None:
        """A step of this duration was trained: what its row cost is taken off what samples may cost."""
        rows_s = self._guard.total_s - self._guard.spent_s[_PART]
        earned_s = self._budget * step_time_s - (rows_s - self._rows_before_s)
        self._rows_before_s = rows_s
        earned_s = max(earned_s, _LEAST_SHARE * self._budget * step_time_s)
        self._figures.earn(earned_s / 2)
        self._histograms.earn(earned_s / 2)

    def _start_if_due(self, step: int) -> None:
        self._with_histograms = self._histograms.is_due(step)
        if self._with_histograms or self._figures.is_due(step):
            self._spent_before_s = self._guard.spent_s[_PART]
            self._sampler.start(step, histograms=self._with_histograms)

    def _after_update(self) -> None:
        began = time.perf_counter()
        sample = self._sampler.after_update()
        if sample is None:
            return
        self._writer.extend("layers", sample.rows(self._sampler.layers))
        if sample.histograms:
            self._writer.extend("histograms", sample.histogram_rows())
        self.steps += 1
        # The guard has counted the hooks before this one; this one it counts when it ends.
        cost_s = self._guard.spent_s[_PART] - self._spent_before_s + time.perf_counter() - began
        (self._histograms if self._with_histograms else self._figures).spend(cost_s)
