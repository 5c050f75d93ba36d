"""Makes steps of a script's backward passes and updates, and decides what is looked at in each."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from pellucid.store.locations import default_runs_dir
from pellucid.store.writer import RunWriter
from pellucid.watch.call_site import CallSite, calling_site
from pellucid.watch.environment import describe_environment
from pellucid.watch.guard import Guard
from pellucid.watch.script_events import ScriptEvents, ScriptObserver
from pellucid.watch.script_forwards import Forward, Forwards
from pellucid.watch.script_layers import ScriptLayers
from pellucid.watch.script_learning import Learning
from pellucid.watch.script_light import NORMS, LightSteps, StepUnderWay
from pellucid.watch.script_parts import ScriptParts, ScriptSettings
from pellucid.watch.steps import StepRecorder

__all__ = ["ScriptSteps"]

_PATIENCE_FOR_UPDATES = 64
"""Backward passes without an update before each counts as a step, although the script made an optimiser."""
_LOOKS = 64
"""What is looked at now and then is looked at in so many first steps, and in steps 0, 1, 2, 4, 8 …"""
_LOOKS_ALLOWANCE_S = 0.1
"""Once these looks have taken so long, only the latter are left."""


class _ByHand(Optimizer):
    """Stands for the optimiser where the script changes its weights itself; it never steps."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.param_groups = [{"params": parameters, "lr": math.nan}]


class ScriptSteps(ScriptParts):
    """What modules, backward passes and optimisers do while a script is watched.

    Args:
        settings: How it is watched.
        observers: Kinds of those who learn from it.

    Attributes:
        writer: The run.
        guard: Keeps errors from the script.
    """

    def __init__(self, settings: ScriptSettings, observers: tuple[type[ScriptObserver], ...]) -> None:
        super().__init__(settings)
        self.writer = RunWriter.create(
            settings.runs_dir if settings.runs_dir is not None else default_runs_dir(),
            name=(settings.name or Path(settings.title).stem) + _rank_suffix(),
            kind="watch",
            settings=settings.to_json(),
            environment=describe_environment(torch.device("cpu")),
            command=settings.command,
        )
        self.guard = Guard(self._report_error)
        self._thread = threading.get_ident()
        self._on = False
        self._steps = StepRecorder(self.writer, first_step=0)
        self._see_gradients = self.guard(NORMS, self._steps.see_gradients)
        self._layers = ScriptLayers(self.writer, self.guard, budget=settings.budget, full=settings.full)
        self._forwards = Forwards(self._book, self.guard, self)
        self._events = ScriptEvents([make(self) for make in observers], self.guard)
        self._learning = Learning(
            self._events.called,
            self._learning_changes,
            self._look_everywhere,
            self.guard,
            always=False,
        )
        self._now = StepUnderWay()
        self._light = LightSteps(
            self._now,
            self._steps,
            self._forwards,
            self._book,
            self.guard,
            look_at_epoch=self._look_at_epoch_if_due,
            take_norm=self._take_norm,
            finished=self.guard("steps", self._light_steps_done),
        )
        self._hooks: list[RemovableHandle] = []
        self._open_by_hand: _ByHand | None = None
        self._looks_s = 0.0
        self._is_look = True  # what is looked at now and then is looked at in this step
        self._passes_seen = 0

    def _report_error(self, part: str, error: Exception) -> None:
        raise NotImplementedError

    def _step_is_over(self) -> None:
        """Told after each step, or after some that were light."""

    @property
    def step(self) -> int:
        """Steps so far: updates of the optimiser that steps most, or backward passes where weights change by hand."""
        return self._steps.next_step

    @property
    def updates(self) -> int:
        """How often an optimiser has stepped."""
        return self._now.updates

    @property
    def learning(self) -> bool:
        """Whether single calls are told."""
        return self._learning.is_on

    @property
    def forward_site(self) -> CallSite:
        """The line that called the forward pass that is told."""
        return self._forwards.site

    def running_module(self) -> nn.Module | None:
        """The innermost module under way."""
        return self._forwards.running

    def is_listening(self) -> bool:
        """Whether this thread is the script's, and in its process."""
        return self._on and threading.get_ident() == self._thread

    def _hook_updates(self) -> None:
        begins, ends = self._light.around_update(
            self.guard("steps", self._update_begins), self.guard("steps", self._update_ends)
        )
        self._hooks = [register_optimizer_step_pre_hook(begins), register_optimizer_step_post_hook(ends)]

    # What modules do: see ForwardListener

    def root_begins(self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A model is called."""
        training = forward.phase == "train"
        if training:
            self._light.leave()
            self._close_by_hand()
        record = self._book.records[forward.index]
        if self._is_look or not record.forwards or forward.training != record.was_training.get(forward.phase):
            forward.modes = self._book.modes_now(forward.index)
            record.was_training[forward.phase] = forward.training
        self._learning.step = self.step
        self._learning.root_begins(forward.root, forward.seems)
        self._layers.forward_begins(forward.index, record, self.step, training)
        self._events.forward_begins(forward.root, forward.index, args, kwargs, forward.phase)

    def root_ends(self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """It has returned."""
        self._events.forward_ends(forward.root, forward.index, args, kwargs, output, forward.phase)

    def root_replayed(self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Both, told later."""
        self._events.forward_begins(forward.root, forward.index, args, kwargs, forward.phase)
        self._events.forward_ends(forward.root, forward.index, args, kwargs, output, forward.phase)

    def settled(self, forward: Forward) -> None:
        """Its phase is known."""
        record = self._book.records[forward.index]
        record.forwards[forward.phase] += 1
        if forward.modes is not None:
            self._book.note_modes(forward.index, forward.phase, forward.modes)
        self._events.forward_settled(forward.root, forward.index, forward.phase, forward.number)

    def module_begins(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module is called in a learned step."""
        index, _ = self._book.locate(module)
        root = self._forwards.outermost
        if index < 0 and root is not None and root is not module:
            owner, _ = self._book.locate(root)
            if owner >= 0:
                self._book.adopt(module, owner)
                index = owner
        if index >= 0 and self.step == 0:
            self._book.records[index].calls[id(module)] += 1
        self._learning.module_begins(module)
        self._events.module_begins(module, args, kwargs)

    def module_ends(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """It has returned."""
        self._learning.module_ends(module)
        self._events.module_ends(module, args, kwargs, output)

    def _learning_changes(self, step: int, phase: str, on: bool) -> None:
        if on:
            self._light.leave()
        self._events.learning_changes(step, phase, on)

    def _look_everywhere(self, on: bool) -> None:
        """Hooks on all modules; off again only where the models are known."""
        if on or (self._forwards.has_roots and self.step > 0):
            self._forwards.look_everywhere(on and not self._learning.forbidden)

    # What backward passes do: see TapsListener

    def loss_scaled(self, scaled: Tensor, loss: Tensor) -> None:
        """By a gradient scaler."""
        self._now.scaled = (ref(scaled), loss.detach() if loss.grad_fn is None else loss)

    def backward_begins(self, loss: Any) -> None:
        """A backward pass is about to start."""
        self._light.leave()
        self._close_by_hand()
        self._layers.forwards_are_over()
        now, tensor = self._now, _first_tensor(loss)
        if tensor is None:
            return
        if now.scaled is not None and now.scaled[0]() is tensor:
            tensor = now.scaled[1]
        now.scaled = None
        if not now.in_closure or not now.losses:
            now.losses.append(_value_of(tensor))
        now.backwards += 1
        if now.backwards == 1:
            self._look_at_epoch()
        for index, record in enumerate(self._book.records):
            if not record.begun:
                self._book.begin(index)
        if now.backwards == 1:
            if self._is_look:
                self._look(self._optimizers.look_whether_clear)
            else:
                self._optimizers.forget_whether_clear()
        if self.learning or self._is_look:
            self._look(self._see_leaves, tensor)
        self._loaders.note_training()
        self._events.backward_begins(tensor, self.step)
        self._light.learn_line(calling_site())

    def backward_ends(self, loss: Any) -> None:
        """It is done."""
        examples = self._forwards.examples_reached()
        self._steps.begin(examples or None)
        self._forwards.settle()
        tensor = _first_tensor(loss)
        if tensor is not None:
            self._events.backward_ends(tensor, self.step)
        self._now.without_update += 1
        if self._is_by_hand():
            self._open_by_hand = _ByHand([each.tensor for each in self._book.all_parameters()])
            self._look_at_gradients()
            self._see_gradients(self._open_by_hand)
            self._layers.before_update(list(range(len(self._book.records))))
            self._events.update_begins(None, self.step)

    def _look_at_epoch(self) -> None:
        """Which epoch is under way."""
        self._passes_seen = self._loaders.passes
        self._epochs.look(self.places.frame(), self.step)
        self._steps.epoch = self._epochs.now

    def _look_at_epoch_if_due(self) -> None:
        """In a light step: where loaders give the batches, at their passes; else where a variable tells it."""
        loaders = self._loaders
        if self._passes_seen != loaders.passes or (self._epochs.follows_variable and not loaders.records):
            self._look_at_epoch()
        loaders.note_training()

    def _look(self, look: Callable[..., None], *given: Any) -> None:
        """Look, and keep account of it."""
        began = time.thread_time()
        look(*given)
        self._looks_s += time.thread_time() - began

    def _is_by_hand(self) -> bool:
        if self.updates or self._now.in_closure:
            return False
        return not self._optimizers.made or self._now.without_update > _PATIENCE_FOR_UPDATES

    def _close_by_hand(self) -> None:
        """What the script did since its latest backward pass was the update."""
        if self._open_by_hand is None:
            return
        optimizer, self._open_by_hand = self._open_by_hand, None
        self._layers.after_update(list(range(len(self._book.records))))
        self._events.update_ends(None, self.step)
        self._now.backwards = 0
        self._finish_step(optimizer)

    # What optimisers do

    def _update_begins(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.is_listening():
            return
        self._open_by_hand = None  # an optimiser older than the watch: what followed the backward pass was its update
        index = self._optimizers.index_of(optimizer)
        self._now.in_closure = (args[1] if len(args) > 1 else kwargs.get("closure")) is not None
        if not self._now.in_closure:
            self._before_update(index, optimizer)

    def _before_update(self, index: int, optimizer: Optimizer) -> None:
        record = self._optimizers.records[index] if index >= 0 else None
        main = self._now.main
        if (record is main or main is None) and self._layers.wants_norm(self.step):
            self._take_norm(optimizer)
        if self._is_look:
            self._look(self._look_at_gradients)
        self._layers.before_update(self._moved_by(index))
        self._events.update_begins(optimizer, self.step)

    def _take_norm(self, optimizer: Optimizer) -> None:
        self._see_gradients(optimizer, fast=self._layers.fast)
        self._layers.norm_taken()

    def _update_ends(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.is_listening():
            return
        now = self._now
        index = self._optimizers.index_of(optimizer)
        if now.in_closure:
            now.in_closure = False
            self._before_update(index, optimizer)
        now.updates += 1
        now.without_update = 0
        self._layers.after_update(self._moved_by(index))
        self._events.update_ends(optimizer, self.step)
        if index < 0:
            return
        if now.count_update(index, self._optimizers.records[index]):
            self._finish_step(optimizer)
        now.losses = []

    def update_skipped(self) -> None:
        """The scaler met an infinite gradient."""
        self._now.losses = []
        self._now.backwards = 0
        self._event("update_skipped", "the gradient scaler met an infinite gradient and skipped the update")

    def _event(self, kind: str, message: str) -> None:
        self.writer.append(
            "events", step=max(self.step - 1, 0), time_s=self._steps.elapsed_s(), kind=kind, message=message
        )

    # What comes next

    def _finish_step(self, optimizer: Any) -> None:
        loss = self._now.take_loss()
        if loss is not None:
            self._steps.log({"loss": loss})
        self._light.leave()
        light_s, count = self._light.take_account()
        self._go_on(light_s + self._steps.finish(optimizer), count + 1)

    def _light_steps_done(self) -> None:
        self._go_on(*self._light.take_account())

    def _go_on(self, duration_s: float, count: int) -> None:
        """So many steps are over; what is due in the next?"""
        self._layers.earn(duration_s, count)
        self._learning.step_ends()
        step = self.step
        is_early = step < _LOOKS and self._looks_s < _LOOKS_ALLOWANCE_S
        self._is_look = self.settings.full or is_early or step & (step - 1) == 0
        self._learning.step_begins(step)
        if not self.learning:
            self._look_everywhere(False)
        for site, line in self._light.take_lines().items():
            self._events.passed_over(site, line.count, line.latest)
        self._step_is_over()
        is_wanted = self._events.wants(step)
        if not (is_wanted or self._is_look or self.learning or self._layers.is_due(step)) and self._may_be_light():
            self._optimizers.forget_whether_clear()
            self._passes_seen = -1
            before_next_look = (1 << step.bit_length()) - step
            most = min(self._layers.until_next_account, before_next_look)
            self._light.enter(most, self._layers.norms_wanted(step, most))

    def _may_be_light(self) -> bool:
        return self._on and self.updates > 0 and not self._forwards.looks_everywhere and not self._now.in_closure


def _rank_suffix() -> str:
    """Of several processes that train together each writes a run; those after the first say which they are."""
    rank = os.environ.get("RANK", "0")
    return f"-rank{rank}" if rank.isdigit() and rank != "0" else ""


def _first_tensor(loss: Any) -> Tensor | None:
    if isinstance(loss, Tensor):
        return loss
    if isinstance(loss, list | tuple) and loss and isinstance(loss[0], Tensor):
        return loss[0]
    return None


def _value_of(loss: Tensor) -> float | Tensor:
    """The value of a loss; of one that is elsewhere a tensor, so that nobody waits for it."""
    if loss.numel() != 1 or loss.device.type == "meta":
        return math.nan
    with torch._C.DisableTorchFunction():
        return loss.item() if loss.device.type == "cpu" else loss.detach()
