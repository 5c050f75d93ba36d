"""What does a layer do to the space it works on: stretch, turn, flatten, fold?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.results.layer_map import LayerMap

__all__ = ["measure_layer_map"]

_MOST_INPUTS = 4096
_MOST_ENTRIES = 65_536
_DIRECTIONS = 8
_ROUNDS = 60
_LINES, _POINTS = 9, 33


def measure_layer_map(
    model: nn.Module,
    layers: str | Sequence[str],
    *,
    input_shape: Sequence[int] | None = None,
    activation: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
) -> LayerMap:
    """Which one matrix does a layer (or a chain without activations) amount to, and what does it do to a grid?

    The layers are applied in turn: f(x) = A x + b with b = f(0) and the columns A eᵢ = f(eᵢ) − f(0). Two linear layers
    in a row are one: A = W₂W₁, b = W₂b₁ + b₂; only an activation between them makes depth count.

    Args:
        model: Holds the layers.
        layers: Qualified names, in order of application: linear, convolution, batch normalization in evaluation,
            average pooling, flatten …
        input_shape: Of one example at the first layer; may be left out before a linear layer.
        activation: What follows, entry by entry; drawn as a third grid.
        seed: Of the random inputs that the matrix is tried on.

    Returns:
        A ``LayerMap``. A singular value of 1 keeps a direction's length, 0 loses the direction.

    Raises:
        SettingsError: there is no such layer, or the chain is not affine.

    >>> net = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2))
    >>> measure_layer_map(net, ["0", "1"]).shape
    (2, 3)
    """
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    modules = _find(model, names)
    shape = _input_shape(modules[0], names[0], input_shape)
    weight = next((one for module in modules for one in module.parameters()), torch.zeros(()))
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        with torch.no_grad():
            return _measure(_chain(modules, shape, weight), names, math.prod(shape), activation, seed)
    finally:
        for part, mode in modes:
            part.training = mode


def _find(model: nn.Module, names: tuple[str, ...]) -> list[nn.Module]:
    known = dict(model.named_modules())
    for name in names:
        if name not in known:
            shown = ", ".join(repr(one) for one in list(known)[:12] if one)
            raise SettingsError(f"the model has no layer {name!r}", place=name, remedy=f"name one of {shown}")
    if not names:
        raise SettingsError("no layer was named", place="layers", remedy="name at least one")
    return [known[name] for name in names]


def _input_shape(first: nn.Module, name: str, given: Sequence[int] | None) -> tuple[int, ...]:
    if given is not None:
        return tuple(given)
    if isinstance(first, nn.Linear):
        return (first.in_features,)
    raise SettingsError(
        f"the size of what goes into {name} is not known",
        place="input_shape",
        remedy="give input_shape=(channels, height, width), of one example",
    )


def _chain(modules: list[nn.Module], shape: tuple[int, ...], weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The layers as one function of float64 rows, computed in the weights' own precision."""

    def run(rows: Tensor) -> Tensor:
        out = rows.to(weight.device, weight.dtype).reshape(-1, *shape)
        for module in modules:
            out = module(out)
        return out.reshape(len(rows), -1).double().cpu()

    return run


def _measure(
    run: Callable[[Tensor], Tensor],
    names: tuple[str, ...],
    inputs: int,
    activation: Callable[[Tensor], Tensor] | None,
    seed: int,
) -> LayerMap:
    bias = run(torch.zeros(1, inputs, dtype=torch.float64))[0]
    draws = torch.randn(8, inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    _check_affine(run, names, draws, bias)
    exact = inputs <= _MOST_INPUTS
    if exact:
        columns = torch.cat([run(rows) for rows in torch.eye(inputs, dtype=torch.float64).split(512)])
        matrix = (columns - bias).T
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        error = float((draws @ matrix.T + bias - run(draws)).abs().max())
        total = float((values**2).sum())
    else:
        matrix = torch.zeros(0, 0, dtype=torch.float64)
        left, values, right = _strongest(run, inputs, bias, seed)
        error, total = math.nan, math.nan
    outputs = len(bias)
    precision = torch.finfo(torch.float32).eps * max(inputs, outputs) * float(values[0]) if len(values) else 0.0
    grid, image, activated = _bend(run, inputs, outputs, left, right, activation=activation)
    kept = exact and matrix.numel() <= _MOST_ENTRIES
    return LayerMap(
        layers=names,
        shape=(outputs, inputs),
        singular_values=values.numpy(),
        singular_values_exact=exact,
        rank=int((values > precision).sum()),
        matrix=matrix.numpy() if kept else np.empty((0, 0)),
        bias=bias.numpy() if kept else np.empty(0),
        composition_error=error,
        grid=grid.numpy(),
        image=image.numpy(),
        activated=activated.numpy(),
        activation="" if activation is None else _name(activation),
        explained=float((values[:2] ** 2).sum()) / total if total > 0 else math.nan,
    )


def _check_affine(run: Callable[[Tensor], Tensor], names: tuple[str, ...], draws: Tensor, bias: Tensor) -> None:
    """f(x) + f(−x) = 2 f(0), and f(2x) = 2 f(x) − f(0)."""
    plus, minus, twice = run(draws), run(-draws), run(2 * draws)
    size = float(plus.abs().max()) + float(bias.abs().max()) + 1e-12
    off = max(float((plus + minus - 2 * bias).abs().max()), float((twice - 2 * plus + bias).abs().max()))
    if off > 1e-3 * size:
        raise SettingsError(
            "the chain is not affine: no one matrix stands for it",
            place=", ".join(names),
            remedy="leave activations, max pooling and layer normalization out; give the last as activation=",
        )


def _strongest(run: Callable[[Tensor], Tensor], inputs: int, bias: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest singular values by block power iteration on AᵀA, the adjoint by automatic differentiation."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(inputs, _DIRECTIONS, dtype=torch.float64, generator=generator))[0]
    for _ in range(_ROUNDS):
        image = run(basis.T.contiguous()) - bias
        with torch.enable_grad():
            rows = torch.zeros(_DIRECTIONS, inputs, dtype=torch.float64, requires_grad=True)
            back = torch.autograd.grad((run(rows) * image).sum(), rows)[0]
        basis = torch.linalg.qr(back.T)[0]
    image = (run(basis.T.contiguous()) - bias).T
    left, values, turn = torch.linalg.svd(image, full_matrices=False)
    return left, values, (basis @ turn.T).T


def _bend(
    run: Callable[[Tensor], Tensor],
    inputs: int,
    outputs: int,
    left: Tensor,
    right: Tensor,
    *,
    activation: Callable[[Tensor], Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A grid on [−1, 1]², where the map sends it, and where the activation sends that."""
    lines, points = torch.linspace(-1, 1, _LINES), torch.linspace(-1, 1, _POINTS)
    across = torch.stack([lines[:, None].expand(-1, _POINTS), points[None].expand(_LINES, -1)], -1)
    grid = torch.cat([across, across.flip(-1)]).double()
    plane_in = torch.eye(2, dtype=torch.float64) if inputs == 2 else _two(right)
    plane_out = torch.eye(2, dtype=torch.float64) if outputs == 2 else _two(left.T)
    reached = run(grid.reshape(-1, 2) @ plane_in)
    image = (reached @ plane_out.T).reshape(grid.shape)
    if activation is None:
        return grid, image, torch.empty(0, 0, 2, dtype=torch.float64)
    return grid, image, (activation(reached) @ plane_out.T).reshape(grid.shape)


def _two(rows: Tensor) -> Tensor:
    """The first two rows; a missing one is nothing."""
    return torch.cat([rows[:2], torch.zeros(max(0, 2 - len(rows)), rows.shape[1], dtype=rows.dtype)])


def _name(activation: Callable[[Tensor], Tensor]) -> str:
    name = getattr(activation, "__name__", None) or type(activation).__name__
    return name.lower()
