"""Running recorded steps again, on the recorded numbers or on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from pellucid.capture.tape_values import Step, Value
from pellucid.errors import TraceError

__all__ = ["drawing_again", "recompute", "run_step"]


def run_step(step: Step, read: Callable[[Value], Tensor]) -> list[Tensor]:
    """Call a step's own function with other tensors in the place of its arguments.

    Args:
        step: The step; a random one draws the numbers that it drew.
        read: The tensor for each of its values. Those that the step writes are copied first.

    Returns:
        Its outputs, then the buffers that it updated on the side.
    """
    if step.callable is None:
        raise TraceError(
            f"{step.op} cannot be run again: torch does not show what it did",
            place=f"step {step.index} in module {step.module or '(the model itself)'}, {step.source}",
            remedy="trace without a memory limit, so that its values are kept",
        )

    def followed(value: Value) -> Tensor:
        # Some of torch's functions compute in another order where autograd follows an argument.
        tensor = read(value)
        if value.requires_grad and step.grad_enabled and not tensor.requires_grad:
            return tensor.detach().requires_grad_()
        return tensor

    with drawing_again(step), torch.set_grad_enabled(step.grad_enabled), _precision(step):
        written = {old.id: _fresh(followed(old)) for old, _ in step.written}
        given, keywords = _fill(
            (step.given, step.keywords), lambda value: written[value.id] if value.id in written else followed(value)
        )
        result = step.callable(*given, **keywords)
    if step.in_place:
        first = [written[old.id] for old, _ in step.written[:1]]
        made = first + [t for t in _flat(result) if not any(t is w for w in first)]
    else:
        made = _flat(result)
    return made + [written[old.id] for old, new in step.written if new.output < 0]


def recompute(steps: Sequence[Step], wanted: Sequence[Value], known: dict[int, Tensor]) -> dict[int, Tensor]:
    """The numbers of values that were not kept, from the nearest ones that were.

    Args:
        steps: The steps of the tape.
        wanted: The values to compute.
        known: Numbers to use in place of the recorded ones, by value id.

    Returns:
        The numbers by value id, of the wanted and of all that had to be computed on the way.
    """
    needed: set[int] = set()
    waiting = [v for v in wanted if v.id not in known and v.tensor is None]
    while waiting:
        value = waiting.pop()
        if value.producer is None:
            raise TraceError(
                f"the numbers of {value.name or value} were overwritten during the pass and cannot be computed again",
                remedy="change the model so that it does not write into it with an operation outside torch",
            )
        if value.producer not in needed:
            needed.add(value.producer)
            step = steps[value.producer]
            sources = (*step.inputs, *(old for old, _ in step.written))
            waiting.extend(v for v in sources if v.id not in known and v.tensor is None)
    found = dict(known)

    def read(value: Value) -> Tensor:
        tensor = found.get(value.id, value.tensor)
        assert tensor is not None
        return tensor

    for index in sorted(needed):
        step = steps[index]
        targets = (*step.outputs, *(new for _, new in step.written if new.output < 0))
        for target, tensor in zip(targets, run_step(step, read), strict=False):
            found.setdefault(target.id, tensor.detach())
    return found


def _fill(item: Any, place: Callable[[Value], Tensor]) -> Any:
    """Nested arguments with tensors in the place of their values."""
    if isinstance(item, Value):
        return place(item)
    if item.__class__ in (list, tuple):
        return item.__class__(_fill(part, place) for part in item)
    if item.__class__ is dict:
        return {key: _fill(part, place) for key, part in item.items()}
    if item.__class__ is slice:
        return slice(_fill(item.start, place), _fill(item.stop, place), _fill(item.step, place))
    return item


@contextmanager
def drawing_again(step: Step) -> Iterator[None]:
    """The random stream as it was before a random step, for as long as it takes.

    Args:
        step: Any step; nothing happens for one that is not random.
    """
    if step.rng_state is None:
        yield
        return
    before = torch.get_rng_state()
    torch.set_rng_state(step.rng_state)
    try:
        yield
    finally:
        torch.set_rng_state(before)


def _fresh(tensor: Tensor) -> Tensor:
    """A copy that an operation may write, whether or not autograd follows it."""
    return tensor.clone(memory_format=torch.preserve_format)


def _precision(step: Step) -> Any:
    """The automatic mixed precision that was around a step, or none."""
    if step.autocast is None:
        return nullcontext()
    device = next((str(out.tensor.device.type) for out in step.outputs if out.tensor is not None), "cpu")
    return torch.autocast(device, dtype=step.autocast)


def _flat(result: Any) -> list[Tensor]:
    """The tensors of a result, in order."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, list | tuple):
        return [tensor for item in result for tensor in _flat(item)]
    return []
