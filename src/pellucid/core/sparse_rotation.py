"""The rotation of feature space in which class centres are sparsest, and whether chance would do as well.

Neural collapse fixes the centres' Gram matrix, not their place: any rotation of the features, undone by the classifier,
computes the same. Among these rotations one may have features that few classes use each. It is looked for by varimax
(Kaiser 1958), then by the ℓ₁ norm on the orthogonal group: soft thresholding and a Procrustes turn, in alternation
(orthogonal dictionary learning: Lesage, Gribonval, Bimbot, Benaroya 2005), from many starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["RotationTest", "SparseRotation", "find_sparse_rotation", "judge_sparse_rotation", "neuron_sparsity"]

_TIE = 1e-6
"""Densities nearer than this are equal."""

_VARIMAX_STEPS = 30
_HARD = (1.2, 1.0, 0.8, 0.6, 0.4)
_HARD_STEPS = 15
_SOFT = (0.1, 0.05, 0.02)
_SOFT_STEPS = 8
_BATCH_NUMBERS = 1 << 21
"""Numbers of one block of problems that are turned together."""


@dataclass(frozen=True)
class SparseRotation:
    """The sparsest rotation that was found of each problem."""

    rotation: np.ndarray  # (…, k, k): the new features are its columns
    density: np.ndarray  # (…): mean absolute loading over its root mean square, 0–1; √(2/π) = 0.80 for a Gaussian
    varimax: np.ndarray  # (…): the density at the varimax solution
    agreeing: np.ndarray  # (…): the share of starts that came to the same density


@dataclass(frozen=True)
class RotationTest:
    """The density that was found, beside those of the null model."""

    found: SparseRotation
    null: np.ndarray  # (draws,) densities of random centres
    p_value: float  # share of null draws at least as sparse, the observed one counted in


def find_sparse_rotation(blocks: np.ndarray, *, starts: int = 48, seed: int = 0) -> SparseRotation:
    """Turn (…, blocks, classes, k) so that the loadings are sparsest, every block (centres, classifier) weighing alike.

    From each start, loadings under a threshold are set to zero and the rotation follows them (Procrustes), at falling
    thresholds; then the same with soft thresholds, which descends the ℓ₁ norm (rounded off at 0). One start is the
    varimax solution; the others are uniformly random.

    Args:
        blocks: Coordinates of the vectors; every block is brought to the same size.
        starts: How many random rotations to begin at, besides varimax.
        seed: Of the random rotations.
    """
    shape = blocks.shape
    flat = np.asarray(blocks, dtype=np.float64).reshape(-1, *shape[-3:])
    size = np.sqrt((flat**2).mean(axis=(2, 3), keepdims=True))
    flat = (flat / np.where(size > 0, size, 1.0)).reshape(len(flat), 1, -1, shape[-1])
    first = _haar(np.random.default_rng(seed), starts, shape[-1])
    step = max(1, _BATCH_NUMBERS // ((starts + 1) * int(np.prod(shape[-3:]))))
    parts = [_best(flat[begin : begin + step], first) for begin in range(0, len(flat), step)]
    rotation, *figures = (np.concatenate(part) for part in zip(*parts, strict=True))
    lead = shape[:-3]
    density, varimax, agreeing = (one.reshape(lead) for one in figures)
    return SparseRotation(rotation.reshape(*lead, shape[-1], shape[-1]), density, varimax, agreeing)


def judge_sparse_rotation(blocks: np.ndarray, *, starts: int = 48, draws: int = 99, seed: int = 0) -> RotationTest:
    """Is the sparsest rotation of (blocks, classes, k) sparser than chance gives?

    Centres of the same Gram matrix are rotations of one another, and have the same sparsest rotation; so the null
    model keeps what the features know, the scatter of the centres in feature space and the common mean, and replaces
    each class by a random mixture of all classes: M → QM with Q uniform on the orthogonal matrices that leave
    (1, …, 1) in place, one Q for all blocks. Independent Gaussian centres are invariant under it, so that on them the
    p-value is exact; a simplex stays a simplex under it, so that nothing is found there. Observed and null are searched
    alike.
    """
    generator = np.random.default_rng((seed, 1))
    mixed = np.stack([blocks, *(_mixing(generator, blocks.shape[1]) @ blocks for _ in range(draws))])
    every = find_sparse_rotation(mixed, starts=starts, seed=seed)
    found = SparseRotation(
        *(np.asarray(getattr(every, name)[0]) for name in ("rotation", "density", "varimax", "agreeing"))
    )
    null = every.density[1:]
    hits = int((null <= float(found.density) + _TIE).sum())
    return RotationTest(found, null, (1 + hits) / (1 + draws))


def neuron_sparsity(centres: np.ndarray, *, draws: int, seed: int = 0) -> tuple[float, float, float]:
    """Are the neurons themselves privileged axes? Their density, that of random rotations, and the p-value.

    Null model: centres of the same Gram matrix in a uniformly random orientation.
    """
    centred = centres - centres.mean(axis=0)
    generator = np.random.default_rng((seed, 2))
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    kept = values > 1e-12 * max(float(values.max(initial=0.0)), 1e-300)
    coordinates = left[:, kept] * values[kept]
    own = _density(centred)
    null = []
    for _ in range(draws):
        frame = np.linalg.qr(generator.standard_normal((centres.shape[1], coordinates.shape[1])))[0]
        null.append(_density(coordinates @ frame.T))
    hits = sum(one <= own + 1e-12 for one in null)
    return own, float(np.mean(null)) if null else float("nan"), (1 + hits) / (1 + draws)


def _density(values: np.ndarray) -> float:
    size = float(np.sqrt((values**2).mean()))
    return float(np.abs(values).mean()) / size if size > 0 else float("nan")


def _best(rows: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The best end of every start, for each problem of (n, 1, vectors, k)."""
    back = np.swapaxes(rows, -1, -2)
    varimax = _varimax(rows, back)
    turn = np.concatenate([varimax, np.broadcast_to(first, (len(rows), *first.shape))], axis=1)
    for threshold in _HARD:
        for _ in range(_HARD_STEPS):
            loadings = rows @ turn
            turn = _polar(back @ (loadings * (np.abs(loadings) > threshold)))
    for threshold in _SOFT:
        for _ in range(_SOFT_STEPS):
            loadings = rows @ turn
            turn = _polar(back @ (loadings - np.clip(loadings, -threshold, threshold)))
    turn = np.concatenate([turn, varimax], axis=1)
    density = np.abs(rows @ turn).mean(axis=(-1, -2))
    winner, index = density.argmin(axis=1), np.arange(len(rows))
    best = density[index, winner]
    agreeing = (density[:, :-1] <= best[:, None] + 1e-3).mean(axis=1)
    return turn[index, winner], best, density[:, -1], agreeing


def _varimax(rows: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Kaiser's criterion (1958), climbed from the coordinates as they are."""
    turn = np.broadcast_to(np.eye(rows.shape[-1]), (len(rows), 1, rows.shape[-1], rows.shape[-1]))
    for _ in range(_VARIMAX_STEPS):
        loadings = rows @ turn
        squares = loadings**2
        turn = _polar(back @ (loadings * (squares - squares.mean(axis=-2, keepdims=True))))
    return turn


def _polar(matrices: np.ndarray) -> np.ndarray:
    """The nearest orthogonal matrices."""
    left, _, right = np.linalg.svd(matrices)
    return left @ right


def _haar(generator: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Uniformly random orthogonal matrices."""
    factor, upper = np.linalg.qr(generator.standard_normal((count, size, size)))
    signs = np.sign(np.diagonal(upper, axis1=-2, axis2=-1))
    return factor * np.where(signs == 0, 1.0, signs)[:, None, :]


def _mixing(generator: np.random.Generator, classes: int) -> np.ndarray:
    """A uniformly random orthogonal matrix that leaves (1, …, 1) in place."""
    # The reflection that takes (1, …, 1)/√C to the first axis.
    axis = np.full(classes, -1 / np.sqrt(classes))
    axis[0] += 1.0
    length = float(axis @ axis)
    mirror = np.eye(classes) - (2 / length) * np.outer(axis, axis) if length > 0 else np.eye(classes)
    inner = np.eye(classes)
    inner[1:, 1:] = _haar(generator, 1, classes - 1)[0]
    return mirror @ inner @ mirror
