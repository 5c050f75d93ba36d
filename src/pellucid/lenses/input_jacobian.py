"""Which linear map is a network at one input?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pellucid.capture.double_copy import double_copy
from pellucid.errors import DataError, SettingsError
from pellucid.results.input_jacobian import InputJacobian, JacobianEigenbasis

__all__ = ["measure_input_jacobian"]

_MOST_ENTRIES = 1 << 20
_MOST_KEPT = 64
_CHUNK = 64


def measure_input_jacobian(
    model: nn.Module,
    inputs: Any,
    *,
    example: int = 0,
    directions: int = 16,
    probes: int = 32,
    feature_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    seed: int = 0,
) -> InputJacobian:
    """Which linear map is the network at this input: what does it amplify, what does it not see?

    f(x + δ) = f(x) + J δ + O(‖δ‖²), with J = ∂f/∂x = Σ σᵢ uᵢ vᵢᵀ. Works for any network that autograd can follow, in
    float64, in evaluation mode and on a copy. A Jacobian of at most 1,048,576 entries is computed whole; of a larger
    one the strongest directions by Lanczos iteration on products with J and Jᵀ, and the norm by random probes.

    Args:
        model: The network; it takes one tensor of a batch and returns one.
        inputs: A batch of inputs; one axis alone is one example.
        example: Which of them.
        directions: How many singular triples (and eigenvectors) to find where the Jacobian is not computed whole.
        probes: Random vectors for the estimates there.
        feature_names: Of the inputs' numbers, in their flattened order.
        output_names: Of the outputs' numbers.
        seed: Of the probes and of the iteration's start.

    Returns:
        An ``InputJacobian``. A singular value of 0 is a direction that the output does not notice, a large one a
        direction in which little changes much. Where output and input have one shape, also its eigenvectors.

    Raises:
        SettingsError: the weights are not finite, or the model does not turn one tensor into one.
        DataError: the input is not finite, is made of whole numbers, or there is no such example.

    Source: Roy and Vetterli 2007 (entropy rank); Rudelson and Vershynin 2007 (stable rank); Kadkhodaie et al. 2024
    (eigenvectors of a denoiser's Jacobian); Hutchinson 1990 (probes).

    >>> found = measure_input_jacobian(nn.Linear(3, 2), torch.ones(3))
    >>> found.matrix.shape, found.rank, round(found.bias_share, 3) > 0
    ((2, 3), 2, True)
    """
    if directions < 1 or probes < 2:
        raise SettingsError("nothing to measure with", place="directions, probes", remedy="give at least 1 and 2")
    x = _one_example(inputs, example)
    local = _LocalMap(double_copy(model), x)
    rng = np.random.default_rng(seed)
    outputs, count = local.shape
    if outputs * count <= _MOST_ENTRIES:
        spectrum, matrix = _whole(local)
    else:
        spectrum, matrix = _strongest(local, directions, probes, rng), np.empty((0, 0))
    flat = x.numpy().ravel()
    linear = local.forward(flat)
    bias = local.output.ravel() - linear
    sizes = float(np.linalg.norm(linear)), float(np.linalg.norm(bias))
    basis = None
    if local.output.shape == tuple(x.shape[1:]):
        basis = _eigenbasis(local, matrix, directions, probes, rng)
    return InputJacobian(
        model=type(model).__name__,
        input_shape=tuple(x.shape[1:]),
        output_shape=local.output.shape,
        input=x[0].numpy(),
        output=local.output,
        linear_part=linear.reshape(local.output.shape),
        bias_part=bias.reshape(local.output.shape),
        bias_share=sizes[1] / sum(sizes) if sum(sizes) > 0 else 0.0,
        matrix=matrix,
        **spectrum,
        precision=local.precision,
        products=local.products,
        eigenbasis=basis,
        feature_names=_names(feature_names, count, "feature_names", "input"),
        output_names=_names(output_names, outputs, "output_names", "output"),
    )


def _one_example(inputs: Any, example: int) -> Tensor:
    """The example as a batch of one, float64, on the CPU."""
    batch = torch.as_tensor(inputs if isinstance(inputs, Tensor) else np.asarray(inputs)).detach().cpu()
    if batch.dim() == 0:
        raise DataError("the input is a single number without an axis", place="inputs", remedy="give a batch of inputs")
    batch = batch[None] if batch.dim() == 1 else batch
    if not batch.is_floating_point():
        raise DataError(
            f"the inputs are {str(batch.dtype).removeprefix('torch.')}: nothing can be differentiated by whole numbers",
            place="inputs",
            remedy="give floats; of a network that starts with an embedding, measure the part behind it",
        )
    if not -len(batch) <= example < len(batch):
        raise DataError(f"there is no example {example}", place="inputs", remedy=f"give 0 to {len(batch) - 1}")
    chosen = batch[example % len(batch)][None].double()
    if not bool(torch.isfinite(chosen).all()):
        at = tuple(torch.nonzero(~torch.isfinite(chosen[0]))[0].tolist())
        raise DataError(
            "the input holds NaN or infinity", place=f"example {example}, index {at}", remedy="fill or drop it"
        )
    return chosen


def _names(given: Sequence[str] | None, count: int, place: str, kind: str) -> tuple[str, ...]:
    """The names given, or none beyond what a table can show."""
    if given is None:
        return tuple(f"{kind} {at}" for at in range(count)) if count <= 4096 else ()
    if len(given) != count:
        raise SettingsError(f"{len(given)} names for {count} numbers", place=place, remedy=f"give {count} names")
    return tuple(str(name) for name in given)


class _LocalMap:
    """The Jacobian at one input as products: the graph is recorded once, each product costs one backward pass."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        self.model, self.x, self.products = model, x.clone().requires_grad_(), 0
        self.context = ExitStack()
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivative
            result = model(self.x * 1)  # A model may overwrite what it is given.
            if not isinstance(result, Tensor) or result.shape[:1] != (1,):
                raise SettingsError(
                    f"the model returns {type(result).__name__}"
                    + (f" of shape {tuple(result.shape)}" if isinstance(result, Tensor) else "")
                    + ", not a tensor with one row an example",
                    place=type(model).__name__,
                    remedy="wrap it in a module that returns the tensor of interest, batch first",
                )
            self.y = result.double()
            self.precision = str(result.dtype).removeprefix("torch.")
            self.follow = torch.zeros_like(self.y, requires_grad=True)
            slope = self._gradient(self.y, self.x, self.follow, create_graph=True)
        if not bool(torch.isfinite(self.y).all()):
            raise SettingsError(
                "the network's output is not finite at this input", place=type(model).__name__, remedy="scale the input"
            )
        self.slope = slope
        self.output: np.ndarray = self.y.detach()[0].numpy()
        self.shape = self.y.numel(), self.x.numel()

    @staticmethod
    def _gradient(y: Tensor, x: Tensor, by: Tensor, **options: Any) -> Tensor | None:
        if not y.requires_grad:
            return None
        return torch.autograd.grad(y, x, by, allow_unused=True, retain_graph=True, **options)[0]

    def backward(self, vector: np.ndarray) -> np.ndarray:
        """Jᵀ u."""
        self.products += 1
        by = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float64)).reshape(self.y.shape)
        found = self._gradient(self.y, self.x, by)
        return np.zeros(self.shape[1]) if found is None else found.numpy().ravel()

    def forward(self, vector: np.ndarray) -> np.ndarray:
        """J v: the derivative of u ↦ Jᵀ u, which is linear in u."""
        self.products += 1
        by = torch.from_numpy(np.ascontiguousarray(vector, dtype=np.float64)).reshape(self.x.shape)
        if self.slope is None:
            return np.zeros(self.shape[0])
        try:
            found = self._gradient(self.slope, self.follow, by)
        except RuntimeError:  # an operation without a second derivative: forward mode
            found = cast(Tensor, torch.func.jvp(self.model, (self.x.detach(),), (by,))[1])
        return np.zeros(self.shape[0]) if found is None else found.detach().double().numpy().ravel()

    def matrix(self) -> np.ndarray:
        """J itself, by whichever of the products are fewer."""
        outputs, inputs = self.shape
        if outputs <= inputs:
            return self._columns(self.backward, outputs, self._backward_many)
        return self._columns(self.forward, inputs, None).T

    def _columns(
        self,
        product: Callable[[np.ndarray], np.ndarray],
        count: int,
        many: Callable[[Tensor], np.ndarray] | None,
    ) -> np.ndarray:
        if many is not None:
            try:
                return np.concatenate([many(part) for part in torch.eye(count, dtype=torch.float64).split(_CHUNK)])
            except RuntimeError:
                pass  # An operation that cannot be batched: one by one.
        return np.stack([product(row) for row in np.eye(count)])

    def _backward_many(self, rows: Tensor) -> np.ndarray:
        found = self._gradient(self.y, self.x, rows.reshape(len(rows), *self.y.shape), is_grads_batched=True)
        self.products += len(rows)
        return np.zeros((len(rows), self.shape[1])) if found is None else found.numpy().reshape(len(rows), -1)


def _whole(local: _LocalMap) -> tuple[dict[str, Any], np.ndarray]:
    """Every singular value, from the matrix."""
    matrix = local.matrix()
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    kept = min(_MOST_KEPT, len(values))
    left, right = left.T[:kept].copy(), right[:kept].copy()
    forward = np.linalg.norm(right @ matrix.T - values[:kept, None] * left, axis=1)
    backward = np.linalg.norm(left @ matrix - values[:kept, None] * right, axis=1)
    total, largest = float(values.sum()), float(values.max(initial=0.0))
    part = values[values > 0] / total if total > 0 else np.empty(0)
    spectrum = {
        "singular_values": values,
        "left": left,
        "right": right,
        "complete": True,
        "residual": float(max(forward.max(initial=0.0), backward.max(initial=0.0))),
        "frobenius_norm": float(np.linalg.norm(matrix)),
        "frobenius_error": 0.0,
        "entropy_rank": math.exp(-float((part * np.log(part)).sum())) if total > 0 else 0.0,
        "stable_rank": float((values**2).sum()) / largest**2 if largest > 0 else 0.0,
        "rank": int((values > np.finfo(np.float64).eps * max(matrix.shape) * largest).sum()),
    }
    return spectrum, matrix


def _strongest(local: _LocalMap, directions: int, probes: int, rng: np.random.Generator) -> dict[str, Any]:
    """The largest singular triples by Lanczos iteration; of the rest, the squared size by random probes."""
    from scipy.sparse.linalg import LinearOperator, svds

    _Operator = cast(Any, LinearOperator)  # noqa: N806 - a class; its keyword arguments are not in its type

    outputs, inputs = local.shape
    count = min(directions, min(outputs, inputs) - 1)
    start = rng.standard_normal(min(outputs, inputs))
    if count < 1:  # One row or one column is its own singular vector.
        left, values, right = _single(local)
    elif not np.any(local.backward(rng.standard_normal(outputs))):
        left, values, right = np.eye(count, outputs), np.zeros(count), np.eye(count, inputs)
    else:
        operator = _Operator((outputs, inputs), matvec=local.forward, rmatvec=local.backward, dtype=np.float64)
        columns, values, right = cast(Any, svds(operator, k=count, v0=start, solver="arpack"))
        order = np.argsort(-values)
        left, values, right = columns.T[order], values[order], right[order]
    residual = 0.0
    for one, value, other in zip(left, values, right, strict=True):
        forward = np.linalg.norm(local.forward(other) - value * one)
        backward = np.linalg.norm(local.backward(one) - value * other)
        residual = max(residual, float(forward), float(backward))
    square, error = float((values**2).sum()), 0.0
    if count >= 1:
        draws = rng.choice([-1.0, 1.0], (probes, outputs))
        draws -= (draws @ left.T) @ left
        sizes = np.array([float((local.backward(draw) ** 2).sum()) for draw in draws])
        square, error = square + float(sizes.mean()), float(sizes.std(ddof=1)) / math.sqrt(probes)
    norm, largest = math.sqrt(square), float(values.max(initial=0.0))
    return {
        "singular_values": values,
        "left": left[:_MOST_KEPT],
        "right": right[:_MOST_KEPT],
        "complete": count < 1,
        "residual": residual,
        "frobenius_norm": norm,
        "frobenius_error": error / (2 * norm) if norm > 0 else 0.0,
        "entropy_rank": math.nan if count >= 1 else float(largest > 0),
        "stable_rank": square / largest**2 if largest > 0 else 0.0,
        "rank": -1 if count >= 1 else int(largest > 0),
    }


def _single(local: _LocalMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The one singular triple of a map from or to one number."""
    outputs = local.shape[0]
    row = local.backward(np.ones(1)) if outputs == 1 else local.forward(np.ones(1))
    size = float(np.linalg.norm(row))
    unit = row / size if size > 0 else np.eye(1, len(row))[0]
    one = np.ones((1, 1))
    return (one, np.array([size]), unit[None]) if outputs == 1 else (unit[None], np.array([size]), one)


def _eigenbasis(
    local: _LocalMap, matrix: np.ndarray, directions: int, probes: int, rng: np.random.Generator
) -> JacobianEigenbasis:
    """Eigenvectors of the symmetric part, and how much of the map is not symmetric."""
    count = local.shape[0]
    complete = matrix.size > 0
    own = np.empty(0)
    if complete:
        symmetric = (matrix + matrix.T) / 2
        values, columns = np.linalg.eigh(symmetric)
        own = np.linalg.eigvals(matrix)
        own = own[np.argsort(-np.abs(own), kind="stable")]
        odd, even = float(np.linalg.norm(matrix - matrix.T)), float(np.linalg.norm(matrix + matrix.T))
        trace, error = float(np.trace(matrix)), 0.0
    else:
        values, columns = _lanczos_eigenvectors(local, directions, rng)
        draws = rng.choice([-1.0, 1.0], (probes, count))
        pairs = [(local.forward(draw), local.backward(draw)) for draw in draws]
        odd = math.sqrt(sum(float(((one - two) ** 2).sum()) for one, two in pairs))
        even = math.sqrt(sum(float(((one + two) ** 2).sum()) for one, two in pairs))
        traces = np.array([float(draw @ one) for draw, (one, _) in zip(draws, pairs, strict=True)])
        trace, error = float(traces.mean()), float(traces.std(ddof=1)) / math.sqrt(probes)
    order = np.argsort(-np.abs(values), kind="stable")
    values, vectors = values[order], columns.T[order][:_MOST_KEPT]
    residual = 0.0
    for value, vector in zip(values, vectors, strict=False):
        product = (local.forward(vector) + local.backward(vector)) / 2
        residual = max(residual, float(np.linalg.norm(product - value * vector)))
    return JacobianEigenbasis(
        values=values,
        vectors=vectors,
        input_parts=vectors @ local.x.detach().numpy().ravel(),
        output_parts=vectors @ local.output.ravel(),
        residual=residual,
        complete=complete,
        asymmetry=odd / even if even > 0 else (math.inf if odd > 0 else 0.0),
        real=np.real(own).astype(np.float64),
        imaginary=np.imag(own).astype(np.float64),
        dimensions=trace,
        dimensions_error=error,
    )


def _lanczos_eigenvectors(local: _LocalMap, directions: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The strongest eigenvectors of (J + Jᵀ)/2."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    _Operator = cast(Any, LinearOperator)  # noqa: N806 - as above

    count = local.shape[0]
    wanted = min(directions, count - 1)

    def product(vector: np.ndarray) -> np.ndarray:
        return (local.forward(vector) + local.backward(vector)) / 2

    if wanted < 1:
        return product(np.ones(1)), np.ones((1, 1))
    start = rng.standard_normal(count)
    if not np.any(product(start)):
        return np.zeros(wanted), np.eye(count, wanted)
    operator = _Operator((count, count), matvec=product, dtype=np.float64)
    return cast(Any, eigsh(operator, k=wanted, v0=start, which="LM"))
