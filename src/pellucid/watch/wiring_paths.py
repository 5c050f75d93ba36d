"""From the tensor that is back-propagated to its summands, and from each to what it was computed from."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pellucid.watch.wiring_calls import CallRecord, SeenCall
from pellucid.watch.wiring_names import EVEN, LOSSES, NETWORK, REDUCTIONS, VIEWS
from pellucid.watch.wiring_tensors import SeenTensor

__all__ = ["Hit", "Summand", "explore", "is_even", "source", "split"]

_SCALINGS = {"add", "sub", "rsub", "mul", "div", "neg"}
_COMPARISONS = {"sub", "rsub", "mul", "where", "gather", "take_along_dim", "getitem"}
_JOINS = {"stack", "cat", "tensor"}
_MOST_STEPS = 4_000
_DEEPEST = 200

HitKind = Literal["known", "comparison", "network", "parameter"]


@dataclass(frozen=True, slots=True)
class Summand:
    """One of the numbers that were added up to the loss, with the factor on it; ``path`` leads here from the loss."""

    tensor: SeenTensor
    before: int
    sign: int
    scale: float
    path: tuple[SeenCall, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """Something met on the way from a summand towards the network.

    ``sign`` is that of the way from the loss to the first function that forgets it.
    """

    kind: HitKind
    call: SeenCall | None
    live: SeenTensor
    dead: SeenTensor | None
    path: tuple[SeenCall, ...]
    sign: int


def split(record: CallRecord, loss: SeenTensor, before: int, is_live: Callable[[SeenTensor], bool]) -> list[Summand]:
    """The summands of a loss; itself where nothing was added."""
    found: list[Summand] = []
    waiting = [Summand(loss, before, 1, 1.0, ())]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_STEPS:
        node = waiting.pop()
        if node.tensor.key in seen and node.path:
            continue
        seen.add(node.tensor.key)
        call = record.producer(node.tensor.key, node.before)
        parts = [] if call is None else _parts(record, call, is_live)
        if call is None or not parts:
            found.append(node)
            continue
        for part in reversed(parts):
            factor = _factor(record, call, part)
            sign = node.sign * (-1 if factor < 0 else 1)
            waiting.append(Summand(part, call.order, sign, node.scale * abs(factor), (*node.path, call)))
    return found


def explore(record: CallRecord, summand: Summand, is_live: Callable[[SeenTensor], bool]) -> list[Hit]:
    """What is met between a summand and the network, the nearest first."""
    hits: list[Hit] = []
    waiting = deque([(summand.tensor, summand.before, summand.path, summand.sign, False)])
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_STEPS:
        tensor, before, path, sign, frozen = waiting.popleft()
        if tensor.key in seen and not frozen and path != summand.path:
            continue
        seen.add(tensor.key)
        call = record.producer(tensor.key, before)
        end = _end(record, tensor, call)
        if end is not None or call is None:
            hits.append(Hit(end or "network", call, tensor, None, path, sign))
            continue
        if len(path) > _DEEPEST:
            continue
        hits.extend(_comparisons(call, path, sign, is_live))
        now_frozen = frozen or is_even(call)
        for part in _once(tensor for tensor in call.inputs if is_live(tensor)):
            flip = -1 if not now_frozen and _factor(record, call, part) < 0 else 1
            waiting.append((part, call.order, (*path, call), sign * flip, now_frozen))
    return hits


def source(
    record: CallRecord, tensor: SeenTensor, before: int, through: set[str] = VIEWS
) -> tuple[SeenCall | None, SeenTensor]:
    """The call that made a tensor's entries, and the tensor as it made it; what only rearranges is left out."""
    for _ in range(_DEEPEST):
        call = record.producer(tensor.key, before)
        if call is None or call.name not in through or not call.inputs:
            return call, tensor
        tensor, before = call.inputs[0], call.order
    return None, tensor


def is_even(call: SeenCall) -> bool:
    """Whether the function forgets the sign of its argument.

    A multiplication does by which a tensor meets itself.
    """
    if call.name in EVEN:
        return True
    if call.name == "pow":
        exponent = call.settings.get("exponent")
        return isinstance(exponent, int | float) and exponent % 2 == 0
    return call.name == "mul" and len(call.inputs) == 2 and call.inputs[0].key == call.inputs[1].key


def _end(record: CallRecord, tensor: SeenTensor, call: SeenCall | None) -> HitKind | None:
    """Why the way ends at this tensor, if it does."""
    if call is not None and call.name in LOSSES:
        return "known"
    if tensor.is_parameter and call is None:
        return "parameter"
    is_output = tensor.key in record.roots and tensor.numel > 1
    if call is None or is_output or call.name in NETWORK:
        return "network"
    return None


def _parts(record: CallRecord, call: SeenCall, is_live: Callable[[SeenTensor], bool]) -> list[SeenTensor]:
    """The numbers that a number was put together from by sums and constant factors; none where it was otherwise."""
    if call.name in LOSSES:
        return []
    live = [tensor for tensor in call.inputs if is_live(tensor)]
    dead = [tensor for tensor in call.inputs if not is_live(tensor)]
    if call.name in REDUCTIONS and live:
        joined = record.producer(live[0].key, call.order)
        if joined is not None and joined.name in _JOINS and all(tensor.numel == 1 for tensor in joined.inputs):
            return live
        return []
    if call.name not in _SCALINGS | VIEWS or any(tensor.numel > 1 for tensor in live):
        return []
    return [] if call.name in _COMPARISONS and any(tensor.shape for tensor in dead) else live


def _factor(record: CallRecord, call: SeenCall, part: SeenTensor) -> float:
    """What a tensor is multiplied by, directly, on its way through a call; nan where that is no known number."""
    if call.name in ("neg", "rsub"):
        return -1.0
    if call.name == "sub":
        return 1.0 if call.inputs[0].key == part.key else -1.0
    if call.name not in ("mul", "div"):
        return 1.0
    other = call.settings.get("other")
    number = float(other) if isinstance(other, int | float) else math.nan
    others = [tensor for tensor in call.inputs if tensor.key != part.key]
    if others and others[0].numel == 1 and not others[0].requires_grad:
        number = record.book.number(others[0])
    if call.name == "mul":
        return number
    return 1.0 / number if number else math.nan


def _comparisons(
    call: SeenCall, path: tuple[SeenCall, ...], sign: int, is_live: Callable[[SeenTensor], bool]
) -> Iterator[Hit]:
    """Where the call brings what depends on the weights together with what does not."""
    if call.name not in _COMPARISONS:
        return
    live = [tensor for tensor in call.inputs if is_live(tensor)]
    dead = [tensor for tensor in call.inputs if not is_live(tensor)]
    if call.name in ("getitem", "gather", "take_along_dim"):
        picks = call.name != "getitem" or len(dead) > 1
        dead = [tensor for tensor in dead if not tensor.dtype.is_floating_point] if picks and live else []
        dead = dead[-1:]
        live = live if live and not live[0].is_parameter else []
    squared = any(is_even(step) for step in path)
    dead = [tensor for tensor in dead if tensor.shape or squared]
    if live and dead:
        yield Hit("comparison", call, live[0], dead[0], path, sign)
    elif live and squared and call.name in ("sub", "rsub") and "other" in call.settings:
        yield Hit("comparison", call, live[0], None, path, sign)


def _once(tensors: Iterator[SeenTensor]) -> list[SeenTensor]:
    """Each tensor once."""
    return list({tensor.key: tensor for tensor in tensors}.values())
