"""What a tape is made of: values, the steps that made them, and the module calls in which the steps ran."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from pellucid.capture.source_lines import Site, Source, resolve
from pellucid.capture.tape_arguments import bind
from pellucid.core.rules.registry import bind_arguments, find_rule

__all__ = ["Decision", "ModuleCall", "Origin", "Phase", "Step", "Update", "Value", "values_in"]

Origin = Literal["input", "parameter", "buffer", "op", "constant"]
"""Where a value came from; ``constant`` is a tensor that was there before the pass and is neither of the others."""

Phase = Literal["forward", "loss"]


@dataclass(slots=True, eq=False)
class Value:
    """One tensor at one moment: an in-place operation makes a new value.

    Attributes:
        id: Its position in ``Tape.values``.
        tensor: The numbers, detached; None if they were dropped under the memory limit (``Tape.read`` gives them).
        shape: Its shape.
        dtype: Its dtype.
        origin: Where it came from.
        name: The qualified name of a parameter or buffer, or the path of an input; "" for others.
        producer: The index of the step that made it; None if it was there before.
        output: Which of that step's outputs it is; -1 for a buffer that the step updated on the side.
        gradient: The loss's derivative by it; None where the loss does not depend on it, or nobody asked.
        gradient_kept: Whether ``gradient`` says so; if not, ``Tape.read_gradient`` computes it.
        requires_grad: Whether autograd followed it.
        aliases: The other names of a shared parameter or buffer.
        consumers: The indices of the steps that read it, in order, once for each reading.
        hooked: Whether a hook of the person's own changes its gradient.
    """

    id: int
    tensor: Tensor | None
    shape: tuple[int, ...]
    dtype: torch.dtype
    origin: Origin
    name: str = ""
    producer: int | None = None
    output: int = 0
    gradient: Tensor | None = None
    requires_grad: bool = False
    aliases: tuple[str, ...] = ()
    consumers: list[int] = field(default_factory=list)
    gradient_kept: bool = True
    hooked: bool = False
    version: int = 0
    edge: Any = None
    uses: list[Any] = field(default_factory=list)
    reference: weakref.ref[Tensor] | None = None

    @property
    def nbytes(self) -> int:
        """The bytes of its entries, laid out densely."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count * self.dtype.itemsize

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"<value {self.id}: {self.origin}{name} {list(self.shape)} {str(self.dtype).removeprefix('torch.')}>"


@dataclass(eq=False)
class Step:
    """One executed operation.

    Attributes:
        index: Its position in ``Tape.steps``.
        op: The canonical name of the operation, the same for its in-place and its method form: "linear", "add".
        function: The qualified name of the torch function that ran: "torch.Tensor.add_".
        phase: Whether the model or the loss ran it.
        module: The qualified name of the module whose ``forward`` ran it; "" for the model itself.
        call: Which call of that module, counted from 0.
        within: The torch functions that were unrolled around it, the outermost first.
        outputs: What it returned, flattened. A step that returned one of its arguments as it is, such as dropout in
            evaluation, has that argument's own value here.
        in_place: Whether it wrote into its first argument (or into ``out``).
        written: For each value overwritten, the value before and after.
        given: The positional arguments as given, tensors replaced by their values.
        keywords: The keyword arguments as given, likewise.
        callable: The function itself; None where it cannot be run again (an ``autograd.Function``).
        grad_enabled: Whether autograd recorded it.
        autocast: The dtype of the automatic mixed precision around it; None without.
        rng_state: The generator's state before, for a random operation; None for others.
    """

    index: int
    op: str
    function: str
    phase: Phase
    module: str
    call: int
    within: tuple[str, ...]
    given: tuple[Any, ...]
    keywords: dict[str, Any]
    callable: Callable[..., Any] | None
    site: Site | None
    outputs: tuple[Value, ...] = ()
    in_place: bool = False
    written: tuple[tuple[Value, Value], ...] = ()
    grad_enabled: bool = True
    autocast: torch.dtype | None = None
    rng_state: Tensor | None = None

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The arguments by torch's own names (``self`` is ``input``), defaults included, tensors as their values.

        An ``out`` is no argument: it is what the step wrote.
        """
        if self.callable is None:
            return {"inputs": list(self.given)}
        keywords = {name: item for name, item in self.keywords.items() if name != "out"}
        known = find_rule(self.callable) is not None
        return (bind_arguments if known else bind)(self.callable, self.given, keywords)

    @property
    def source(self) -> Source | None:
        """The line that ran it: the person's own where there is one."""
        return resolve(self.site)

    @property
    def inputs(self) -> tuple[Value, ...]:
        """The values that it read, each once, in order of appearance."""
        return tuple(dict.fromkeys(values_in((self.given, self.keywords))))

    @property
    def identity(self) -> bool:
        """Whether it returned one of its arguments as it is."""
        return not self.in_place and any(out in self.inputs for out in self.outputs)

    def __repr__(self) -> str:
        made = ", ".join(str(list(out.shape)) for out in self.outputs)
        return f"<step {self.index}: {self.op} in {self.module or 'the model'} -> {made}>"


@dataclass(slots=True, eq=False)
class ModuleCall:
    """One call of one module.

    Attributes:
        module: Its qualified name; "" for the model itself.
        call: Which call of it, counted from 0.
        type: The name of its class.
        first_step: The index of the first step in it.
        last_step: The index after the last step in it.
        parent: The position in ``Tape.calls`` of the call around it; None for the outermost.
        inputs: The values that it was given.
        outputs: The values that it returned; an in-place operation afterwards may have overwritten one.
        training: Whether it was in training mode.
    """

    module: str
    call: int
    type: str
    first_step: int
    parent: int | None
    training: bool
    last_step: int = -1
    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """A place where a number left the tensors, as in ``if x.sum() > 0``: the steps after it may depend on it.

    Attributes:
        before_step: The index of the first step after it.
        kind: How the number was read: "bool", "item", "int", "float", "index", "tolist", "numpy".
        value: The value that was read.
        outcome: What was read; None for whole tensors.
        module: The qualified name of the module in which it was read.
        site: The place in the code.
    """

    before_step: int
    kind: str
    value: Value
    outcome: bool | int | float | complex | None
    module: str
    site: Site | None

    @property
    def source(self) -> Source | None:
        """The line that read it."""
        return resolve(self.site)


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What one optimiser step would do to one parameter, computed on copies.

    Attributes:
        name: The parameter's qualified name.
        kind: The optimiser's class: "AdamW".
        settings: Its parameter group's settings (lr, betas …).
        gradient: The gradient used; None if it had none, and the optimiser left it alone.
        before: The parameter before.
        after: The parameter after.
        state_before: The optimiser's state for it before; empty at the first step.
        state_after: The same after.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    gradient: Tensor | None
    before: Tensor
    after: Tensor
    state_before: dict[str, Any]
    state_after: dict[str, Any]


def values_in(structure: Any) -> Iterator[Value]:
    """The values in nested arguments, in order."""
    if isinstance(structure, Value):
        yield structure
    elif isinstance(structure, list | tuple):
        for item in structure:
            yield from values_in(item)
    elif isinstance(structure, dict):
        for item in structure.values():
            yield from values_in(item)
    elif isinstance(structure, slice):
        yield from values_in((structure.start, structure.stop, structure.step))
