"""How does the loss bend around these weights, and is the learning rate too large for it?"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.capture.loss_surface import LossFunction, LossSurface, Matrix, loss_surface, name_of_loss
from pellucid.core.hutchinson import Quadrature, hutch_plus_plus, lanczos_quadrature
from pellucid.core.lanczos import Extremes, find_extremes
from pellucid.data.batches_of import Batches, batches_of
from pellucid.errors import SettingsError
from pellucid.results.curvature import Curvature, SpectralDensity

__all__ = ["measure_curvature"]

_CHUNK = 256
_GRID = 512
_FEWEST_FOR_A_SHARE = 512
_ONE_IN = 8
_SHARE_STEPS = 6
_SHARE_NOTE = "start, on an eighth of the examples"


def measure_curvature(
    model: nn.Module,
    loader: Batches,
    loss: LossFunction = None,
    *,
    top: int = 1,
    smallest: int = 0,
    matrix: Matrix = "hessian",
    learning_rate: float | None = None,
    momentum: float = 0.0,
    tolerance: float = 1e-4,
    steps: int = 100,
    trace: int = 30,
    density: int = 4,
    density_steps: int = 30,
    check: bool = False,
    keep_vectors: bool = False,
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> Curvature:
    """Which directions is the loss sharpest in, how is its curvature spread, and does a step of this size overshoot?

    H = ∂²L/∂θ², or the Gauss-Newton matrix G = mean of Jᵀ (∂²ℓ/∂z²) J, is never formed: only products Hv are, through
    the gradient's own graph, which stays in memory where it fits. The eigenvalues come by Lanczos with full
    reorthogonalisation, from the gradient mixed with noise and, where there are at least 512 examples, with the
    sharpest direction of every eighth example (six products, each at an eighth of the price). The trace comes by
    Hutch++, the density by stochastic Lanczos
    quadrature. Gradient descent along v multiplies the distance from the minimum by 1 − lr·λ: above lr·λ = 2 it grows
    (with heavy-ball momentum β: above 2 (1 + β)).

    Dropout is off and batch normalisation uses its stored statistics. Batches count by their numbers of examples (or
    are added, for a loss with ``reduction="sum"``), so a loss that weights examples unequally is averaged
    batch by batch.

    Args:
        model: Any module whose operations can be differentiated twice; it is left as it was.
        loader: Batches of inputs and targets.
        loss: ``loss(output, target)`` -> scalar; by default cross-entropy for class numbers, else mean squared error.
        top: How many of the largest eigenvalues.
        smallest: How many of the smallest are to be as exact as the largest. The smallest so far is always told.
        matrix: "hessian" or "gauss_newton".
        learning_rate: To compare lr·λ_max with its limit.
        momentum: Of the optimiser, 0 up to 1.
        tolerance: Error allowed in an eigenvalue, as a share of the largest magnitude.
        steps: At most so many products for the eigenvalues.
        trace: Products spent on the trace, at least 3; 0 leaves it out.
        density: Probes of the spectral density; 0 leaves it out.
        density_steps: Products per probe.
        check: Spend one more product on the first eigenpair's residual.
        keep_vectors: Keep the eigenvectors in the result.
        dtype: Compute in this type; None for the parameters' own.
        seed: Of the start and the probes.

    Returns:
        A ``Curvature`` with a residual beside every eigenvalue and a standard error beside trace and density.
        ``sharpness`` near 0: flat; a negative ``smallest``: a direction along which the loss curves down (a saddle,
        where the gradient is zero).

    Raises:
        SettingsError: nothing can be moved, the loss is no single number, or a setting is out of range.
        DataError: the loader is empty or can be walked once only.
        TrainingError: the loss is not finite.

    Source: Ghorbani, Krishnan and Xiao (2019); Cohen et al. (2021), section 2; Meyer et al. (2021).

    >>> x = torch.tensor([[3.0, 0.0], [0.0, 1.0]])  # L = ½ Σ (x·w − y)², H = diag(9, 1)
    >>> found = measure_curvature(nn.Linear(2, 1, bias=False), (x, torch.ones(2, 1)), learning_rate=0.2)
    >>> round(found.sharpness, 4), round(found.stability, 4), round(found.trace, 4)
    (9.0, 1.8, 10.0)
    """
    _check_settings(
        top=top,
        smallest=smallest,
        steps=steps,
        trace=trace,
        density=density,
        density_steps=density_steps,
        tolerance=tolerance,
        momentum=momentum,
        matrix=matrix,
    )
    batches = list(batches_of(loader, size=_CHUNK))
    generator = torch.Generator().manual_seed(seed)
    lead = _lead(model, batches, loss, dtype=dtype, matrix=matrix, seed=seed)
    with loss_surface(model, batches, loss, dtype=dtype) as surface:
        product, value, gradient = surface.product(matrix)
        start = _start(gradient, generator) if lead is None else _start(gradient, generator, lead)
        found = find_extremes(product, start, top=top, bottom=smallest, tolerance=tolerance, steps=steps)
        spent = {"eigenvalues": found.products} | ({} if lead is None else {_SHARE_NOTE: _SHARE_STEPS})
        precision = torch.finfo(start.dtype).eps
        sharpest = found.largest_vectors[0]
        checked = math.nan
        if check:
            bent = product(sharpest.to(start)).double()
            checked, spent["check"] = float((bent - found.largest[0] * sharpest).norm()), 1
        traced = hutch_plus_plus(product, start, trace, generator) if trace else None
        quadrature = lanczos_quadrature(product, start, density, density_steps, generator) if density else None
        if traced is not None:
            spent["trace"] = traced.products
        if quadrature is not None:
            spent["density"] = quadrature.products
        return Curvature(
            matrix=matrix,
            loss_name=name_of_loss(loss),
            parameters=surface.size,
            examples=surface.examples,
            precision=str(start.dtype).removeprefix("torch."),
            loss=value,
            gradient_norm=float(gradient.double().norm()),
            eigenvalues=found.largest,
            residuals=found.largest_residuals,
            checked_residual=checked,
            bounds=found.largest_bounds,
            smallest=found.smallest,
            smallest_residuals=found.smallest_residuals,
            converged=found.converged,
            tolerance=tolerance,
            trace=None if traced is None else traced.value,
            trace_error=None if traced is None else traced.error,
            density=None if quadrature is None else _density(quadrature, precision, found),
            learning_rate=learning_rate,
            stability_limit=2.0 * (1.0 + momentum),
            eigenvectors=_named(surface, found) if keep_vectors else {},
            products=spent,
            retained=surface.kept,
        )


def _check_settings(
    *,
    top: int,
    smallest: int,
    steps: int,
    trace: int,
    density: int,
    density_steps: int,
    tolerance: float,
    momentum: float,
    matrix: str,
) -> None:
    wrong = {
        "top": (top < 1, "ask for at least 1"),
        "smallest": (smallest < 0, "ask for 0 or more"),
        "steps": (steps <= top + smallest, "allow more products than eigenvalues"),
        "trace": (trace < 0 or 0 < trace < 3, "spend at least 3 products, or 0 to leave it out"),
        "density": (density < 0, "use 0 probes or more"),
        "density_steps": (density_steps < 2, "use at least 2"),
        "tolerance": (not 0 <= tolerance < 1, "give a share between 0 and 1"),
        "momentum": (not 0 <= momentum < 1, "give a number from 0 up to 1"),
        "matrix": (matrix not in ("hessian", "gauss_newton"), "use 'hessian' or 'gauss_newton'"),
    }
    for place, (is_wrong, remedy) in wrong.items():
        if is_wrong:
            raise SettingsError(f"{place} is out of range", place=place, remedy=remedy)


def _start(gradient: Tensor, generator: torch.Generator, lead: Tensor | None = None) -> Tensor:
    """The gradient, which leans towards the sharp directions, with noise so that no direction is missing."""
    noise = torch.randn(gradient.numel(), generator=generator).to(gradient)
    noise = noise / noise.norm()
    size = gradient.norm()
    along = gradient / size if float(size) > 0 else torch.zeros_like(gradient)
    if lead is None:
        return 0.1 * noise + along if float(size) > 0 else noise
    return (lead if float(lead @ along) >= 0 else -lead) + 0.2 * along + 0.01 * noise


def _lead(
    model: nn.Module,
    batches: list[tuple[Tensor, Tensor]],
    loss: LossFunction,
    *,
    dtype: torch.dtype | None,
    matrix: Matrix,
    seed: int,
) -> Tensor | None:
    """The sharpest direction of a share of the examples: a cheap guess at that of all. None for few examples."""
    if sum(len(x) for x, _ in batches) < _FEWEST_FOR_A_SHARE:
        return None
    share = [(x[::_ONE_IN], y[::_ONE_IN]) for x, y in batches]
    with loss_surface(model, share, loss, dtype=dtype) as surface:
        product, _, gradient = surface.product(matrix)
        start = _start(gradient, torch.Generator().manual_seed(seed))
        found = find_extremes(product, start, tolerance=0.0, steps=_SHARE_STEPS)
        return found.largest_vectors[0].to(gradient)


def _density(quadrature: Quadrature, precision: float, found: Extremes) -> SpectralDensity:
    """The quadrature drawn on a grid, each mass 1 % of the spectrum's reach wide."""
    low = min(float(quadrature.nodes.min()), float(found.smallest[0]))
    high = max(float(quadrature.nodes.max()), float(found.largest[0]))
    reach = max(high - low, 1e-30)
    width = 0.01 * reach
    grid = np.linspace(low - 4 * width, high + 4 * width, _GRID)
    density, error = quadrature.smooth(grid, width)
    zero = 100 * precision * max(abs(low), abs(high))
    negative, negative_error = quadrature.below(-zero)
    return SpectralDensity(
        grid, density, error, width, quadrature.nodes, quadrature.weights, negative, negative_error, zero
    )


def _named(surface: LossSurface, found: Extremes) -> dict[str, np.ndarray]:
    return {name: part.cpu().numpy() for name, part in surface.unflatten(found.largest_vectors).items()}
