"""Recurrent layers unrolled: every step of every layer and direction, and backpropagation through time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from pellucid.core.rules.recurrent_cells import Back, Cell, Step

__all__ = ["Backward", "Call", "Weights", "backpropagate", "unroll"]


class Weights(NamedTuple):
    """The weights of one layer in one direction; no biases, or no projection of the state, where they are None."""

    ih: Tensor
    hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    hr: Tensor | None = None


@dataclass(frozen=True)
class Call:
    """A recurrent call in one form.

    Args:
        steps: The input at every time, (rows, features); rows may only become fewer.
        hidden: The first states, (layers · directions, examples, units); for LSTMs the first memories too.
        weights: Those of each layer and direction.
        addresses: The same places' argument names.
        hidden_addresses: Argument names of states and memories.
        input_address: The argument that holds the input.
        directions: 1, or 2 where a second pass runs backwards.
        drawn: For each layer but the last, what dropout multiplies its output at every time with; empty without.
    """

    steps: list[Tensor]
    hidden: tuple[Tensor, ...]
    weights: list[Weights]
    addresses: list[tuple[str, ...]]
    hidden_addresses: tuple[str, ...]
    input_address: str
    directions: int
    drawn: Sequence[Sequence[Tensor]] = ()


@dataclass(frozen=True)
class Backward:
    """What backpropagation through time gives.

    Args:
        passes: Of every layer and direction the steps, last first, with their gradients.
        by_input: The gradient by the input of every time.
        first: Of every layer and direction the gradients by the first state and the first memory.
    """

    passes: list[list[tuple[Step, Back]]]
    by_input: list[Tensor]
    first: list[tuple[Tensor, Tensor]]


def unroll(cell: Cell, call: Call) -> tuple[list[list[Step]], list[Tensor], list[Tensor], list[Tensor]]:
    """(steps of every layer and direction in the order they ran, outputs in time, last states, last memories)."""
    sequence, passes, last_h, last_c = call.steps, [], [], []
    for layer in range(len(call.weights) // call.directions):
        outputs: list[list[Tensor]] = []
        for direction in range(call.directions):
            place = layer * call.directions + direction
            ran, h, c = _run(cell, call, place, sequence, backwards=direction == 1)
            passes.append(ran)
            last_h.append(h)
            last_c.append(c)
            outputs.append([step.new_h for step in sorted(ran, key=lambda step: step.time)])
        sequence = [torch.cat(parts, 1) for parts in zip(*outputs, strict=True)]
        if layer < len(call.drawn):
            sequence = [whole * factor for whole, factor in zip(sequence, call.drawn[layer], strict=True)]
    return passes, sequence, last_h, last_c


def _run(
    cell: Cell, call: Call, place: int, sequence: list[Tensor], *, backwards: bool
) -> tuple[list[Step], Tensor, Tensor]:
    """One layer in one direction."""
    w_ih, w_hh, b_ih, b_hh, w_hr = call.weights[place]
    h = call.hidden[0][place].clone()
    c = call.hidden[1][place].clone() if cell.has_memory else torch.zeros_like(h)
    ran = []
    times = range(len(sequence) - 1, -1, -1) if backwards else range(len(sequence))
    for time in times:
        x = sequence[time]
        rows = len(x)
        from_input = x @ w_ih.T if b_ih is None else x @ w_ih.T + b_ih
        from_state = h[:rows] @ w_hh.T if b_hh is None else h[:rows] @ w_hh.T + b_hh
        before_h, before_c = h[:rows], c[:rows]
        gates, whole_h, new_c = cell.run(from_input, from_state, before_h, before_c)
        new_h = whole_h if w_hr is None else whole_h @ w_hr.T
        ran.append(Step(time, rows, x, before_h, before_c, from_input, from_state, gates, new_h, new_c, whole_h))
        h, c = torch.cat([new_h, h[rows:]]), torch.cat([new_c, c[rows:]])
    return ran, h, c


def backpropagate(cell: Cell, call: Call, by_sequence: list[Tensor], by_ends: Sequence[Tensor | None]) -> Backward:
    """Backpropagation through time.

    Args:
        cell: What the layers are made of.
        call: The call.
        by_sequence: The gradient by the outputs of every time.
        by_ends: Those by the last states and by the last memories, each for all layers and directions.
    """
    passes, *_ = unroll(cell, call)
    units = call.hidden[0].shape[-1]
    found: list[list[tuple[Step, Back]]] = [[] for _ in passes]
    first: list[tuple[Tensor, Tensor]] = [(call.hidden[0][0], call.hidden[0][0])] * len(passes)
    for layer in reversed(range(len(passes) // call.directions)):
        below = [torch.zeros_like(step.x) for step in sorted(passes[layer * call.directions], key=lambda s: s.time)]
        for direction in range(call.directions):
            place = layer * call.directions + direction
            by_out = [s[:, direction * units : (direction + 1) * units] for s in by_sequence]
            ends = [None if g is None else g[place] for g in by_ends]
            found[place], first[place] = _back(cell, call, place, passes[place], by_out=by_out, ends=ends)
            for step, back in found[place]:
                below[step.time] = below[step.time] + back.from_input @ call.weights[place].ih
        if 0 < layer <= len(call.drawn):
            below = [share * factor for share, factor in zip(below, call.drawn[layer - 1], strict=True)]
        by_sequence = below
    return Backward(found, by_sequence, first)


def _back(
    cell: Cell, call: Call, place: int, ran: list[Step], *, by_out: list[Tensor], ends: list[Tensor | None]
) -> tuple[list[tuple[Step, Back]], tuple[Tensor, Tensor]]:
    """One layer in one direction, from its last step to its first."""
    w_hh, w_hr = call.weights[place].hh, call.weights[place].hr
    by_h = torch.zeros_like(call.hidden[0][place]) if ends[0] is None else ends[0].clone()
    by_c = torch.zeros_like(call.hidden[-1][place]) if ends[1] is None else ends[1].clone()
    found = []
    for step in reversed(ran):
        rows = step.rows
        by_new = by_h[:rows] + by_out[step.time]
        back = cell.back(step, by_new if w_hr is None else by_new @ w_hr, by_c[:rows])
        earlier = back.from_state @ w_hh
        by_h = torch.cat([earlier + back.h if w_hr is None else earlier, by_h[rows:]])
        by_c = torch.cat([back.c, by_c[rows:]])
        found.append((step, replace(back, new_h=by_new)))
    return found, (by_h, by_c)
