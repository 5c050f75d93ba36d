"""Watches a whole training script: finds its parts by itself and records how they train."""

from __future__ import annotations

import os
import time
from typing import Any

from torch import nn
from torch.optim import Optimizer

from pellucid.results.watched_script import CodeLine, WatchedScript
from pellucid.watch.compiled_before import COMPILED_BEFORE, find_compiled
from pellucid.watch.script_listener import GuardedListener
from pellucid.watch.script_observers import observers_of
from pellucid.watch.script_output import ScriptOutput
from pellucid.watch.script_parts import ScriptSettings
from pellucid.watch.script_places import NOWHERE
from pellucid.watch.script_steps import ScriptSteps
from pellucid.watch.script_taps import Taps
from pellucid.watch.spawned import ArgumentsUnderWatch

__all__ = ["ScriptWatch"]

_FIRST_SAVE_S = 10.0


class ScriptWatch(ScriptSteps):
    """Watches the script that runs in this process, between ``start`` and ``stop``."""

    def __init__(self, settings: ScriptSettings) -> None:
        super().__init__(settings, observers_of(settings.probe))
        self.problem = ""
        self._has_processes = False
        self._output = ScriptOutput(self.writer, self._epochs, self._steps)
        self._taps = Taps(GuardedListener(self, self.guard), self._light.passes)
        self._saved_s = 0.0
        self._began_s = time.perf_counter()

    # Coming and going

    def start(self) -> None:
        """Watch from here on."""
        self._on = True
        self._taps.open()
        self._hook_updates()
        self._forwards.look_everywhere(True)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._abandon)

    def _abandon(self) -> None:
        """In a forked child: everything recorded belongs to the parent."""
        if self._on:
            self._let_go()

    def _let_go(self) -> None:
        self._on = False
        self._light.leave()
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
        self.guard("steps", self._settle_light)()
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

    # What else torch tells: see TapsListener

    def optimizer_made(self, optimizer: Optimizer) -> None:
        """Made by the running line."""
        self._optimizers.note_made(optimizer, self.place())
        if not self.step and not self._forwards.has_roots and not self._learning.is_on:
            self._learning.begin_early()
        self._light.leave()
        if self._optimizers.made & (self._optimizers.made - 1) == 0 and self.step:
            self._learning.want()
            self._look_everywhere(True)

    def loader_begins(self, loader: Any) -> None:
        """A pass begins."""
        new = not self._loaders.knows(loader)
        if new:
            self._light.leave()
        place = self.place() if new else NOWHERE
        self._loaders.note_pass(loader, place)
        self._events.loader_iterated(loader, place)

    def compiling(self, what: Any) -> None:
        """Compiled code must see neither hooks nor modes: they would be compiled with it."""
        self._light.leave()
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

    def note_compiled_before(self) -> None:
        """Of what was compiled before the watch began, spare what can be found, and say what will not be seen."""
        self.guard("parts", self._spare_compiled)()

    def _spare_compiled(self) -> None:
        modules, others = find_compiled()
        for module in modules:
            self.compiling(module._orig_mod)
        if others:
            self.compiling(None)
        if modules or others:
            self._event("compiled", COMPILED_BEFORE)
        for module in modules:
            self._forwards.follow(module)  # it is a model of the script's once it is called

    def compiled(self, module: nn.Module) -> None:
        """A wrapper carries its hooks outside of what is compiled."""
        if self._book.index_of(module) >= 0:
            self._forwards.follow(module)

    def reading_begins(self) -> None:
        """The code of modules is about to be read: no hook may stand on them."""
        self._light.leave()
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

    def process_starts(self, process: Any) -> None:
        """By the script, in a way that no watch goes with."""
        if not self._has_processes:
            self._has_processes = True
            self._event("processes", "the script started a process; what happens in it and in others is not watched")

    def written(self, text: str) -> None:
        """To standard output or error."""
        self._output.add(text)
        self._events.printed(text)

    # The run

    def _settle_light(self) -> None:
        self._light.take_account()
        for site, line in self._light.take_lines().items():
            self._events.passed_over(site, line.count, line.latest)

    def _step_is_over(self) -> None:
        """Keep the record of the script up to date."""
        now_s = time.perf_counter() - self._began_s
        if self.step == 3 or now_s > max(_FIRST_SAVE_S, 2 * self._saved_s):
            self._saved_s = now_s if self.step != 3 else self._saved_s
            self.guard("record", self._save)("running", "", NOWHERE)

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
            f"layers sampled at {self._layers.steps:,} of {self.step:,} steps, {self._light.steps:,} were light",
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
