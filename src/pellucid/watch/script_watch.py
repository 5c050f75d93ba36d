"""Watches a whole training script: finds its parts by itself and records how they train."""

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

from pellucid.results.watched_script import CodeLine, WatchedScript
from pellucid.store.locations import default_runs_dir
from pellucid.store.writer import RunWriter
from pellucid.watch.environment import describe_environment
from pellucid.watch.guard import Guard
from pellucid.watch.script_events import ScriptEvents
from pellucid.watch.script_forwards import Forward, Forwards
from pellucid.watch.script_layers import ScriptLayers
from pellucid.watch.script_learning import Learning
from pellucid.watch.script_observers import observers_of
from pellucid.watch.script_optimizers import OptimizerRecord
from pellucid.watch.script_output import ScriptOutput
from pellucid.watch.script_parts import ScriptParts, ScriptSettings
from pellucid.watch.script_places import NOWHERE
from pellucid.watch.script_taps import GuardedListener, Taps
from pellucid.watch.spawned import ArgumentsUnderWatch
from pellucid.watch.steps import StepRecorder

__all__ = ["ScriptWatch"]

_PATIENCE_FOR_UPDATES = 64
"""Backward passes without an update before each counts as a step, although the script made an optimiser."""
_LOOKS = 64
"""What is looked at now and then is looked at in so many first steps, and in steps 0, 1, 2, 4, 8 …"""
_LOOKS_ALLOWANCE_S = 0.1
"""Once these looks have taken so long, only the latter are left."""
_FIRST_SAVE_S = 10.0


class _ByHand(Optimizer):
    """Stands for the optimiser where the script changes its weights itself; it never steps."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.param_groups = [{"params": parameters, "lr": math.nan}]


class ScriptWatch(ScriptParts):
    """Watches the script that runs in this process, between ``start`` and ``stop``.

    Attributes:
        writer: The run.
        updates: How often an optimiser has stepped.
        step: Steps so far: updates of the optimiser that steps most, or backward passes where weights are changed by
            hand.
    """

    def __init__(self, settings: ScriptSettings) -> None:
        super().__init__(settings)
        self.writer = RunWriter.create(
            settings.runs_dir if settings.runs_dir is not None else default_runs_dir(),
            name=(settings.name or Path(settings.title).stem) + _rank_suffix(),
            kind="watch",
            settings=settings.to_json(),
            environment=describe_environment(torch.device("cpu")),
            command=" ".join([settings.title, *settings.arguments]),
        )
        self.guard = Guard(self._report_error)
        self.updates = 0
        self.problem = ""
        self._thread = threading.get_ident()
        self._process = os.getpid()
        self._on = False
        self._steps = StepRecorder(self.writer, first_step=0)
        self._see_gradients = self.guard("norms", self._steps.see_gradients)
        self._output = ScriptOutput(self.writer, self._epochs, self._steps.elapsed_s)
        self._layers = ScriptLayers(self.writer, self.guard, budget=settings.budget, full=settings.full)
        self._forwards = Forwards(self._book, self.guard, self)
        self._events = ScriptEvents([make(self) for make in observers_of(settings.probe)], self.guard)
        self._learning = Learning(
            self._events.called,
            self._events.learning_changes,
            self._look_everywhere,
            self.guard,
            always=False,
        )
        self._taps = Taps(GuardedListener(self, self.guard))
        self._hooks: list[RemovableHandle] = []
        self._losses: list[float | Tensor] = []
        self._scaled: tuple[Any, Tensor] | None = None
        self._backwards = 0  # since the latest update
        self._backwards_before = 1
        self._without_update = 0
        self._main: OptimizerRecord | None = None
        self._stepped: set[int] = set()
        self._in_closure = False
        self._open_by_hand: _ByHand | None = None
        self._looks_s = 0.0
        self._is_look = True  # what is looked at now and then is looked at in this step
        self._saved_s = 0.0
        self._began_s = time.perf_counter()

    # What observers may ask beside: see ScriptContext

    @property
    def learning(self) -> bool:
        """Whether single calls are told."""
        return self._learning.is_on

    def running_module(self) -> nn.Module | None:
        """The innermost module under way."""
        return self._forwards.running

    # Coming and going

    def start(self) -> None:
        """Watch from here on."""
        self._on = True
        self._taps.open()
        self._hooks = [
            register_optimizer_step_pre_hook(self.guard("steps", self._update_begins)),
            register_optimizer_step_post_hook(self.guard("steps", self._update_ends)),
        ]
        self._forwards.look_everywhere(True)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._abandon)

    def _abandon(self) -> None:
        """In a forked child: everything recorded belongs to the parent."""
        if self._on:
            self._let_go()

    def _let_go(self) -> None:
        self._on = False
        for part in (self._learning.end, self._layers.pause, self._forwards.close, self._taps.close):
            self.guard("closing", part)()
        for handle in self._hooks:
            handle.remove()
        self._hooks = []

    def stop(self, error: BaseException | None = None) -> None:
        """Watch no more, and close the run.

        Args:
            error: What the script ended with.
        """
        if not self._on:
            return
        place = NOWHERE if error is None else self.guard("record", self.places.of_error)(error) or NOWHERE
        self.guard("steps", self._close_by_hand)()
        self.guard("forward", self._forwards.settle_all)()
        self.guard("calls", self._learning.end)()
        self._let_go()  # what observers do at the end is not the script's doing
        self.guard("ending", self._events.ended)(error)
        self.guard("steps", self._steps.flush)()
        ended = "finished" if error is None else "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        said = "" if error is None else f"{type(error).__name__}: {error}"
        self.guard("record", self._save)(ended, said, place)
        self.guard("report", self._report_cost)()
        try:
            self.writer.close(ended, "interrupted by the user" if ended == "stopped" else said)
        except Exception as problem:  # the disk is full, say: the script ends as it would have
            self.problem = f"{type(problem).__name__}: {problem}"

    # What modules do: see ForwardListener

    def is_listening(self) -> bool:
        """Whether this thread is the script's, and in its process."""
        return self._on and threading.get_ident() == self._thread

    def root_begins(self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A model is called."""
        training = forward.phase == "train"
        if training:
            self._close_by_hand()
        record = self._book.records[forward.index]
        if self._is_look or not record.forwards or forward.training != record.was_training.get(forward.phase):
            forward.modes = self._book.modes_now(forward.index)
            record.was_training[forward.phase] = forward.training
        self._learning.root_begins(forward.root, forward.seems)
        self._layers.forward_begins(forward.index, record, self.step, training)
        self._events.forward_begins(forward.root, forward.index, args, kwargs, forward.phase)

    def root_ends(self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """It has returned."""
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

    def _look_everywhere(self, on: bool) -> None:
        """Hooks on all modules; off again only where the models are known."""
        if on or (self._forwards.has_roots and self.step > 0):
            self._forwards.look_everywhere(on and not self._learning.forbidden)

    # What backward passes do: see TapsListener

    def backward_begins(self, loss: Any) -> None:
        """A backward pass is about to start."""
        self._close_by_hand()
        self._layers.forwards_are_over()
        tensor = _first_tensor(loss)
        if tensor is None:
            return
        if self._scaled is not None and self._scaled[0]() is tensor:
            tensor = self._scaled[1]
        self._scaled = None
        if not self._in_closure or not self._losses:
            self._losses.append(_value_of(tensor))
        self._backwards += 1
        if self._backwards == 1:
            self._epochs.look(self.places.frame(), self.step)
            self._steps.epoch = self._epochs.now
        for index, record in enumerate(self._book.records):
            if not record.begun:
                self._book.begin(index)
        if self._backwards == 1:
            if self._is_look:
                self._look(self._optimizers.look_whether_clear)
            else:
                self._optimizers.forget_whether_clear()
        if self.learning or self._is_look:
            self._look(self._see_leaves, tensor)
        self._loaders.note_training()
        self._events.backward_begins(tensor, self.step)

    def backward_ends(self, loss: Any) -> None:
        """It is done."""
        examples = self._forwards.examples_reached()
        self._steps.begin(examples or None)
        self._forwards.settle()
        tensor = _first_tensor(loss)
        if tensor is not None:
            self._events.backward_ends(tensor, self.step)
        self._without_update += 1
        if self._is_by_hand():
            self._open_by_hand = _ByHand([each.tensor for each in self._book.all_parameters()])
            self._look_at_gradients()
            self._see_gradients(self._open_by_hand)
            self._layers.before_update(list(range(len(self._book.records))))
            self._events.update_begins(None, self.step)

    def _look(self, look: Callable[..., None], *given: Any) -> None:
        """Look, and keep account of it."""
        began = time.thread_time()
        look(*given)
        self._looks_s += time.thread_time() - began

    def _is_by_hand(self) -> bool:
        if self.updates or self._in_closure:
            return False
        return not self._optimizers.made or self._without_update > _PATIENCE_FOR_UPDATES

    def _close_by_hand(self) -> None:
        """What the script did since its latest backward pass was the update."""
        if self._open_by_hand is None:
            return
        optimizer, self._open_by_hand = self._open_by_hand, None
        self._layers.after_update(list(range(len(self._book.records))))
        self._events.update_ends(None, self.step)
        self._finish_step(optimizer)

    # What optimisers do

    def _update_begins(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.is_listening():
            return
        self._open_by_hand = None  # an optimiser older than the watch: what followed the backward pass was its update
        index = self._optimizers.index_of(optimizer)
        self._in_closure = (args[1] if len(args) > 1 else kwargs.get("closure")) is not None
        if not self._in_closure:
            self._before_update(index, optimizer)

    def _before_update(self, index: int, optimizer: Optimizer) -> None:
        record = self._optimizers.records[index] if index >= 0 else None
        if (record is self._main or self._main is None) and self._layers.wants_norm(self.step):
            self._see_gradients(optimizer, fast=self._layers.fast)
            self._layers.norm_taken()
        if self._is_look:
            self._look(self._look_at_gradients)
        self._layers.before_update(self._moved_by(index))
        self._events.update_begins(optimizer, self.step)

    def _update_ends(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.is_listening():
            return
        index = self._optimizers.index_of(optimizer)
        if self._in_closure:
            self._in_closure = False
            self._before_update(index, optimizer)
        self.updates += 1
        self._without_update = 0
        self._layers.after_update(self._moved_by(index))
        self._events.update_ends(optimizer, self.step)
        if index < 0:
            return
        record = self._optimizers.records[index]
        record.count_update(self._backwards or self._backwards_before)
        self._backwards_before, self._backwards = self._backwards or self._backwards_before, 0
        if self._main is None or record is self._main or index in self._stepped:
            self._main, self._stepped = record, {index}
            self._finish_step(optimizer)
        else:
            self._stepped.add(index)
        self._losses = []

    def _finish_step(self, optimizer: Any) -> None:
        if self._losses:
            self._steps.log({"loss": sum(self._losses[1:], self._losses[0])})
            self._losses = []
        self._backwards = 0
        duration_s = self._steps.finish(optimizer)
        self.step = self._steps.next_step
        self._output.step = self.step
        self._layers.earn(duration_s)
        self._learning.step_ends()
        is_early = self.step < _LOOKS and self._looks_s < _LOOKS_ALLOWANCE_S
        self._is_look = self.settings.full or is_early or self.step & (self.step - 1) == 0
        self._learning.step_begins(self.step)
        if not self.learning:
            self._look_everywhere(False)
        now_s = time.perf_counter() - self._began_s
        if self.step == 3 or now_s > max(_FIRST_SAVE_S, 2 * self._saved_s):
            self._saved_s = now_s if self.step != 3 else self._saved_s
            self.guard("record", self._save)("running", "", NOWHERE)

    # What else torch tells: see TapsListener

    def optimizer_made(self, optimizer: Optimizer) -> None:
        """Made by the running line."""
        self._optimizers.note_made(optimizer, self.place())
        if not self.step and not self._forwards.has_roots and not self._learning.is_on:
            self._learning.begin_early()
        if self._optimizers.made & (self._optimizers.made - 1) == 0 and self.step:
            self._learning.want()
            self._look_everywhere(True)

    def loader_begins(self, loader: Any) -> None:
        """A pass begins."""
        new = not self._loaders.knows(loader)
        place = self.place() if new else NOWHERE
        self._loaders.note_pass(loader, place)
        self._events.loader_iterated(loader, place)

    def loss_scaled(self, scaled: Tensor, loss: Tensor) -> None:
        """By a gradient scaler."""
        self._scaled = (ref(scaled), loss.detach() if loss.grad_fn is None else loss)

    def update_skipped(self) -> None:
        """The scaler met an infinite gradient."""
        self._losses = []
        self._backwards = 0
        self._event("update_skipped", "the gradient scaler met an infinite gradient and skipped the update")

    def compiling(self, what: Any) -> None:
        """Compiled code must see neither hooks nor modes: they would be compiled with it."""
        owner = getattr(what, "__self__", None)
        if isinstance(owner, nn.Module):  # Module.compile
            index = self._book.index_of(owner)
            if index >= 0:
                self._book.records[index].compiled = True
        if not isinstance(what, nn.Module):
            self._learning.end()
            self._learning.forbidden = True
        self._layers.pause()
        self._forwards.spare(what)

    def compiled(self, module: nn.Module) -> None:
        """A wrapper carries its hooks outside of what is compiled."""
        if self._book.index_of(module) >= 0:
            self._forwards.follow(module)

    def reading_begins(self) -> None:
        """The code of modules is about to be read: no hook may stand on them."""
        self._learning.end()
        self._layers.pause()
        self._forwards.pause()

    def reading_ends(self) -> None:
        """It has been."""
        self._forwards.resume()

    def processes_start(self, arguments: Any) -> Any:
        """By ``torch.multiprocessing.spawn``: each is watched."""
        self._event("processes", "the script started processes that train; each writes a run of its own")
        return ArgumentsUnderWatch.of(arguments, self.settings)

    def written(self, text: str) -> None:
        """To standard output or error."""
        self._output.add(text)
        self._events.printed(text)

    # The run

    def _event(self, kind: str, message: str) -> None:
        self.writer.append(
            "events", step=max(self.step - 1, 0), time_s=self._steps.elapsed_s(), kind=kind, message=message
        )

    def _report_error(self, part: str, error: Exception) -> None:
        self._event("watch_error", f"{part} switched off: {type(error).__name__}: {error}")

    @property
    def _cost_s(self) -> float:
        return self.guard.cost_s + self.writer.spent_s

    def _report_cost(self) -> None:
        spent_s, elapsed_s = self._cost_s, max(self._steps.elapsed_s(), 1e-9)
        self._event(
            "watch_cost",
            f"the watch took {spent_s:.2f} s of {elapsed_s:.2f} s ({spent_s / elapsed_s:.1%}); "
            f"layers sampled at {self._layers.steps:,} of {self.step:,} steps",
        )

    def _save(self, ended: str, error: str, place: CodeLine) -> None:
        """Keep what is known of the script so far."""
        if self._book.records:
            first = self._book.records[0]
            total = sum(p.tensor.numel() for p in first.parameters)
            epoch = self._epochs.count() if ended == "finished" else self._epochs.now  # those that are over
            self.writer.update(model=first.name, parameters=total, epoch=epoch, step=self.step)
        if ended != "running":
            self._book.drop_passing()
        self.writer.put_result("watched_script", self.describe(ended, error, place))

    def describe(self, ended: str, error: str, place: CodeLine) -> WatchedScript:
        """What is known of the script so far."""
        epochs = self._epochs.count()
        steps = max(self.step, 1)
        fields: dict[str, Any] = {
            "script": self.settings.title,
            "arguments": self.settings.arguments,
            "ended": ended,
            "error": error,
            "error_place": place,
            "steps": self.step,
            "epochs": epochs,
            "epoch_steps": self._epochs.steps_each(self.step),
            "sources": self.places.sources(),
            "optimizers": self._optimizers.describe(),
            "models": self._book.describe(),
            "schedulers": self._schedulers.describe(epochs),
            "losses": (),
            "loaders": self._loaders.describe(),
            "calls": (),
            "nonfinite": None,
            "examples": (),
            "warnings": tuple(self._warnings),
            "cost": self._cost_s / max(self._steps.elapsed_s(), 1e-9),
            "coverage": {
                "steps": 1.0,
                "layers": self._layers.steps / steps,
                "calls": self._learning.steps / steps,
            },
        }
        return WatchedScript(**{**fields, **self._events.parts()})


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
