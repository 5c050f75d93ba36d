"""The steps of a trace as a table: what ran, where, on which shapes, with which values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pellucid.results.base import Result

__all__ = ["ParameterOutline", "StepOutline", "TraceOutline"]


@dataclass(frozen=True)
class StepOutline:
    """One operation of the forward pass or of the loss."""

    index: int
    phase: Literal["forward", "loss"]
    op: str  # the rule's name, e.g. "linear"
    function: str  # torch's own name
    module: str  # qualified name of the module whose forward ran it; '' for the root
    call: int  # which call of that module, from 0
    source_file: str
    source_line: int
    source_text: str
    inputs: tuple[str, ...]  # "step 3", "fc1.weight", "input 0"
    shape: tuple[int, ...]  # of the first output
    dtype: str
    low: float  # least and largest value of the first output; nan where it was not kept
    high: float
    gradient_low: float  # the same of the loss's gradient; nan where there is none
    gradient_high: float
    in_place: bool
    opaque: bool  # no rule explains it: its values are shown, its inner working is not


@dataclass(frozen=True)
class ParameterOutline:
    """One trainable tensor: its gradient, and the move that the optimiser would make."""

    name: str
    shape: tuple[int, ...]
    gradient_norm: float  # nan where no gradient reaches it
    update_norm: float  # nan without an optimiser
    weight_norm: float


@dataclass(frozen=True, eq=False)
class TraceOutline(Result):
    """One forward pass, its loss, its backward pass and the update, step by step."""

    schema: ClassVar[str] = "trace_outline/1"

    model: str  # class name of the root
    steps: tuple[StepOutline, ...]
    parameters: tuple[ParameterOutline, ...]
    loss: float  # nan without a loss
    optimizer: str  # its class name; '' without one
    kept_bytes: int  # values and gradients that the trace holds
    dropped: int  # values that the memory limit left out
    note: str  # what a person must know: the model raised, the loss is nan …; '' for nothing
