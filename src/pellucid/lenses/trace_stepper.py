"""A tape as a walk that a person can step through: its stops, its tensors as pictures, its network, its source."""

from __future__ import annotations

import linecache
from typing import Literal

import torch
from torch import Tensor

from pellucid.capture.tape_values import Step, Value
from pellucid.lenses.trace_calls import Calls
from pellucid.lenses.trace_figures import extremes, length
from pellucid.lenses.trace_names import Names
from pellucid.lenses.trace_neurons import MOST_UNITS, draw_neurons
from pellucid.lenses.trace_pictures import Picture, draw_tensor
from pellucid.results.trace_outline import TraceOutline
from pellucid.results.trace_stepper import SourceExcerpt, StepperEdge, StepperLayer, StepperStop, StepperValue
from pellucid.results.trace_stepper import TraceStepper as Stepper

__all__ = ["build_stepper"]

Kind = Literal["input", "parameter", "buffer", "constant", "activation", "loss"]

_CONTEXT = 6
"""Lines of source shown before and after a step's own."""


def build_stepper(calls: Calls, names: Names, outline: TraceOutline, subject: str = "") -> Stepper:
    """Everything that a view needs to walk through the trace without asking anybody.

    Values that the memory limit left out are not computed again: their pictures are missing, and the note says so.

    Args:
        calls: The tape's calls.
        names: The tape's names.
        outline: The same tape as a table.
        subject: What went through the model, in words.
    """
    tape = calls.tape
    network = draw_neurons(calls)
    values = tuple(_value(calls, names, value) for value in tape.values)
    return Stepper(
        model=outline.model,
        subject=subject,
        optimizer=outline.optimizer,
        training=tape.training,
        loss=outline.loss,
        steps=outline.steps,
        values=values,
        edges=tuple(_edges(calls)),
        walk=tuple(_walk(calls)),
        sources=_sources(outline),
        level="neurons" if network else "tensors",
        network=network,
        note=_note(outline, values, network),
    )


def _value(calls: Calls, names: Names, value: Value) -> StepperValue:
    tape = calls.tape
    update = tape.updates.get(value.name) if value.origin == "parameter" else None
    move = None if update is None else update.after.double() - update.before.double()
    tensor, gradient, moved = (_picture(one) for one in (value.tensor, value.gradient, move))
    first = next((one for one in (tensor, gradient, moved) if one is not None), None)
    low, high = extremes(value.tensor)
    step = None if value.producer is None else tape.steps[value.producer]
    return StepperValue(
        id=value.id,
        name=names.of(value),
        kind=_kind(calls, value),
        module=value.name.rpartition(".")[0] if step is None else step.module,
        shape=tuple(value.shape),
        dtype=str(value.dtype).removeprefix("torch."),
        producer=-1 if value.producer is None else value.producer,
        tensor=None if tensor is None else tensor.cells,
        gradient=None if gradient is None else gradient.cells,
        update=None if moved is None else moved.cells,
        reduced=first is not None and first.entries is not None,
        block=(1, 1) if first is None else first.block,
        entries=None if tensor is None else tensor.entries,
        gradient_entries=None if gradient is None else gradient.entries,
        update_entries=None if moved is None else moved.entries,
        minimum=low,
        maximum=high,
        gradient_norm=length(value.gradient),
        update_norm=length(move),
    )


def _kind(calls: Calls, value: Value) -> Kind:
    """What a value is to a person."""
    if value.producer is not None:
        return "loss" if calls.tape.steps[value.producer].phase == "loss" else "activation"
    return "activation" if value.origin == "op" else value.origin


def _picture(tensor: Tensor | None) -> Picture | None:
    """The tensor drawn; None for what is not there, or not dense."""
    if tensor is None or tensor.layout is not torch.strided:
        return None
    return draw_tensor(tensor)


def _edges(calls: Calls) -> list[StepperEdge]:
    """Every value that a step read, to every one that it made."""
    return [
        StepperEdge(source.id, step.index, target.id)
        for step in calls.tape.steps
        for source in step.inputs
        for target in step.outputs
        if source is not target
    ]


def _walk(calls: Calls) -> list[StepperStop]:
    """Forward through the model and the loss, back to the inputs, and the move of each parameter.

    Where a module only counts (a batch norm its batches), the walk does not stop; the outline lists it.
    """
    tape = calls.tape
    stops = [
        StepperStop(step.phase, step.index, step.outputs[0].id if step.outputs else -1)
        for phase in ("forward", "loss")
        for step in tape.steps
        if step.phase == phase and not _only_counts(step)
    ]
    for step in reversed(tape.steps):
        reached = next((value for value in step.outputs if value.gradient is not None), None)
        if reached is not None:
            stops.append(StepperStop("backward", step.index, reached.id))
    stops += [StepperStop("update", -1, tape.parameters[name].id) for name in tape.updates if name in tape.parameters]
    return stops


def _only_counts(step: Step) -> bool:
    """Whether a step does nothing but keep a module's count, such as ``num_batches_tracked``."""
    return (
        bool(step.inputs)
        and step.in_place
        and all(
            value.origin == "buffer" and not (value.dtype.is_floating_point or value.dtype.is_complex)
            for value in step.inputs
        )
    )


def _sources(outline: TraceOutline) -> tuple[SourceExcerpt, ...]:
    """The lines around each step's own; what overlaps or touches is joined."""
    wanted: dict[str, set[int]] = {}
    for step in outline.steps:
        if step.source_file:
            around = range(max(1, step.source_line - _CONTEXT), step.source_line + _CONTEXT + 1)
            wanted.setdefault(step.source_file, set()).update(around)
    found: list[SourceExcerpt] = []
    for file, numbers in wanted.items():
        lines = linecache.getlines(file)
        run: list[int] = []
        for number in [*sorted(one for one in numbers if one <= len(lines)), 0]:
            if run and number != run[-1] + 1:
                found.append(SourceExcerpt(file, run[0], tuple(lines[one - 1].rstrip() for one in run)))
                run = []
            run.append(number)
    return tuple(found)


def _note(outline: TraceOutline, values: tuple[StepperValue, ...], network: tuple[StepperLayer, ...]) -> str:
    """What a person must know before walking."""
    said = [outline.note] if outline.note else []
    if outline.dropped:
        which = "1 value out: it is" if outline.dropped == 1 else f"{outline.dropped} values out: they are"
        said.append(f"The memory limit left {which} computed again when asked for.")
    reduced = sum(value.reduced for value in values)
    if reduced:
        which = "1 large tensor is" if reduced == 1 else f"{reduced} large tensors are"
        said.append(f"{which} drawn by the strongest entry of each block.")
    if any(len(layer.shown_units) < layer.units or len(layer.shown_inputs) < layer.inputs for layer in network):
        said.append(f"Of layers wider than {MOST_UNITS} units the {MOST_UNITS} strongest are drawn.")
    return " ".join(said)
