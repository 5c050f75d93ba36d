"""How the learning rate moves while training goes on: PyTorch's own schedulers behind one small interface."""

from __future__ import annotations

import warnings
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from pellucid.training.spec import ScheduleSpec

__all__ = ["WARMUP_START", "Schedule", "build_schedule"]

WARMUP_START = 0.01
"""Where a linear warm-up begins, as a share of the rate it leads to."""


class Schedule:
    """The learning rates of a run: call ``after_step`` after every optimiser step, ``after_epoch`` after every epoch.

    Beyond the steps that were planned the rate stays where it is.
    """

    def __init__(self, by_step: LRScheduler, by_epoch: ReduceLROnPlateau | None, total_steps: int) -> None:
        self._by_step, self._by_epoch = by_step, by_epoch
        self._taken, self._total = 0, total_steps

    def after_step(self) -> None:
        """Move on by one optimiser step."""
        if self._taken >= self._total - 1:
            return
        self._taken += 1
        with warnings.catch_warnings():
            # SequentialLR calls its parts in a way that PyTorch itself warns of; and a loss that overflowed in
            # mixed precision skips the optimiser's step, which the first call would be warned of.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.optim\.lr_scheduler")
            self._by_step.step()

    def after_epoch(self, validation_loss: float) -> None:
        """Move on by one epoch; only ``plateau`` listens."""
        if self._by_epoch is not None:
            self._by_epoch.step(validation_loss)

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as numbers, texts, lists and dictionaries."""
        return {
            "taken": self._taken,
            "by_step": self._by_step.state_dict(),
            "by_epoch": None if self._by_epoch is None else self._by_epoch.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where ``state_dict`` stood; the optimiser's own state must be loaded too."""
        self._taken = int(state["taken"])
        self._by_step.load_state_dict(dict(state["by_step"]))
        if self._by_epoch is not None:
            self._by_epoch.load_state_dict(dict(state["by_epoch"]))


def build_schedule(spec: ScheduleSpec, optimizer: Optimizer, total_steps: int) -> Schedule:
    """The schedule a spec describes, over ``total_steps`` optimiser steps.

    Args:
        spec: Which schedule, its shares and factors.
        optimizer: Whose learning rates are moved; its present rates are the schedule's start (a one-cycle's peak).
        total_steps: Optimiser steps planned for the whole run, at least 1.

    Returns:
        The schedule, already standing at step 0.
    """
    spec.validate()
    total_steps = max(1, total_steps)
    warmup = min(round(spec.warmup * total_steps), total_steps - 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.optim\.lr_scheduler")
        main = _main(spec, optimizer, total_steps - warmup)
        by_step = main
        if warmup > 0:
            first = LinearLR(optimizer, start_factor=WARMUP_START, total_iters=warmup)
            by_step = SequentialLR(optimizer, [first, main], milestones=[warmup])
    by_epoch = None
    if spec.name == "plateau":
        by_epoch = ReduceLROnPlateau(optimizer, factor=spec.factor, patience=spec.patience)
    return Schedule(by_step, by_epoch, total_steps)


def _main(spec: ScheduleSpec, optimizer: Optimizer, steps: int) -> LRScheduler:
    """What follows the warm-up."""
    if spec.name == "step":
        return StepLR(optimizer, max(1, round(spec.every * steps)), gamma=spec.factor)
    if spec.name == "cosine":
        lowest = spec.final * optimizer.param_groups[0]["lr"]
        return CosineAnnealingLR(optimizer, max(1, steps - 1), eta_min=lowest)
    if spec.name == "one_cycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        # From peak / 25 as in the paper's practice; div_factor × final_div_factor leads to final × peak.
        return OneCycleLR(
            optimizer,
            peaks,
            total_steps=max(2, steps),
            pct_start=spec.rise,
            cycle_momentum=False,
            div_factor=25.0,
            final_div_factor=1 / (25.0 * spec.final),
        )
    return ConstantLR(optimizer, factor=1.0, total_iters=0)
