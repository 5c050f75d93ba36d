"""A tape as the table that a person reads first."""

from __future__ import annotations

import math

import torch

from pellucid.capture.tape_values import Step, Value
from pellucid.lenses.trace_calls import Calls
from pellucid.lenses.trace_figures import extremes, length
from pellucid.lenses.trace_names import Names
from pellucid.results.trace_outline import ParameterOutline, StepOutline, TraceOutline

__all__ = ["outline_trace"]


def outline_trace(calls: Calls, names: Names, model: str, optimizer: str, *, frozen: int) -> TraceOutline:
    """The steps with their shapes and ranges, and the parameters with their gradients and moves.

    Args:
        calls: The tape's calls.
        names: The tape's names.
        model: The class name of the traced module.
        optimizer: The optimiser's; '' without one.
        frozen: How many values the memory limit left out.
    """
    tape = calls.tape
    loss = math.nan if tape.loss is None else float(tape.read(tape.loss))
    held: dict[int, int] = {}
    for value in tape.values:
        for tensor in (value.tensor, value.gradient):
            if tensor is not None and value.origin != "parameter" and tensor.layout is torch.strided:
                storage = tensor.untyped_storage()
                held[storage.data_ptr()] = storage.nbytes()
    return TraceOutline(
        model=model,
        steps=tuple(_step(calls, names, step) for step in tape.steps),
        parameters=tuple(_parameter(calls, value) for value in tape.parameters.values()),
        loss=loss,
        optimizer=optimizer,
        kept_bytes=sum(held.values()),
        dropped=frozen,
        note=_note(calls, loss),
    )


def _step(calls: Calls, names: Names, step: Step) -> StepOutline:
    source = step.source
    out = step.outputs[0] if step.outputs else None
    low, high = extremes(out.tensor if out is not None else None)
    gradient_low, gradient_high = extremes(out.gradient if out is not None else None)
    return StepOutline(
        index=step.index,
        phase=step.phase,
        op=step.op,
        function=step.function,
        module=step.module,
        call=step.call,
        source_file="" if source is None else source.file,
        source_line=0 if source is None else source.line,
        source_text="" if source is None else source.text,
        inputs=tuple(names.of(value) for value in step.inputs),
        shape=() if out is None else tuple(out.shape),
        dtype="" if out is None else str(out.dtype).removeprefix("torch."),
        low=low,
        high=high,
        gradient_low=gradient_low,
        gradient_high=gradient_high,
        in_place=step.in_place,
        opaque=calls.of(step.index).opaque,
    )


def _parameter(calls: Calls, value: Value) -> ParameterOutline:
    update = calls.tape.updates.get(value.name)
    move = math.nan if update is None else length(update.after.double() - update.before.double())
    return ParameterOutline(
        name=value.name,
        shape=tuple(value.shape),
        gradient_norm=length(value.gradient),
        update_norm=move,
        weight_norm=length(value.tensor),
    )


def _note(calls: Calls, loss: float) -> str:
    """What a person must know before reading on."""
    tape = calls.tape
    said: list[str] = []
    if tape.loss is not None and not math.isfinite(loss):
        first = next((step for step in tape.steps if any(_broken(value) for value in step.outputs)), None)
        at = "" if first is None or first.source is None else f", {first.source.file}:{first.source.line}"
        where = f" The first step whose output is not finite is {calls.of(first.index).place}{at}." if first else ""
        said.append(f"The loss is {loss}: gradients tell nothing.{where}")
    if tape.decisions:
        places = ", ".join(dict.fromkeys(str(one.source) for one in tape.decisions[:3]))
        said.append(f"The model looked at {len(tape.decisions)} of its own numbers to decide what to run: {places}.")
    return " ".join(said)


def _broken(value: Value) -> bool:
    tensor = value.tensor
    if tensor is None or not tensor.is_floating_point() or tensor.layout is not torch.strided:
        return False
    return not bool(torch.isfinite(tensor).all())
