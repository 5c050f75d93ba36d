"""The data loaders of a script, and the epochs that it counts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from torch.utils.data import RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler

from pellucid.results.watched_script import CodeLine, ScriptLoader

__all__ = ["EpochCounter", "LoaderBook"]

_MOST_LOADERS = 64
_MOST_FRAMES = 6
_EPOCH_NAME = re.compile(
    r"^_?(i_?|n_?|cur(rent)?_?|this_?)?(epoch|epc?|ep)(_?(i|idx|index|no|num|number|nr|count))?$", re.I
)
_RANDOM = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
_LOCALS_ARE_A_COPY = 0x1  # CO_OPTIMIZED


@dataclass
class _LoaderRecord:
    place: CodeLine
    dataset: str
    length: int
    batch_size: int
    shuffled: bool
    sampler: str
    drop_last: bool
    workers: int
    passes: int = 0
    trained: bool = False


class LoaderBook:
    """Keeps what is learned of loaders, and whose batch is being worked on."""

    def __init__(self) -> None:
        self.records: list[_LoaderRecord] = []
        self._known: dict[int, tuple[ReferenceType[Any], _LoaderRecord]] = {}
        self._by_line: dict[tuple[Any, ...], _LoaderRecord] = {}
        self._iterators: WeakKeyDictionary[Any, _LoaderRecord] = WeakKeyDictionary()
        self._latest: _LoaderRecord | None = None
        self.trained: _LoaderRecord | None = None
        """The first whose batches were trained on."""
        self.passes = 0
        """Of all loaders together."""

    def knows(self, loader: Any) -> bool:
        """Whether this loader was iterated before."""
        known = self._known.get(id(loader))
        return known is not None and known[0]() is loader

    def note_pass(self, loader: Any, place: CodeLine | None) -> None:
        """A loader begins a pass; with its line where it is new."""
        self.passes += 1
        known = self._known.get(id(loader))
        record = known[1] if known is not None and known[0]() is loader else self._add(loader, place)
        if record is not None:
            record.passes += 1

    def _add(self, loader: Any, place: CodeLine | None) -> _LoaderRecord | None:
        described = _describe_loader(loader, place)
        key = (described.place, described.dataset, described.length, described.batch_size)
        record = self._by_line.get(key)  # made anew at every epoch, it is still the same
        if record is None:
            if len(self.records) >= _MOST_LOADERS:
                return None
            record = self._by_line[key] = described
            self.records.append(described)
        self._known[id(loader)] = (ref(loader), record)
        return record

    def note_iterator(self, iterator: Any, loader: Any) -> None:
        """An iterator of a known loader is made."""
        known = self._known.get(id(loader))
        if known is not None and known[0]() is loader:
            self._iterators[iterator] = known[1]

    def note_batch(self, iterator: Any) -> None:
        """This iterator gives a batch."""
        record = self._iterators.get(iterator)
        if record is not None:
            self._latest = record

    def note_training(self) -> None:
        """A backward pass comes from the latest batch."""
        if self._latest is not None and not self._latest.trained:
            self._latest.trained = True
            if self.trained is None:
                self.trained = self._latest

    def describe(self) -> tuple[ScriptLoader, ...]:
        """All as records."""
        return tuple(ScriptLoader(**vars(record)) for record in self.records)


def _describe_loader(loader: Any, place: CodeLine | None) -> _LoaderRecord:
    from pellucid.watch.script_places import NOWHERE

    sampler = getattr(loader, "sampler", None)
    batch_sampler = getattr(loader, "batch_sampler", None)
    inner = getattr(batch_sampler, "sampler", sampler)
    batch_size = getattr(loader, "batch_size", None) or getattr(batch_sampler, "batch_size", None) or 0
    own = inner if inner is not None else sampler
    return _LoaderRecord(
        place=place or NOWHERE,
        dataset=type(getattr(loader, "dataset", None)).__name__,
        length=_length(getattr(loader, "dataset", None)),
        batch_size=int(batch_size) if isinstance(batch_size, int) else 0,
        shuffled=isinstance(own, _RANDOM)
        or bool(getattr(own, "shuffle", False))
        or not (own is None or isinstance(own, SequentialSampler) or type(own).__module__.startswith("torch.")),
        sampler=type(own).__name__,
        drop_last=bool(getattr(loader, "drop_last", False)),
        workers=int(getattr(loader, "num_workers", 0)),
    )


def _length(dataset: Any) -> int:
    try:
        return len(dataset)
    except Exception:  # iterable data sets have none; the person's own code may raise anything
        return -1


class EpochCounter:
    """Tells the epoch under way: by a variable named so in a running loop, else by the passes of the loader.

    Attributes:
        now: Counted from 0.
        first_steps: How many updates the epochs that are over took together.
    """

    def __init__(self, loaders: LoaderBook) -> None:
        self._loaders = loaders
        self._name = ""
        self._depth = 0
        self._first: int | None = None
        self.now = 0
        self.recognised = False
        self.follows_variable = False
        """Whether the latest look found a variable named so."""
        self._began_at: list[int] = []

    def look(self, frame: FrameType | None, step: int) -> None:
        """A training step of this frame begins."""
        value = self._variable(frame) if frame is not None else None
        self.follows_variable = value is not None
        if value is not None:
            self._first = value if self._first is None else min(self._first, value)
            self._set(value - self._first, step)
        elif self._first is None and self._loaders.trained is not None:
            self._set(max(self._loaders.trained.passes - 1, 0), step)

    def note_printed(self, value: int, step: int) -> None:
        """The script prints that this epoch is over: counted where nothing better is known."""
        if not self.recognised or self._name == "printed":
            self._name = "printed"
            if self._first is None:
                self._first = value
            self._set(value - self._first, step)

    def _set(self, epoch: int, step: int) -> None:
        self.recognised = True
        if epoch != self.now or not self._began_at:
            self.now = epoch
            self._began_at.append(step)

    def _variable(self, frame: FrameType) -> int | None:
        current: FrameType | None = frame
        for _ in range(_MOST_FRAMES):
            if current is None:
                return None
            value = _epoch_in(current)
            if value is not None:
                return value
            current = current.f_back
        return None

    def count(self) -> int:
        """Epochs so far; 0 where none is recognised."""
        return len(self._began_at) if self.recognised and len(self._began_at) > 1 else int(self.recognised)

    def steps_each(self, steps: int) -> float:
        """Updates an epoch."""
        if not self.recognised:
            return math.nan
        if len(self._began_at) > 1:
            return (self._began_at[-1] - self._began_at[0]) / (len(self._began_at) - 1)
        return float(steps)


_EPOCH_NAMES: dict[int, tuple[CodeType, tuple[str, ...]]] = {}
"""By the identity of the code, which is kept: to take the hash of code, Python goes through all its constants."""
_MOST_CODES = 1_000


def _epoch_in(frame: FrameType) -> int | None:
    """The value of a variable of this frame that is named as an epoch."""
    code = frame.f_code
    known = _EPOCH_NAMES.get(id(code))
    if known is None:
        if len(_EPOCH_NAMES) >= _MOST_CODES:
            _EPOCH_NAMES.clear()
        candidates = (*code.co_varnames, *code.co_cellvars, *code.co_names)
        known = _EPOCH_NAMES[id(code)] = code, tuple(name for name in candidates if _EPOCH_NAME.match(name))
    names = known[1]
    if not names:
        return None
    values = frame.f_locals
    found = next((values[name] for name in names if name in values), None)
    if code.co_flags & _LOCALS_ARE_A_COPY and type(values) is dict:
        values.clear()  # before Python 3.13 the frame would keep the copied values alive
    return found if type(found) is int else None
