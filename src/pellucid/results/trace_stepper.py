"""One trace as a walk: forward, loss, backward, update, with the tensors as pictures and the network to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pellucid.results.base import Result
from pellucid.results.trace_outline import StepOutline

__all__ = ["SourceExcerpt", "StepperEdge", "StepperLayer", "StepperStop", "StepperValue", "TraceStepper"]


@dataclass(frozen=True, eq=False)
class StepperValue:
    """One tensor of the trace as pictures of at most 4,096 cells, in float32.

    A tensor of at most 4,096 entries is drawn whole, in its own order: cell (row, column) is its entry
    ``row · columns + column``, counted in C order. A larger one is ``reduced``: a cell shows, with its sign, the entry
    of largest magnitude in its block, and ``entries`` (``gradient_entries``, ``update_entries``) says which one it is.
    """

    id: int
    name: str  # what a question about it must say: "fc1.weight", "step 4", "loss"
    kind: Literal["input", "parameter", "buffer", "constant", "activation", "loss"]
    module: str  # the module that owns the parameter, or whose forward made it; '' for the root
    shape: tuple[int, ...]
    dtype: str
    producer: int  # the step that made it; -1 for what was there before
    tensor: np.ndarray | None  # (rows, columns); None where the memory limit left it out
    gradient: np.ndarray | None  # of the loss; None where none reaches it
    update: np.ndarray | None  # after - before: the optimiser's move of a parameter; None without one
    reduced: bool
    block: tuple[int, int]  # how many rows and columns of the flattened tensor one cell stands for
    entries: np.ndarray | None  # int32 (rows, columns): the flat position shown; None unless reduced
    gradient_entries: np.ndarray | None
    update_entries: np.ndarray | None
    minimum: float  # of the whole tensor; nan where it was not kept
    maximum: float
    gradient_norm: float  # of the whole gradient; nan without one
    update_norm: float  # of the whole move; nan without one


@dataclass(frozen=True)
class StepperEdge:
    """A step read one value to make another."""

    source: int  # value id
    step: int
    target: int  # value id


@dataclass(frozen=True)
class StepperStop:
    """One stop of the walk."""

    phase: Literal["forward", "loss", "backward", "update"]
    step: int  # the step that runs, or whose gradient is passed back; -1 for an update
    value: int  # the value to look at: what the step made, or the parameter that moves; -1 for none


@dataclass(frozen=True)
class SourceExcerpt:
    """Consecutive lines of a source file; a step's own line is found in it by file and number."""

    file: str
    first_line: int
    lines: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StepperLayer:
    """A linear layer drawn neuron by neuron, for the first example; of a wide layer only the strongest units."""

    module: str
    step: int
    weight: int  # value ids; -1 where there is none
    bias: int
    source: int  # what it reads
    before: int  # its sum, before the activation
    after: int  # after the activation; the same as before without one
    activation: str  # '' for none
    inputs: int  # how many units feed it
    units: int
    shown_inputs: tuple[int, ...]  # the same as shown_units of the layer before
    shown_units: tuple[int, ...]
    input_values: np.ndarray  # (shown inputs,) of the first example
    input_gradients: np.ndarray  # nan where there is none
    sums: np.ndarray  # (shown units,)
    sum_gradients: np.ndarray
    outputs: np.ndarray  # (shown units,)
    output_gradients: np.ndarray
    biases: np.ndarray  # (shown units,); 0 without a bias
    weights: np.ndarray  # (shown units, shown inputs)
    weight_gradients: np.ndarray  # nan where there is none
    weight_updates: np.ndarray  # nan without an optimiser


@dataclass(frozen=True, eq=False)
class TraceStepper(Result):
    """Everything that a view needs to walk through one trace without asking anybody."""

    schema: ClassVar[str] = "trace_stepper/1"

    model: str  # class name of the root
    subject: str  # what went through it, e.g. "row 12 of the train split"; '' where nobody said
    optimizer: str  # its class name; '' without one
    training: bool
    loss: float  # nan without a loss
    steps: tuple[StepOutline, ...]
    values: tuple[StepperValue, ...]  # by id: values[i].id == i
    edges: tuple[StepperEdge, ...]
    walk: tuple[StepperStop, ...]  # forward, loss, backward from the loss to the inputs, update
    sources: tuple[SourceExcerpt, ...]
    level: Literal["neurons", "tensors"]
    network: tuple[StepperLayer, ...]  # in order of execution; empty at the level of tensors
    note: str  # what a person must know: values left out, units folded …; '' for nothing
