"""Gradients, weights and updates of an observed step: of all parameters together, and layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.core.tensor_summary import global_norm
from pellucid.watch.script_events import ScriptContext
from pellucid.watch.wiring_settings import is_plain

__all__ = ["ParameterFigures", "gradient_figures", "gradients_are_clear", "held_parameters"]

_MOST_COPIED = 1 << 22
"""Entries of weights that are copied to measure an update by; of larger models the first layers."""

_MOST_LAYERS = 64
_MOST_ENTRIES = 1 << 18

Figures = dict[tuple[str, str], Tensor]


def held_parameters(optimizers: Sequence[object]) -> list[Tensor]:
    """The tensors that optimisers hold, each once."""
    found: dict[int, Tensor] = {}
    for optimizer in optimizers:
        for group in getattr(optimizer, "param_groups", ()):
            found.update((id(p), p) for p in group["params"] if isinstance(p, Tensor) and is_plain(p))
    return list(found.values())


def gradients_are_clear(parameters: Sequence[Tensor]) -> Tensor | None:
    """1 where no parameter has a gradient other than 0; None without parameters."""
    if not parameters:
        return None
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.ones((), device="cpu")
    return (global_norm(gradients) == 0).float()


def gradient_figures(parameters: Sequence[Tensor]) -> Figures:
    """Norm, share of entries exactly 0 and share not finite of all gradients together."""
    gradients = [p.grad.detach() for p in parameters if p.grad is not None]
    gradients = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    gradients = [g for g in gradients if g.numel()]
    if not gradients or len({g.device for g in gradients}) > 1:
        return {}
    flat = [g.reshape(-1)[:: -(-g.numel() // _MOST_ENTRIES)] for g in gradients]
    size = sum(len(part) for part in flat)
    zero = torch.stack([(part == 0).sum() for part in flat]).sum() / size
    finite = torch.stack([torch.isfinite(part).sum() for part in flat]).sum() / size
    return {
        ("gradient", "norm"): global_norm(gradients),
        ("gradient", "zero"): zero,
        ("gradient", "nonfinite"): 1.0 - finite,
    }


class ParameterFigures:
    """Measures one update: what the weights were before it, and what became of them.

    Args:
        context: Knows the models, for the layers' names.
        parameters: Which are about to be updated.
    """

    def __init__(self, context: ScriptContext, parameters: Sequence[Tensor]) -> None:
        names = _layer_names(context)
        self._layers: dict[str, list[Tensor]] = {}
        copied = 0
        for parameter in parameters:
            copied += parameter.numel()
            name = names.get(id(parameter), "?")
            if copied > _MOST_COPIED or parameter.is_sparse or parameter.numel() == 0:
                continue
            if name in self._layers or len(self._layers) < _MOST_LAYERS:
                self._layers.setdefault(name, []).append(parameter)
        self._before = {name: [p.detach().clone() for p in layer] for name, layer in self._layers.items()}

    def after(self) -> Figures:
        """Figures by layer; the update's size relative to the weights'."""
        figures: Figures = {}
        for name, layer in self._layers.items():
            before = self._before[name]
            weight = global_norm(before)
            moved = global_norm([p.detach() - old for p, old in zip(layer, before, strict=True)])
            subject = f"layer:{name}"
            figures[subject, "weight_norm"] = weight
            figures[subject, "update_ratio"] = moved / weight
            gradients = [p.grad.detach() for p in layer if p.grad is not None]
            if gradients:
                figures[subject, "gradient_norm"] = global_norm(gradients)
            units = next((p.detach() for p in layer if p.ndim > 1 and len(p) > 1), None)
            if units is not None:
                rows = units.reshape(len(units), -1).float()
                figures[subject, "unit_spread"] = (rows - rows.mean(0)).square().mean(0).amax().sqrt()
        return figures


def _layer_names(context: ScriptContext) -> dict[int, str]:
    """Each parameter's layer; models after the first say which they are, as "1:encoder.0"."""
    names: dict[int, str] = {}
    for index, model in enumerate(context.models):
        for name, module in model.named_modules():
            for parameter in module.parameters(recurse=False):
                names.setdefault(id(parameter), f"{index}:{name}" if index else name)
    return names
