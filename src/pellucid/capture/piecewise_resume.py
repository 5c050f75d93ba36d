"""A network resumed at one of its kinks, from what is alive there: nothing that came before is computed again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid.capture.piecewise import PiecewiseProgram
from pellucid.capture.piecewise_tables import KINKS, ONE_ZERO, kink_entries
from pellucid.capture.tape_functions import FunctionFacts, describe_function
from pellucid.capture.tape_structures import map_tensors, tensors_in
from pellucid.core.rules.registry import bind_arguments

__all__ = ["ResumableProgram", "read_resumable"]


@dataclass(frozen=True)
class _Cut:
    """A place just before an operation.

    Attributes:
        place: The operation's place among all operations; the end of the network lies after the last one.
        alive: The operations whose outcome is read from there on, with the shape of it for one example.
        size: How many numbers these are for one example.
        plain: Whether they are what decides where a kink bends, as they stand.
    """

    place: int
    alive: dict[int, tuple[int, ...]]
    size: int
    plain: bool


@dataclass
class _Record:
    """What one run of the network did, operation by operation."""

    moving: list[bool] = field(default_factory=lambda: [])
    reads: list[list[int]] = field(default_factory=lambda: [])
    shapes: dict[int, tuple[int, ...]] = field(default_factory=lambda: {})
    works: list[int] = field(default_factory=lambda: [])
    kinks: list[int] = field(default_factory=lambda: [])
    plain: set[int] = field(default_factory=set[int])


class ResumableProgram:
    """A piecewise-affine program that can begin at each of its kinks.

    A state is all that is alive just before a kink, one flat row a point. On a cell in which no earlier kink bends, the
    state is affine, so states inside it are combinations of those at three of its corners.

    Attributes:
        program: The network.
        sizes: How many numbers the state before each kink has; last, how many outputs there are.
        work: About what one point costs from the start to the end, in multiplications of a matrix product.
    """

    def __init__(self, program: PiecewiseProgram, record: _Record, cuts: list[_Cut]) -> None:
        self.program, self._record, self._cuts = program, record, cuts
        self.sizes = [*(cut.size for cut in cuts), program.outputs]
        self.work = sum(record.works)

    def copied(self) -> ResumableProgram:
        """The same program run by a copy of the network."""
        found = ResumableProgram(self.program.on(copy.deepcopy(self.program.network)), self._record, self._cuts)
        found._dimension = self._dimension
        return found

    @torch.no_grad()
    def start(self, points: Tensor, kink: int) -> Tensor:
        """The state before a kink, from the network's own input."""
        return self._run(points, None, -1, kink)

    @torch.no_grad()
    def advance(self, state: Tensor, kink: int, to: int, *, spent: bool = False) -> Tensor:
        """The state before a later kink from the state before one; the outputs if ``to`` is the number of kinks.

        The network may write over a state that is ``spent``.
        """
        return self._run(None, state, kink, to, copied=not spent)

    @torch.no_grad()
    def entries(self, state: Tensor, kink: int) -> Tensor:
        """What decides where a kink bends, from the state before it; it may be the state itself."""
        if self._cuts[kink].plain:
            return state
        place = self._cuts[kink].place
        walk = _Walk(self._record, self._given(state, kink, copied=False), place, place)
        self._walk(walk, self._nowhere(len(state)))
        return walk.entries

    def _run(self, points: Tensor | None, state: Tensor | None, kink: int, to: int, *, copied: bool = True) -> Tensor:
        last = to == len(self._cuts)
        given = {} if state is None else self._given(state, kink, copied=copied)
        start = 0 if state is None else self._cuts[kink].place
        stop = -1 if last else self._cuts[to].place
        if points is None:
            assert state is not None
            points = self._nowhere(len(state))
        walk = _Walk(self._record, given, start, stop, () if last else self._cuts[to].alive)
        outputs = self._walk(walk, points)
        if last:
            return outputs
        found = [walk.kept[place].reshape(len(points), -1) for place in self._cuts[to].alive]
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    def _walk(self, walk: _Walk, points: Tensor) -> Tensor:
        try:
            with walk:
                return self.program.network(points)
        except _Reached:
            return points

    def _given(self, state: Tensor, kink: int, *, copied: bool = True) -> dict[int, Tensor]:
        """The tensors of a state; copies of them if the network may write over them."""
        alive, at, found = self._cuts[kink].alive, 0, {}
        for place, shape in alive.items():
            size = _count(shape)
            part = state[:, at : at + size].reshape(len(state), *shape)
            found[place] = part.clone() if copied else part.contiguous()
            at += size
        return found

    def _nowhere(self, count: int) -> Tensor:
        """Points without numbers: the operations before the cut only tell their shapes."""
        return torch.empty(count, self._dimension, dtype=torch.float64, device="meta")

    _dimension = 0


def read_resumable(program: PiecewiseProgram, points: Tensor, worth: float = 0.0) -> ResumableProgram | None:
    """Make a program resumable, or None where that is not possible.

    What is alive at each kink is read from one run; every state is then compared with the network's own numbers, so a
    network that keeps its values in unusual ways is found out here.

    Args:
        program: A piecewise-affine network.
        points: Some points to compare at; at least three.
        worth: None also where the network's work for one point is less than this for each number of its states.
    """
    try:
        record = _read(program, points[:7])
        if record is None:
            return None
        found = _resumable(program, record)
        if found is None or found.work < worth * sum(found.sizes):
            return None
        found._dimension = points.shape[1]
        return found if _agrees(found, points) else None
    except (RuntimeError, NotImplementedError, TypeError, ValueError, KeyError, AttributeError):
        return None  # a network that cannot be resumed is run from its start


@torch.no_grad()
def _agrees(found: ResumableProgram, points: Tensor) -> bool:
    """Whether resuming gives the network's own numbers."""
    program, state = found.program, found.start(points, 0)
    for kink in range(len(program.kinks)):
        expected = program.quantities(points, kink)
        entries = found.entries(state, kink)
        size = expected[torch.isfinite(expected)].abs().max()
        if entries.shape != expected.shape or not bool(
            torch.allclose(entries, expected, rtol=1e-12, atol=1e-13 * float(size))
        ):
            return False
        state = found.advance(state, kink, kink + 1)
    outputs = program.run(points)
    return bool(torch.allclose(state, outputs, rtol=1e-12, atol=1e-13 * float(outputs.abs().max())))


def _resumable(program: PiecewiseProgram, record: _Record) -> ResumableProgram | None:
    cuts = []
    for place in record.kinks:
        alive: dict[int, tuple[int, ...]] = {}
        for later in range(place, len(record.reads)):
            for source in record.reads[later]:
                if source < place:
                    if source not in record.shapes:
                        return None
                    alive[source] = record.shapes[source]
        alive = dict(sorted(alive.items()))
        plain = place in record.plain and list(alive) == record.reads[place]
        cuts.append(_Cut(place, alive, sum(_count(shape) for shape in alive.values()), plain))
    return ResumableProgram(program, record, cuts)


@torch.no_grad()
def _read(program: PiecewiseProgram, points: Tensor) -> _Record | None:
    """Run the network once, and note which operation reads what which other one made."""
    noting = _Noting(program.places, points)
    with noting:
        output = program.network(points)
    record = noting.record
    if len(record.kinks) != len(program.kinks):
        return None
    record.reads.append([noting.sources[id(output)]])  # the end of the network reads its output
    record.moving.append(True)
    return record


def _count(shape: Sequence[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


class _Reached(BaseException):
    """The wanted place has been reached; nothing that follows is needed."""


_facts: dict[Any, FunctionFacts] = {}


class _Counting(TorchFunctionMode):
    """Sees the operations in order; it unrolls torch's functions as the tape does."""

    def __init__(self) -> None:
        super().__init__()
        self.place = -1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function; torch calls this in its place."""
        facts = _facts.get(func)
        if facts is None:
            facts = _facts[func] = describe_function(func)
        if facts.treatment == "unroll":
            with self:
                return facts.body(*args, **(kwargs or {}))
        if facts.treatment != "record":
            return func(*args, **(kwargs or {}))
        self.place += 1
        return self.run(facts, func, args, kwargs or {})

    def run(self, facts: FunctionFacts, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Run one operation."""
        raise NotImplementedError


class _Noting(_Counting):
    """Notes which operation reads what."""

    def __init__(self, kinks: Mapping[int, int], points: Tensor) -> None:
        super().__init__()
        self.record = _Record()
        self.sources: dict[int, int] = {id(points): -1}
        self._kept: list[Any] = [points]  # so that no identity is used twice
        self._kinks, self._kink, self._count = kinks, -1, len(points)

    def run(self, facts: FunctionFacts, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Run one operation, and note it."""
        record = self.record
        if facts.op in KINKS:
            self._kink += 1
            if self._kink in self._kinks:
                record.kinks.append(self.place)
                if facts.op in ONE_ZERO:
                    record.plain.add(self.place)
        given = [tensor for _, tensor in tensors_in((args, dict(kwargs)))]
        read = [self.sources[id(tensor)] for tensor in given if id(tensor) in self.sources]
        result = func(*args, **kwargs)
        made = [tensor for _, tensor in tensors_in(result)]
        self._kept.append((args, kwargs, result))
        record.reads.append(read)
        record.moving.append(bool(read))
        record.works.append(_work(facts.op, given, made) // self._count)
        if read:
            for tensor in made:
                self.sources[id(tensor)] = self.place
            if (
                isinstance(result, Tensor)
                and result.dim()
                and len(result) == self._count
                and result.is_floating_point()
            ):
                record.shapes[self.place] = tuple(result.shape[1:])
        return result


_COSTS = {"linear": 1, "matmul": 1, "conv1d": 15, "conv2d": 15, "conv3d": 15, "addmm": 1, "mm": 1}
"""What a multiplication of each operation costs; torch convolves small float64 pictures many times more slowly."""


def _work(op: str, given: list[Tensor], made: list[Tensor]) -> int:
    """About what an operation costs."""
    outputs = sum(tensor.numel() for tensor in made)
    if op in _COSTS and len(given) > 1:
        return _COSTS[op] * outputs * max(1, given[1].numel() // max(1, given[1].shape[0]))
    return outputs


class _Walk(_Counting):
    """Runs the operations between two places; those before only tell their shapes, or what they were given."""

    def __init__(self, record: _Record, given: Mapping[int, Tensor], start: int, stop: int, keep: Any = ()) -> None:
        super().__init__()
        self.kept: dict[int, Tensor] = {}
        self.entries = torch.empty(0)
        self._record, self._given, self._start, self._stop, self._keep = record, given, start, stop, keep

    def _skip(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """What an operation gives, without its numbers."""
        shape = self._record.shapes.get(self.place)
        given = args[0] if args else None
        if shape is not None and isinstance(given, Tensor) and given.device.type == "meta" and given.dim():
            return torch.empty(len(given), *shape, dtype=given.dtype, device="meta")
        return func(*map_tensors(args, _without_numbers), **map_tensors(dict(kwargs), _without_numbers))

    def run(self, facts: FunctionFacts, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """Run one operation, or skip it."""
        place = self.place
        if place == self._stop:
            if not self._keep:
                self.entries = kink_entries(facts.op, bind_arguments(func, args, kwargs))
            raise _Reached
        if place in self._given:
            result = self._given[place]
        elif place < self._start and self._record.moving[place]:
            result = self._skip(func, args, kwargs)
        else:
            result = func(*args, **kwargs)
        if place in self._keep:
            self.kept[place] = result
        return result


def _without_numbers(_path: str, tensor: Tensor) -> Tensor:
    return tensor if tensor.device.type == "meta" else torch.empty_like(tensor, device="meta")
