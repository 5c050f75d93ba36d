"""What a random operation drew, read off by running it again on numbers that show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pellucid.core.rules.base import Arguments
from pellucid.core.rules.signatures import canonical_name

__all__ = ["drawn_numbers"]

_DROPOUTS = (
    "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout", "feature_alpha_dropout",
)  # fmt: skip
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def drawn_numbers(function: Callable[..., Any], args: Arguments) -> dict[str, Any]:
    """The arguments that a random call's rule needs besides its own: ``mask`` of a dropout, ``drawn`` of others.

    Args:
        function: The function. The random stream must stand where it stood before the call.
        args: The bound call.

    Returns:
        For dropouts ``mask``, true where an entry was kept; for attention ``drawn``, the factor (0 or 1/(1 − p)) of
        every weight; for recurrent layers ``drawn``, that factor for every number handed from one layer to the next.
        Empty where nothing was drawn, and on other devices than the CPU, whose streams are not known.

    >>> _ = torch.manual_seed(0)
    >>> drawn_numbers(torch.dropout, {"input": torch.zeros(4), "p": 0.5, "training": True})["mask"].shape
    torch.Size([4])
    """
    name = canonical_name(function)
    if any(isinstance(item, Tensor) and item.device.type != "cpu" for item in args.values()):
        return {}
    with torch.no_grad():
        if name in _DROPOUTS and args.get("training", args.get("train", True)) and args["p"]:
            return {"mask": function(torch.ones_like(args["input"]), args["p"], True) > 0}
        if name == "scaled_dot_product_attention" and args.get("dropout_p"):
            return {"drawn": _of_attention(args)}
        if name in _RECURRENT and "params" in args and args["dropout"] and args["train"]:
            return {"drawn": _between_layers(args)}
    return {}


def _of_attention(args: Arguments) -> Tensor:
    """Without scores all weights are alike, and values that are the rows of a unit matrix show each one's factor."""
    query, key, p = args["query"].detach(), args["key"].detach(), float(args["dropout_p"])
    keys = key.shape[-2]
    lead = torch.broadcast_shapes(key.shape[:-2], args["value"].shape[:-2])
    shown = torch.eye(keys, dtype=query.dtype, device=query.device).expand(*lead, keys, keys)
    grouped = bool(args.get("enable_gqa"))
    found = functional.scaled_dot_product_attention(
        torch.zeros_like(query), torch.zeros_like(key), shown, dropout_p=p, enable_gqa=grouped
    )
    return (found != 0).to(torch.float64) / (1 - p if p < 1 else 1)


def _between_layers(args: Arguments) -> list[Tensor]:
    """One dropout after the other, of the shape of what the layers hand on."""
    hidden = args["hx"][0] if isinstance(args["hx"], list | tuple) else args["hx"]
    directions = 2 if args["bidirectional"] else 1
    if "batch_sizes" in args:
        shape = (len(args["data"]), hidden.shape[-1] * directions)
    else:
        given = args["input"].shape
        times = (given[1], given[0]) if args["batch_first"] else (given[0], given[1])
        shape = (*times, hidden.shape[-1] * directions)
    whole = torch.ones(shape, dtype=hidden.dtype, device=hidden.device)
    p = float(args["dropout"])
    return [torch.dropout(whole, p, True).to(torch.float64) for _ in range(args["num_layers"] - 1)]
