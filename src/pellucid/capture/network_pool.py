"""Copies of one network for work that goes on in several threads: each thread holds one while it needs it."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

__all__ = ["NetworkPool"]

_Network = TypeVar("_Network")
_Found = TypeVar("_Found")


class NetworkPool(Generic[_Network]):
    """One network and as many copies that as many threads can work at once; a network may keep numbers of its own.

    Args:
        first: The network.
        copied: Makes a copy of it.
        count: How many threads work at once, at least 1.

    >>> NetworkPool([1, 2], lambda: [1, 2], 2).use(sum)
    3
    """

    def __init__(self, first: _Network, copied: Callable[[], _Network], count: int) -> None:
        self._free: SimpleQueue[_Network] = SimpleQueue()
        for number in range(count):
            self._free.put(copied() if number else first)

    def use(self, what: Callable[[_Network], _Found]) -> _Found:
        """What a function makes of a network that nobody else holds; waits until one is free."""
        network = self._free.get()
        try:
            return what(network)
        finally:
            self._free.put(network)
