"""The geometry of class centres and classifier: lengths, angles, distances and duality, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Angles", "distance_variance", "measure_angles", "normalised_gap", "paired_cosines", "spread", "unit_rows"]

_TILE_NUMBERS = 1 << 22
"""Numbers of a tile of the classes × classes matrix."""

_ROWS = 4096
"""Rows of a matrix taken at a time, so that no second copy of a large one is made."""

_FLOAT64_CLASSES = 4096
"""Above so many classes the pairs are computed in float32: then they cost most, and matter to six digits."""


@dataclass(frozen=True)
class Angles:
    """Cosines between all pairs of distinct vectors."""

    mean: float
    std: float
    from_simplex: float  # mean |cos + 1/(C−1)|
    largest: float
    log_mean: float  # of log(1/‖u − u'‖), the energy of hyperspherical uniformity
    log_std: float


def unit_rows(vectors: Tensor) -> Tensor:
    """Rows of length 1; a zero row stays zero."""
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(norms > 0, norms, 1.0)


def spread(lengths: Tensor, *, unbiased: bool = False) -> float:
    """Standard deviation over mean (the coefficient of variation)."""
    if len(lengths) < 2:
        return 0.0 if not unbiased else float("nan")
    return float(lengths.std(correction=1 if unbiased else 0) / lengths.mean())


def measure_angles(vectors: Tensor) -> Angles:
    """The cosines between each two rows of (C, d), C ≥ 2, a tile at a time."""
    count = len(vectors)
    units, ideal = unit_rows(vectors), -1.0 / (count - 1)
    cosines, logs = _Running(), _Running()
    gap, largest = 0.0, -1.0
    for _, tile in _tiles(units):
        others = _off_diagonal(tile).double()
        gap += float((others - ideal).abs_().sum())
        largest = max(largest, float(others.max()))
        cosines.add(others)
        logs.add(others.mul_(-2).add_(2).clamp_(min=1e-300).log_().mul_(-0.5))
    return Angles(cosines.mean, cosines.std, gap / cosines.count, largest, logs.mean, logs.std)


class _Running:
    """Mean and standard deviation of tiles, each centred by itself (Chan, Golub, LeVeque 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: Tensor) -> None:
        count, mean = len(values), float(values.mean())
        step, total = mean - self.mean, self.count + count
        self.squares += float((values - mean).square().sum()) + step**2 * self.count * count / total
        self.mean += step * count / total
        self.count = total

    @property
    def std(self) -> float:
        """The population's."""
        return (self.squares / self.count) ** 0.5


def distance_variance(centred: Tensor, within: Tensor) -> tuple[float, float]:
    """Class-distance normalised variance, (v + v')/(2‖μ − μ'‖²): mean and largest over pairs of distinct classes."""
    squares = centred.square().sum(dim=1)
    total, largest = 0.0, 0.0
    for begin, tile in _tiles(centred):
        end = begin + len(tile)
        gaps = tile.double().mul_(-2).add_(squares[begin:end, None]).add_(squares[begin:]).clamp_(min=0).mul_(2)
        values = _off_diagonal((within[begin:end, None] + within[begin:]).div_(gaps))
        total += float(values.sum())
        largest = max(largest, float(values.max()))
    count = len(centred)
    return 2 * total / (count * (count - 1)), largest


def normalised_gap(matrix: Tensor, ideal: Tensor) -> float:
    """‖A/‖A‖ − B/‖B‖‖ in the Frobenius norm; nan if one is zero."""
    a, b = (sum(float(part.double().square().sum()) for part in one.split(_ROWS)) ** 0.5 for one in (matrix, ideal))
    if not (a > 0 and b > 0):
        return float("nan")
    pairs = zip(matrix.split(_ROWS), ideal.split(_ROWS), strict=True)
    return sum(float((one.double() / a - other / b).square_().sum()) for one, other in pairs) ** 0.5


def paired_cosines(rows: Tensor, others: Tensor) -> Tensor:
    """The cosine of each row with the other matrix's row."""
    pairs = zip(rows.split(_ROWS), others.split(_ROWS), strict=True)
    return torch.cat([(unit_rows(one.double()) * unit_rows(other.double())).sum(dim=1) for one, other in pairs])


def _tiles(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Blocks of rows of the Gram matrix from its diagonal on, with the place of the first row."""
    count = len(rows)
    working = rows if count <= _FLOAT64_CLASSES else rows.float()
    step = max(2, _TILE_NUMBERS // count)
    for begin in range(0, count - 1, step):
        yield begin, working[begin : begin + step] @ working[begin:].T


def _off_diagonal(tile: Tensor) -> Tensor:
    """What lies above the diagonal, at which the tile begins: every pair once."""
    rows, columns = tile.shape
    above = torch.arange(columns, device=tile.device) > torch.arange(rows, device=tile.device)[:, None]
    return tile[above]
