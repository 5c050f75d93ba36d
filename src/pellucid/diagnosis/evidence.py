"""What a rule may look at: the watched script's parts, its series over steps, and judgements that rules share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.curves import LossCurve, read_curve
from pellucid.diagnosis.input_scale import InputScale, input_scale
from pellucid.diagnosis.outcome import Outcome, judge_outcome
from pellucid.diagnosis.phases import Phases
from pellucid.diagnosis.rates import Rate, read_rate
from pellucid.diagnosis.records import Records, RunRecords
from pellucid.diagnosis.series import EMPTY, Series
from pellucid.diagnosis.source_changes import SourceCode
from pellucid.diagnosis.wiring import Wiring
from pellucid.results.watched_script import (
    CodeLine,
    ExamplesSeen,
    ScriptCall,
    ScriptLoss,
    ScriptModel,
    ScriptModule,
    ScriptOptimizer,
    ScriptParameter,
    WatchedScript,
)

if TYPE_CHECKING:
    from pellucid.store.run import Run

__all__ = ["NOWHERE", "Evidence"]

NOWHERE = CodeLine("", 0, "", "")
"""No line of the user's."""

_SINGLE = ("source", "evaluation")
"""Needs that are spoken of in the singular."""


class Evidence:
    """A watched run, as rules see it. Everything is read when it is first asked for.

    Args:
        script: The parts of the script.
        records: Its series; ``GivenRecords`` for those made by hand.
    """

    def __init__(self, script: WatchedScript, records: Records) -> None:
        self.script = script
        self.records = records
        self._codes: dict[str, SourceCode] = {}
        self._wirings: dict[str, list[Wiring]] = {}

    @classmethod
    def of_run(cls, run: Run) -> Evidence:
        """The evidence of a run on disk.

        Raises:
            RunNotFoundError: the run holds no record of a watched script.
        """
        script = run.result("watched_script")
        assert isinstance(script, WatchedScript)
        return cls(script, RunRecords(run))

    # -- series ------------------------------------------------------------------------------------------------------

    def series(self, phase: str, subject: str, quantity: str) -> Series:
        """One observed quantity over steps; empty where it was never looked at."""
        return self.records.observations.get((phase, subject, quantity), EMPTY)

    def first(self, subject: str, quantity: str, phase: str = "train") -> float:
        """Its first finite value; nan where there is none."""
        return self.series(phase, subject, quantity).first

    def last(self, subject: str, quantity: str, phase: str = "train") -> float:
        """Its last finite value; nan where there is none."""
        return self.series(phase, subject, quantity).last

    def subjects(self, beginning: str = "") -> list[str]:
        """Observed subjects, such as ``layer:fc1``, by the beginning of their name."""
        names = dict.fromkeys(subject for _, subject, _ in self.records.observations)
        return [name for name in names if name.startswith(beginning)]

    def column(self, name: str) -> Series:
        """A column of the steps: loss, learning_rate, gradient_norm, batch_size, epoch …"""
        values = self.records.steps.get(name, np.empty(0))
        steps = self.records.steps.get("step", np.arange(len(values)))
        return Series(np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64))

    @property
    def loss(self) -> Series:
        """The loss of every step, as back-propagated; NaN where it was NaN."""
        return self.column("loss")

    def layer(self, name: str, quantity: str) -> Series:
        """A column of the layers' table for one layer."""
        return self.records.layers.get((name, quantity), EMPTY)

    @property
    def layer_names(self) -> list[str]:
        """Layers in the table, in the order in which they were first recorded."""
        return list(dict.fromkeys(name for name, _ in self.records.layers))

    @property
    def metric_names(self) -> list[str]:
        """Names of metrics that the script printed or logged."""
        return list(dict.fromkeys(name for _, name in self.records.metrics))

    def metric(self, name: str, split: str | None = None) -> Series:
        """A metric of this name, of the split given or of the first that has it."""
        for (found_split, found), series in self.records.metrics.items():
            if found == name and split in (None, found_split):
                return series
        return EMPTY

    # -- parts -------------------------------------------------------------------------------------------------------

    def examples(self, phase: str = "train") -> ExamplesSeen | None:
        """The sample of examples of a phase."""
        return next((seen for seen in self.script.examples if seen.phase == phase and len(seen.inputs)), None)

    def calls(
        self, *functions: str, phase: str | None = None, module: str | None = None, model: int | None = None
    ) -> list[ScriptCall]:
        """Calls of the learned steps, in order: of these functions, phase, module, model."""
        return [
            call
            for call in self.script.calls
            if (not functions or call.function in functions)
            and phase in (None, call.phase)
            and module in (None, call.module)
            and model in (None, call.model)
        ]

    @cached_property
    def main_loss(self) -> ScriptLoss | None:
        """The loss that most steps came from."""
        return max(self.script.losses, key=lambda loss: loss.steps, default=None)

    @cached_property
    def main_optimizer(self) -> ScriptOptimizer | None:
        """The optimiser that stepped most."""
        return max(self.script.optimizers, key=lambda one: one.steps, default=None)

    @cached_property
    def trained_models(self) -> list[ScriptModel]:
        """Models that took part in training."""
        return [
            model
            for model in self.script.models
            if model.train_calls > 0 or any(parameter.got_gradient for parameter in model.parameters)
        ]

    def modules(self) -> Iterator[tuple[ScriptModel, ScriptModule]]:
        """Every module of the trained models."""
        for model in self.trained_models:
            for module in model.modules:
                yield model, module

    def parameters(self) -> Iterator[tuple[ScriptModel, ScriptParameter]]:
        """Every parameter of the trained models."""
        for model in self.trained_models:
            for parameter in model.parameters:
                yield model, parameter

    @cached_property
    def batch_size(self) -> float:
        """The usual number of examples a step; nan unknown."""
        return self.column("batch_size").median

    def wirings(self, phase: str = "train") -> list[Wiring]:
        """What fed what, one for each learned step of a phase."""
        if phase not in self._wirings:
            steps: dict[int, list[ScriptCall]] = {}
            for call in self.script.calls:
                if call.phase == phase:
                    steps.setdefault(call.step, []).append(call)
            self._wirings[phase] = [Wiring(calls) for _, calls in sorted(steps.items())]
        return self._wirings[phase]

    # -- source ------------------------------------------------------------------------------------------------------

    def source(self, file: str) -> str:
        """The text of a file of the user's; empty where it is not kept."""
        return next((source.text for source in self.script.sources if source.path == file), "")

    def code(self, file: str) -> SourceCode:
        """A file of the user's, to be searched and changed; an empty one where it is not kept."""
        if file not in self._codes:
            self._codes[file] = SourceCode(file, self.source(file))
        return self._codes[file]

    @cached_property
    def codes(self) -> list[SourceCode]:
        """All files of the user's."""
        return [self.code(source.path) for source in self.script.sources]

    @cached_property
    def main_file(self) -> str:
        """The script's own file, as its sources name it."""
        for source in self.script.sources:
            if source.path == self.script.script or source.path.endswith(self.script.script):
                return source.path
        return self.script.sources[0].path if self.script.sources else ""

    def place(self, file: str, line: int) -> CodeLine:
        """A line of a file as a place."""
        lines = self.source(file).splitlines()
        return CodeLine(file, line, lines[line - 1].strip(), "") if 0 < line <= len(lines) else NOWHERE

    # -- judgements --------------------------------------------------------------------------------------------------

    @cached_property
    def outcome(self) -> Outcome:
        """How well the run came out: the task, what was reached, what can be reached."""
        return judge_outcome(self)

    @cached_property
    def loss_curve(self) -> LossCurve:
        """What the loss's curve says."""
        return read_curve(self)

    @cached_property
    def rate(self) -> Rate | None:
        """The main optimiser's learning rate as training began, and what is usual; None where none is known."""
        return read_rate(self)

    @cached_property
    def input_scale(self) -> InputScale:
        """The scale of the training inputs' columns."""
        return input_scale(self)

    @cached_property
    def phases(self) -> Phases:
        """Training and evaluation examples beside each other."""
        return Phases(self)

    # -- what there is -----------------------------------------------------------------------------------------------

    def missing(self, need: str) -> str:
        """What is missing of a need, as words; empty where it is met.

        Needs: losses, optimizers, models, calls, source, examples, evaluation, observations, layers, steps.
        """
        there = {
            "losses": bool(self.script.losses),
            "optimizers": bool(self.script.optimizers),
            "models": bool(self.script.models),
            "calls": bool(self.script.calls),
            "source": bool(self.script.sources),
            "examples": self.examples("train") is not None,
            "evaluation": self.examples("evaluation") is not None,
            "observations": bool(self.records.observations),
            "layers": bool(self.records.layers),
            "steps": len(self.loss) > 0,
        }
        return "" if there[need] else f"no {need} {'was' if need in _SINGLE else 'were'} seen"
