"""Which operation made the first NaN or infinity: from a step's calls, or from the graph of its loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.results.watched_script import ScriptCall
from pellucid.watch.wiring_calls import CallRecord, SeenCall
from pellucid.watch.wiring_graph import SavedPlace, find_saved, graph_nodes
from pellucid.watch.wiring_settings import is_plain
from pellucid.watch.wiring_tensors import SeenTensor

__all__ = [
    "Origin",
    "Singular",
    "all_leaves",
    "at_singular_point",
    "find_in_graph",
    "find_in_record",
    "has_nonfinite",
    "singular_places",
]

_MOST_NODES = 20_000
_MOST_SINGULAR = 4

_AT_ZERO_INPUT = {"sqrt", "rsqrt", "log", "log2", "log10", "reciprocal", "pow"}
_AT_ZERO_OUTPUT = {"norm", "std", "dist"}
_AT_ONE = {"acos", "asin", "arccos", "arcsin", "atanh", "arctanh"}
_AT_ZERO_DIVISOR = {"div", "atan2"}
_MASKS = {"masked_fill", "where", "full", "full_like", "new_full", "triu", "tril"}
"""Functions by which people write an infinity on purpose."""

_NODE_NAMES = {
    "LinalgVectorNormBackward0": "norm",
    "NormBackward0": "norm",
    "TrueDivideBackward0": "div",
    "NllLossBackward0": "nll_loss",
    "MseLossBackward0": "mse_loss",
    "LogSoftmaxBackward0": "log_softmax",
    "BinaryCrossEntropyBackward0": "binary_cross_entropy",
    "SmoothL1LossBackward0": "smooth_l1_loss",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """An operation that made something not finite of what was."""

    what: str
    detail: str
    kind: str  # "nan" | "inf"
    call: SeenCall | None


@dataclass(frozen=True, slots=True)
class Singular:
    """A function of the script's whose derivative has a singular point, and its tensor's place in every graph."""

    call: SeenCall
    place: SavedPlace


def has_nonfinite(tensor: Tensor) -> bool:
    """Whether any entry is NaN or infinite."""
    if not (tensor.dtype.is_floating_point or tensor.dtype.is_complex) or tensor.numel() == 0 or not is_plain(tensor):
        return False
    return not bool(torch.isfinite(tensor.detach()).all())


def all_leaves(loss: Tensor) -> list[Tensor]:
    """The leaves that a loss's graph leads to, the farthest last."""
    found = [getattr(node, "variable", None) for _, _, node in graph_nodes(loss, _MOST_NODES)]
    if loss.grad_fn is None and loss.requires_grad:
        found = [loss]
    return [leaf for leaf in found if isinstance(leaf, Tensor)]


def find_in_record(record: CallRecord, loss: SeenTensor, before: int) -> Origin | None:
    """Go from a loss that is not finite to the call that made it so; None where its inputs are not known any more."""
    key, order = loss.key, before
    for _ in range(len(record.calls) + 1):
        call = record.producer(key, order)
        if call is None:
            return None
        bad = _worst(record, call)
        if bad is None:
            return _origin_of(record, call)
        key, order = bad.key, call.order
    return None


def at_singular_point(record: CallRecord, loss: SeenTensor, before: int) -> Origin | None:
    """The call nearest to the loss at a point where its derivative is not finite, although its value is."""
    record.book.fetch()
    for call in record.upstream(loss.key, before):
        detail = _singular_detail(record, call)
        if detail and any(tensor.requires_grad for tensor in call.inputs):
            return Origin(call.name, detail, "nan", call)
    return None


def singular_places(record: CallRecord, loss: Tensor, seen: SeenTensor, before: int) -> list[Singular]:
    """Calls on the way to a loss whose derivatives have singular points, with their tensor's place in its graph."""
    found: list[Singular] = []
    for call in record.upstream(seen.key, before):
        tensor = _telling_tensor(call)
        held = None if tensor is None or len(found) >= _MOST_SINGULAR else record.book.tensor(tensor.key)
        place = None if held is None else find_saved(loss, held, _MOST_NODES)
        if place is not None:
            found.append(Singular(call, place))
    return found


def find_in_graph(loss: Tensor, calls: Sequence[ScriptCall]) -> tuple[Origin, ScriptCall | None] | None:
    """The operation deepest in a graph at which what was saved says that it made something not finite.

    Args:
        loss: Not finite.
        calls: Of a learned step, to find the operation's line by its name.
    """
    found: Origin | None = None
    for _, _, node in graph_nodes(loss, _MOST_NODES):
        said = _said_by(node)
        found = said or found
    if found is None:
        return None
    matching = [call for call in calls if call.function == found.what and call.reaches_loss]
    return found, matching[-1] if matching else None


def _worst(record: CallRecord, call: SeenCall) -> SeenTensor | None:
    """The input that is NaN, or else infinite without being meant so."""
    infinite = None
    for tensor in call.inputs:
        held = record.book.tensor(tensor.key)
        if held is None or not has_nonfinite(held):
            continue
        if bool(torch.isnan(held).any()):
            return tensor
        maker = record.producer(tensor.key, call.order)
        if maker is not None and maker.name not in _MASKS:
            infinite = tensor
    return infinite


def _origin_of(record: CallRecord, call: SeenCall) -> Origin:
    outputs = [record.book.tensor(tensor.key) for tensor in call.outputs]
    is_nan = any(tensor is not None and tensor.is_floating_point() and bool(tensor.isnan().any()) for tensor in outputs)
    record.book.fetch()
    return Origin(call.name, _singular_detail(record, call) or _range_detail(record, call), _kind(is_nan), call)


def _kind(is_nan: bool) -> str:
    return "nan" if is_nan else "inf"


def _telling_tensor(call: SeenCall) -> SeenTensor | None:
    """The tensor that tells whether a call is at its singular point, if it has one."""
    if not any(tensor.requires_grad for tensor in call.inputs):
        return None
    if call.name in _AT_ZERO_DIVISOR and len(call.inputs) == 2 and call.inputs[1].requires_grad:
        return call.inputs[1]
    if call.name == "pow" and not _has_singular_power(call):
        return None
    if call.name in ("sqrt", "rsqrt") or call.name in _AT_ZERO_OUTPUT:
        return call.outputs[0] if call.outputs else None
    return call.inputs[0] if call.name in _AT_ZERO_INPUT | _AT_ONE else None


def _has_singular_power(call: SeenCall) -> bool:
    exponent = call.settings.get("exponent")
    return not isinstance(exponent, int | float) or (exponent < 1 and exponent != 0)


def _singular_detail(record: CallRecord, call: SeenCall) -> str:  # noqa: PLR0911  # one a group of functions
    """In words: where the function has no finite value or derivative; '' where it has."""
    if not call.inputs or not call.outputs:
        return ""
    given, made = record.book.facts(call.inputs[0], ""), record.book.facts(call.outputs[0], "")
    name = call.name
    if name in _AT_ZERO_DIVISOR and len(call.inputs) == 2:
        divisor = record.book.facts(call.inputs[1], "")
        if divisor.zero > 0 and (name == "div" or given.zero > 0):
            return f"{name} by {_count(divisor.zero, divisor.shape)}"
    if name == "pow" and not _has_singular_power(call):
        return ""
    if name in _AT_ZERO_INPUT and given.zero > 0:
        return f"{name} of {_count(given.zero, given.shape)}"
    if name in _AT_ZERO_INPUT and given.minimum < 0 and (name != "pow" or not _is_whole_power(call)):
        return f"{name} of negative numbers, the least {given.minimum:.3g}"
    if name in _AT_ZERO_OUTPUT and made.zero > 0:
        return f"{name} that is 0 at {_count(made.zero, made.shape)[:-6]} places"
    if name in _AT_ONE and (given.maximum >= 1 or given.minimum <= -1):
        return f"{name} of numbers between {given.minimum:.6g} and {given.maximum:.6g}"
    return ""


def _is_whole_power(call: SeenCall) -> bool:
    exponent = call.settings.get("exponent")
    return isinstance(exponent, int | float) and float(exponent).is_integer()


def _count(share: float, shape: tuple[int, ...]) -> str:
    number = round(share * math.prod(shape))
    return f"{number} zeros" if number > 1 else "1 zero"


def _range_detail(record: CallRecord, call: SeenCall) -> str:
    facts = [record.book.facts(tensor, "") for tensor in call.inputs]
    ends = [max(abs(one.minimum), abs(one.maximum)) for one in facts if math.isfinite(one.minimum)]
    return f"{call.name} of numbers up to {max(ends):.3g}" if ends else f"{call.name}"


def _said_by(node: Any) -> Origin | None:  # noqa: PLR0911  # one a kind of function
    """What a node's saved tensors say of its operation."""
    saved = dict(_saved(node))
    name = _NODE_NAMES.get(node.name(), _plain_name(node.name()))
    given, other, made = saved.get("self"), saved.get("other"), saved.get("result")
    if made is not None and has_nonfinite(made):
        inputs_finite = given is None or not has_nonfinite(given)
        return Origin(name, name, _kind(bool(made.isnan().any())), None) if inputs_finite else None
    if given is None or has_nonfinite(given):
        return None
    zeros = int((given == 0).sum())
    if name in ("log", "log2", "log10", "reciprocal") and zeros:
        return Origin(name, f"{name} of {zeros} zeros", "inf", None)
    if name in ("log", "log2", "log10", "log1p") and bool((given < (-1 if name == "log1p" else 0)).any()):
        return Origin(name, f"{name} of negative numbers, the least {given.min().item():.3g}", "nan", None)
    if name == "div" and other is not None and bool((other == 0).any()):
        return Origin(name, f"div by {int((other == 0).sum())} zeros", "nan", None)
    if name in ("pow", "mse_loss") and given.numel() and _squares_overflow(given, saved.get("target")):
        return Origin(name, f"{name} of numbers up to {given.abs().max().item():.3g}", "inf", None)
    return None


def _squares_overflow(given: Tensor, target: Tensor | None) -> bool:
    largest = given.abs().max().item()
    if target is not None and target.numel():
        largest = max(largest, target.abs().max().item())
    return largest > math.sqrt(torch.finfo(given.dtype).max) * 0.5 if given.is_floating_point() else False


def _saved(node: Any) -> Iterator[tuple[str, Tensor]]:
    for name in ("self", "other", "result", "target"):
        try:
            value = getattr(node, f"_saved_{name}", None)
        except RuntimeError:  # freed, or overwritten since
            continue
        if isinstance(value, Tensor) and value.layout is torch.strided:
            yield name, value


def _plain_name(node: str) -> str:
    """The function's name of a node's.

    >>> _plain_name("LogBackward0"), _plain_name("LogSoftmaxBackward0")
    ('log', 'log_softmax')
    """
    bare = node.rpartition("::")[2].partition("Backward")[0]
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in bare).lstrip("_")
