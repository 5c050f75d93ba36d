"""Which steps and evaluations of a script are learned: seen call by call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pellucid.watch.guard import Guard
from pellucid.watch.script_mode import CallMode, hides_calls

__all__ = ["Learning"]

_FIRST_STEPS = 3
_MOST_EARLY_CALLS = 500
"""Before any model is called: what the script does beforehand is not the first step."""
_MOST_CALLS = 20_000
"""Of one learned step; what comes after is not told."""


def _is_late(number: int) -> bool:
    """8, 32, 128, 512 …"""
    return number >= 8 and number & (number - 1) == 0 and number.bit_length() % 2 == 0


class Learning:
    """Turns the watch of single calls on and off.

    Args:
        tell_call: Told of each call.
        tell_change: Told of step, phase and whether it is on.
        look_everywhere: Puts hooks on all modules, or takes them off.
        guard: Keeps errors from the script.
    """

    def __init__(
        self,
        tell_call: Callable[..., None],
        tell_change: Callable[[int, str, bool], None],
        look_everywhere: Callable[[bool], None],
        guard: Guard,
        *,
        always: bool,
    ) -> None:
        self._tell_call = tell_call
        self._tell_change = tell_change
        self._look_everywhere = look_everywhere
        self._always = always
        self._mode = CallMode(guard("calls", self._called))
        self._calls = 0
        self.step = 0
        """The step under way."""
        self._wanted = True
        self._is_early = False
        self._hidden: nn.Module | None = None
        self._roots_seen: set[int] = set()
        self.evaluations = 0
        self.phase = ""
        self.is_on = False
        self.forbidden = False
        """Set once functions are compiled: they would be compiled anew, and differently."""
        self.steps = 0
        """Training steps learned so far."""

    def _called(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        self._calls += 1
        if self._calls <= _MOST_CALLS:
            self._tell_call(function, args, kwargs, result)
        if self._is_early and self._calls > _MOST_EARLY_CALLS:
            self.end()

    # Training

    def step_begins(self, step: int) -> None:
        """The updates so far are done; the next step is under way."""
        self.step = step
        self._wanted = step < _FIRST_STEPS or _is_late(step) or self._always
        if self._wanted and step:
            self._begin("train")

    def begin_early(self) -> None:
        """An optimiser was made: the first step may come without a model, of parameters alone."""
        self._begin("train")
        self._is_early = self.is_on

    def want(self) -> None:
        """Something new came up: learn the step under way."""
        self._wanted = True

    def step_ends(self) -> None:
        """An update is done."""
        if self.is_on:
            self.steps += self.phase == "train"
            self.end()

    # Forward passes

    def root_begins(self, root: nn.Module, phase: str) -> None:
        """A model is called."""
        self._is_early = False
        if phase == "train":
            if self.phase == "evaluation":
                self.end()
            if self._wanted:
                self._begin("train")
        elif self.phase == "train" or (self.is_on and id(root) in self._roots_seen):
            self.end()
            self._evaluate(root)
        elif not self.is_on:
            self._evaluate(root)
        self._roots_seen.add(id(root))

    def module_begins(self, module: nn.Module) -> None:
        """A module, root or not, is called: in some nobody may listen."""
        if self.is_on and self._hidden is None and _is_hidden(module):
            self._hidden = module
            self._mode.take_off()

    def module_ends(self, module: nn.Module) -> None:
        """It has returned."""
        if self._hidden is module:
            self._hidden = None
            if self.is_on:
                self.is_on = self._mode.put_on()

    def _evaluate(self, root: nn.Module) -> None:
        number = self.evaluations
        self.evaluations += 1
        if number & (number - 1) == 0 or self._always:
            self._begin("evaluation")
            self._roots_seen = {id(root)}

    # On and off

    def _begin(self, phase: str) -> None:
        if self.is_on or self.forbidden:
            return
        self._look_everywhere(True)
        if not self._mode.put_on():
            self._look_everywhere(False)
            return
        self.is_on, self.phase, self._hidden = True, phase, None
        self._calls = 0
        self._roots_seen = set()
        self._tell_change(self.step, phase, True)

    def end(self) -> None:
        """Off, whatever it was."""
        if not self.is_on:
            return
        self._mode.take_off()
        self.is_on = self._is_early = False
        phase, self.phase = self.phase, ""
        self._look_everywhere(False)
        self._tell_change(self.step, phase, False)


def _is_hidden(module: nn.Module) -> bool:
    """Whether nobody may listen inside: what is compiled would be compiled, and what is fused run, differently."""
    if hasattr(module, "_orig_mod"):
        return True
    return hides_calls(module) and not (module.training and torch.is_grad_enabled())
