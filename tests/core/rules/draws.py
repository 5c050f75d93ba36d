"""What the property tests draw: shapes, dtypes, numbers and calls."""

from __future__ import annotations

import random
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.core.rules.oracle import normal

DTYPES = (torch.float64, torch.float64, torch.float32, torch.bfloat16)
"""float64 twice as often: only there differences are taken."""


class Draws:
    """Draws of one example, with the random streams seeded by it."""

    def __init__(self, data: st.DataObject, dtypes: tuple[torch.dtype, ...] = DTYPES) -> None:
        self._data = data
        seed = data.draw(st.integers(0, 2**20))
        torch.manual_seed(seed)
        random.seed(seed)
        self.dtype = self.one(dtypes)

    def one(self, choices: Any) -> Any:
        return self._data.draw(st.sampled_from(list(choices)))

    def size(self, low: int = 1, high: int = 4) -> int:
        return self._data.draw(st.integers(low, high))

    def yes(self) -> bool:
        return self._data.draw(st.booleans())

    def shape(self, low: int = 0, high: int = 3, smallest: int = 1) -> tuple[int, ...]:
        return tuple(self.size(smallest) for _ in range(self.size(low, high)))

    def tensor(self, *shape: int, low: float | None = None) -> Tensor:
        return normal(*shape, dtype=self.dtype, low=low)

    def narrower(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to the given one."""
        kept = shape[self.size(0, len(shape)) :]
        return tuple(n if self.yes() else 1 for n in kept)

    def maybe(self, value: Any) -> Any:
        return value if self.yes() else None
