"""What every layer's neurons hold during a pass: before their non-linearity and after it, at the cost of the pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode

from pellucid.errors import SettingsError

__all__ = ["INPUT", "LayerValues", "NeuronWatch", "neuron_layers"]

INPUT = "input"
"""What a layer's source is called if the layer reads the network's input itself."""

_WORDS = (
    "relu relu_ tanh tanh_ sigmoid sigmoid_ gelu silu elu elu_ selu selu_ celu celu_ leaky_relu leaky_relu_ hardtanh "
    "hardtanh_ softplus prelu mish hardswish hardsigmoid softsign relu6 tanhshrink softshrink hardshrink logsigmoid "
    "threshold threshold_ clamp clamp_ clamp_min clamp_max sin cos abs absolute exp square"
)
_ACTIVATIONS = frozenset(_WORDS.split())
_NORMALISATIONS = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"}
_SAME_VALUES = {"flatten", "reshape", "view", "dropout", "contiguous", "squeeze", "unsqueeze", "to", "float", "clone"}
_linear = nn.functional.linear
_NORM_MODULES = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.PReLU, nn.RMSNorm)


@dataclass(eq=False, slots=True)
class LayerValues:
    """One run of a layer during a pass.

    Attributes:
        name: Its qualified name.
        module: The layer.
        before: What it gave.
        after: The same after the normalisation and the non-linearity that follow; ``before`` where none does.
        activation: The non-linearity's name; '' for none.
        source: The layer whose ``after`` it reads as it is, or ``INPUT``; '' where that is not known.
        normalised: Whether a normalisation stands between.
    """

    name: str
    module: nn.Module
    before: Tensor
    after: Tensor
    activation: str = ""
    source: str = ""
    normalised: bool = False


def neuron_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that weigh their input: modules without parts that hold parameters and do not only scale."""
    found = {
        name: module
        for name, module in model.named_modules()
        if not module._modules
        and any(one is not None for one in module._parameters.values())
        and not isinstance(module, _NORM_MODULES)
    }
    if not found:
        raise SettingsError("the model has no layer with weights", place="model", remedy="give a network with layers")
    return found


class NeuronWatch(TorchFunctionMode):
    """Runs a network and keeps what its layers hold; the network's own code runs.

    A linear layer's product is computed with the features first in memory, so that each neuron's values lie together;
    the numbers are those of ``x @ W.T + b``.
    """

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self._layers = layers
        self._found: dict[str, LayerValues] = {}
        self._known: dict[int, tuple[Tensor, LayerValues | None]] = {}

    def run(self, call: Callable[[Tensor], Any], points: Tensor) -> tuple[Any, dict[str, LayerValues]]:
        """Call the network on points; what it returns, and the values of the layers in the order in which they ran."""
        self._found, self._known = {}, {id(points): (points, None)}
        handles = [module.register_forward_hook(self._hook(name)) for name, module in self._layers.items()]
        try:
            with torch.no_grad(), self:
                return call(points), self._found
        finally:
            for handle in handles:
                handle.remove()
            self._found, self._known = {}, {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function; follow a layer's output through what belongs to it."""
        if func is _linear and not kwargs and len(args) == 3 and args[0].dim() == 2 and args[2] is not None:
            rows, weight, bias = args
            return torch.addmm(bias[:, None], weight, rows.t()).t()
        name = getattr(func, "__name__", "")
        known = self._known.get(id(args[0])) if args else None
        if known is None:
            return func(*args, **kwargs) if kwargs else func(*args)
        return self._follow(func, name, known[1], args, kwargs or {})

    def _follow(self, func: Any, name: str, layer: LayerValues | None, args: Any, kwargs: dict[str, Any]) -> Any:
        bends = layer is not None and not layer.activation and name in _ACTIVATIONS
        inside = name.endswith("_") or bool(kwargs.get("inplace")) or any(one is True for one in args[1:])
        if bends and inside and layer is not None and layer.before is layer.after:
            layer.before = layer.before.clone()
        output = func(*args, **kwargs)
        if not isinstance(output, Tensor):
            return output
        if layer is not None and (bends or (name in _NORMALISATIONS and not layer.activation)):
            layer.after = output
            layer.activation = name.rstrip("_") if bends else ""
            layer.normalised = layer.normalised or not bends
            self._known[id(output)] = (output, layer)
        elif name in _SAME_VALUES and output.numel() == args[0].numel():
            self._known[id(output)] = (output, layer)
        return output

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(tensor, Tensor):
                return
            known = self._known.get(id(inputs[0])) if inputs else None
            source = "" if known is None else INPUT if known[1] is None else known[1].name
            label, again = name, 2
            while label in self._found:
                label, again = f"{name} ({again})", again + 1
            self._found[label] = layer = LayerValues(label, module, tensor, tensor, source=source)
            self._known[id(tensor)] = (tensor, layer)

        return note
