"""The weights a network starts from."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pellucid.errors import SettingsError
from pellucid.training.activations import activation_gain, is_rectifier
from pellucid.training.spec import Initialization, NetworkSpec

__all__ = ["initialize"]

_LSUV_TOLERANCE = 1e-3  # on the standard deviation of a layer's outputs
_LSUV_ROUNDS = 10

_GATES: dict[type[nn.Module], int] = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}
"""Gates stacked in the rows of a recurrent cell's weights."""


def initialize(
    model: nn.Module, spec: NetworkSpec, example_inputs: Tensor | None = None, *, seed: int = 0
) -> nn.Module:
    """Give every linear, convolutional and recurrent layer of ``model`` its starting weights, in place.

    ========================  ==========================================================================
    ``xavier_*``              variance 2 / (fan in + fan out) (Glorot and Bengio 2010, equation 12)
    ``he_*``                  variance gain² / fan in, gain² = 2 for a ReLU (He et al. 2015, equation 10)
    ``orthogonal``            orthonormal rows or columns, times the gain (Saxe et al. 2014)
    ``lsuv``                  orthogonal, then each layer scaled to outputs of variance 1 on
                              ``example_inputs`` (Mishkin and Matas 2016, algorithm 1)
    ``normal``, ``uniform``   of standard deviation, or within ±, ``spec.initialization_scale``
    ``constant``, ``zeros``   all the same: units then stay equal for ever, which is what one may want to see
    ``auto``                  He's for ReLU and its kin, Xavier's for others and for the output layer;
                              recurrent weights orthogonal, gate by gate
    ========================  ==========================================================================

    Biases are 0, and 1 for an LSTM's forget gate. Word vectors are normal with variance 1 / their length.

    Args:
        model: What ``build_network`` made.
        spec: Its ``initialization``, ``initialization_scale`` and ``activation`` are used.
        example_inputs: A batch of inputs; only ``lsuv`` needs it. Without it, ``lsuv`` stops at orthogonal weights.
        seed: Of the random numbers; the global generator is left alone.

    Returns:
        ``model`` itself.

    Raises:
        SettingsError: ``lsuv`` was asked for, but a layer's outputs do not vary over ``example_inputs``.
    """
    generator = torch.Generator().manual_seed(seed)
    output = list(_weighted(model))[-1:]
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                last = output == [(name, module)]
                _fill(module.weight, spec, generator, gain_of_output=last)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.RNNBase):
                _initialize_recurrent(module, spec, generator)
            elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
                module.weight.normal_(0, 1 / math.sqrt(module.embedding_dim), generator=generator)
                if module.padding_idx is not None:
                    module.weight[module.padding_idx].zero_()
    if spec.initialization == "lsuv" and example_inputs is not None:
        _scale_to_unit_variance(model, example_inputs)
    return model


def _weighted(model: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """Linear and convolutional layers, in the order of definition, which is that of execution."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield name, module


def _fill(weight: Tensor, spec: NetworkSpec, generator: torch.Generator, *, gain_of_output: bool) -> None:
    """Fill one weight matrix or kernel by the spec's scheme."""
    # Nothing follows the output layer, so it needs no making up for an activation.
    gain = 1.0 if gain_of_output else activation_gain(spec.activation)
    scheme: Initialization = spec.initialization
    if scheme == "auto":
        scheme = "he_normal" if is_rectifier(spec.activation) and not gain_of_output else "xavier_uniform"
    _SCHEMES[scheme](weight, gain, spec.initialization_scale, generator)


def _uniform(weight: Tensor, std: float, generator: torch.Generator) -> None:
    """Uniform numbers of a given standard deviation."""
    bound = math.sqrt(3) * std
    weight.uniform_(-bound, bound, generator=generator)


def _xavier_std(weight: Tensor) -> float:
    fan_in, fan_out = _fans(weight)
    return math.sqrt(2 / (fan_in + fan_out))


def _he_std(weight: Tensor, gain: float) -> float:
    return gain / math.sqrt(_fans(weight)[0])


def _fans(weight: Tensor) -> tuple[int, int]:
    """How many numbers feed one output, and how many outputs one input feeds."""
    positions = weight[0, 0].numel()
    return weight.shape[1] * positions, weight.shape[0] * positions


_SCHEMES = {
    "xavier_uniform": lambda weight, _gain, _scale, generator: _uniform(weight, _xavier_std(weight), generator),
    "xavier_normal": lambda weight, _gain, _scale, generator: weight.normal_(
        0, _xavier_std(weight), generator=generator
    ),
    "he_uniform": lambda weight, gain, _scale, generator: _uniform(weight, _he_std(weight, gain), generator),
    "he_normal": lambda weight, gain, _scale, generator: weight.normal_(0, _he_std(weight, gain), generator=generator),
    "orthogonal": lambda weight, gain, _scale, generator: nn.init.orthogonal_(weight, gain, generator=generator),
    "lsuv": lambda weight, _gain, _scale, generator: nn.init.orthogonal_(weight, generator=generator),
    "normal": lambda weight, _gain, scale, generator: weight.normal_(0, scale, generator=generator),
    "uniform": lambda weight, _gain, scale, generator: weight.uniform_(-scale, scale, generator=generator),
    "constant": lambda weight, _gain, scale, _generator: weight.fill_(scale),
    "zeros": lambda weight, _gain, _scale, _generator: weight.zero_(),
}
"""How each scheme fills a weight, given the gain, the scale and the generator."""


def _initialize_recurrent(module: nn.RNNBase, spec: NetworkSpec, generator: torch.Generator) -> None:
    """Fill a recurrent layer gate by gate; by default Xavier's from the inputs and orthogonal over time."""
    gates = _GATES[type(module)]
    for name, parameter in module.named_parameters():
        if name.startswith("bias"):
            parameter.zero_()
            continue
        scheme: Initialization = spec.initialization
        if scheme in ("auto", "lsuv"):
            scheme = "orthogonal" if name.startswith("weight_hh") else "xavier_uniform"
        for gate in parameter.chunk(gates):
            _SCHEMES[scheme](gate, 1.0, spec.initialization_scale, generator)
    if isinstance(module, nn.LSTM):
        # Remembering by default lets gradients pass from the start (Gers et al. 2000; Jozefowicz et al. 2015).
        dict(module.named_parameters())["bias_ih_l0"].chunk(gates)[1].fill_(1.0)


def _scale_to_unit_variance(model: nn.Module, example_inputs: Tensor) -> None:
    """Divide each layer's weights by the standard deviation of its outputs, first layer first."""
    training = model.training
    model.eval()
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output)

    try:
        for name, module in _weighted(model):
            handle = module.register_forward_hook(keep)
            try:
                for _ in range(_LSUV_ROUNDS):
                    seen.clear()
                    with torch.no_grad():
                        model(example_inputs)
                        std = float(seen[-1].std())
                        if not math.isfinite(std) or std == 0:
                            raise SettingsError(
                                f"lsuv cannot scale layer {name}: its outputs do not vary over the example inputs",
                                place="network.initialization",
                                remedy="use auto, or scale the inputs",
                            )
                        if abs(std - 1) < _LSUV_TOLERANCE:
                            break
                        module.weight /= std
            finally:
                handle.remove()
    finally:
        model.train(training)
