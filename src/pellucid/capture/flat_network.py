"""A network as a function of flat float64 points: from its input, or from one of its layers' output on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.capture.double_copy import double_copy
from pellucid.capture.tape_structures import tensors_in
from pellucid.core.slices import Slice
from pellucid.errors import SettingsError

__all__ = ["FlatNetwork", "flat_network_on"]


class FlatNetwork(nn.Module):
    """The network as a function of flat points: n × d in, n × outputs out.

    Attributes:
        network: A float64 copy in evaluation mode; the person's own model is never touched.
        shape: The shape of one example before flattening.
        layer: '' for the network's input; else the module whose output the points are.
    """

    def __init__(
        self, model: nn.Module, shape: tuple[int, ...], layer: str = "", template: Tensor | None = None
    ) -> None:
        super().__init__()
        self.network = double_copy(model)
        self.shape, self.layer = shape, layer
        self.register_buffer("template", template, persistent=False)
        if layer and template is None:
            raise SettingsError(
                "what the network's input looks like is not known",
                place=f"layer {layer!r}",
                remedy="make the slice with slice_latent, or give it a template: one example of the network's input",
            )
        if layer and layer not in dict(self.network.named_modules()):
            shown = ", ".join(repr(name) for name, _ in list(self.network.named_modules())[1:13])
            raise SettingsError(f"the model has no layer {layer!r}", place=layer, remedy=f"name one of {shown}")

    def forward(self, points: Tensor) -> Tensor:
        """The network's (first) output, one flat row a point."""
        given = points.reshape(len(points), *self.shape)
        output = self.network(given) if not self.layer else self._from_layer(given)
        found = next((one for _, one in tensors_in(output) if one.is_floating_point()), None)
        if found is None or found.dim() == 0 or len(found) != len(points):
            raise SettingsError(
                "the network does not give one row of numbers for every example",
                place="output",
                remedy="measure a network whose output's first axis counts the examples",
            )
        return found.reshape(len(points), -1)

    def _from_layer(self, given: Tensor) -> Any:
        """Run on the template, with the given output in the place of the layer's own."""
        module = self.network.get_submodule(self.layer)
        handle = module.register_forward_hook(lambda _module, _inputs, _output: given)
        try:
            return self.network(self.template)
        finally:
            handle.remove()


def flat_network_on(model: nn.Module, slice_: Slice) -> FlatNetwork:
    """The network as a function of the flat points of a slice's space, as a module.

    Args:
        model: Any network that takes one tensor; it is copied, and left as it is.
        slice_: Says what the points are: inputs, or the outputs of a layer.

    Raises:
        SettingsError: a weight is not finite, there is no such layer, or the slice is of another size.

    >>> import numpy as np
    >>> plane = Slice(np.zeros(2), np.eye(2)[0], np.eye(2)[1], (-1.0, 1.0), (-1.0, 1.0), (2,))
    >>> flat_network_on(nn.Linear(2, 3), plane)(torch.zeros(4, 2, dtype=torch.float64)).shape
    torch.Size([4, 3])
    """
    if math.prod(slice_.shape) != len(slice_.origin):
        raise SettingsError(
            f"a slice of {len(slice_.origin)} numbers is not of the shape {slice_.shape}",
            place="slice_",
            remedy="make it with one of the slice_… functions",
        )
    template = None
    if slice_.template is not None:
        template = torch.as_tensor(slice_.template, dtype=torch.float64)[None]
    return FlatNetwork(model, tuple(slice_.shape), slice_.layer, template)
