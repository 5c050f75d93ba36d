"""One reading of what people call a loader: a data loader, a list of batches, or two arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import DataError

__all__ = ["Batches", "batches_of", "whole_of"]

Batches = Iterable[Any]
"""An iterable of (inputs, targets) batches that can be walked again and again, or a pair of tensors or arrays."""


def batches_of(loader: Batches, *, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """The (inputs, targets) of every batch, as tensors that share the loader's memory.

    Args:
        loader: A ``DataLoader``, a list of pairs, or one pair ``(inputs, targets)`` of tensors or NumPy arrays.
        size: Cut every batch into pieces of at most so many examples; None leaves them as they come.

    Yields:
        Inputs and targets of equal length, at least one example each; the loader's own order.

    Raises:
        DataError: the loader is used up after one walk, is empty, or gives something else than pairs.

    >>> [len(x) for x, y in batches_of((torch.zeros(5, 2), torch.zeros(5)), size=2)]
    [2, 2, 1]
    """
    if size is not None and size < 1:
        raise DataError(f"a batch of {size} examples cannot be", place="size", remedy="give at least 1")
    seen = 0
    for place, batch in enumerate(_walk(loader)):
        x, y = _pair(batch, place)
        seen += len(x)
        if not len(x):
            continue
        pieces = [(x, y)] if size is None else zip(x.split(size), y.split(size), strict=True)
        yield from pieces
    if not seen:
        raise DataError("there are no examples", place="loader", remedy="give at least one batch that is not empty")


def whole_of(loader: Batches) -> tuple[Tensor, Tensor]:
    """All inputs and all targets, joined; a pair of tensors comes back as it is.

    Raises:
        DataError: as ``batches_of``, or the batches' examples differ in shape.
    """
    batches = list(batches_of(loader))
    if len(batches) == 1:
        return batches[0]
    try:
        return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    except (RuntimeError, TypeError) as error:
        raise DataError(
            f"the batches cannot be joined: {error}",
            place="loader",
            remedy="give batches whose examples have one shape",
        ) from error


def _walk(loader: Any) -> Iterable[Any]:
    """The batches as they come; a lone pair of arrays is one batch."""
    if isinstance(loader, Tensor | np.ndarray):
        raise DataError(
            "there are inputs but no targets", place="loader", remedy="give (inputs, targets) or a loader of such pairs"
        )
    if not isinstance(loader, Iterable):
        raise DataError(
            f"a {type(loader).__name__} is no loader",
            place="loader",
            remedy="give (inputs, targets), a list of such pairs or a DataLoader",
        )
    if isinstance(loader, Iterator):
        raise DataError(
            "this loader can be walked once only, and it is walked several times",
            place="loader",
            remedy="give list(loader), or the DataLoader itself in place of its iterator",
        )
    if isinstance(loader, tuple | list) and len(loader) == 2 and all(_is_array(part) for part in loader):
        return [loader]
    return loader


def _pair(batch: Any, place: int) -> tuple[Tensor, Tensor]:
    """The two tensors of a batch."""
    where = f"batch {place}"
    if not isinstance(batch, tuple | list) or len(batch) != 2 or not all(_is_array(part) for part in batch):
        held = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        raise DataError(
            f"a batch is a {type(batch).__name__}{held}, not a pair of tensors",
            place=where,
            remedy="let the loader give (inputs, targets)",
        )
    x, y = (torch.as_tensor(part) for part in batch)
    if not x.ndim or not y.ndim or len(x) != len(y):
        raise DataError(
            f"inputs of shape {tuple(x.shape)} do not go with targets of shape {tuple(y.shape)}",
            place=where,
            remedy="let both begin with the same number of examples",
        )
    return x, y


def _is_array(part: Any) -> bool:
    return isinstance(part, Tensor | np.ndarray)
