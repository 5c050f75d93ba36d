"""A model's loss as a function of its parameters: values, gradient, Hessian and Gauss-Newton products.

The model itself stays as it is: parameters and buffers are lent to each call, and only the training flags are
switched and switched back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from pellucid.capture.lent_parameters import call_with, places_of
from pellucid.errors import SettingsError, TrainingError

__all__ = [
    "LossFunction",
    "LossSurface",
    "Matrix",
    "Statistics",
    "apply_loss",
    "loss_surface",
    "name_of_loss",
    "scalar_loss",
]

LossFunction = Callable[..., Any] | None
"""``loss(output, target)`` -> scalar tensor; None: cross-entropy for class numbers, mean squared error otherwise."""

Matrix = Literal["hessian", "gauss_newton"]
"""Which second-order matrix: of the loss, or the loss's own curvature carried through the model's linearisation."""

Statistics = Literal["running", "batch"]
"""What batch normalisation normalises with: what it stored in training, or what each batch shows."""

_RETAINED_BYTES = 2 << 30
"""How much the graphs kept for repeated products may hold."""


@contextmanager
def loss_surface(
    model: nn.Module,
    batches: Sequence[tuple[Tensor, Tensor]],
    loss: LossFunction = None,
    *,
    dtype: torch.dtype | None = None,
    statistics: Statistics = "running",
) -> Iterator[LossSurface]:
    """Open the loss over the parameters that require a gradient; the model's flags are restored at the end."""
    if statistics not in ("running", "batch"):
        raise SettingsError(
            f"there are no {statistics!r} statistics", place="statistics", remedy="use 'running' or 'batch'"
        )
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = statistics == "batch" and isinstance(module, _BatchNorm)
        with torch.enable_grad(), torch.random.fork_rng(), sdpa_kernel(SDPBackend.MATH):
            yield LossSurface(model, batches, loss, dtype)
    finally:
        for module, mode in modes:
            module.training = mode


class LossSurface:
    """The loss L(θ), averaged over all examples; summed if the loss function's ``reduction`` is "sum".

    Attributes:
        names: The parameters that require a gradient, in the order of the flat vector.
        center: Their present values as one vector.
        kept: Whether the graph of the last products stayed in memory for every batch.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[tuple[Tensor, Tensor]],
        loss: LossFunction,
        dtype: torch.dtype | None,
    ) -> None:
        chosen = {name: value for name, value in model.named_parameters() if value.requires_grad}
        if not chosen:
            raise SettingsError(
                "the model has no parameter that could be moved",
                place=type(model).__name__,
                remedy="give a model with parameters, and set requires_grad on those to look at",
            )
        self._model, self._loss, self._dtype = model, loss, dtype
        self._places = places_of(model)
        self.names = tuple(chosen)
        self.shapes = tuple(value.shape for value in chosen.values())
        self._fixed = {
            name: self._cast(value.detach())
            for name, value in (*model.named_parameters(), *model.named_buffers())
            if name not in chosen
        }
        self._parameters = {name: self._cast(value.detach()) for name, value in chosen.items()}
        self.center = torch.cat([value.reshape(-1) for value in self._parameters.values()])
        self.device = self.center.device
        self._batches = [(self._cast(x.to(self.device)), y.to(self.device)) for x, y in batches]
        self.examples = sum(len(x) for x, _ in batches)
        summed = getattr(loss, "reduction", "mean") == "sum"
        self._shares = [1.0 if summed else len(x) / self.examples for x, _ in batches]
        self.kept = True

    def _cast(self, value: Tensor) -> Tensor:
        return value.to(self._dtype) if self._dtype is not None and value.is_floating_point() else value

    @property
    def size(self) -> int:
        """How many numbers can be moved."""
        return self.center.numel()

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """The parameters by name that a flat vector stands for; any leading axes are kept."""
        pieces = vector.split([shape.numel() for shape in self.shapes], dim=-1)
        lead = vector.shape[:-1]
        parts = zip(self.names, pieces, self.shapes, strict=True)
        return {name: piece.reshape(*lead, *shape) for name, piece, shape in parts}

    def flatten(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The flat vector of parameters given by name, as in a state dict.

        Raises:
            SettingsError: a parameter is missing or has another shape.
        """
        for name, shape in zip(self.names, self.shapes, strict=True):
            if name not in parameters or parameters[name].shape != shape:
                found = "it is missing" if name not in parameters else f"its shape is {tuple(parameters[name].shape)}"
                raise SettingsError(
                    f"{name} should have shape {tuple(shape)}: {found}",
                    place=name,
                    remedy="give a state dict of this very model",
                )
        values = [parameters[name].detach().to(self.center).reshape(-1) for name in self.names]
        return torch.cat(values)

    def value(self, vector: Tensor | None = None, *, buffers: Mapping[str, Tensor] | None = None) -> float:
        """L(θ) at a vector, or at the present parameters themselves."""
        parameters = self._parameters if vector is None else self.unflatten(vector.to(self.center))
        with torch.no_grad():
            losses = [self._loss_of(parameters, x, y, buffers) * share for (x, y), share in self._weighted_batches()]
        return float(sum(float(one) for one in losses))

    def values(self, vectors: Tensor) -> Tensor:
        """L(θ) at several vectors at once (rows), in one vectorised pass over each batch."""
        parameters = self.unflatten(vectors.to(self.center))

        def one(x: Tensor, y: Tensor) -> Callable[[dict[str, Tensor]], Tensor]:
            return lambda moved: self._loss_of(moved, x, y)

        with torch.no_grad():
            total = torch.zeros(len(vectors), dtype=torch.float64, device=self.device)
            for (x, y), share in self._weighted_batches():
                total += torch.vmap(one(x, y))(parameters).double() * share
        return total

    def value_and_gradient(self) -> tuple[float, Tensor]:
        """The loss at the present parameters and its gradient as a flat vector."""
        total, gradient = 0.0, torch.zeros_like(self.center)
        for (x, y), share in self._weighted_batches():
            leaves = self._leaves()
            loss = self._loss_of(leaves, x, y) * share
            self._require_finite(loss)
            gradient += self._flat(torch.autograd.grad(loss, list(leaves.values()), allow_unused=True))
            total += float(loss.detach())
        return total, gradient

    def product(self, matrix: Matrix = "hessian") -> tuple[Callable[[Tensor], Tensor], float, Tensor]:
        """v ↦ Mv for the Hessian or the Gauss-Newton matrix; also the loss and its gradient, found on the way.

        The graph of the gradient is kept for as many batches as fit in memory, so that a product costs one
        backward pass through it; the rest is built anew each time.
        """
        build = self._hessian_parts if matrix == "hessian" else self._gauss_newton_parts
        kept: list[Callable[[Tensor], Tensor] | None] = []
        room, total, gradient = _RETAINED_BYTES, 0.0, torch.zeros_like(self.center)
        for place in range(len(self._batches)):
            with _counting() as held:
                loss, slope, times = build(place)
            total, gradient = total + loss, gradient + slope
            room -= sum(held.values())
            kept.append(times if room >= 0 else None)
        self.kept = all(times is not None for times in kept)

        def apply(vector: Tensor) -> Tensor:
            vector = vector.to(self.center)
            out = torch.zeros_like(self.center)
            for place, times in enumerate(kept):
                out += (build(place)[2] if times is None else times)(vector)
            return out

        return apply, total, gradient

    def _hessian_parts(self, place: int) -> tuple[float, Tensor, Callable[[Tensor], Tensor]]:
        (x, y), share = self._batches[place], self._shares[place]
        leaves = self._leaves()
        loss = self._loss_of(leaves, x, y) * share
        self._require_finite(loss)
        inputs = list(leaves.values())
        slopes = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
        pairs = [(slope, shape) for slope, shape in zip(slopes, self.shapes, strict=True)]

        def times(vector: Tensor) -> Tensor:
            pieces = vector.split([shape.numel() for shape in self.shapes])
            moved = [
                (slope, piece.reshape(shape))
                for (slope, shape), piece in zip(pairs, pieces, strict=True)
                if slope is not None and slope.requires_grad
            ]
            if not moved:
                return torch.zeros_like(vector)
            out = torch.autograd.grad(
                [one for one, _ in moved], inputs, [v for _, v in moved], retain_graph=True, allow_unused=True
            )
            return self._flat(out)

        return float(loss.detach()), self._flat(slopes), times

    def _gauss_newton_parts(self, place: int) -> tuple[float, Tensor, Callable[[Tensor], Tensor]]:
        """Jᵀ H J v with the transposed trick: J v is the derivative of Jᵀ u in direction v."""
        (x, y), share = self._batches[place], self._shares[place]
        leaves = self._leaves()
        inputs = list(leaves.values())
        output = self._output(leaves, x)
        if not isinstance(output, Tensor):
            raise SettingsError(
                f"the Gauss-Newton matrix needs a model that returns one tensor, not {type(output).__name__}",
                place="matrix",
                remedy="use matrix='hessian'",
            )
        cut = output.detach().requires_grad_()
        loss = scalar_loss(apply_loss(self._loss, cut, y)) * share
        self._require_finite(loss)
        slope = torch.autograd.grad(loss, cut, create_graph=True)[0]
        carried = torch.zeros_like(output, requires_grad=True)
        pulled = torch.autograd.grad(output, inputs, carried, create_graph=True, allow_unused=True)
        back = torch.autograd.grad(output, inputs, slope.detach(), retain_graph=True, allow_unused=True)

        def times(vector: Tensor) -> Tensor:
            pieces = vector.split([shape.numel() for shape in self.shapes])
            moved = [
                (pull, piece.reshape(shape))
                for pull, piece, shape in zip(pulled, pieces, self.shapes, strict=True)
                if pull is not None
            ]
            if not moved or not slope.requires_grad:
                return torch.zeros_like(vector)
            forward = torch.autograd.grad([p for p, _ in moved], carried, [v for _, v in moved], retain_graph=True)[0]
            bent = torch.autograd.grad(slope, cut, forward, retain_graph=True)[0]
            return self._flat(torch.autograd.grad(output, inputs, bent, retain_graph=True, allow_unused=True))

        return float(loss.detach()), self._flat(back), times

    def _leaves(self) -> dict[str, Tensor]:
        return {name: value.detach().requires_grad_() for name, value in self._parameters.items()}

    def _flat(self, parts: Sequence[Tensor | None]) -> Tensor:
        pairs = zip(parts, self.shapes, strict=True)
        return torch.cat(
            [self.center.new_zeros(shape.numel()) if p is None else p.detach().reshape(-1) for p, shape in pairs]
        )

    def _weighted_batches(self) -> Iterator[tuple[tuple[Tensor, Tensor], float]]:
        return zip(self._batches, self._shares, strict=True)

    def _output(self, parameters: Mapping[str, Tensor], x: Tensor, buffers: Mapping[str, Tensor] | None = None) -> Any:
        # Buffers are cloned: batch normalisation in training mode writes into them.
        fixed = {name: value.clone() for name, value in self._fixed.items()}
        if buffers is not None:
            fixed |= {name: self._cast(value.to(self.device)) for name, value in buffers.items() if name in fixed}
        return call_with(self._model, self._places, {**parameters, **fixed}, x)

    def _loss_of(
        self, parameters: Mapping[str, Tensor], x: Tensor, y: Tensor, buffers: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        return scalar_loss(apply_loss(self._loss, self._output(parameters, x, buffers), y))

    def _require_finite(self, loss: Tensor) -> None:
        if bool(torch.isfinite(loss)):
            return
        broken = [name for name, value in self._parameters.items() if not bool(torch.isfinite(value).all())]
        raise TrainingError(
            f"the loss at these weights is {float(loss.detach())}",
            place=", ".join(broken[:5]) or "loss",
            remedy="replace the entries that are not finite" if broken else "look at inputs, targets and loss function",
        )


def name_of_loss(loss: LossFunction) -> str:
    """What a loss is called on the screen."""
    if loss is None:
        return "loss"
    return getattr(loss, "__name__", None) or type(loss).__name__


def apply_loss(loss: LossFunction, output: Any, target: Tensor) -> Any:
    """What a loss function makes of output and target, or the one that follows from their shapes and types.

    Raises:
        SettingsError: no loss follows from them.
    """
    if isinstance(output, Tensor) and target.is_floating_point():
        target = target.to(output.dtype)
    if loss is not None:
        return loss(output, target)
    if isinstance(output, Tensor):
        if not target.is_floating_point() and output.ndim == target.ndim + 1 and output.shape[1] > 1:
            return functional.cross_entropy(output, target.long())
        if target.is_floating_point() and output.numel() == target.numel():
            return functional.mse_loss(output.reshape(target.shape), target)
    shown = f"output of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise SettingsError(
        f"no loss follows from {shown} and targets of shape {tuple(target.shape)} ({target.dtype})",
        place="loss",
        remedy="give loss=, a function of output and target",
    )


def scalar_loss(loss: Any) -> Tensor:
    """The loss as a tensor of no axes.

    Raises:
        SettingsError: it is not a single number.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        shown = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise SettingsError(
            f"the loss is no single number but {shown}",
            place="loss",
            remedy="average over the batch, for example with reduction='mean'",
        )
    return loss.reshape(())


@contextmanager
def _counting() -> Iterator[dict[int, int]]:
    """The bytes of what a graph keeps, each storage once."""
    held: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return value

    with saved_tensors_hooks(pack, lambda value: value):
        yield held
