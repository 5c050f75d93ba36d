"""The rotation of feature space in which class centres are sparsest, and whether chance would do as well.

Neural collapse fixes the centres' Gram matrix, not their place: any rotation of the features, undone by the classifier,
computes the same. Among these rotations one may have features that few classes use each. It is looked for from varimax
(Kaiser 1958) and random starts: loadings under a threshold are set to zero and a Procrustes turn follows them, by turns
(orthogonal dictionary learning: Lesage, Gribonval, Bimbot, Benaroya 2005), at falling thresholds. Then pairs of axes of
the best are turned by 45° and the last steps taken again: most wrong ends have two features mixed.

What is least at the end, and chooses among the ends, are the squares of the loadings cut off at the thresholds. The ℓ₁
norm, often taken instead, also shrinks loadings that are in use: with few classes and noise it is less at a wrong basis
than at the planted one, so that no search by it can be right (``benchmarks/rotation.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "RotationTest",
    "SparseRotation",
    "find_sparse_rotation",
    "judge_sparse_rotation",
    "loading_density",
    "neuron_sparsity",
]

_TIE = 1e-6
"""Densities nearer than this are equal."""

_VARIMAX_STEPS = 30
_LEVELS = np.array([0.3, 0.4, 0.5, 0.6, 0.7])
"""From about here on, in root mean squares of all loadings, a loading counts as used; below, by its square."""
_FALLING = (1.2, 1.0, 0.8)
_FALLING_STEPS = 10
_LAST_STEPS = 15
_BEST = 4
_PAIRS = 8
_PAIR_ROUNDS = 6
_BATCH_NUMBERS = 1 << 21
"""Numbers of one block of problems that are turned together."""


@dataclass(frozen=True)
class SparseRotation:
    """The sparsest rotation that was found of each problem."""

    rotation: np.ndarray  # (…, k, k): the new features are its columns
    density: np.ndarray  # (…): share of the loadings in use, 0–1; see ``loading_density``
    varimax: np.ndarray  # (…): the density at the varimax solution
    agreeing: np.ndarray  # (…): the share of starts that came to the same density


@dataclass(frozen=True)
class RotationTest:
    """The density that was found, beside those of the null model."""

    found: SparseRotation
    null: np.ndarray  # (draws,) densities of random centres
    p_value: float  # share of null draws at least as sparse, the observed one counted in


def find_sparse_rotation(blocks: np.ndarray, *, starts: int = 24, seed: int = 0) -> SparseRotation:
    """Turn (…, blocks, classes, k) so that the loadings are sparsest, every block (centres, classifier) weighing alike.

    Sparsest is where ``loading_density`` is least. One start is the varimax solution; the others are uniformly random.

    Args:
        blocks: Coordinates of the vectors; every block is brought to the same size.
        starts: How many random rotations to begin at, besides varimax.
        seed: Of the random rotations.
    """
    shape = blocks.shape
    flat = np.asarray(blocks, dtype=np.float64).reshape(-1, *shape[-3:])
    size = np.sqrt((flat**2).mean(axis=(2, 3), keepdims=True))
    flat = (flat / np.where(size > 0, size, 1.0)).reshape(len(flat), 1, -1, shape[-1])
    generator = np.random.default_rng(seed)
    first, pairs = _haar(generator, starts, shape[-1]), _pair_turns(generator, shape[-1])
    step = max(1, _BATCH_NUMBERS // ((starts + 1) * int(np.prod(shape[-3:]))))
    parts = [_best(flat[begin : begin + step], first, pairs) for begin in range(0, len(flat), step)]
    rotation, *figures = (np.concatenate(part) for part in zip(*parts, strict=True))
    lead = shape[:-3]
    density, varimax, agreeing = (one.reshape(lead) for one in figures)
    return SparseRotation(rotation.reshape(*lead, shape[-1], shape[-1]), density, varimax, agreeing)


def judge_sparse_rotation(blocks: np.ndarray, *, starts: int = 24, draws: int = 99, seed: int = 0) -> RotationTest:
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
    """Are the neurons themselves privileged axes? Their evenness, that of random rotations, and the p-value.

    Evenness is mean |value| over root mean square, small where few neurons carry most. Null model: centres of the same
    Gram matrix in a uniformly random orientation. Values count from 0, so subtract the mean before where that is meant.
    """
    generator = np.random.default_rng((seed, 2))
    left, values, _ = np.linalg.svd(centres, full_matrices=False)
    kept = values > 1e-12 * max(float(values.max(initial=0.0)), 1e-300)
    coordinates = left[:, kept] * values[kept]
    own = _evenness(centres)
    null = []
    for _ in range(draws):
        frame = np.linalg.qr(generator.standard_normal((centres.shape[1], coordinates.shape[1])))[0]
        null.append(_evenness(coordinates @ frame.T))
    hits = sum(one <= own + 1e-12 for one in null)
    return own, float(np.mean(null)) if null else float("nan"), (1 + hits) / (1 + draws)


def _evenness(values: np.ndarray) -> float:
    size = float(np.sqrt((values**2).mean()))
    return float(np.abs(values).mean()) / size if size > 0 else float("nan")


def loading_density(values: np.ndarray) -> float:
    """The share of loadings in use: Σₜ mean min(ℓ², t²) / Σₜ t², t from 0.3 to 0.7 of their root mean square.

    0 would be none, 1 all alike; Gaussian loadings have 0.71. nan where all are 0.

    >>> loading_density(np.array([1.0, 0.0, 0.0, -2.0]))
    0.5
    """
    size = float((values**2).mean())
    return float(_cut_squares(values / np.sqrt(size)).mean()) if size > 0 else float("nan")


def _cut_squares(loadings: np.ndarray) -> np.ndarray:
    """Of loadings whose root mean square is 1: 1 above the levels, below them their squares in units of the levels'."""
    squares = loadings**2
    return sum(np.minimum(squares, level**2) for level in _LEVELS) / (_LEVELS**2).sum()


def _best(
    rows: np.ndarray, first: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each problem of (n, 1, vectors, k) the best of every start's end, and of the ends after pairs were turned."""
    back = np.swapaxes(rows, -1, -2)
    varimax = _varimax(rows, back)
    turn = np.concatenate([varimax, np.broadcast_to(first, (len(rows), *first.shape))], axis=1)
    for threshold in _FALLING:
        turn = _descend(rows, back, turn, np.array([threshold]), _FALLING_STEPS)
    turn = _descend(rows, back, turn, _LEVELS, _LAST_STEPS)
    ends = _cut_squares(rows @ turn).mean(axis=(-1, -2))
    for chosen in pairs:
        kept = _leading(rows, turn)
        turned = (kept[:, :, None] @ chosen).reshape(len(rows), -1, *kept.shape[-2:])
        turn = np.concatenate([kept, _descend(rows, back, turned, _LEVELS, _LAST_STEPS)], axis=1)
    turn = np.concatenate([_descend(rows, back, _leading(rows, turn), _LEVELS, _LAST_STEPS), varimax], axis=1)
    density = _cut_squares(rows @ turn).mean(axis=(-1, -2))
    winner, index = density.argmin(axis=1), np.arange(len(rows))
    best = density[index, winner]
    return turn[index, winner], best, density[:, -1], (ends <= best[:, None] + 1e-3).mean(axis=1)


def _descend(rows: np.ndarray, back: np.ndarray, turn: np.ndarray, levels: np.ndarray, steps: int) -> np.ndarray:
    """Towards loadings whose squares, cut off at every level, add up to less: each step cannot raise that sum."""
    for _ in range(steps):
        loadings = rows @ turn
        sizes = np.abs(loadings)
        share = sum((sizes > level).astype(np.float64) for level in levels) / len(levels)
        turn = _polar(back @ (loadings * share))
    return turn


def _leading(rows: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """The few sparsest rotations of each problem."""
    order = np.argsort(_cut_squares(rows @ turn).mean(axis=(-1, -2)), axis=1, kind="stable")[:, :_BEST]
    return np.take_along_axis(turn, order[..., None, None], axis=1)


def _pair_turns(generator: np.random.Generator, size: int) -> np.ndarray:
    """(rounds, pairs, k, k): each turns two random axes by 45°; no round for a single axis."""
    turns = np.broadcast_to(np.eye(size), (_PAIR_ROUNDS if size > 1 else 0, _PAIRS, size, size)).copy()
    half = np.sqrt(0.5)
    for one in turns.reshape(-1, size, size):
        a, b = generator.choice(size, 2, replace=False)
        one[a, a], one[a, b], one[b, a], one[b, b] = half, half, half, -half
    return turns


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
