"""Which layers are looked at, at which steps, so that everything the watch does stays within its budget."""

from __future__ import annotations

import importlib
import time
from collections import deque

import torch
from torch import nn

from pellucid.core.compiled import is_on_disk
from pellucid.store.rows import BlockLayout
from pellucid.store.writer import RunWriter
from pellucid.watch.budget import Budget, Pace
from pellucid.watch.guard import Guard
from pellucid.watch.layer_step import LAYER_COLUMNS, LayerStep
from pellucid.watch.layers import LayerSampler

__all__ = ["Sampling"]

_PART = "layers"
_NORMS = "norms"

_LEAST_SHARE = 1 / 6
"""Of the budget: kept for samples even where the rows of very short steps have used it up."""

_SEEN_SHARE = 0.7
"""Of what the watch costs, at least this much is seen by its clocks; the rest is caches that it leaves cold."""

_COMPLETE_STEPS, _COMPLETE_S = 500, 0.2
"""So many steps have their gradient's norm whatever it costs, until that took so long."""

_TICK_S = 0.1
_LONGEST_TICK = 64
"""Accounts are drawn up after this time or so many steps, since on short steps even that costs."""

_LOADING_S, _COMPILING_S = 0.1, 6.0
"""What has to be earned before the compiled passes are loaded, which then pay for themselves, and before they are
compiled, once on a machine."""


class Sampling:
    """Samples the layers at the steps that the budget allows and writes the rows.

    The budget is for everything the watch does, the writing thread and what it loads at the beginning included: what
    all that leaves of it is shared between the gradients' norms, layer figures and histograms; what one of them does
    not need, the next may have. What was spent and not earned – on the first steps, on those that are sampled whatever
    it costs – is a debt, and while there is one, they have no more than ``_LEAST_SHARE``. A step with histograms has
    the figures too.

    Args:
        model: The network in training.
        writer: The run.
        guard: Keeps errors away from training and tells what the hooks cost.
        budget: Share of the training time that the watch may cost.
        every: Sample each so many steps instead; None lets the budget decide.
        layers: Qualified names of the layers; None for all.
        full: The figures of every layer at every step, whatever it costs; the budget is for histograms then.
        prefix: Put before the layers' names, where several models are recorded into one run.
        forward: Whether to look at activations; without, no hook is ever put on a layer.
    """

    def __init__(
        self,
        model: nn.Module,
        writer: RunWriter,
        guard: Guard,
        *,
        budget: float,
        every: int | None = None,
        layers: list[str] | None = None,
        full: bool = False,
        prefix: str = "",
        forward: bool = True,
    ) -> None:
        self._writer, self._guard = writer, guard
        self._budget, self._full, self._fixed = budget, full, every is not None
        self._norms, self._figures, self._histograms = (
            Budget(),
            Budget(1 if full else every),
            Budget(every, rarely=True),
        )
        self._pace = Pace()
        self._trained_s = self._told_s = 0.0
        self._steps_left, self._told = 1, 0
        self._debt_s = 0.0
        self._clocks = time.process_time(), time.perf_counter()
        self._earned_anew = True
        self._loading_s = _LOADING_S
        self._rows_before_s = 0.0
        self._norms_before_s = 0.0
        self._sampler = LayerSampler(
            model, lambda hook: guard(_PART, hook), layers, full=full, prefix=prefix, forward=forward
        )
        self._layout = BlockLayout(LAYER_COLUMNS, {"layer": self._sampler.layers})
        self._spent_before_s = 0.0
        self._with_histograms = False
        self._arriving: deque[LayerStep] = deque()
        self.steps = 0
        """Steps sampled so far."""
        self.start_if_due = guard(_PART, self._start_if_due)
        self.before_update = guard(_PART, self._sampler.before_update)
        self.after_update = guard(_PART, self._after_update)
        self._load = guard("loading", self._load_passes)
        if full:
            self._load()

    @property
    def is_on(self) -> bool:
        """Whether the step under way is sampled."""
        return self._sampler.is_sampling

    @property
    def layers(self) -> list[str]:
        """Names of the layers, as they are written."""
        return self._sampler.layers

    def stop(self) -> None:
        """Take every hook off the model and write what has not arrived yet."""
        self._sampler.stop()
        self._guard(_PART, self._write_arrived)(wait=True)

    def earn(self, time_s: float, steps: int = 1) -> None:
        """So many steps were trained in this time (or in this much of it, where several models share it).

        What their rows cost is taken off what samples may cost.
        """
        self._told_s += time_s
        self._told += steps
        if self._told >= self._steps_left:
            self._draw_up_accounts()

    @property
    def until_next_account(self) -> int:
        """In so many steps accounts are drawn up; until then only steps 1, 2, 4, 8 … become due."""
        return max(1, self._steps_left - self._told)

    def _draw_up_accounts(self) -> None:
        # Where the machine is busy or training waits for data, processor time counts, which is what the watch takes.
        clocks = time.process_time(), time.perf_counter()
        worked_s, passed_s = (now - before for now, before in zip(clocks, self._clocks, strict=True))
        self._clocks = clocks
        passed_s = self._told_s * min(1.0, worked_s / max(passed_s, 1e-9))
        step_s = self._pace.believable(passed_s / self._told)
        trained_s = step_s * self._told
        self._trained_s += trained_s
        self._told_s, self._told = 0.0, 0
        self._steps_left = max(1, min(_LONGEST_TICK, int(_TICK_S / max(step_s, 1e-6))))
        spent_s = self._guard.spent_s
        rows_s = self._guard.cost_s + self._writer.spent_s - spent_s[_PART] - spent_s[_NORMS]
        kinds = (self._norms, self._figures, self._histograms)
        earned_s = _SEEN_SHARE * self._budget * trained_s - (rows_s - self._rows_before_s) - self._debt_s
        earned_s -= sum(kind.take_overdraft() for kind in kinds)
        self._rows_before_s = rows_s
        left_s = max(earned_s, _LEAST_SHARE * self._budget * trained_s)
        self._debt_s = left_s - earned_s
        over_s = self._norms.earn(left_s / 3)
        over_s = self._figures.earn(left_s / 3 + over_s / 2) + over_s / 2
        self._histograms.earn(left_s / 3 + over_s)
        self._earned_anew = True
        if not self._sampler.fast and self._budget * self._trained_s > self._loading_s:
            self._load()

    def norms_wanted(self, step: int, most: int) -> int:
        """Of so many steps from this one on, how many are to have the norm of the gradient in their row."""
        if self._full or self._fixed or (step < _COMPLETE_STEPS and self._norms.spent_s < _COMPLETE_S):
            return most
        return int(self._norms.is_due(step))

    def norm_taken(self) -> None:
        """The norm was taken, under the guard's part ``norms``."""
        spent_s = self._guard.spent_s[_NORMS]
        self._norms.spend(spent_s - self._norms_before_s)
        self._norms_before_s = spent_s

    def account(self) -> str:
        """How much was looked at, in words."""
        updates = self._sampler.updates
        unseen = "" if self._sampler.sees_activations else " (compiled, so without activations)"
        share = f", an even 1/{updates.stride} of them" if updates.stride > 1 else ""
        return (
            f"{len(self.layers):,} layer{'s' * (len(self.layers) != 1)}{unseen} sampled "
            f"at {self.steps:,} step{'s' * (self.steps != 1)}, "
            f"{self._histograms.samples:,} of these with histograms; "
            f"copies of weights took {updates.kept_bytes / 2**20:.1f} MiB at most{share}"
        )

    @property
    def norms(self) -> int:
        """How many steps had the norm of their gradient taken."""
        return self._norms.samples

    @property
    def fast(self) -> bool:
        """Whether the compiled passes are loaded."""
        return self._sampler.fast

    def _load_passes(self) -> None:
        passes = importlib.import_module("pellucid.core.tensor_pass")
        if self._full or self._loading_s == _COMPILING_S or is_on_disk(passes.measure_after_update):
            # What is compiled is loaded when it is called first, which is no norm's cost.
            passes.norm_of_plain([torch.zeros(1, dtype=torch.float32, device="cpu")])
            self._sampler.fast = True
        self._loading_s = _COMPILING_S

    def is_due(self, step: int) -> bool:
        """Whether this step is to be sampled."""
        if not self._earned_anew and not self._full and not self._fixed and step & (step - 1):
            return False
        return self._figures.is_due(step) or self._histograms.is_due(step)

    def _start_if_due(self, step: int) -> None:
        if not self.is_due(step):
            self._earned_anew = False
            return
        self._earned_anew = False
        self._with_histograms = self._histograms.is_due(step)
        if self._with_histograms or self._figures.is_due(step):
            self._spent_before_s = self._guard.spent_s[_PART]
            self._sampler.start(step, histograms=self._with_histograms)

    def _after_update(self) -> None:
        began = time.thread_time()
        sample = self._sampler.after_update()
        if sample is None:
            return
        self._arriving.append(sample)
        self._write_arrived()
        self.steps += 1
        # The guard has counted the hooks before this one; this one it counts when it ends.
        cost_s = self._guard.spent_s[_PART] - self._spent_before_s + time.thread_time() - began
        (self._histograms if self._with_histograms else self._figures).spend(cost_s)

    def _write_arrived(self, *, wait: bool = False) -> None:
        """Write the samples whose numbers have come over, in order."""
        while self._arriving and (wait or self._arriving[0].is_ready):
            sample = self._arriving.popleft()
            self._writer.extend_block("layers", self._layout, sample.step, *sample.figures())
            if sample.histograms:
                self._writer.extend("histograms", sample.histogram_rows(self._sampler.layers))
