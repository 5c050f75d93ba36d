"""What went through a script's models and losses, at some of its steps: figures over the run, and sample examples."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pellucid.core.transfer import fetch
from pellucid.watch.observed_examples import ExampleSample
from pellucid.watch.observed_figures import column_figures, plain_figures, prediction_figures, target_figures
from pellucid.watch.observed_parameters import ParameterFigures, gradient_figures, gradients_are_clear, held_parameters
from pellucid.watch.script_events import ScriptContext, ScriptObserver
from pellucid.watch.wiring import EvaluationSeen, LossSeen, wiring_of
from pellucid.watch.wiring_recipes import HeldForward
from pellucid.watch.wiring_settings import is_plain

__all__ = ["ObservedScript"]

_LOOKS = 64
"""Beyond the powers of two, every so manieth part of the run is looked at."""

_SHARE = 0.005
"""Of the processor's time may be spent on looks that are not at a power of two."""

_ALLOWANCE_S = 0.15
"""May be spent on them in any run."""

_MOST_PENDING = 512

_AGAINST_TARGETS = {"accuracy", "minority_recall", "explained", "correlation"}


class _Clock:
    """When to look: at 0, 1, 2, 4, 8 …, and in between as often as the time allows."""

    def __init__(self) -> None:
        self._next = 0
        self._spent_s = 0.0
        self._began_s = time.process_time(), time.perf_counter()

    def is_due(self, number: int) -> bool:
        if number & (number - 1) == 0:
            return True
        if number < self._next:
            return False
        # Of several processors' time no more counts than passes, and of time that passes no more than is worked.
        worked_s, passed_s = time.process_time() - self._began_s[0], time.perf_counter() - self._began_s[1]
        return self._spent_s <= _ALLOWANCE_S + _SHARE * min(worked_s, passed_s)

    def looked(self, number: int, took_s: float) -> None:
        self._next = number + max(1, number // _LOOKS)
        self._spent_s += took_s


class ObservedScript(ScriptObserver):
    """Writes the ``observations`` and keeps ``ExamplesSeen``."""

    part = "observations"

    def __init__(self, context: ScriptContext) -> None:
        super().__init__(context)
        self._wiring = wiring_of(context)
        self._wiring.evaluated.append(self._evaluated)
        self._train, self._evaluation = _Clock(), _Clock()
        self._samples = {phase: ExampleSample(phase) for phase in ("train", "evaluation")}
        self._due = True
        self._spent_s = 0.0
        self._round = -1
        self._round_step = -1
        self._rows: list[tuple[int, str, str, str, Tensor]] = []
        self._update: ParameterFigures | None = None
        self._has_looked_at_loss = False

    def wants(self, step: int) -> bool:
        """Whether the time has come for a look."""
        self._due = self._train.is_due(step)
        return self._due

    def forward_settled(self, root: nn.Module, index: int, phase: str, number: int) -> None:
        """Look at an evaluation; of a training pass the backward pass has told."""
        forward = self._wiring.held.pop(number, None)
        if phase != "evaluation" or forward is None:
            return
        step = forward.step
        if step == self._round_step:
            return
        self._round_step = step
        self._round += 1
        if not self._evaluation.is_due(self._round):
            return
        began = time.thread_time()
        self._look_at_input(forward.inputs, "evaluation", step)
        floating = [tensor for tensor in forward.outputs if tensor.dtype.is_floating_point and _is_table(tensor)]
        if floating:
            figures = plain_figures(floating[0]) | prediction_figures(self._kind(), floating[0], None)
            self._note("evaluation", "prediction", figures, step)
        self._evaluation.looked(self._round, time.thread_time() - began)

    def backward_begins(self, loss: Tensor, step: int) -> None:
        """Look at the batch and the loss."""
        if not self._due or loss.numel() == 0:
            return
        began = time.thread_time()
        clear = gradients_are_clear(held_parameters(self.context.optimizers)) if step else None
        if clear is not None and not self._has_looked_at_loss:
            self._note("train", "gradient", {"clear": clear})
        forwards = list(self._wiring.held.values())
        seen = self._wiring.read(loss)
        first = not self._has_looked_at_loss
        if first or seen is not None:
            self._look(loss, seen, forwards, first=first)
        self._has_looked_at_loss = True
        self._spent_s += time.thread_time() - began

    def update_begins(self, optimizer: Any, step: int) -> None:
        """Look at the gradients."""
        if not self._due or self._update is not None:
            return
        began = time.thread_time()
        parameters = held_parameters([optimizer])
        if any(p.grad is not None for p in parameters):
            self._note_pairs(gradient_figures(parameters))
        self._update = ParameterFigures(self.context, parameters)
        self._spent_s += time.thread_time() - began

    def update_ends(self, optimizer: Any, step: int) -> None:
        """Look at what became of the weights, and decide on the next step."""
        if self._due:
            began = time.thread_time()
            if self._update is not None:
                self._note_pairs(self._update.after())
            if len(self._rows) >= _MOST_PENDING:
                self._flush()
            self._train.looked(step, self._spent_s + time.thread_time() - began)
        self._update, self._spent_s, self._has_looked_at_loss = None, 0.0, False
        self._due = self._train.is_due(step + 1)

    def ended(self, error: BaseException | None) -> None:
        """Write what is left."""
        self._flush()

    def parts(self) -> dict[str, Any]:
        """The examples."""
        self._flush()
        samples = [sample.sample() for sample in self._samples.values()]
        return {"examples": tuple(sample for sample in samples if sample is not None)}

    def _kind(self) -> str:
        return self._wiring.main_kind

    def _look(self, loss: Tensor, seen: LossSeen | None, forwards: Sequence[HeldForward], *, first: bool) -> None:
        """A training batch: its inputs, targets, predictions and loss; of several losses the first counts."""
        if not first:
            return
        value = loss.detach().double().sum() if loss.device.type != "mps" else loss.detach().sum()
        self._note("train", "loss", {"value": value})
        inputs = self._inputs(forwards, seen)
        if inputs is not None:
            self._look_at_input([inputs], "train")
        if seen is None or seen.prediction is None or not _is_table(seen.prediction):
            if inputs is not None:
                self._samples["train"].add((self.context.step, self.context.step), inputs, None, None)
            return
        prediction, target = seen.prediction, seen.target
        self._note("train", "prediction", plain_figures(prediction))
        target = target if target is not None and _is_table(target) else None
        self._note("train", "prediction", prediction_figures(seen.kind, prediction, target))
        if target is not None:
            self._note("train", "target", plain_figures(target) | target_figures(target))
        if seen.value is not None and seen.value.numel() == 1 and seen.factor and math.isfinite(seen.factor):
            own = seen.value.detach().to(value.dtype).sum() * seen.factor
            self._note("train", "loss", {"penalty": (value - own) / abs(seen.factor)})
        if inputs is not None:
            self._samples["train"].add((self.context.step, self.context.step), inputs, target, prediction)

    def _inputs(self, forwards: Sequence[HeldForward], seen: LossSeen | None) -> Tensor | None:
        """The examples that a prediction was made of: the first tensor given to a model with its rows."""
        given = [tensor for forward in forwards for tensor in forward.inputs if _is_table(tensor)]
        if seen is not None and not given:
            given = seen.inputs
        if not given:
            return None
        if seen is not None and seen.prediction is not None and seen.prediction.shape:
            rows = len(seen.prediction)
            fitting = [tensor for tensor in given if len(tensor) == rows or rows % len(tensor) == 0]
            given = [tensor for tensor in fitting if len(tensor) == rows] or fitting or given
        return given[0]

    def _look_at_input(self, inputs: Sequence[Tensor], phase: str, step: int | None = None) -> None:
        first = next((tensor for tensor in inputs if _is_table(tensor)), None)
        if first is not None:
            figures = plain_figures(first) | column_figures(first)
            figures["batch_size"] = figures["mean"].new_full((), len(first))
            self._note(phase, "input", figures, step)

    def _evaluated(self, seen: EvaluationSeen) -> None:
        """A learned evaluation."""
        inputs = next((tensor for tensor in seen.inputs if _is_table(tensor)), None)
        outputs = next((t for t in seen.outputs if t.dtype.is_floating_point and _is_table(t)), None)
        if outputs is None:
            return
        if seen.target is not None and _is_table(seen.target):
            targets = plain_figures(seen.target) | target_figures(seen.target)
            self._note("evaluation", "target", targets, seen.step)
            figures = prediction_figures(self._kind(), outputs, seen.target)
            figures = {name: value for name, value in figures.items() if name in _AGAINST_TARGETS}
            self._note("evaluation", "prediction", figures, seen.step)
        if inputs is not None:
            number = self._wiring.forwards
            self._samples["evaluation"].add((seen.step, number), inputs, seen.target, outputs)

    def _note(self, phase: str, subject: str, figures: dict[str, Tensor], step: int | None = None) -> None:
        step = self.context.step if step is None else step
        self._rows.extend((step, phase, subject, quantity, value) for quantity, value in figures.items())

    def _note_pairs(self, figures: dict[tuple[str, str], Tensor]) -> None:
        step = self.context.step
        self._rows.extend((step, "train", subject, quantity, value) for (subject, quantity), value in figures.items())

    def _flush(self) -> None:
        """Bring the figures over and write them."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        values = [value[0] for value in fetch([row[4] for row in rows])]
        steps, phases, subjects, quantities, _ = zip(*rows, strict=True)
        self.context.writer.extend(
            "observations",
            {
                "step": list(steps),
                "phase": list(phases),
                "subject": list(subjects),
                "quantity": list(quantities),
                "value": values,
            },
        )


def _is_table(tensor: Tensor) -> bool:
    """Whether it has rows that can be looked at."""
    return bool(tensor.shape) and tensor.numel() > 0 and is_plain(tensor) and not tensor.is_complex()
