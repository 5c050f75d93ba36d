"""One step of an LSTM, a GRU or a plain recurrent cell, and its derivative.

A cell adds x W_ihᵀ + b_ih and h W_hhᵀ + b_hh for each of its gates and makes a new state of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from pellucid.core.rules.activations import sigmoid

__all__ = ["CELLS", "GRU", "LSTM", "Back", "Cell", "Plain", "Step"]


@dataclass(frozen=True)
class Step:
    """One time step of one layer in one direction.

    Args:
        time: The step's place in the sequence.
        rows: How many examples are still running.
        x: The input, (rows, features).
        h: The state before, (rows, units).
        c: The memory before (LSTM), (rows, units).
        from_input: x W_ihᵀ + b_ih, (rows, gates · units).
        from_state: h W_hhᵀ + b_hh, (rows, gates · units).
        gates: The gates by name, (rows, units) each.
        new_h: The state after.
        new_c: The memory after (LSTM).
        whole_h: The state after, before an LSTM's projection made it shorter.
    """

    time: int
    rows: int
    x: Tensor
    h: Tensor
    c: Tensor
    from_input: Tensor
    from_state: Tensor
    gates: dict[str, Tensor]
    new_h: Tensor
    new_c: Tensor
    whole_h: Tensor


@dataclass(frozen=True)
class Back:
    """Gradients of one step: by both pre-activations, by the state other than through them, by the memory, and by the
    state after it.
    """

    from_input: Tensor
    from_state: Tensor
    h: Tensor
    c: Tensor
    new_h: Tensor | None = None


class Cell(ABC):
    """What distinguishes LSTM, GRU and plain cells."""

    gates: tuple[str, ...] = ()
    """The gates in the order of the weights' rows."""
    curves: tuple[str, ...] = ()
    """For each gate what is made of its pre-activation, in LaTeX with ``s``."""
    has_memory = False

    @abstractmethod
    def run(
        self, from_input: Tensor, from_state: Tensor, h: Tensor, c: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """(gates, new state, new memory)."""

    @abstractmethod
    def back(self, step: Step, by_h: Tensor, by_c: Tensor) -> Back:
        """The step's derivative."""

    @abstractmethod
    def state_terms(self, step: Step, row: int, unit: int) -> tuple[list[tuple[str, list[tuple[str, float]]]], str]:
        """(terms, what is made of their sum) of one unit's new state."""


class LSTM(Cell):
    """i, f, o = σ(…), g = tanh(…); c' = f c + i g; h' = o tanh c'.

    Source: Hochreiter and Schmidhuber 1997; the forget gate is of Gers et al. 2000.
    """

    gates = ("input_gate", "forget_gate", "candidate", "output_gate")
    curves = (r"\sigma(s)", r"\sigma(s)", r"\tanh s", r"\sigma(s)")
    has_memory = True

    @override
    def run(
        self, from_input: Tensor, from_state: Tensor, h: Tensor, c: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        i, f, g, o = (from_input + from_state).chunk(4, 1)
        i, f, g, o = sigmoid(i), sigmoid(f), torch.tanh(g), sigmoid(o)
        new_c = f * c + i * g
        return dict(zip(self.gates, (i, f, g, o), strict=True)), o * torch.tanh(new_c), new_c

    @override
    def back(self, step: Step, by_h: Tensor, by_c: Tensor) -> Back:
        i, f, g, o = (step.gates[name] for name in self.gates)
        squashed = torch.tanh(step.new_c)
        by_c = by_c + by_h * o * (1 - squashed * squashed)
        parts = (
            by_c * g * i * (1 - i),
            by_c * step.c * f * (1 - f),
            by_c * i * (1 - g * g),
            by_h * squashed * o * (1 - o),
        )
        total = torch.cat(parts, 1)
        return Back(total, total, torch.zeros_like(by_h), by_c * f)

    @override
    def state_terms(self, step: Step, row: int, unit: int) -> tuple[list[tuple[str, list[tuple[str, float]]]], str]:
        o, memory = float(step.gates["output_gate"][row, unit]), float(torch.tanh(step.new_c[row, unit]))
        return [("output gate · tanh(memory)", [("output_gate", o), (r"\tanh(c)", memory)])], ""

    def memory_terms(self, step: Step, row: int, unit: int) -> list[tuple[str, list[tuple[str, float]]]]:
        """What is kept and what is added."""
        i, f, g, _ = (float(step.gates[name][row, unit]) for name in self.gates)
        kept = [("forget_gate", f), ("c before", float(step.c[row, unit]))]
        return [("kept", kept), ("added", [("input_gate", i), ("candidate", g)])]


class GRU(Cell):
    """r, z = σ(…), n = tanh(x part + r · h part); h' = (1 − z) n + z h.

    Source: Cho et al. 2014, with r where PyTorch puts it: after the state's weights.
    """

    gates = ("reset_gate", "update_gate", "candidate")
    curves = (r"\sigma(s)", r"\sigma(s)", r"\tanh s")

    @override
    def run(
        self, from_input: Tensor, from_state: Tensor, h: Tensor, c: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        (xr, xz, xn), (hr, hz, hn) = from_input.chunk(3, 1), from_state.chunk(3, 1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return dict(zip(self.gates, (r, z, n), strict=True)), (1 - z) * n + z * h, c

    @override
    def back(self, step: Step, by_h: Tensor, by_c: Tensor) -> Back:
        r, z, n = (step.gates[name] for name in self.gates)
        hn = step.from_state.chunk(3, 1)[2]
        by_n = by_h * (1 - z) * (1 - n * n)
        by_z = by_h * (step.h - n) * z * (1 - z)
        by_r = by_n * hn * r * (1 - r)
        return Back(torch.cat([by_r, by_z, by_n], 1), torch.cat([by_r, by_z, by_n * r], 1), by_h * z, by_c)

    @override
    def state_terms(self, step: Step, row: int, unit: int) -> tuple[list[tuple[str, list[tuple[str, float]]]], str]:
        _, z, n = (float(step.gates[name][row, unit]) for name in self.gates)
        new, old = (
            [("1-update_gate", 1 - z), ("candidate", n)],
            [("update_gate", z), ("h before", float(step.h[row, unit]))],
        )
        return [("new", new), ("kept", old)], ""


class Plain(Cell):
    """h' = tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh) (Elman 1990), or max(0, …)."""

    def __init__(self, rectified: bool) -> None:
        self._rectified = rectified
        self.gates = ("candidate",)
        self.curves = (r"\max(s,0)",) if rectified else (r"\tanh s",)

    @override
    def run(
        self, from_input: Tensor, from_state: Tensor, h: Tensor, c: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        total = from_input + from_state
        new = total.clamp(min=0) if self._rectified else torch.tanh(total)
        return {"candidate": new}, new, c

    @override
    def back(self, step: Step, by_h: Tensor, by_c: Tensor) -> Back:
        new = step.whole_h
        total = by_h * ((new > 0).to(new.dtype) if self._rectified else 1 - new * new)
        return Back(total, total, torch.zeros_like(by_h), by_c)

    @override
    def state_terms(self, step: Step, row: int, unit: int) -> tuple[list[tuple[str, list[tuple[str, float]]]], str]:
        from_input, from_state = float(step.from_input[row, unit]), float(step.from_state[row, unit])
        terms = [
            ("from the input", [("x W_ih + b_ih", from_input)]),
            ("from the state", [("h W_hh + b_hh", from_state)]),
        ]
        return terms, self.curves[0]


CELLS: dict[str, Cell] = {"lstm": LSTM(), "gru": GRU(), "rnn_tanh": Plain(False), "rnn_relu": Plain(True)}
