"""A recurrent cell's memory through time: what was written at each step, times everything that let it live."""

from __future__ import annotations

import math
import re

from torch import Tensor

from pellucid.core.rules.sums import Block, Sum, constant, single
from pellucid.lenses.trace_calls import Call
from pellucid.lenses.trace_equations import Wording, Writer
from pellucid.results.explanation import Equation

__all__ = ["memory_through_time", "split_label"]

_LABEL = re.compile(r"(?P<layer>.*?)\.?t(?P<time>\d+)(?:\.(?P<what>\w+))?\.?")
_MOST_GATES = 3
"""Forget gates that are written one by one; of more only the product."""

_WORDS = (
    "The memory c is never overwritten: at every step a forget gate f multiplies it and i·g is written beside. "
    "Multiplied out, it is the sum of all that was ever written, each times the forget gates of the steps since. "
    "Gates near 1 carry it, and its gradient, far through time; gates near 0 wipe it out."
)


def split_label(label: str) -> tuple[str, int, str] | None:
    """``l0.t3.forget_gate`` as layer, time step and quantity; None for other names.

    Args:
        label: A quantity inside a recurrent operation, or ``l0.t3``.

    >>> split_label("l0.t3.forget_gate"), split_label("weights")
    (('l0', 3, 'forget_gate'), None)
    """
    found = _LABEL.fullmatch(label)
    return None if found is None else (found["layer"], int(found["time"]), found["what"] or "")


def memory_through_time(writer: Writer, call: Call, layer: str, time: int, place: tuple[int, int]) -> Equation | None:
    """The memory of one LSTM unit as a sum over the time steps; None for cells without a memory.

    Args:
        writer: Writes the explanation's equations.
        call: The LSTM's step.
        layer: Which layer and direction, as in ``l0``.
        time: At which time step.
        place: The example and the unit.
    """
    assert call.rule is not None
    inside = call.rule.intermediates(call.arguments)

    def number(at: int, what: str) -> float:
        found: Tensor = inside[f"{layer}.t{at}.{what}"]
        return float(found[place])

    if f"{layer}.t{time}.forget_gate" not in inside:
        return None
    backwards = "reverse" in layer or layer.endswith("r")
    steps = sorted((at for at in _times(inside, layer) if (at >= time if backwards else at <= time)), reverse=backwards)
    blocks: list[Block] = []
    first = number(steps[0], "c") - number(steps[0], "input_gate") * number(steps[0], "candidate")
    if abs(first) > 1e-12:
        kept = math.prod(number(at, "forget_gate") for at in steps[1:])
        blocks.append(
            single("what was there before the first step", constant("f·c₀", first), constant("later f", kept))
        )
    for order, at in enumerate(steps):
        later = steps[order + 1 :]
        factors = [constant(f"i(t{at})", number(at, "input_gate")), constant(f"g(t{at})", number(at, "candidate"))]
        gates = [number(one, "forget_gate") for one in later]
        if len(later) > _MOST_GATES:
            factors.append(constant(f"f(t{later[0]})…f(t{later[-1]})", math.prod(gates)))
        else:
            factors += [constant(f"f(t{one})", gate) for one, gate in zip(later, gates, strict=True)]
        blocks.append(single(" · ".join(factor.name for factor in factors), *factors))
    wording = Wording(
        "The memory through time",
        _WORDS,
        "Σ over the steps s of i(s)·g(s)·f(s+1)·…·f(t)",
        r"\sum_s i_s g_s\prod_{u=s+1}^{t}f_u",
    )
    symbol = (f"c(t{time})", f"c_{{{time}}}")
    return writer.equation(call, Sum.of(blocks), symbol, wording, value=number(time, "c"))


def _times(inside: dict[str, Tensor], layer: str) -> list[int]:
    found = [split_label(name) for name in inside]
    return sorted({one[1] for one in found if one is not None and one[0] == layer})
