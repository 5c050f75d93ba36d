"""The autograd graph behind a loss: its nodes' names, and prediction and target as it saved them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["SavedPlace", "find_node", "find_saved", "follow", "graph_names", "graph_nodes", "loss_node_kind"]

_MOST_NODES = 160
_LONGEST_PATH = 64
_SAVED = (
    "_saved_self",
    "_saved_target",
    "_saved_other",
    "_saved_result",
    "_saved_index",
    "_saved_indices",
    "_saved_condition",
    "_saved_input",
)

_KINDS = {
    "NllLossBackward0": "nll",
    "NllLoss2DBackward0": "nll",
    "MseLossBackward0": "mse",
    "L1LossBackward0": "l1",
    "SmoothL1LossBackward0": "smooth_l1",
    "HuberLossBackward0": "huber",
    "BinaryCrossEntropyBackward0": "bce",
    "BinaryCrossEntropyWithLogitsBackward0": "bce_with_logits",
    "SoftMarginLossBackward0": "soft_margin",
    "KlDivBackward0": "kl_div",
    "CtcLossBackward0": "ctc",
}


@dataclass(frozen=True, slots=True)
class SavedPlace:
    """Where a tensor is found in the graph of every step's loss: which way to take at each node, and what to read."""

    turns: tuple[int, ...]
    names: tuple[str, ...]
    attribute: str
    item: int  # within a saved list; −1 for none


def graph_names(loss: Tensor) -> tuple[str, ...]:
    """Names of the nodes from a loss towards the first parameter that its graph leads to.

    >>> import torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> graph_names((w * 2).sum())
    ('SumBackward0', 'MulBackward0', 'AccumulateGrad')
    """
    names: list[str] = []
    node: Any = loss.grad_fn
    while node is not None and len(names) < _LONGEST_PATH:
        names.append(node.name().rpartition("::")[2])
        node = next((following for following, _ in node.next_functions if following is not None), None)
    return tuple(names)


def loss_node_kind(loss: Tensor) -> str:
    """The kind of loss that a graph shows without its calls; "custom" where none of torch's own is near.

    >>> import torch
    >>> w = torch.zeros(2, 3, requires_grad=True)
    >>> loss_node_kind(torch.nn.functional.cross_entropy(w, torch.tensor([0, 2])) / 4)
    'cross_entropy'
    """
    for _, _, node in graph_nodes(loss):
        kind = _KINDS.get(node.name())
        if kind == "nll":
            before = [following.name() for following, _ in node.next_functions if following is not None]
            return "cross_entropy" if before and before[0].startswith("LogSoftmax") else "nll"
        if kind is not None:
            return kind
    return "custom"


def find_saved(loss: Tensor, wanted: Tensor, most_nodes: int = _MOST_NODES) -> SavedPlace | None:
    """Where the graph of a loss keeps a tensor, among so many nodes from the loss on."""
    if wanted.numel() == 0:
        return None
    for turns, names, node in graph_nodes(loss, most_nodes):
        for attribute in _SAVED:
            for item, saved in _saved(node, attribute):
                same = saved.data_ptr() == wanted.data_ptr() and saved.dtype == wanted.dtype
                if same and saved.numel() == wanted.numel():
                    return SavedPlace(turns, names, attribute, item)
    return None


def find_node(loss: Tensor, name: str, attribute: str) -> SavedPlace | None:
    """The nearest node of a name, and what it saved."""
    for turns, names, node in graph_nodes(loss):
        if node.name() == name and _saved(node, attribute):
            return SavedPlace(turns, names, attribute, -1)
    return None


def follow(loss: Tensor, place: SavedPlace) -> Tensor | None:
    """The tensor at that place in another step's graph; None where the graph is another."""
    node: Any = loss.grad_fn
    for turn, name in zip((*place.turns, -1), place.names, strict=True):
        if node is None or node.name() != name:
            return None
        if turn >= 0:
            following = node.next_functions
            node = following[turn][0] if turn < len(following) else None
    found = dict(_saved(node, place.attribute))
    return found.get(place.item)


def graph_nodes(loss: Tensor, most: int = _MOST_NODES) -> Iterator[tuple[tuple[int, ...], tuple[str, ...], Any]]:
    """Nodes from the loss on, the nearest first, with the way to each."""
    if loss.grad_fn is None:
        return
    waiting: deque[tuple[tuple[int, ...], tuple[str, ...], Any]] = deque([((), (loss.grad_fn.name(),), loss.grad_fn)])
    seen = {loss.grad_fn}
    while waiting and len(seen) <= most:
        turns, names, node = waiting.popleft()
        yield turns, names, node
        for turn, (following, _) in enumerate(node.next_functions):
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(((*turns, turn), (*names, following.name()), following))


def _saved(node: Any, attribute: str) -> list[tuple[int, Tensor]]:
    """A node's saved tensor, or tensors; none where it has none, or no longer."""
    try:
        value = getattr(node, attribute, None)
    except RuntimeError:  # freed, or overwritten since
        return []
    if isinstance(value, Tensor):
        return [(-1, value)]
    if isinstance(value, list | tuple):
        return [(i, item) for i, item in enumerate(value) if isinstance(item, Tensor)]
    return []
