"""Numbers on their way from a device: many small tensors in one copy, which nothing has to wait for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Transfer", "fetch"]


class Transfer:
    """Brings the numbers of small tensors over, in one copy from each device they are on.

    From a CUDA device the copy goes into pinned memory behind whatever the stream is doing: ``is_ready`` tells, without
    waiting, whether it has arrived. From any other device the numbers are there at once. Entries of tensors that are
    nowhere (device "meta") are NaN.

    Args:
        tensors: Of any shapes; their values as they are now.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._sizes = [tensor.numel() for tensor in tensors]
        self._parts: list[tuple[list[int], Tensor]] = []
        self._events: list[torch.cuda.Event] = []
        kinds = dict.fromkeys((tensor.device, tensor.dtype) for tensor in tensors)
        for device, dtype in kinds:
            places = [i for i, tensor in enumerate(tensors) if tensor.device == device and tensor.dtype == dtype]
            joined = torch.cat([tensors[place].detach().reshape(-1) for place in places])
            self._parts.append((places, self._sent(joined.to(_widest(device)))))

    def _sent(self, joined: Tensor) -> Tensor:
        if joined.device.type == "meta":
            return torch.full(joined.shape, torch.nan, device="cpu")
        if joined.device.type != "cuda":
            return joined
        near = torch.empty(joined.shape, dtype=joined.dtype, pin_memory=True)
        near.copy_(joined, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(joined.device))
        self._events.append(event)
        return near

    @property
    def is_ready(self) -> bool:
        """Whether ``numbers`` would not have to wait."""
        return all(event.query() for event in self._events)

    def numbers(self) -> list[list[float]]:
        """The entries of each tensor, flat, in the order in which the tensors were given; waits if need be."""
        for event in self._events:
            event.synchronize()
        fetched: list[list[float]] = [[]] * len(self._sizes)
        for places, joined in self._parts:
            numbers = joined.tolist()
            start = 0
            for place in places:
                fetched[place] = numbers[start : start + self._sizes[place]]
                start += self._sizes[place]
        return fetched


def fetch(tensors: Sequence[Tensor]) -> list[list[float]]:
    """The numbers of many small tensors, waited for.

    >>> fetch([torch.tensor([1.0, 2.0]), torch.tensor(3)])
    [[1.0, 2.0], [3.0]]
    """
    return Transfer(tensors).numbers()


def _widest(device: torch.device) -> torch.dtype:
    """float64, but on devices that have none."""
    return torch.float32 if device.type == "mps" else torch.float64
