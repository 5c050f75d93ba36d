"""How weights follow gradients: PyTorch's own optimisers, their fused kernels where there are any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pellucid.training.spec import OptimizerSpec

__all__ = ["build_optimizer", "parameter_groups"]

_NORMALIZATIONS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)

_FUSED_DEVICES = ("cpu", "cuda")


def build_optimizer(spec: OptimizerSpec, model: nn.Module) -> Optimizer:
    """The optimiser a spec describes, over the trainable parameters of ``model``.

    Move the model to its device first: where PyTorch has a fused kernel for that device, it is used, for a step over
    many small tensors is several times faster so. The numbers are equal to rounding.

    Args:
        spec: Which optimiser, and its constants.
        model: Whose parameters it moves.

    Returns:
        A ``torch.optim`` optimiser. ``lbfgs`` wants a closure in ``step`` and has one parameter group without decay.

    Raises:
        SettingsError: the spec contradicts itself.
    """
    spec.validate()
    if spec.name == "lbfgs":
        return torch.optim.LBFGS(
            [p for p in model.parameters() if p.requires_grad],
            lr=spec.learning_rate,
            max_iter=spec.max_iterations,
            history_size=spec.history,
            line_search_fn="strong_wolfe" if spec.line_search else None,
        )
    groups = parameter_groups(model, spec.weight_decay)
    return _OPTIMIZERS[spec.name](groups, spec, _can_fuse(model.parameters()))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights, which decay, apart from biases and normalisation, which do not.

    Args:
        model: Whose trainable parameters are grouped, each once.
        weight_decay: Of the first group.

    Returns:
        One or two groups in PyTorch's form, each with its ``weight_decay``.
    """
    decayed: list[Tensor] = []
    kept: list[Tensor] = []
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            free = isinstance(module, _NORMALIZATIONS) or name.startswith("bias") or parameter.ndim < 2
            (kept if free else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _can_fuse(parameters: Iterable[Tensor]) -> bool:
    """Whether PyTorch's fused kernels take all parameters: real floats on a device that has such kernels."""
    return all(p.is_floating_point() and p.device.type in _FUSED_DEVICES for p in parameters)


def _sgd(groups: list[dict[str, Any]], spec: OptimizerSpec, fused: bool) -> Optimizer:
    return torch.optim.SGD(
        groups, lr=spec.learning_rate, momentum=spec.momentum, nesterov=spec.nesterov, fused=fused or None
    )


def _rmsprop(groups: list[dict[str, Any]], spec: OptimizerSpec, fused: bool) -> Optimizer:
    del fused  # PyTorch has no fused RMSprop
    return torch.optim.RMSprop(
        groups, lr=spec.learning_rate, alpha=spec.beta2, eps=spec.epsilon, momentum=spec.momentum
    )


def _adagrad(groups: list[dict[str, Any]], spec: OptimizerSpec, fused: bool) -> Optimizer:
    on_cpu = all(
        p.device.type == "cpu" for group in groups for p in group["params"]
    )  # its fused kernel is for CPUs only
    return torch.optim.Adagrad(groups, lr=spec.learning_rate, eps=spec.epsilon, fused=(fused and on_cpu) or None)


def _adam(groups: list[dict[str, Any]], spec: OptimizerSpec, fused: bool) -> Optimizer:
    kind = torch.optim.AdamW if spec.name == "adamw" else torch.optim.Adam
    betas = (spec.beta1, spec.beta2)
    return kind(groups, lr=spec.learning_rate, betas=betas, eps=spec.epsilon, fused=fused or None)


_OPTIMIZERS = {
    "gradient_descent": _sgd,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adam": _adam,
    "adamw": _adam,
}
