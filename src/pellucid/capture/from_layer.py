"""A network as a function of flat points: from its input, or from the output of one of its layers on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from pellucid.core.slices import Slice

__all__ = ["network_on", "run_on", "state_in"]


def network_on(model: nn.Module, slice_: Slice, *, dtype: torch.dtype = torch.float64) -> Callable[[Tensor], Any]:
    """The network as a function of points of the slice's space, n × d in, whatever the network returns out.

    It is a copy in evaluation mode and in ``dtype``; the network itself is not touched.

    Raises:
        SettingsError: the slice lies in a layer that the network does not have.
    """
    return run_on(copy.deepcopy(model).to("cpu", dtype).eval().requires_grad_(False), slice_)


def state_in(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """The network's parameters and buffers in another precision, on the CPU, for ``run_on``."""
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        name: one.detach().to("cpu", dtype if one.is_floating_point() else one.dtype) for name, one in state.items()
    }


def run_on(model: nn.Module, slice_: Slice, state: dict[str, Tensor] | None = None) -> Callable[[Tensor], Any]:
    """The same of a network as it stands, in its own mode; with other parameters and buffers where some are given.

    For a slice in a layer's output the network runs on the slice's template, and the layer's output is replaced.
    """
    shape = slice_.shape

    def call(inputs: Tensor) -> Any:
        return model(inputs) if state is None else torch.func.functional_call(model, state, (inputs,))

    if not slice_.layer:
        return lambda points: call(points.reshape(-1, *shape))
    modules = dict(model.named_modules())
    if slice_.layer not in modules:
        shown = ", ".join(repr(name) for name in list(modules)[1:13])
        raise SettingsError(
            f"the model has no layer {slice_.layer!r}, which the slice lies in",
            place="slice_",
            remedy=f"slice one of {shown}",
        )
    if slice_.template is None:
        raise SettingsError(
            "the slice in a layer does not say what the network's input is",
            place="slice_",
            remedy="make it by slice_latent",
        )
    layer, template = modules[slice_.layer], torch.as_tensor(slice_.template)

    def run(points: Tensor) -> Any:
        handle = layer.register_forward_hook(lambda _module, _inputs, _output: points.reshape(-1, *shape), prepend=True)
        usual = torch.get_default_dtype()
        try:
            start = template.to(points.dtype) if template.is_floating_point() else template
            torch.set_default_dtype(points.dtype)  # what a model makes of tokens has the default's precision
            return call(start.expand(len(points), *template.shape))
        finally:
            torch.set_default_dtype(usual)
            handle.remove()

    return run
