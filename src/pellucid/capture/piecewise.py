"""A network as a piecewise-affine program: where it bends, read from its tape; run by its own functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pellucid.capture.piecewise_tables import KINKS, kind_of_step, kink_entries, kink_kind
from pellucid.capture.source_lines import Source
from pellucid.capture.tape import Tape, record_tape
from pellucid.capture.tape_functions import FunctionFacts, describe_function
from pellucid.capture.tape_values import Step, Value, values_in
from pellucid.core.rules.registry import bind_arguments
from pellucid.errors import SettingsError

__all__ = ["Kink", "Obstacle", "PiecewiseProgram", "read_piecewise"]


@dataclass(frozen=True)
class Kink:
    """One operation that bends the network.

    Attributes:
        index: Its place among the kinks, in order of execution.
        op: The operation: "relu", "max_pool2d".
        module: The module whose forward ran it.
        kind: A "threshold" bends where a quantity passes zero; a "maximum" where another member of a group of entries
            becomes the largest.
        quantities: How many quantities (threshold) or groups (maximum) there are for one example.
        members: How many entries each group has; 1 for a threshold.
        units: How many entries the operation computes; quantity q belongs to unit q modulo units.
        shape: The shape of its output, of one example.
    """

    index: int
    op: str
    module: str
    kind: Literal["threshold", "maximum"]
    quantities: int
    members: int
    units: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Obstacle:
    """One operation that is not piecewise affine.

    Attributes:
        op: The operation: "tanh".
        module: The module whose forward ran it.
        kind: It bends everywhere ("smooth"), or it jumps, or the code decides by a number ("jump").
        source: The line.
    """

    op: str
    module: str
    kind: Literal["smooth", "jump"]
    source: Source | None


class PiecewiseProgram:
    """A network of flat points (n × d, float64) whose every bend is known.

    Attributes:
        network: The network; its own functions compute everything.
        kinks: The operations that bend it, in order.
        obstacles: The operations that are not piecewise affine; empty for a piecewise-affine network.
        outputs: How many numbers it gives for one point.
        places: Which of all operations that may be kinks are its kinks.
    """

    def __init__(
        self,
        network: nn.Module,
        kinks: tuple[Kink, ...],
        obstacles: tuple[Obstacle, ...],
        outputs: int,
        places: list[int],
    ) -> None:
        self.network, self.kinks, self.obstacles, self.outputs = network, kinks, obstacles, outputs
        self.places = {place: kink.index for place, kink in zip(places, kinks, strict=True)}

    def on(self, network: nn.Module) -> PiecewiseProgram:
        """The same program run by a copy of the network."""
        return PiecewiseProgram(network, self.kinks, self.obstacles, self.outputs, list(self.places))

    @torch.no_grad()
    def run(self, points: Tensor) -> Tensor:
        """The network's outputs; n × outputs."""
        return self.network(points)

    @torch.no_grad()
    def quantities(self, points: Tensor, kink: int) -> Tensor:
        """What decides where one kink bends: n × quantities, or n × groups × members. What comes after does not run."""
        probe = _Probe(self.places, kink)
        try:
            with probe:
                self.network(points)
        except _Reached:
            pass
        if kink not in probe.found:
            raise _changed()
        return probe.found[kink]

    @torch.no_grad()
    def ending(self, points: Tensor, kink: int) -> tuple[Tensor, Tensor]:
        """What decides where one kink bends, and the network's outputs."""
        probe = _Probe(self.places, kink, through=True)
        with probe:
            outputs = self.network(points)
        if kink not in probe.found:
            raise _changed()
        return probe.found[kink], outputs

    def everything(self, points: Tensor) -> tuple[list[Tensor], Tensor]:
        """The quantities of all kinks, and the outputs; autograd follows if it is on and the points ask for it."""
        probe = _Probe(self.places, -1)
        with probe:
            outputs = self.network(points)
        if len(probe.found) != len(self.kinks):
            raise _changed()
        return [probe.found[index] for index in range(len(self.kinks))], outputs

    def named(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Names of the classes, if they are as many as the outputs tell apart; none may be given."""
        count = max(self.outputs, 2)
        if classes and len(classes) != count:
            raise SettingsError(f"{len(classes)} names for {count} classes", place="classes", remedy="give one a class")
        return tuple(classes)

    def require_piecewise(self) -> None:
        """Raise unless the network is piecewise affine."""
        if self.obstacles:
            first = self.obstacles[0]
            names = ", ".join(dict.fromkeys(f"{one.op} in {one.module or 'the model'}" for one in self.obstacles))
            if first.kind == "jump":
                raise SettingsError(
                    f"{first.op} jumps: no rule says that the network stays connected where it does",
                    place=f"{names}" + (f", {first.source}" if first.source else ""),
                    remedy="write what is meant as one operation: relu(x) for x * (x > 0) or where(x > 0, x, 0), "
                    "abs(x) for x * sign(x), maximum(a, b) for where(a > b, a, b)",
                )
            what = "is smooth: it has no linear regions"
            raise SettingsError(
                f"{first.op} {what}",
                place=f"{names}" + (f", {first.source}" if first.source else ""),
                remedy="draw its level sets with measure_neuron_surface, or ask for a linearisation of stated error: "
                "measure_linear_regions(model, slice_, linearise=0.01)",
            )


def read_piecewise(network: nn.Module, example: Tensor) -> PiecewiseProgram:
    """Find where a network of flat points bends.

    Args:
        network: Takes n × d float64 points (``flat_network_on`` makes it); in evaluation mode.
        example: At least one point, n × d.

    Raises:
        SettingsError: an example's output depends on the other examples.
        TraceError: the network raised.

    >>> program = read_piecewise(nn.Sequential(nn.Linear(2, 3), nn.ReLU()).double(), torch.zeros(1, 2).double())
    >>> [(kink.op, kink.quantities) for kink in program.kinks]
    [('relu', 3)]
    """
    batch = example[:1].repeat(2, 1).double()
    with torch.no_grad():
        tape = record_tape(network, (batch,))
        kinds = _classify(tape)
        places, kinks, obstacles = _read_steps(tape, kinds, len(batch))
        outputs = network(batch)
        program = PiecewiseProgram(network, tuple(kinks), tuple(obstacles), outputs.shape[1], places)
        _check_examples_apart(network, example, outputs)
    return program


def _classify(tape: Tape) -> list[str]:
    """The kind of every step; a jump that something reads is passed on."""
    moving = {value.id for value in tape.inputs.values()}
    jumping: set[int] = set()
    kinds = []
    for step in tape.steps:
        read = {value.id for value in step.inputs}
        kind = kind_of_step(step.op, step.arguments, lambda item: any(value.id in moving for value in values_in(item)))
        if read & jumping:
            kind = "jumped"
        written = any(old.id in moving for old, _ in step.written)
        made = [*step.outputs, *(new for _, new in step.written)]
        if kind != "constant" or written:
            for value in made:
                (moving if _counts(value) and kind != "jump" else jumping).add(value.id)
        kinds.append("affine" if step.identity else kind)
    decided = [d for d in tape.decisions if d.value.id in moving | jumping]
    for decision in decided:
        kinds[min(decision.before_step, len(kinds) - 1)] = "jumped"
    return kinds


def _counts(value: Value) -> bool:
    return value.dtype.is_floating_point


def _read_steps(tape: Tape, kinds: list[str], batch: int) -> tuple[list[int], list[Kink], list[Obstacle]]:
    """The kinks with their places among all operations that may be one, and the obstacles."""
    places: list[int] = []
    kinks: list[Kink] = []
    obstacles: list[Obstacle] = []
    place = -1
    for step, kind in zip(tape.steps, kinds, strict=True):
        place += step.op in KINKS
        module = step.module.removeprefix("network").removeprefix(".")
        if kind in ("smooth", "jumped"):
            obstacles.append(Obstacle(step.op, module, "jump" if kind == "jumped" else "smooth", step.source))
        elif kind == "kink":
            kinks.append(_kink(tape, step, module, len(kinks), batch))
            places.append(place)
    return places, kinks, obstacles


def _kink(tape: Tape, step: Step, module: str, index: int, batch: int) -> Kink:
    arguments = {name: tape.read(item) if isinstance(item, Value) else item for name, item in step.arguments.items()}
    kind = kink_kind(step.op, arguments)
    shape = tuple(kink_entries(step.op, arguments).shape)
    output = step.outputs[0].shape[1:] if step.outputs else shape[1:]
    units = 1
    for extent in output:
        units *= extent
    members = shape[2] if kind == "maximum" else 1
    return Kink(index, step.op, module, kind, shape[1], members, units, tuple(output))


def _check_examples_apart(network: nn.Module, example: Tensor, outputs: Tensor) -> None:
    """Each example's output is its own: the same among others as alone."""
    first = example[:1].double()
    mixed = network(torch.cat([first, first + 1.0, first - 1.0]))[:1]
    size = float(outputs.abs().max()) + 1e-12
    if not torch.isfinite(outputs).all():
        raise SettingsError(
            "the network gives no finite numbers", place="output", remedy="look for the first NaN with a trace"
        )
    if float((mixed - outputs[:1]).abs().max()) > 1e-9 * size:
        raise SettingsError(
            "an example's output depends on the other examples of the batch",
            place="model",
            remedy="give batch normalization running statistics, and take no sums over the batch",
        )


def _changed() -> SettingsError:
    return SettingsError(
        "the network does not run the same operations every time", place="model", remedy="take out what it decides"
    )


class _Reached(BaseException):
    """The wanted kink has been reached; nothing that follows is needed."""


_facts: dict[Any, FunctionFacts] = {}


class _Probe(TorchFunctionMode):
    """Notes the quantities of kinks as they run; it unrolls torch's functions as the tape does."""

    def __init__(self, places: dict[int, int], wanted: int, *, through: bool = False) -> None:
        super().__init__()
        self.found: dict[int, Tensor] = {}
        self._places, self._wanted, self._place, self._through = places, wanted, -1, through

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function; torch calls this in its place."""
        facts = _facts.get(func)
        if facts is None:
            facts = _facts[func] = describe_function(func)
        if facts.treatment == "unroll":
            with self:
                return facts.body(*args, **(kwargs or {}))
        if facts.treatment == "record" and facts.op in KINKS:
            self._place += 1
            index = self._places.get(self._place)
            if index is not None and self._wanted in (-1, index):
                entries = kink_entries(facts.op, bind_arguments(func, args, kwargs or {}))
                if index == self._wanted and not self._through:
                    self.found[index] = entries
                    raise _Reached
                self.found[index] = entries.clone()  # the operation may write over what it was given
        return func(*args, **(kwargs or {}))
