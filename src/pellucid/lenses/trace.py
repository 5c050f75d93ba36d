"""The forward pass, the loss, the backward pass and the update of a model, each number explained and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pellucid.capture.tape import Loss, Tape, record_tape
from pellucid.capture.tape_values import ModuleCall, Step, Value
from pellucid.errors import SettingsError
from pellucid.lenses.trace_calls import Calls
from pellucid.lenses.trace_checking import check_trace
from pellucid.lenses.trace_editing import try_value
from pellucid.lenses.trace_gradients import explain_gradient
from pellucid.lenses.trace_inside import explain_inside, inside_shapes
from pellucid.lenses.trace_listing import outline_trace
from pellucid.lenses.trace_names import Names, check_index
from pellucid.lenses.trace_stepper import build_stepper
from pellucid.lenses.trace_updates import explain_update
from pellucid.lenses.trace_values import explain_value
from pellucid.results.explanation import EntryReference, Explanation
from pellucid.results.rendering import notebook_bundle
from pellucid.results.trace_check import TraceCheck
from pellucid.results.trace_outline import TraceOutline
from pellucid.results.trace_stepper import TraceStepper
from pellucid.results.what_if import WhatIf

__all__ = ["Entry", "Trace", "TracedModule", "trace"]


def trace(
    model: nn.Module,
    *inputs: Any,
    keywords: Mapping[str, Any] | None = None,
    target: Any = None,
    loss: Loss = None,
    optimizer: torch.optim.Optimizer | None = None,
    memory_limit: int | None = None,
) -> Trace:
    """How does this model compute, and why does each weight move? One pass, every number kept and explainable.

    Args:
        model: Any eager module. Its weights, gradients, buffers, modes and random streams are as before afterwards.
        inputs: What it is called with.
        keywords: What it is called with by name.
        target: What the loss compares the output with.
        loss: A function of (output, target), or a name of the output's own loss (``"loss"``); None for a forward pass.
        optimizer: What would step; its update is computed on copies.
        memory_limit: Bytes of values and gradients to keep; the rest are computed again when asked for.

    Returns:
        A ``Trace``: print it, then ask it about any number.

    Raises:
        SettingsError: the arguments contradict each other.
        TraceError: the model or the loss raised; the message names the operation and the line.

    >>> layer = nn.Linear(2, 1)
    >>> _ = nn.init.constant_(layer.weight, 0.5), nn.init.zeros_(layer.bias)
    >>> found = trace(layer, torch.tensor([[1.0, 2.0]]), target=torch.tensor([[1.0]]), loss=nn.functional.mse_loss)
    >>> found.gradient("weight", (0, 1)).value
    2.0
    """
    if target is not None and loss is None:
        raise SettingsError(
            "a target needs a loss that compares the output with it", place="target", remedy="give loss=, or no target"
        )
    tape = record_tape(
        model, inputs, keywords, target=target, loss=loss, optimizer=optimizer, memory_limit=memory_limit
    )
    return Trace(
        tape, type(getattr(model, "_orig_mod", model)).__name__, "" if optimizer is None else type(optimizer).__name__
    )


class Entry:
    """One number of a trace.

    Attributes:
        name: Of the value that it is an entry of.
        index: Which entry.
        kind: ``value``, ``gradient`` or ``update``.
    """

    def __init__(self, owner: Trace, kind: str, value: Value, index: tuple[int, ...], title: str = "") -> None:
        self._owner, self._value, self._title = owner, value, title
        self.kind, self.index = kind, index
        self.name = owner.names.of(value)

    @property
    def value(self) -> float:
        """The number itself: the entry, its gradient, or its move."""
        if self.kind == "update":
            update = self._owner.tape.updates[self._value.name]
            return float(update.after[self.index].double() - update.before[self.index].double())
        if self.kind == "gradient":
            gradient = self._value.gradient
            return float("nan") if gradient is None else float(gradient[self.index])
        return float(self._owner.tape.read(self._value)[self.index])

    def explain(self) -> Explanation:
        """How the number came about, term by term; print it, or take ``to_latex()`` or ``to_html()``."""
        calls, names = self._owner.calls, self._owner.names
        if self.kind == "update":
            return explain_update(calls, names, self._value, self.index)
        if self.kind == "gradient":
            return explain_gradient(calls, names, self._value, self.index)
        return explain_value(calls, names, self._value, self.index, self._title)

    def __repr__(self) -> str:
        what = {"gradient": "gradient of ", "update": "update of "}.get(self.kind, "")
        index = list(self.index) or ""
        return f"<{what}{self.name}{index} = {self.value:.6g}>"


class TracedModule:
    """One call of a module in a trace."""

    def __init__(self, owner: Trace, call: ModuleCall) -> None:
        self._owner, self._call = owner, call

    @property
    def name(self) -> str:
        """Its qualified name."""
        return self._call.module

    @property
    def output(self) -> torch.Tensor:
        """What it returned (the first tensor)."""
        return self._owner.tape.read(self._call.outputs[0])

    @property
    def steps(self) -> list[Step]:
        """The operations that it ran."""
        return self._owner.tape.steps[self._call.first_step : self._call.last_step]

    def entry(self, index: int | tuple[int, ...], *, output: int = 0) -> Entry:
        """One entry of what it returned."""
        value = self._call.outputs[output]
        return Entry(self._owner, "value", value, check_index(self.name, value.shape, index))

    def neuron(self, unit: int, *, example: int = 0, position: int | tuple[int, ...] | None = None) -> Entry:
        """One neuron's (or channel's) value for one example.

        Args:
            unit: Which neuron, counted from 0: the channel after a convolution, else the last axis.
            example: Which example of the batch.
            position: Where, for a convolution (row, column) or a sequence (step); None takes the strongest place.

        Raises:
            SettingsError: there is no such neuron, example or position.
        """
        value = self._call.outputs[0]
        shape = value.shape
        if not shape:
            raise SettingsError(f"{self.name} returned one number", place=self.name, remedy="use .entry(()) instead")
        axis = 1 if len(shape) > 2 and self._is_spatial() else len(shape) - 1
        free = [at for at in range(1 if len(shape) > 1 else 0, len(shape)) if at != axis]
        index = [0] * len(shape)
        if len(shape) > 1:
            index[0] = example
        index[axis] = unit
        check_index(f"{self.name or 'the output'} (neuron {unit}, example {example})", shape, tuple(index))
        if free and position is None:
            row = self._owner.tape.read(value).movedim(axis, 1)[example, unit]
            place = torch.unravel_index(row.abs().argmax(), row.shape)
            position = tuple(int(one) for one in place)
        places = (position,) if isinstance(position, int) else tuple(position or ())
        if len(places) != len(free):
            raise SettingsError(
                f"{self.name} has {len(free)} position axes", place="position", remedy=f"give {len(free)} integers"
            )
        for at, where in zip(free, places, strict=True):
            index[at] = where
        checked = check_index(self.name, shape, tuple(index))
        where = f", position {', '.join(map(str, places))}" if places else ""
        kind = "channel" if free and axis == 1 else "neuron"
        title = f"{self.name or 'the model'}, {kind} {checked[axis]}" + (
            f", example {checked[0]}" if len(shape) > 1 else ""
        )
        return Entry(self._owner, "value", value, checked, title + where)

    def _is_spatial(self) -> bool:
        """Whether axis 1 holds the channels."""
        spatial = ("conv", "pool", "batch_norm", "instance_norm", "group_norm")
        return any(word in step.op for step in self.steps for word in spatial)

    def __repr__(self) -> str:
        shapes = ", ".join(" × ".join(map(str, one.shape)) for one in self._call.outputs)
        steps = "1 step" if len(self.steps) == 1 else f"{len(self.steps)} steps"
        return f"<{self._call.type}{' ' * bool(self.name)}{self.name}: {steps}, output {shapes}>"


class Trace:
    """One pass of a model. ``print`` it for its steps; every number in it can be asked how it came about.

    Attributes:
        tape: What was recorded.
        model: The model's class name.
        optimizer: The optimiser's class name; '' without one.
    """

    def __init__(self, tape: Tape, model: str, optimizer: str = "") -> None:
        self.tape, self.model, self.optimizer = tape, model, optimizer
        self.calls, self.names = Calls(tape), Names(tape)

    def __getitem__(self, module: str | tuple[str, int]) -> TracedModule:
        """A module by its qualified name (``"encoder.fc1"``); with a number, its n-th call."""
        name, number = module if isinstance(module, tuple) else (module, 0)
        calls = self.names.calls(name)
        if not 0 <= number < len(calls):
            raise SettingsError(
                f"{name} has no call {number}", place=name, remedy=f"it ran {len(calls)} times: 0 to {len(calls) - 1}"
            )
        return TracedModule(self, calls[number])

    @property
    def loss(self) -> Entry:
        """The loss."""
        if self.tape.loss is None:
            raise SettingsError("the trace has no loss", place="loss", remedy="give trace() loss= (and target=)")
        return Entry(self, "value", self.tape.loss, (), "the loss")

    def value(self, name: str, index: int | tuple[int, ...] = ()) -> Entry:
        """One entry of a module's output, an input, a parameter, or of ``"step 4"``."""
        value = self.names.find(name)
        return Entry(self, "value", value, check_index(name, value.shape, index))

    def gradient(self, name: str, index: int | tuple[int, ...] = ()) -> Entry:
        """The loss's slope by one entry of any value.

        Raises:
            SettingsError: there is no such value or entry, or no gradient reaches it.
        """
        value = self.names.find(name)
        return Entry(self, "gradient", value, check_index(name, value.shape, index))

    def update(self, name: str, index: int | tuple[int, ...] = ()) -> Entry:
        """The move that the optimiser would make with one entry of a parameter."""
        value = self.names.find(name)
        if value.name not in self.tape.updates:
            raise SettingsError(
                f"the optimizer does not move {name}",
                place=name,
                remedy="give trace() optimizer=, and ask about a parameter that it holds"
                if not self.tape.updates
                else f"it moves {', '.join(list(self.tape.updates)[:6])}",
            )
        return Entry(self, "update", value, check_index(name, value.shape, index))

    def inside(self, step: int | str, name: str, index: int | tuple[int, ...] = ()) -> Explanation:
        """How a quantity inside one operation comes about: an attention weight, a gate of an LSTM at one time step.

        Args:
            step: The step, or the name of a module that ran just one operation with such quantities.
            name: Which quantity; ``quantities_inside`` lists them.
            index: Which entry.

        Raises:
            SettingsError: there is no such step, quantity or entry.
        """
        return explain_inside(self.calls, self.names, self._step_of(step, name), name, index)

    def quantities_inside(self, step: int | str) -> dict[str, tuple[int, ...]]:
        """The quantities inside an operation by name, with their shapes; empty where there is nothing inside."""
        return inside_shapes(self.calls.of(self._step_of(step, "")))

    def _step_of(self, step: int | str, name: str) -> int:
        """A step by its number, by ``"step 4"``, or as the one in a module that has such quantities."""
        if isinstance(step, str) and not step.startswith("step "):
            for one in self[step].steps:
                shapes = inside_shapes(self.calls.of(one.index))
                if name in shapes or (shapes and not name):
                    return one.index
            raise SettingsError(
                f"no operation in {step} holds {name or 'anything inside'}",
                place=step,
                remedy="print the trace and name the step by its number",
            )
        number = step if isinstance(step, int) else self.names.find(step).producer
        if number is None or not 0 <= number < len(self.tape.steps):
            raise SettingsError(
                f"there is no step {number}", place="step", remedy=f"the steps are 0 to {len(self.tape.steps) - 1}"
            )
        return number

    def follow(self, reference: EntryReference) -> Entry:
        """The entry that an explanation refers to."""
        if reference.name == "loss" and reference.kind == "value":
            return self.loss
        ask = {"value": self.value, "gradient": self.gradient, "update": self.update}[reference.kind]
        return ask(reference.name, reference.index)

    def check(self, *, differences: int = 24, seed: int = 0) -> TraceCheck:
        """Everything recomputed by our own rules and compared: what agrees, how exactly, and what could not be seen.

        Args:
            differences: How many steps are also checked by central differences in float64.
            seed: Of the choice of the entries that are checked so.
        """
        return check_trace(self.calls, self.names, self.model, differences=differences, seed=seed)

    def what_if(self, name: str, index: int | tuple[int, ...] = (), *, value: float) -> WhatIf:
        """The output and the loss if one weight, bias, activation or input had another value.

        Args:
            name: What to change; an activation by its module's name or as ``"step 4"``.
            index: Which entry.
            value: Its new value.
        """
        found = self.names.find(name)
        return try_value(self.calls, self.names, found, check_index(name, found.shape, index), value)

    def outline(self) -> TraceOutline:
        """The steps as a result: a table, a frame, a picture."""
        dropped = sum(value.tensor is None for value in self.tape.values)
        return outline_trace(self.calls, self.names, self.model, self.optimizer, frozen=dropped)

    def stepper(self, subject: str = "") -> TraceStepper:
        """The walk forward, through the loss, backward and through the update, as the stepper's view shows it."""
        return build_stepper(self.calls, self.names, self.outline(), subject)

    def __str__(self) -> str:
        return str(self.outline())

    def __repr__(self) -> str:
        return f"<trace of {self.model}: {len(self.tape.steps)} steps; print it to see them>"

    def __rich__(self) -> Any:
        return self.outline().__rich__()

    def _repr_html_(self) -> str:
        return self.outline()._repr_html_()

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, Any] | None:
        return notebook_bundle(self)
