"""One number of a trace changed, and what follows from it; the model is never touched."""

from __future__ import annotations

import math

import torch

from pellucid.capture.tape_values import Value
from pellucid.errors import SettingsError
from pellucid.lenses.trace_calls import Calls
from pellucid.lenses.trace_names import Names
from pellucid.lenses.trace_symbols import entry_text
from pellucid.results.what_if import WhatIf

__all__ = ["try_value"]

_MOST_KEPT = 4096


def try_value(calls: Calls, names: Names, value: Value, index: tuple[int, ...], number: float) -> WhatIf:
    """Run the recorded operations again with one entry changed; every random draw is repeated.

    Args:
        calls: The tape's calls.
        names: The tape's names.
        value: What is changed.
        index: Which entry, checked.
        number: Its new value.

    Raises:
        SettingsError: the value cannot hold the number.
        TraceError: an operation between it and the output cannot be run again.
    """
    tape = calls.tape
    name = names.of(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise SettingsError(f"{number!r} is no number to try", place="value", remedy="give a finite number")
    edited = tape.read(value).detach().clone()
    before = float(edited[index])
    if not edited.dtype.is_floating_point and float(number) != int(number):
        raise SettingsError(
            f"{entry_text(name, index)} is an integer and cannot be {number}", place=name, remedy="give a whole number"
        )
    edited[index] = number
    out_name, output = next(iter(tape.outputs.items()), ("output", value))
    wanted: list[Value] = [output] + ([tape.loss] if tape.loss is not None else [])
    old = [tape.read(one).detach().clone() for one in wanted]
    new = tape.replay({value.id: edited}, wanted)
    after = float(edited[index])
    loss_before = float(old[1]) if tape.loss is not None else math.nan
    slope = math.nan if value.gradient is None else float(value.gradient[index])
    flat = [one.detach().to("cpu", torch.float64).reshape(-1)[:_MOST_KEPT].numpy() for one in (old[0], new[0])]
    differs = (old[0] != new[0]) & ~((old[0] != old[0]) & (new[0] != new[0]))
    return WhatIf(
        name=name,
        index=index,
        before=before,
        after=after,
        loss_before=loss_before,
        loss_after=float(new[1]) if tape.loss is not None else math.nan,
        slope=slope,
        predicted_loss=loss_before + slope * (after - before),
        output_name=out_name,
        output_before=flat[0],
        output_after=flat[1],
        output_shape=tuple(old[0].shape),
        changed_outputs=int(differs.sum()),
        note=_note(calls, value, edited),
    )


def _note(calls: Calls, value: Value, edited: torch.Tensor) -> str:
    """Draws that were repeated, and branches that would have gone the other way."""
    tape = calls.tape
    said: list[str] = []
    if any(step.rng_state is not None for step in tape.steps):
        said.append("Random draws (dropout …) were repeated as recorded.")
    decided = [one for one in tape.decisions if one.outcome is not None]
    if decided:
        values = tape.replay({value.id: edited}, [one.value for one in decided])
        for decision, tensor in zip(decided, values, strict=True):
            outcome = bool(tensor) if decision.kind == "bool" else tensor.item() if tensor.numel() == 1 else None
            if outcome is not None and outcome != decision.outcome:
                said.append(
                    f"At {decision.source} the model read {decision.outcome}; with the change it would read {outcome} "
                    "and might run other operations. The recorded ones were repeated."
                )
    return " ".join(said)
