"""A chain of linear layers neuron by neuron, for the first example of the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.capture.tape_values import Step, Value
from pellucid.core.rules.elementwise import Curve
from pellucid.lenses.trace_calls import Call, Calls
from pellucid.results.trace_stepper import StepperLayer

__all__ = ["MOST_UNITS", "draw_neurons"]

MOST_UNITS = 32
"""How many units of a layer are drawn; of a wider one the strongest."""

_WIDEST = 1024
_MOST_LAYERS = 12
_ACTIVATIONS = frozenset({"prelu", "rrelu", "softmax", "log_softmax", "softmin", "clamp"})
_KEEPING = frozenset(
    {"flatten", "reshape", "view", "ravel", "squeeze", "unsqueeze", "unflatten", "contiguous", "clone", "detach", "to"}
    | {"float", "double", "half", "bfloat16", "dropout", "batch_norm", "layer_norm", "alias", "type", "data"}
)
"""Operations that leave each unit in its place."""


@dataclass(eq=False)
class _Link:
    """One linear layer of the chain."""

    call: Call
    source: Value  # what it reads
    made: Value  # its sums
    inputs: int
    units: int
    after: Value  # what the next layer reads, or the output
    activation: str = ""


def draw_neurons(calls: Calls) -> tuple[StepperLayer, ...]:
    """The linear layers in order; none where the network is no chain of them, or too wide or deep to be drawn.

    Between two linear layers there may be what leaves each unit in its place: activations, normalisation, dropout,
    reshaping.

    Args:
        calls: The tape's calls.
    """
    links = _chain(calls)
    if not links or len(links) > _MOST_LAYERS or max(max(link.units, link.inputs) for link in links) > _WIDEST:
        return ()
    shown = _strongest(_row(calls, links[0].source, links[0].inputs))
    layers: list[StepperLayer] = []
    for link in links:
        units = _strongest(_row(calls, link.after, link.units))
        layers.append(_layer(calls, link, shown, units))
        shown = units
    return tuple(layers)


def _chain(calls: Calls) -> list[_Link]:
    """The linear steps, if each reads what the one before it made."""
    tape = calls.tape
    links: list[_Link] = []
    for step in tape.steps:
        if step.phase != "forward" or not step.outputs:
            continue
        call = calls.of(step.index)
        if step.op == "linear":
            link = _link(call, step)
            if link is None or _origin(calls, link.source)[0] is not (links[-1].made if links else _input(calls, link)):
                return []
            if links:
                links[-1].after, links[-1].activation = link.source, _origin(calls, link.source)[1]
            links.append(link)
        elif not _keeps(call):
            return []
    output = next(iter(tape.outputs.values()), None)
    if links and output is not None:
        origin, activation = _origin(calls, output)
        if origin is links[-1].made:
            links[-1].after, links[-1].activation = output, activation
    return links


def _link(call: Call, step: Step) -> _Link | None:
    """A linear layer over rows of features; None for one over sequences."""
    source, weight = call.values["input"], call.values["weight"]
    if not isinstance(source, Value) or not isinstance(weight, Value) or len(source.shape) > 2 or not all(source.shape):
        return None
    if weight.origin != "parameter":
        return None
    units, inputs = weight.shape
    return _Link(call, source, step.outputs[0], inputs, units, step.outputs[0])


def _input(calls: Calls, link: _Link) -> Value | None:
    """The network's input, if the first layer's features come from it unmixed."""
    origin, activation = _origin(calls, link.source)
    return origin if origin is not None and origin.origin == "input" and not activation else None


def _keeps(call: Call) -> bool:
    """Whether an operation leaves each unit in its place."""
    return call.step.op in _KEEPING or _is_activation(call)


def _is_activation(call: Call) -> bool:
    return call.step.op in _ACTIVATIONS or isinstance(call.rule, Curve)


def _origin(calls: Calls, value: Value) -> tuple[Value | None, str]:
    """Back over what leaves each unit in its place, to a linear step's output or an input; and the activation met."""
    activation = ""
    while value.producer is not None:
        call = calls.of(value.producer)
        if call.step.op == "linear":
            return value, activation
        before = [one for one in call.step.inputs if one.origin in ("input", "op") and one.shape]
        if not _keeps(call) or not before or _count(before[0]) != _count(value) or before[0] is value:
            return None, ""
        if _is_activation(call):
            activation = call.step.op if not activation else f"{call.step.op}, then {activation}"
        value = before[0]
    return value, activation


def _count(value: Value) -> int:
    return int(np.prod(value.shape, dtype=np.int64))


def _row(calls: Calls, value: Value, features: int) -> Tensor:
    """The first example's features."""
    return _first(calls.tape.read(value), features)


def _first(tensor: Tensor, features: int) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).reshape(-1, features)[0]


def _strongest(row: Tensor) -> tuple[int, ...]:
    """All units, or those of largest magnitude, in order of place."""
    if len(row) <= MOST_UNITS:
        return tuple(range(len(row)))
    return tuple(sorted(int(place) for place in row.abs().topk(MOST_UNITS).indices))


def _layer(calls: Calls, link: _Link, shown: tuple[int, ...], units: tuple[int, ...]) -> StepperLayer:
    tape, values = calls.tape, link.call.values
    weight, bias = values["weight"], values.get("bias")
    update = tape.updates.get(weight.name)
    move = None if update is None else update.after.double() - update.before.double()
    rows, columns = torch.tensor(units), torch.tensor(shown)

    def table(tensor: Tensor | None) -> np.ndarray:
        if tensor is None:
            return np.full((len(units), len(shown)), np.nan, dtype=np.float32)
        return tensor.detach().to("cpu", torch.float32)[rows][:, columns].numpy()

    def row(tensor: Tensor | None, features: int, places: Tensor) -> np.ndarray:
        if tensor is None:
            return np.full(len(places), np.nan, dtype=np.float32)
        return _first(tensor, features)[places].numpy()

    return StepperLayer(
        module=link.call.step.module,
        step=link.call.step.index,
        weight=weight.id,
        bias=bias.id if isinstance(bias, Value) else -1,
        source=link.source.id,
        before=link.made.id,
        after=link.after.id,
        activation=link.activation,
        inputs=link.inputs,
        units=link.units,
        shown_inputs=shown,
        shown_units=units,
        input_values=row(tape.read(link.source), link.inputs, columns),
        input_gradients=row(link.source.gradient, link.inputs, columns),
        sums=row(tape.read(link.made), link.units, rows),
        sum_gradients=row(link.made.gradient, link.units, rows),
        outputs=row(tape.read(link.after), link.units, rows),
        output_gradients=row(link.after.gradient, link.units, rows),
        biases=row(tape.read(bias), link.units, rows)
        if isinstance(bias, Value)
        else np.zeros(len(units), dtype=np.float32),
        weights=table(tape.read(weight)),
        weight_gradients=table(weight.gradient),
        weight_updates=table(move),
    )
