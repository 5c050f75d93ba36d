"""What a tape holds of a pass, and how its numbers are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from pellucid.capture.tape_failures import Failure
from pellucid.capture.tape_gradients import recompute_gradient
from pellucid.capture.tape_replay import recompute
from pellucid.capture.tape_session import version_of
from pellucid.capture.tape_values import Decision, ModuleCall, Step, Update, Value
from pellucid.errors import TraceError

__all__ = ["Tape"]


@dataclass(eq=False)
class Tape:
    """Everything that one pass computed.

    Attributes:
        steps: The operations, in the order in which they ran.
        values: The tensors, in the order in which they came about; ``values[v.id] is v``.
        calls: The calls of modules, in the order in which they began.
        decisions: The places where a number left the tensors.
        inputs: The inputs (and the target) by path.
        parameters: All parameters of the model by their first name, used or not.
        buffers: The buffers that were used, by name, as they were before.
        outputs: What the model returned, by path: "output" for one tensor, "logits", "[1]", "hidden_states[3]".
        losses: The losses by name, each a scalar.
        loss: What was differentiated: the only loss, or the sum of all; None for a forward pass alone.
        updates: The optimiser's update of each parameter, by name.
        training: Whether the model was in training mode.
        failure: Where the pass ended early; None for a whole one.
    """

    steps: list[Step]
    values: list[Value]
    calls: list[ModuleCall]
    decisions: list[Decision]
    inputs: dict[str, Value] = field(default_factory=dict)
    parameters: dict[str, Value] = field(default_factory=dict)
    buffers: dict[str, Value] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    losses: dict[str, Value] = field(default_factory=dict)
    loss: Value | None = None
    updates: dict[str, Update] = field(default_factory=dict)
    training: bool = False
    failure: Failure | None = None

    def read(self, value: Value) -> Tensor:
        """A value's numbers, computed again if they were not kept.

        Raises:
            TraceError: It is a parameter or buffer that was changed since, or it cannot be computed again.
        """
        tensor = value.tensor
        if tensor is None:
            return recompute(self.steps, [value], {})[value.id]
        if value.producer is None and value.version >= 0 and version_of(tensor) != value.version:
            raise TraceError(
                f"{value.name or 'an input'} has changed since it was traced",
                place=f"{value.origin} {value.name}",
                remedy="trace again, or explain the trace before the next optimiser step",
            )
        return tensor

    def read_gradient(self, value: Value) -> Tensor | None:
        """The loss's derivative by a value, computed again if it was not kept; None where there is none."""
        if value.gradient_kept:
            return value.gradient
        known: dict[int, Tensor] = {}

        def read(one: Value) -> Tensor:
            if one.tensor is not None:
                return self.read(one)
            if one.id not in known:
                known.update(recompute(self.steps, [one], known))
            return known[one.id]

        return recompute_gradient(value, self.steps, self.values, read)

    def replay(self, edits: Mapping[int, Tensor], wanted: Sequence[Value]) -> list[Tensor]:
        """What values would be if others had other numbers, with every operation and every random draw as recorded.

        Args:
            edits: The other numbers, by value id.
            wanted: The values asked for.

        Returns:
            Their numbers, in order. Branches that the model took stay taken (see ``decisions``).
        """
        changed = set(edits)
        for step in self.steps:
            if any(value.id in changed for value in step.inputs):
                changed.update(v.id for v in (*step.outputs, *(new for _, new in step.written)))
        dropped = {value.id: value.tensor for value in self.values if value.id in changed and value.id not in edits}
        try:
            for key in dropped:
                self.values[key].tensor = None
            found = recompute(self.steps, wanted, dict(edits))
        finally:
            for key, tensor in dropped.items():
                self.values[key].tensor = tensor
        return [found[v.id] if v.id in found else self.read(v) for v in wanted]
