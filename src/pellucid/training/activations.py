"""The activation functions a network may use, as modules, with what initialisation must know of them."""

from __future__ import annotations

import math

from torch import nn

from pellucid.training.spec import Activation

__all__ = ["LEAKY_SLOPE", "activation_gain", "build_activation", "is_rectifier"]

LEAKY_SLOPE = 0.01

_MODULES: dict[str, type[nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}


def build_activation(name: Activation) -> nn.Module:
    """The module of an activation, one for each place, so that a hook tells the places apart."""
    return nn.LeakyReLU(LEAKY_SLOPE) if name == "leaky_relu" else _MODULES[name]()


def is_rectifier(name: Activation) -> bool:
    """Whether about half of the inputs are (nearly) silenced, which He's initialisation makes up for."""
    return name in ("relu", "leaky_relu", "elu", "gelu", "silu")


def activation_gain(name: Activation) -> float:
    """The factor on the standard deviation of weights that keeps the forward signal's second moment.

    √(2 / (1 + slope²)) for the ReLU and its kin, 1 for the rest (He et al. 2015, equation 15).
    """
    slope = LEAKY_SLOPE if name == "leaky_relu" else 0.0
    return math.sqrt(2 / (1 + slope**2)) if is_rectifier(name) else 1.0
