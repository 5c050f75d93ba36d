"""The optimisers and learning-rate schedulers of a script."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor
from torch.optim import Optimizer

from pellucid.results.watched_script import CodeLine, OptimizerGroup, ScriptOptimizer, ScriptScheduler
from pellucid.watch.script_places import NOWHERE

__all__ = ["OptimizerBook", "OptimizerRecord", "SchedulerBook", "setting"]

Setting = bool | int | float | str | None

_MOST_OPTIMIZERS = 32
_MOST_MADE = 256
_LONGEST_TEXT = 200
_CLEAR_TENSORS = 8
"""Gradients that are looked at to tell whether all were cleared."""


@dataclass
class OptimizerRecord:
    """Optimisers of one kind over the same parameters."""

    kind: str
    place: CodeLine
    latest: Optimizer
    groups: list[OptimizerGroup]
    half: bool
    instances: int = 1
    steps: int = 0
    backwards: int = 0
    clear: int = 0
    clear_looked_at: int = 0
    clear_now: bool | None = None

    def count_update(self, backwards: int) -> None:
        """It has stepped, after so many backward passes."""
        self.steps += 1
        self.backwards += backwards
        if self.clear_now is not None:
            self.clear_looked_at += 1
            self.clear += self.clear_now

    def parameters(self) -> list[Tensor]:
        """All tensors it holds."""
        return [p for group in self.latest.param_groups for p in group["params"]]


class OptimizerBook:
    """Keeps what is learned of optimisers."""

    def __init__(self) -> None:
        self.records: list[OptimizerRecord] = []
        self._places: dict[int, tuple[ReferenceType[Optimizer], CodeLine]] = {}
        self._known: dict[int, tuple[ReferenceType[Optimizer], int]] = {}
        self._by_content: dict[tuple[Any, ...], int] = {}
        self.made = 0

    def note_made(self, optimizer: Optimizer, place: CodeLine) -> None:
        """An optimiser is made at this line."""
        self.made += 1
        if self.made <= _MOST_MADE:
            self._places[id(optimizer)] = (ref(optimizer), place)

    def unused(self) -> list[Optimizer]:
        """Those made, still alive, that never stepped."""
        found = [reference() for reference, _ in self._places.values()]
        return [each for each in found if each is not None and id(each) not in self._known]

    def index_of(self, optimizer: Optimizer) -> int:
        """The record of an optimiser; −1 beyond the number that is kept."""
        known = self._known.get(id(optimizer))
        if known is not None and known[0]() is optimizer:
            return known[1]
        index = self._add(optimizer)
        self._known[id(optimizer)] = (ref(optimizer), index)
        return index

    def _add(self, optimizer: Optimizer) -> int:
        tensors = [p for group in optimizer.param_groups for p in group["params"]]
        content = (type(optimizer).__name__, *map(id, tensors))
        index = self._by_content.get(content)
        if index is not None:
            self.records[index].instances += 1
            self.records[index].latest = optimizer
            return index
        if len(self.records) >= _MOST_OPTIMIZERS:
            return -1
        made, place = self._places.get(id(optimizer), (None, NOWHERE))
        self.records.append(
            OptimizerRecord(
                kind=type(optimizer).__name__,
                place=place if made is not None and made() is optimizer else NOWHERE,
                latest=optimizer,
                groups=[_describe_group(group) for group in optimizer.param_groups],
                half=any(p.dtype in (torch.float16, torch.bfloat16) for p in tensors),
            )
        )
        self._by_content[content] = len(self.records) - 1
        return len(self.records) - 1

    def forget_whether_clear(self) -> None:
        """What was seen before the latest backward pass is of no account for a later update."""
        for record in self.records:
            record.clear_now = None

    def look_whether_clear(self) -> None:
        """A backward pass is about to begin, the first since the last update: are the gradients clear?"""
        for record in self.records:
            gradients = [p.grad for p in record.parameters() if p.grad is not None]
            some = gradients[:: max(1, len(gradients) // _CLEAR_TENSORS)]
            record.clear_now = all(not bool(g.any()) for g in some if g.device.type != "meta")

    def describe(self) -> tuple[ScriptOptimizer, ...]:
        """All as records, those that were made and never used included."""
        for optimizer in self.unused():
            self.index_of(optimizer)
        return tuple(_describe_optimizer(record) for record in self.records)


def _describe_optimizer(record: OptimizerRecord) -> ScriptOptimizer:
    rates = [_number(group.get("lr")) for group in record.latest.param_groups]
    looked = record.clear_looked_at
    return ScriptOptimizer(
        kind=record.kind,
        place=record.place,
        groups=tuple(
            OptimizerGroup(settings=group.settings, parameters=group.parameters, last_rate=rate)
            for group, rate in zip(record.groups, rates, strict=False)
        ),
        steps=record.steps,
        instances=record.instances,
        cleared=record.clear / looked if looked else math.nan,
        backwards_per_step=record.backwards / record.steps if record.steps else math.nan,
        half=record.half,
    )


def _describe_group(group: dict[str, Any]) -> OptimizerGroup:
    settings = {name: setting(value) for name, value in group.items() if name != "params"}
    return OptimizerGroup(settings=settings, parameters=len(group["params"]), last_rate=_number(group.get("lr")))


def setting(value: Any) -> Setting:
    """A value as a setting of a record."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 else f"tensor of {value.numel()}"
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)[:_LONGEST_TEXT]
    return str(value)[:_LONGEST_TEXT]


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


@dataclass
class _SchedulerRecord:
    kind: str
    made: CodeLine
    scheduler: ReferenceType[Any]
    optimizer: ReferenceType[Any] | None
    settings: dict[str, Setting]
    stepped: CodeLine | None = None
    calls: int = 0
    before_update: bool = False


@dataclass
class SchedulerBook:
    """Keeps what is learned of schedulers: which there are, and how often they are called."""

    optimizers: OptimizerBook
    _records: list[_SchedulerRecord] = field(default_factory=list)
    _known: dict[int, _SchedulerRecord] = field(default_factory=dict)

    def note_made(self, scheduler: Any, place: CodeLine) -> None:
        """A scheduler is made at this line."""
        known = self._known.get(id(scheduler))
        if (known is not None and known.scheduler() is scheduler) or len(self._records) >= _MOST_OPTIMIZERS:
            return
        optimizer = getattr(scheduler, "optimizer", None)
        record = _SchedulerRecord(
            kind=type(scheduler).__name__,
            made=place,
            scheduler=ref(scheduler),
            optimizer=None if optimizer is None else ref(optimizer),
            settings=_scheduler_settings(scheduler),
        )
        self._records.append(record)
        self._known[id(scheduler)] = record

    def is_new(self, scheduler: Any) -> bool:
        """Whether this scheduler's step has not been seen, so that its line is worth looking up."""
        record = self._known.get(id(scheduler))
        return record is not None and record.stepped is None

    def note_step(self, scheduler: Any, place: CodeLine | None) -> None:
        """The script calls its ``step``."""
        record = self._known.get(id(scheduler))
        if record is None or record.scheduler() is not scheduler:
            return
        record.calls += 1
        if record.stepped is None and place is not None:
            record.stepped, record.settings = place, _scheduler_settings(scheduler)
            optimizer = record.optimizer() if record.optimizer else None
            steps = 0
            if optimizer is not None:
                steps = sum(each.steps for each in self.optimizers.records if each.latest is optimizer)
            record.before_update = steps == 0

    def describe(self, epochs: int) -> tuple[ScriptScheduler, ...]:
        """All that are the script's own, as records."""
        return tuple(self._describe(record, epochs) for record in self._records)

    def _describe(self, record: _SchedulerRecord, epochs: int) -> ScriptScheduler:
        optimizer = record.optimizer() if record.optimizer else None
        steps = max((each.steps for each in self.optimizers.records if each.latest is optimizer), default=0)
        steps = steps or max((each.steps for each in self.optimizers.records), default=0)
        return ScriptScheduler(
            kind=record.kind,
            place=record.stepped or record.made,
            settings=record.settings,
            calls=record.calls,
            calls_per_update=record.calls / steps if steps else math.nan,
            calls_per_epoch=record.calls / epochs if epochs else math.nan,
            before_update=record.before_update and record.calls > 0,
        )


def _scheduler_settings(scheduler: Any) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for name, value in vars(scheduler).items():
        if name.startswith("_") or name in ("last_epoch", "verbose", "optimizer"):
            continue
        if value is None or isinstance(value, bool | int | float | str):
            found[name] = value
        elif isinstance(value, list | tuple):
            found[name] = ", ".join(str(each) for each in value)[:_LONGEST_TEXT]
        elif isinstance(value, dict):
            found[name] = ", ".join(str(key) for key in value)[:_LONGEST_TEXT]
    return found
