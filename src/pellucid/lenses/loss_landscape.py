"""What does the loss look like around these weights, and along the way that training took?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pellucid.capture.loss_surface import LossFunction, LossSurface, Statistics, loss_surface, name_of_loss
from pellucid.core.filter_normalization import Normalization, normalize_direction, random_direction
from pellucid.core.lanczos import find_extremes
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import SettingsError, SourceNotFoundError, TrainingError
from pellucid.results.loss_landscape import LossLandscape, TrainingPath

__all__ = ["Checkpoint", "Directions", "measure_loss_landscape"]

Direction = Mapping[str, Tensor] | Tensor
Directions = Literal["random", "path", "eigenvectors", "saddle"] | Sequence[Direction]
"""How the axes are chosen, or one or two of them: a number for every parameter, by name or as one vector."""

Checkpoint = Mapping[str, Tensor] | str | Path
"""A state dict, or a safetensors file that holds one, such as those of a run's ``checkpoints`` folder."""

_CHUNK = 256
_VECTORISED_NUMBERS = 4_000_000
_MOST_AT_ONCE = 32
_NAMED = ("random", "path", "eigenvectors", "saddle")
_CURVED = ("eigenvectors", "saddle")


@dataclass(frozen=True, eq=False)
class _Axes:
    """The directions, how far to go along each, and what is known of them."""

    vectors: Tensor  # (dimensions, parameters)
    reach: list[tuple[float, float]]
    labels: tuple[str, ...]
    residuals: list[float] = field(default_factory=list)
    explained: list[float] = field(default_factory=list)


def measure_loss_landscape(
    model: nn.Module,
    loader: Batches,
    loss: LossFunction = None,
    *,
    directions: Directions = "random",
    dimensions: Literal[1, 2] = 2,
    steps: int = 25,
    span: float | None = None,
    normalization: Normalization | None = None,
    path: Sequence[Checkpoint] | None = None,
    statistics: Statistics = "running",
    vectorise: bool | None = None,
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> LossLandscape:
    """What is L(θ + s·u + t·v) around the present parameters θ?

    Random directions are Gaussian and, by default, filter-normalised: every filter of a direction takes the norm of the
    network's own filter, so that networks whose weights are scaled differently can be compared; biases and the
    parameters of normalisations stay. ``directions="path"`` lays the plane through θ along the two principal components
    of the checkpoints; ``"eigenvectors"`` along the Hessian's sharpest directions, ``"saddle"`` along the sharpest and
    the one that curves down most, all of these in the parameters' own units, as unit vectors.

    Batch normalisation uses the statistics stored in the model everywhere (``statistics="running"``), or those of each
    batch (``"batch"``): then the loss depends on how the loader cuts its batches. Dropout is off. The model is left as
    it was.

    Args:
        model: Any module.
        loader: Batches of inputs and targets.
        loss: ``loss(output, target)`` -> scalar; by default cross-entropy for class numbers, else mean squared error.
        directions: "random", "path", "eigenvectors", "saddle", or the directions themselves.
        dimensions: 1 for a line, 2 for a plane.
        steps: Points along each axis; 0 is always among them.
        span: Half the length of each axis. By default 1 for random directions, the path's own extent with a margin,
            and for eigenvectors as far as the parabola rises to five times the loss.
        normalization: "filter", "layer" or "none"; by default "filter" for random directions and "none" for others.
        path: Checkpoints from first to last; drawn on any plane.
        statistics: "running" or "batch".
        vectorise: Evaluate several points in one pass; None where that pays: up to some 100,000 parameters.
        dtype: Compute in this type; None for the parameters' own.
        seed: Of random directions and of Lanczos' start.

    Returns:
        A ``LossLandscape``; its ``center_loss`` is exact. Where checkpoints are given it tells how far each lies from
        the plane: what is drawn far from the plane is a shadow.

    Raises:
        SettingsError: nothing can be moved, a direction does not fit or is zero, or checkpoints are missing.
        DataError: the loader is empty or can be walked once only.
        TrainingError: the loss at the present parameters is not finite.

    Source: Li et al. (2018), sections 4 and 7; Goodfellow, Vinyals and Saxe (2015) for the line.

    >>> model = nn.Linear(2, 1)
    >>> found = measure_loss_landscape(model, (torch.ones(4, 2), torch.ones(4, 1)), steps=5)
    >>> found.loss.shape, found.s.tolist()
    ((5, 5), [-1.0, -0.5, 0.0, 0.5, 1.0])
    """
    kind = directions if isinstance(directions, str) else "given"
    _check_settings(kind, dimensions, steps, span, path)
    scaled = normalization or ("filter" if kind == "random" else "none")
    batches = list(batches_of(loader, size=_CHUNK if statistics == "running" else None))
    with loss_surface(model, batches, loss, dtype=dtype, statistics=statistics) as surface:
        center = surface.value()
        _require_finite(surface, center)
        states = [_state(checkpoint) for checkpoint in path or ()]
        points = torch.stack([surface.flatten(state) for state in states]) if states else None
        axes = _choose(surface, directions, dimensions, seed=seed, center=center, points=points)
        vectors = _normalise(model, surface, axes.vectors, scaled)
        _require_moving(surface, vectors)
        reach = axes.reach if span is None else [(-span, span)] * dimensions
        s, t = _axis(*reach[0], steps), _axis(*reach[1], steps) if dimensions == 2 else np.zeros(1)
        grid, together = _evaluate(surface, vectors, s, t, vectorise)
        slopes, bends = _second_order(surface, vectors) if kind in _CURVED else (None, None)
        lengths = vectors.double().norm(dim=1)
        return LossLandscape(
            dimensions=dimensions,
            directions=kind,
            normalization=scaled,
            statistics=statistics,
            loss_name=name_of_loss(loss),
            parameters=surface.size,
            examples=surface.examples,
            s=s,
            t=t,
            labels=axes.labels,
            loss=grid,
            center_loss=center,
            lengths=lengths.cpu().numpy(),
            cosine=float(vectors[0].double() @ vectors[1].double() / lengths.prod()) if dimensions == 2 else math.nan,
            fixed=tuple(name for name, part in surface.unflatten(vectors).items() if not bool(part.any())),
            slopes=np.full(dimensions, np.nan) if slopes is None else slopes,
            curvatures=np.full((dimensions, dimensions), np.nan) if bends is None else bends,
            residuals=np.array(axes.residuals or [math.nan] * dimensions),
            path=None if points is None else _path(surface, states, points, vectors, axes),
            evaluations=grid.size + 1 + len(states),
            vectorised=together,
        )


def _check_settings(
    kind: str, dimensions: int, steps: int, span: float | None, path: Sequence[Checkpoint] | None
) -> None:
    wrong = {
        "directions": (kind not in (*_NAMED, "given"), f"use one of {', '.join(_NAMED)}, or give them"),
        "dimensions": (dimensions not in (1, 2), "use 1 or 2"),
        "steps": (steps < 2, "use at least 2"),
        "span": (span is not None and not (math.isfinite(span) and span > 0), "give a number above 0"),
        "path": (kind == "path" and (path is None or len(path) < 2), "give at least two checkpoints"),
    }
    for place, (is_wrong, remedy) in wrong.items():
        if is_wrong:
            raise SettingsError(f"{place} cannot be used as it is", place=place, remedy=remedy)


def _require_finite(surface: LossSurface, center: float) -> None:
    if math.isfinite(center):
        return
    parts = surface.unflatten(surface.center)
    broken = [name for name, part in parts.items() if not bool(torch.isfinite(part).all())]
    raise TrainingError(
        f"the loss at these weights is {center}",
        place=", ".join(broken[:5]) or "loss",
        remedy="replace the entries that are not finite" if broken else "look at inputs, targets and loss function",
    )


def _state(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
    if not isinstance(checkpoint, str | Path):
        return checkpoint
    if not Path(checkpoint).is_file():
        raise SourceNotFoundError(
            "there is no such checkpoint", place=str(checkpoint), remedy="name a file that exists"
        )
    return load_file(checkpoint)


def _choose(
    surface: LossSurface,
    directions: Directions,
    dimensions: int,
    *,
    seed: int,
    center: float,
    points: Tensor | None,
) -> _Axes:
    generator = torch.Generator().manual_seed(seed)
    if not isinstance(directions, str):
        return _given(surface, directions, dimensions)
    if directions == "path":
        assert points is not None
        return _principal(surface, points, dimensions)
    if directions in _CURVED:
        return _eigenvectors(surface, directions, dimensions, center, generator)
    parameters = surface.unflatten(surface.center)
    drawn = [surface.flatten(random_direction(parameters, generator)) for _ in range(dimensions)]
    labels = tuple(f"random direction {place + 1}" for place in range(dimensions))
    return _Axes(torch.stack(drawn), [(-1.0, 1.0)] * dimensions, labels)


def _given(surface: LossSurface, directions: Sequence[Direction], dimensions: int) -> _Axes:
    if len(directions) != dimensions:
        raise SettingsError(
            f"{len(directions)} directions were given for {dimensions} dimensions",
            place="directions",
            remedy="give one a dimension",
        )
    rows: list[Tensor] = []
    for place, direction in enumerate(directions):
        if isinstance(direction, Tensor):
            if direction.numel() != surface.size:
                raise SettingsError(
                    f"direction {place} has {direction.numel()} numbers, the model {surface.size}",
                    place="directions",
                    remedy="give a number for every parameter that requires a gradient",
                )
            rows.append(direction.detach().to(surface.center).reshape(-1))
        else:
            rows.append(surface.flatten(direction))
    labels = tuple(f"direction {place + 1}" for place in range(dimensions))
    return _Axes(torch.stack(rows), [(-1.0, 1.0)] * dimensions, labels)


def _principal(surface: LossSurface, points: Tensor, dimensions: int) -> _Axes:
    """The principal components of θᵢ − θ, through the small matrix of inner products; unit vectors."""
    apart = (points - surface.center).double()
    centred = apart - apart.mean(0)
    values, turn = torch.linalg.eigh(centred @ centred.T)
    values, turn = values.flip(0).clamp_min(0), turn.flip(1)
    total = float(values.sum())
    if len(values) < dimensions or float(values[dimensions - 1]) <= 1e-12 * total or total == 0:
        raise SettingsError(
            f"the checkpoints do not span {dimensions} dimensions", place="path", remedy="give more, or dimensions=1"
        )
    vectors = (turn[:, :dimensions].T @ centred) / values[:dimensions].sqrt()[:, None]
    where = apart @ vectors.T
    low, high = where.min(0).values.clamp_max(0), where.max(0).values.clamp_min(0)
    margin = 0.2 * (high - low)
    reach = [(float(a - m), float(b + m)) for a, b, m in zip(low, high, margin, strict=True)]
    explained = [float(value) / total for value in values[:dimensions]]
    labels = tuple(f"component {place + 1} ({100 * part:.1f} %)" for place, part in enumerate(explained))
    return _Axes(vectors.to(surface.center), reach, labels, explained=explained)


def _eigenvectors(surface: LossSurface, kind: str, dimensions: int, center: float, generator: torch.Generator) -> _Axes:
    product, _, _ = surface.product()
    start = torch.randn(surface.size, generator=generator).to(surface.center)
    top, bottom = (1, 1) if kind == "saddle" and dimensions == 2 else (dimensions, 0)
    found = find_extremes(product, start, top=top, bottom=bottom)
    vectors, values, residuals = found.largest_vectors, found.largest, found.largest_residuals
    if bottom:
        vectors = torch.cat([vectors, found.smallest_vectors])
        values = np.concatenate([values, found.smallest])
        residuals = np.concatenate([residuals, found.smallest_residuals])
    if len(values) < dimensions:
        raise SettingsError(
            f"the Hessian shows {len(values)} distinct eigenvalue", place="directions", remedy="use random directions"
        )
    rise = 8 * max(center, 1e-3)
    furthest = max(float(surface.center.double().norm()), 1.0)
    spans = [min(math.sqrt(rise / max(abs(float(value)), 1e-30)), furthest) for value in values[:dimensions]]
    names = ("sharpest", "lowest" if bottom else "second")
    labels = tuple(f"{name} eigenvector (λ = {value:.4g})" for name, value in zip(names, values, strict=False))
    return _Axes(
        vectors[:dimensions].to(surface.center),
        [(-one, one) for one in spans],
        labels[:dimensions],
        residuals=[float(one) for one in residuals[:dimensions]],
    )


def _normalise(model: nn.Module, surface: LossSurface, vectors: Tensor, normalization: Normalization) -> Tensor:
    if normalization not in ("filter", "layer", "none"):
        raise SettingsError(
            f"there is no normalisation {normalization!r}",
            place="normalization",
            remedy="use 'filter', 'layer' or 'none'",
        )
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    axes = {f"{name}.weight": 1 for name, module in model.named_modules() if isinstance(module, transposed)}
    parameters = surface.unflatten(surface.center)
    rows = [
        surface.flatten(normalize_direction(surface.unflatten(row), parameters, normalization, axes)) for row in vectors
    ]
    return torch.stack(rows)


def _require_moving(surface: LossSurface, vectors: Tensor) -> None:
    lengths = vectors.norm(dim=1)
    if bool((lengths > 0).all()) and bool(torch.isfinite(lengths).all()):
        return
    zero = not bool(surface.center.any())
    raise SettingsError(
        "a direction is zero: " + ("all weights are, and so are all their norms" if zero else "nothing would move"),
        place="directions",
        remedy="use normalization='none', or give directions that move a weight matrix",
    )


def _axis(low: float, high: float, steps: int) -> np.ndarray:
    """So many equally spaced coordinates from about ``low`` to ``high``, 0 among them."""
    width = (high - low) / (steps - 1)
    first = round(low / width)
    return width * np.arange(first, first + steps)


def _evaluate(
    surface: LossSurface, vectors: Tensor, s: np.ndarray, t: np.ndarray, vectorise: bool | None
) -> tuple[np.ndarray, bool]:
    """The loss at every point of the grid, (rows, columns), and whether points were taken together."""
    places = np.stack(np.meshgrid(s, t), -1).reshape(-1, 2)[:, : len(vectors)]
    weights = torch.from_numpy(places).to(vectors)
    at_once = min(_MOST_AT_ONCE, _VECTORISED_NUMBERS // surface.size)

    def singly() -> np.ndarray:
        return np.array([surface.value(surface.center + weight @ vectors) for weight in weights])

    together = at_once >= _MOST_AT_ONCE if vectorise is None else vectorise
    found = _try_together(surface, vectors, weights, max(at_once, 1), must=bool(vectorise)) if together else None
    losses = singly() if found is None else found
    return losses.reshape(len(t), len(s)), found is not None


def _try_together(
    surface: LossSurface, vectors: Tensor, weights: Tensor, at_once: int, *, must: bool
) -> np.ndarray | None:
    """Many points in one pass; None where an operation of the model cannot be vectorised."""
    try:
        parts = [surface.values(surface.center + chunk @ vectors) for chunk in weights.split(at_once)]
    except (RuntimeError, NotImplementedError) as error:
        if must:
            raise SettingsError(
                f"the model cannot be evaluated at several points at once: {error}",
                place="vectorise",
                remedy="leave it out",
            ) from error
        return None
    return torch.cat(parts).cpu().numpy()


def _second_order(surface: LossSurface, vectors: Tensor) -> tuple[np.ndarray, np.ndarray]:
    product: Callable[[Tensor], Tensor]
    product, _, gradient = surface.product()
    bent = torch.stack([product(row) for row in vectors]).double()
    rows = vectors.double()
    return (rows @ gradient.double()).cpu().numpy(), (bent @ rows.T).cpu().numpy()


def _path(
    surface: LossSurface, states: list[Mapping[str, Tensor]], points: Tensor, vectors: Tensor, axes: _Axes
) -> TrainingPath:
    apart, rows = (points - surface.center).double(), vectors.double()
    where = torch.linalg.lstsq(rows.T, apart.T).solution.T
    values = [surface.value(point, buffers=state) for point, state in zip(points, states, strict=True)]
    return TrainingPath(
        coordinates=where.cpu().numpy(),
        distance=(apart - where @ rows).norm(dim=1).cpu().numpy(),
        length=apart.norm(dim=1).cpu().numpy(),
        loss=np.array(values),
        explained=np.array(axes.explained or [math.nan] * len(vectors)),
    )
