"""A piecewise-affine program as a list of stages: between two, all quantities of the next are affine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pellucid.capture.piecewise import Kink, PiecewiseProgram

__all__ = ["Stage", "read_stages", "winners"]


@dataclass(frozen=True, eq=False)
class Stage:
    """Quantities that divide the cells that all earlier stages made.

    A threshold is one stage. A maximum is a knock-out: in each round the members of a group that are left are compared
    in pairs, and a last round leaves one.

    Attributes:
        program: The network.
        kink: The operation.
        round: Which round of a maximum; 0 for a threshold.
        pairs: How many quantities there are for each unit: 1 for a threshold.
        units: How many quantities.
        last: Whether the operation is done after it.
    """

    program: PiecewiseProgram
    kink: Kink
    round: int
    pairs: int
    units: int
    last: bool

    def quantities(self, points: Tensor) -> Tensor:
        """The quantities at points, n × units; zero on the hyperplanes that divide."""
        return self.compare(self.program.quantities(points, self.kink.index))

    def compare(self, entries: Tensor) -> Tensor:
        """The same from the operation's entries."""
        if self.kink.kind == "threshold":
            return entries
        for _ in range(self.round):
            entries = _play(entries)
        half = entries.shape[2] // 2
        gap = entries[..., 0 : 2 * half : 2] - entries[..., 1 : 2 * half : 2]
        return torch.nan_to_num(gap, nan=0.0, posinf=1.0, neginf=-1.0).flatten(1)

    def scale(self, points: Tensor) -> np.ndarray:
        """The size of each quantity, taken from some points."""
        entries = self.program.quantities(points, self.kink.index).abs()
        if self.kink.kind == "threshold":
            return entries.amax(0).numpy()
        finite = torch.where(torch.isfinite(entries), entries, 0.0).amax((0, 2))
        return finite.repeat_interleave(self.pairs).numpy()


def read_stages(program: PiecewiseProgram) -> list[Stage]:
    """The stages of a program, in order."""
    stages: list[Stage] = []
    for kink in program.kinks:
        if kink.kind == "threshold":
            stages.append(Stage(program, kink, 0, 1, kink.quantities, last=True))
            continue
        members, number = kink.members, 0
        while members > 1:
            left = (members + 1) // 2
            stages.append(Stage(program, kink, number, members // 2, kink.quantities * (members // 2), left == 1))
            members, number = left, number + 1
    return stages


def winners(kink: Kink, rounds: Sequence[np.ndarray]) -> np.ndarray:
    """Which member of each group is the largest, cell by cell.

    Args:
        kink: The maximum.
        rounds: Of each round the patterns of the cells: cells × words of 64 bits.

    Returns:
        Cells × groups, the place of the member in its group.
    """
    from pellucid.core.planar_signs import knock_out

    kind = np.uint8 if kink.members <= 256 else np.uint16
    found = np.empty((len(rounds[0]), kink.quantities), kind)
    starts = np.cumsum([0, *(words.shape[1] for words in rounds)])[:-1]
    for first in range(0, len(found), 1024):
        part = slice(first, first + 1024)
        words = np.concatenate([one[part] for one in rounds], axis=1)
        knock_out(words, starts, np.empty(kink.members, kind), found[part])
    return found


def _play(entries: Tensor) -> Tensor:
    """One round: the larger of each pair; one that has no partner goes on."""
    half = entries.shape[2] // 2
    won = torch.maximum(entries[..., 0 : 2 * half : 2], entries[..., 1 : 2 * half : 2])
    return torch.cat([won, entries[..., 2 * half :]], 2)
