"""Light steps: those at which nothing is due leave their row in a few microseconds and are told to nobody."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pellucid.watch.call_site import NO_SITE, CallSite, calling_site
from pellucid.watch.guard import Guard
from pellucid.watch.script_forwards import Forwards, PassedOver, count_examples
from pellucid.watch.script_optimizers import OptimizerRecord
from pellucid.watch.steps import StepRecorder

if TYPE_CHECKING:
    from pellucid.watch.script_models import ModelBook

__all__ = ["NORMS", "LightSteps", "LinePassed", "StepUnderWay"]

NORMS = "norms"
"""The guard's part under which norms of gradients are taken."""

_LONGEST_STRETCH_S = 0.5
"""Rows are handed on after this time, although the steps have become slower than was expected."""

_PART = "light"
_WEIGHT_OF_LATEST = 0.2
_MOST_GROWTH = 3.0


@dataclass
class StepUnderWay:
    """What has happened since the latest step was closed.

    Attributes:
        losses: Of the backward passes.
        scaled: A loss that a gradient scaler made larger, by a weak reference, and the loss itself.
        backwards: Since the latest update.
        backwards_before: Those before it.
        updates: Of any optimiser, since the beginning.
        without_update: Backward passes since then.
        main: The optimiser whose updates are the steps.
        stepped: Those that stepped since it did, and itself.
        several: In the latest step there were several.
        in_closure: An optimiser calls back for the gradients.
    """

    losses: list[float | Tensor] = field(default_factory=list)
    scaled: tuple[Any, Tensor] | None = None
    backwards: int = 0
    backwards_before: int = 1
    updates: int = 0
    without_update: int = 0
    main: OptimizerRecord | None = None
    stepped: set[int] = field(default_factory=set)
    several: bool = False
    in_closure: bool = False

    def count_update(self, index: int, record: OptimizerRecord) -> bool:
        """An optimiser has stepped; whether the step is over."""
        record.count_update(self.backwards or self.backwards_before)
        self.backwards_before, self.backwards = self.backwards or self.backwards_before, 0
        if self.main is None or record is self.main or index in self.stepped:
            self.several = len(self.stepped) > 1
            self.main, self.stepped = record, {index}
            return True
        self.stepped.add(index)
        return False

    def take_loss(self) -> float | Tensor | None:
        """The sum of its losses, which are forgotten."""
        losses, self.losses = self.losses, []
        return sum(losses[1:], losses[0]) if losses else None


@dataclass
class LinePassed:
    """Backward passes from one line that were told to nobody."""

    count: int = 0
    latest: float | Tensor = math.nan


class LightSteps:
    """The short way that the events of a step take while nothing is due.

    Whatever is out of the ordinary – a call from a line that has not always been trained on, a loss from a new line or
    one that is not finite, a closure, a second optimiser – takes the long way, and so does the rest of its step. After
    the weights' own hundreds of kilobytes every line of Python is cold, so that what can wait is done for all steps of
    a stretch together. What a light step costs is measured on the first of each.

    Args:
        now: The step under way.
        steps: Takes the rows.
        forwards: Knows which lines are trained on.
        book: Knows the models.
        guard: Keeps errors from the script, and the account.
        look_at_epoch: Brings the recorder's epoch up to date.
        take_norm: Takes the norm of the gradient that an optimiser is about to use, under the guard's part ``NORMS``.
        finished: Told when the stretch is over.
    """

    forward_begins: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], bool | None]
    forward_ends: Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], bool | None]
    backward_begins: Callable[[Any], bool | None]
    update_begins: Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], bool | None]
    update_ends: Callable[[Optimizer], bool | None]

    def __init__(
        self,
        now: StepUnderWay,
        steps: StepRecorder,
        forwards: Forwards,
        book: ModelBook,
        guard: Guard,
        *,
        look_at_epoch: Callable[[], None],
        take_norm: Callable[[Optimizer], None],
        finished: Callable[[], None],
    ) -> None:
        self._now, self._steps, self._forwards, self._book, self._guard = now, steps, forwards, book, guard
        self._look_at_epoch, self._take_norm, self._finished = look_at_epoch, take_norm, finished
        self._thread = threading.get_ident()
        self._bare = {
            "forward_begins": self._forward_begins,
            "forward_ends": self._forward_ends,
            "backward_begins": self._backward_begins,
            "update_begins": self._update_begins,
            "update_ends": self._update_ends,
        }
        self._timed = {name: guard(_PART, function) for name, function in self._bare.items()}
        self._take_ways(self._bare)
        self.is_on = False
        """Whether nothing is due in the step under way."""
        self.steps = 0
        """Steps that were light from beginning to end."""
        self._optimizer: Optimizer | None = None
        self._left = self._norms_left = self._count = 0
        self._until_s = 0.0
        self._backwards, self._duration_s = 0, 0.0  # of the light steps that are not in the account yet
        self._cost_s = 0.0  # of a light step, as the first ones of stretches usually have it
        self._spent_before_s = self._norms_before_s = self._norms_s = 0.0
        self._module: nn.Module | None = None
        self._site = NO_SITE
        self._passed: list[PassedOver] = []
        self._reached: list[nn.Module] = []
        self._lines: dict[CallSite, LinePassed] = {}
        forwards.go_light(self._around_begin, self._around_end)

    def _take_ways(self, ways: dict[str, Callable[..., Any]]) -> None:
        for name, way in ways.items():
            setattr(self, name, way)

    # Where torch calls in

    def _around_begin(self, long_way: Callable[..., None]) -> Callable[..., None]:
        is_compiling = torch.compiler.is_compiling

        def begins(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not is_compiling() and self.is_on:
                try:
                    if self.forward_begins(module, args, kwargs):
                        return
                except Exception as error:
                    self.fail(error)
            long_way(module, args, kwargs)

        return begins

    def _around_end(self, long_way: Callable[..., None]) -> Callable[..., None]:
        is_compiling = torch.compiler.is_compiling

        # Where the module raised, torch leaves out the keywords.
        def ends(module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any = None) -> None:
            if not is_compiling() and self._module is module:
                try:
                    if self.forward_ends(module, args, kwargs, output):
                        return
                except Exception as error:
                    self.fail(error)
            long_way(module, args, kwargs, output)

        return ends

    def passes(self, loss: Any) -> bool:
        """Whether a backward pass that is about to start has taken the short way."""
        if not self.is_on:
            return False
        try:
            return bool(self.backward_begins(loss))
        except Exception as error:
            self.fail(error)
            return False

    def around_update(self, begins: Callable[..., None], ends: Callable[..., None]) -> tuple[Callable[..., None], ...]:
        """The hooks of an optimiser's step, with these as the long way."""

        def update_begins(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self.is_on:
                try:
                    if self.update_begins(optimizer, args, kwargs):
                        return
                except Exception as error:
                    self.fail(error)
            begins(optimizer, args, kwargs)

        def update_ends(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self.is_on:
                try:
                    if self.update_ends(optimizer):
                        return
                except Exception as error:
                    self.fail(error)
            ends(optimizer, args, kwargs)

        return update_begins, update_ends

    def fail(self, error: Exception) -> None:
        """No step is light any more."""
        self.is_on = False
        self._guard.switch_off(_PART, error)

    # Coming and going

    def enter(self, most: int, norms: int) -> None:
        """The steps that follow are light.

        Args:
            most: So many at most.
            norms: So many of them are to have their gradient's norm.
        """
        now = self._now
        if now.main is None or now.several or not self._guard.is_on(_PART):
            return
        self._steps.settle()
        self._optimizer = now.main.latest
        self._left, self._norms_left = most, norms
        self._until_s = time.perf_counter() + _LONGEST_STRETCH_S
        self._module = None
        self._passed.clear()
        self._spent_before_s, self._norms_before_s = self._guard.spent_s[_PART], self._guard.spent_s[NORMS]
        self._take_ways(self._timed)
        self.is_on = True

    def leave(self) -> None:
        """Something is out of the ordinary: from here on the step takes the long way."""
        if not self.is_on:
            return
        self.is_on = False
        self._module = None
        if not self._guard.is_on(_PART):
            self._passed.clear()
            return
        self._duration_s += self._steps.settle_passed()
        self._reached += [each[0] for each in self._passed]  # a backward pass is to be expected
        self._steps.add_examples(self._examples())

    def _leave_if_ours(self) -> None:
        """Other threads have optimisers of their own, of which nothing is told."""
        if threading.get_ident() == self._thread:
            self.leave()

    def take_account(self) -> tuple[float, int]:
        """How long the light steps took, and how many there were, since this was asked last; their cost is booked."""
        count, now = self._count, self._now
        duration_s = self._duration_s + self._steps.settle_passed()
        if count > 1:  # the first was measured
            cost_s = self._guard.spent_s[_PART] - self._spent_before_s - self._norms_s
            if self._cost_s:
                cost_s = self._cost_s + _WEIGHT_OF_LATEST * (min(cost_s, _MOST_GROWTH * self._cost_s) - self._cost_s)
            self._cost_s = cost_s
            self._guard.add(_PART, cost_s * (count - 1), len(self._bare) * (count - 1))
        if count and now.main is not None:
            now.without_update = 0
            now.main.steps += count
            now.main.backwards += self._backwards
        for module in self._reached:
            self._book.records[self._book.index_of(module)].forwards["train"] += 1
        self._reached.clear()
        self.steps += count
        self._count, self._backwards, self._duration_s = 0, 0, 0.0
        return duration_s, count

    def learn_line(self, site: CallSite) -> None:
        """A backward pass from this line has gone the long way without finding anything."""
        self._lines.setdefault(site, LinePassed())

    def take_lines(self) -> dict[CallSite, LinePassed]:
        """The backward passes that were told to nobody, line by line."""
        taken = {site: line for site, line in self._lines.items() if line.count}
        for site in taken:
            self._lines[site] = LinePassed()
        return taken

    # The short way: each answers whether it was taken

    def _forward_begins(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        if not torch.is_grad_enabled() or threading.get_ident() != self._thread:
            return False
        if self._module is not None and self._module is not module:
            return True  # a part of a model that is called on its own at other times
        site = calling_site()
        usual = self._forwards.usual.get(site)
        if usual is None or usual[1] is not module.training or (self._passed and self._repeats(site) >= usual[0]):
            self.leave()
            return False
        self._module, self._site = module, site
        return True

    def _repeats(self, site: CallSite) -> int:
        return sum(each[-1] is site for each in self._passed)

    def _forward_ends(self, module: nn.Module, args: tuple[Any, ...], kwargs: Any, output: Any) -> bool:
        self._module = None
        if output is not None:
            self._passed.append((module, args, kwargs, output, self._site))
        return True

    def _backward_begins(self, loss: Any) -> bool:
        now, line = self._now, self._lines.get(calling_site())
        if line is None or type(loss) is not Tensor or loss.ndim or now.in_closure or self._forwards.has_open:
            self.leave()
            return False
        if now.scaled is not None:
            loss, now.scaled = now.scaled[1] if now.scaled[0]() is loss else loss, None
        with torch._C.DisableTorchFunction():
            value = loss.item() if loss.is_cpu else loss.detach()
        if type(value) is float and not math.isfinite(value):
            passed = self._passed.copy()
            self._passed.clear()
            self.leave()
            self._forwards.replay(passed)
            return False
        if not now.backwards:
            self._look_at_epoch()
        now.losses.append(value)
        now.backwards += 1
        line.count += 1
        line.latest = value
        self._reached += [each[0] for each in self._passed]
        self._steps.add_examples(self._examples())
        return True

    def _examples(self) -> int:
        """Of the forward passes that were passed over; these are forgotten."""
        passed = self._passed
        if len(passed) == 1:
            _, args, kwargs, _, _ = passed[0]
            examples = count_examples(args, kwargs)
        else:
            first = self._book.index_of(passed[0][0]) if passed else -1
            of_one = [each for each in passed if self._book.index_of(each[0]) == first]
            examples = sum(count_examples(each[1], each[2]) for each in of_one)
        passed.clear()
        return examples

    def _update_begins(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        if optimizer is not self._optimizer or len(args) > 1 or kwargs.get("closure") is not None:
            self._leave_if_ours()
            return False
        if self._norms_left:
            self._norms_left -= 1
            self._take_norm(optimizer)
        return True

    def _update_ends(self, optimizer: Optimizer) -> bool:
        if optimizer is not self._optimizer:
            self._leave_if_ours()
            return False
        now = self._now
        losses = now.losses
        time_s = self._steps.pass_over(
            None if not losses else losses[0] if len(losses) == 1 else sum(losses[1:], losses[0]),
            optimizer.param_groups[0]["lr"],
        )
        losses.clear()
        now.updates += 1
        self._backwards += now.backwards or now.backwards_before
        now.backwards_before, now.backwards = now.backwards or now.backwards_before, 0
        self._count += 1
        if self._count == 1:
            self._norms_s = self._guard.spent_s[NORMS] - self._norms_before_s
            self._take_ways(self._bare)
        self._left -= 1
        if self._left <= 0 or time_s > self._until_s:
            self.is_on = False
            self._finished()
        return True
