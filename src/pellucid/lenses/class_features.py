"""The features that classes are made of: class centres and classifier in their sparsest rotation, made readable."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pellucid.core.sparse_rotation import judge_sparse_rotation, neuron_sparsity
from pellucid.errors import SettingsError
from pellucid.results.class_geometry import ClassFeature, ReadableRotation

__all__ = ["Rotating", "rotate_classes"]

_MOST_AXES = 24
_USED_SHARE = 0.8
_MOST_NEURONS = 5


@dataclass(frozen=True)
class Rotating:
    """How to look for the rotation; see ``measure_class_geometry``."""

    origin: str = "mean"
    axes: int | None = None
    starts: int | None = None
    draws: int = 99
    seed: int = 0


def rotate_classes(means: np.ndarray, weight: np.ndarray | None, how: Rotating) -> ReadableRotation:
    """Turn (classes, neurons) centres, and the classifier's rows with them, to where they are sparsest.

    The rotation acts inside the span of the centres, or inside their strongest directions; the classifier's rows, which
    count up to a common row, are seen there too. ``carried`` says what each of the two keeps.

    Raises:
        SettingsError: more axes are asked for than the centres span.
    """
    centres = means if how.origin == "zero" else means - means.mean(axis=0)
    _, values, right = np.linalg.svd(centres, full_matrices=False)
    rank = int((values > 1e-9 * max(float(values.max(initial=0.0)), 1e-300)).sum())
    if rank == 0:
        raise SettingsError("all class centres are the same point", place="rotate", remedy="measure with rotate=False")
    if how.axes is not None and not 1 <= how.axes <= rank:
        raise SettingsError(
            f"{how.axes} axes, where the class centres span {rank}", place="axes", remedy=f"ask for 1 to {rank}"
        )
    span = right[: how.axes or min(rank, _MOST_AXES)]
    rows = None if weight is None else weight - weight.mean(axis=0)
    blocks = [centres @ span.T]
    if rows is not None and np.linalg.norm(rows @ span.T) > 0:
        blocks.append(rows @ span.T)
    starts = how.starts if how.starts is not None else 24
    test = judge_sparse_rotation(np.stack(blocks), starts=starts, draws=how.draws, seed=how.seed)
    own, null, p_value = neuron_sparsity(centres, draws=how.draws, seed=how.seed)
    basis, loadings = _arranged(test.found.rotation, blocks[0], span)
    found = ReadableRotation(
        origin=how.origin,
        joint=len(blocks) > 1,
        loadings=loadings,
        classifier=np.empty((0, 0)) if rows is None else rows @ basis.T,
        basis=basis,
        features=(),
        carried=_carried(centres, basis),
        classifier_carried=math.nan if rows is None else _carried(rows, basis),
        density=float(test.found.density),
        density_varimax=float(test.found.varimax),
        null_density=test.null,
        p_value=test.p_value,
        agreeing=float(test.found.agreeing),
        starts=starts + 1,
        neuron_density=own,
        neuron_null=null,
        neuron_p_value=p_value,
        used_share=_USED_SHARE,
    )
    return _with_features(found)


def _arranged(rotation: np.ndarray, coordinates: np.ndarray, span: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Basis and loadings, the strongest feature first, each pointing to where its loadings are largest."""
    loadings = coordinates @ rotation
    order = np.argsort(-(loadings**2).sum(axis=0), kind="stable")
    signs = np.where((loadings**3).sum(axis=0) < 0, -1.0, 1.0)
    turn = (rotation * signs)[:, order]
    return turn.T @ span, coordinates @ turn


def _carried(vectors: np.ndarray, basis: np.ndarray) -> float:
    whole = float((vectors**2).sum())
    return float(((vectors @ basis.T) ** 2).sum()) / whole if whole > 0 else math.nan


def _with_features(found: ReadableRotation) -> ReadableRotation:
    """The same with every feature's name, classes and neurons."""
    from dataclasses import replace

    users: list[list[int]] = [[] for _ in found.basis]
    for row in range(len(found.loadings)):
        for one in found.uses(row):
            users[one].append(row)
    total = float((found.loadings**2).sum())
    features = []
    for index, direction in enumerate(found.basis):
        column = found.loadings[:, index]
        neurons = np.argsort(-np.abs(direction), kind="stable")[:_MOST_NEURONS]
        features.append(
            ClassFeature(
                name=f"f{index + 1}",
                share=float((column**2).sum()) / total,
                classes=tuple(sorted(users[index], key=lambda row, column=column: -abs(column[row]))),
                neurons=tuple(int(one) for one in neurons),
                neuron_weights=tuple(float(direction[one]) for one in neurons),
            )
        )
    return replace(found, features=tuple(features))
