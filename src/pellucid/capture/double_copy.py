"""A network's own copy in double precision and evaluation mode, to be measured without touching the original."""

from __future__ import annotations

import copy

import torch
from torch import nn

from pellucid.errors import SettingsError

__all__ = ["double_copy"]


def double_copy(model: nn.Module) -> nn.Module:
    """A copy on the CPU, in float64 and evaluation mode, whose parameters autograd does not follow.

    Args:
        model: Any network that can be copied; a compiled one is copied as the module that was compiled.

    Raises:
        SettingsError: it is no module or cannot be copied, or a parameter holds NaN or infinity, or a buffer NaN.
    """
    if not isinstance(model, nn.Module):
        raise SettingsError(f"a {type(model).__name__} is no network", place="model", remedy="give a torch.nn.Module")
    model = model.__dict__.get("_modules", {}).get("_orig_mod") or model
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        _check_numbers(name, tensor)
    try:
        twin = copy.deepcopy(model)
    except Exception as error:
        raise SettingsError(
            f"the model cannot be copied ({error})",
            place=type(model).__name__,
            remedy="give a model whose attributes are modules, parameters, buffers or plain values",
        ) from error
    return twin.to("cpu", torch.float64).eval().requires_grad_(False)


def _check_numbers(name: str, tensor: torch.Tensor) -> None:
    """Refuse what has no numbers, or has some that are none; a mask among the buffers may hold −∞."""
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
        raise SettingsError(f"{name} has no shape yet", place=name, remedy="run the model once before measuring it")
    wrong = ~torch.isfinite(tensor) if isinstance(tensor, nn.Parameter) else torch.isnan(tensor)
    if bool(wrong.any()):
        raise SettingsError(
            f"{int(wrong.sum()):,} of {tensor.numel():,} numbers of {name} are NaN or infinite",
            place=name,
            remedy="measure a checkpoint from before the training went wrong",
        )
