"""What can be chosen about a network, its loss, its optimiser and its schedule: small records that check themselves."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from pellucid.errors import SettingsError

__all__ = [
    "Activation",
    "Initialization",
    "LossSpec",
    "NetworkKind",
    "NetworkSpec",
    "OptimizerSpec",
    "ScheduleSpec",
    "Spec",
]

NetworkKind = Literal["mlp", "cnn", "rnn", "bag"]
Activation = Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "identity"]
Initialization = Literal[
    "auto",
    "xavier_uniform",
    "xavier_normal",
    "he_uniform",
    "he_normal",
    "orthogonal",
    "lsuv",
    "normal",
    "uniform",
    "constant",
    "zeros",
]


@dataclass(frozen=True)
class Spec:
    """A frozen record of choices that names the field, the value and what is allowed when a choice is wrong."""

    def validate(self) -> Self:
        """Check every field and return the record itself.

        Raises:
            SettingsError: a value is of the wrong type, not among those allowed, or out of its range.
        """
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            _check(f"{self._place()}.{field.name}", getattr(self, field.name), hints[field.name])
        return self

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read back what ``dataclasses.asdict`` and JSON made of the record; lists become tuples again.

        Raises:
            SettingsError: a name is not a field of the record, or a value is not allowed.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise SettingsError(
                    f"{name!r} is no setting of a {cls._place()}",
                    place=f"{cls._place()}.{name}",
                    remedy=f"use one of {', '.join(names)}",
                )
        return cls(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        ).validate()

    @classmethod
    def _place(cls) -> str:
        """How error messages call the record: ``network``, ``optimizer`` …"""
        return cls.__name__.removesuffix("Spec").lower()

    def _need(self, condition: bool, name: str, allowed: str) -> None:
        """Raise unless ``condition`` holds of the field ``name``."""
        if not condition:
            _refuse(f"{self._place()}.{name}", getattr(self, name), allowed)


def _check(place: str, value: Any, hint: Any) -> None:
    """Raise unless ``value`` is of the kind that a field's annotation says."""
    if not _fits(value, hint):
        _refuse(place, value, _allowed(hint))


def _refuse(place: str, value: Any, allowed: str) -> None:
    raise SettingsError(f"{place} cannot be {value!r}", place=place, remedy=f"use {allowed}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value may stand where an annotation stands; the few kinds that specs use."""
    origin: Any = typing.get_origin(hint)
    args: tuple[Any, ...] = get_args(hint)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, arg) for arg in args)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, args[0]) for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _allowed(hint: Any) -> str:
    """What an annotation allows, in words."""
    origin: Any = typing.get_origin(hint)
    args: tuple[Any, ...] = get_args(hint)
    if origin is Literal:
        return ", ".join(args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_allowed(arg) for arg in args)
    if origin is tuple:
        return f"a tuple, each entry {_allowed(args[0])}"
    words: dict[Any, str] = {
        int: "a whole number",
        float: "a finite number",
        bool: "true or false",
        types.NoneType: "none",
    }
    return words.get(hint, f"a {hint.__name__}")


@dataclass(frozen=True)
class NetworkSpec(Spec):
    """What a network is made of. Fields that do not concern its ``kind`` are ignored.

    Attributes:
        kind: ``mlp`` for rows of numbers, ``cnn`` for images, ``rnn`` for text and series, ``bag`` (the mean of
            word embeddings, then an MLP) for text.
        widths: Units of each hidden fully connected layer of an MLP or a bag; () gives a linear model.
        head_widths: Units of each hidden fully connected layer between the convolutions or recurrences and the output.
        activation: Of every hidden layer. A plain recurrent cell uses tanh whatever stands here.
        normalization: After every hidden linear or convolutional layer, before its activation. In a recurrent network
            ``layer`` normalises each recurrent layer's output over its units.
        dropout: Probability of dropping a unit after each hidden fully connected layer, before the head of a CNN, and
            between recurrent layers.
        initialization: Of weights; ``auto`` is He's for ReLU and its kin, Xavier's for the rest, and orthogonal
            recurrences. Biases start at 0, an LSTM's forget gate at 1.
        initialization_scale: The value of ``constant``, the standard deviation of ``normal``, the bound of ``uniform``.
        channels: Of a CNN: output channels of each stage; each stage halves height and width.
        kernel_size: Side of the square kernels, odd.
        convolutions: Convolutions in each stage.
        pooling: How a stage halves: max pooling, average pooling, or ``stride``, its first convolution taking every
            second position.
        residual: Add each stage's input (through a 1×1 convolution where shapes differ) to its output (He et al. 2016).
        global_pooling: Average each channel over all positions before the head, rather than flattening them.
        cell: ``plain`` (Elman), ``gru`` or ``lstm``.
        hidden: Units of each recurrent layer and direction.
        layers: Recurrent layers on top of each other.
        bidirectional: Read each sequence from both ends.
        output: ``last`` gives one output a sequence (many to one), ``every`` one a step (many to many).
        embedding: Numbers a token is embedded in, or ``one_hot``.
    """

    kind: NetworkKind = "mlp"
    widths: tuple[int, ...] = (64, 32)
    head_widths: tuple[int, ...] = ()
    activation: Activation = "relu"
    normalization: Literal["none", "batch", "layer"] = "none"
    dropout: float = 0.0
    initialization: Initialization = "auto"
    initialization_scale: float = 0.05
    channels: tuple[int, ...] = (16, 32)
    kernel_size: int = 3
    convolutions: int = 1
    pooling: Literal["max", "average", "stride"] = "max"
    residual: bool = False
    global_pooling: bool = False
    cell: Literal["plain", "gru", "lstm"] = "gru"
    hidden: int = 64
    layers: int = 1
    bidirectional: bool = False
    output: Literal["last", "every"] = "last"
    embedding: int | Literal["one_hot"] = 32

    def validate(self) -> Self:
        """Check every field and return the record itself; see ``Spec.validate``."""
        super().validate()
        for name in ("widths", "head_widths", "channels"):
            self._need(all(width >= 1 for width in getattr(self, name)), name, "whole numbers of at least 1")
        for name in ("convolutions", "hidden", "layers"):
            self._need(getattr(self, name) >= 1, name, "a whole number of at least 1")
        self._need(self.embedding == "one_hot" or self.embedding >= 1, "embedding", "at least 1, or one_hot")
        self._need(0 <= self.dropout < 1, "dropout", "a number of at least 0 and below 1")
        self._need(self.kernel_size >= 1 and self.kernel_size % 2 == 1, "kernel_size", "an odd number, e.g. 3 or 5")
        self._need(self.kind != "cnn" or len(self.channels) > 0, "channels", "at least one stage, e.g. (16, 32)")
        self._need(self.initialization_scale >= 0, "initialization_scale", "a number of at least 0")
        self._need(self.kind != "rnn" or self.normalization != "batch", "normalization", "none or layer with an rnn")
        return self


@dataclass(frozen=True)
class OptimizerSpec(Spec):
    """How weights follow gradients.

    Attributes:
        name: ``gradient_descent`` takes the gradient of all training examples at once, the others of a batch
            (``lbfgs`` too works best with all of them).
        learning_rate: Of the first step, or the peak of a one-cycle schedule.
        momentum: Of ``sgd`` and ``rmsprop``.
        nesterov: Look ahead along the momentum (``sgd`` only; needs momentum above 0).
        weight_decay: Pull of weights towards 0; biases and normalisation are left alone. In ``adamw`` it is decoupled
            from the gradient (Loshchilov and Hutter 2019), in the others added to it as an L2 penalty.
        beta1: Decay of the mean of gradients in ``adam`` and ``adamw``.
        beta2: Decay of the mean of squared gradients in ``adam``, ``adamw`` and (there called alpha) ``rmsprop``.
        epsilon: Added to denominators.
        max_iterations: Inner iterations of one step of ``lbfgs``.
        history: Past steps that ``lbfgs`` remembers.
        line_search: Whether ``lbfgs`` searches each step's length by the strong Wolfe conditions.
    """

    name: Literal["gradient_descent", "sgd", "rmsprop", "adagrad", "adam", "adamw", "lbfgs"] = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    max_iterations: int = 20
    history: int = 10
    line_search: bool = True

    @property
    def full_batch(self) -> bool:
        """Whether a step is meant to see every training example."""
        return self.name in ("gradient_descent", "lbfgs")

    @property
    def needs_closure(self) -> bool:
        """Whether ``optimizer.step`` must be given a function that computes loss and gradients anew."""
        return self.name == "lbfgs"

    def validate(self) -> Self:
        """Check every field and return the record itself; see ``Spec.validate``."""
        super().validate()
        self._need(self.learning_rate > 0, "learning_rate", "a number above 0, e.g. 0.001")
        self._need(self.weight_decay >= 0, "weight_decay", "a number of at least 0")
        self._need(self.epsilon >= 0, "epsilon", "a number of at least 0")
        for name in ("momentum", "beta1", "beta2"):
            self._need(0 <= getattr(self, name) < 1, name, "a number of at least 0 and below 1")
        for name in ("max_iterations", "history"):
            self._need(getattr(self, name) >= 1, name, "a whole number of at least 1")
        self._need(
            not self.nesterov or (self.name == "sgd" and self.momentum > 0),
            "nesterov",
            "it with sgd and momentum above 0",
        )
        self._need(
            self.momentum == 0 or self.name in ("sgd", "rmsprop"), "momentum", f"0 with {self.name}, or sgd or rmsprop"
        )
        self._need(
            self.weight_decay == 0 or self.name != "lbfgs",
            "weight_decay",
            "0 with lbfgs, and an L2 penalty in its stead",
        )
        return self


@dataclass(frozen=True)
class LossSpec(Spec):
    """What training makes small.

    Attributes:
        name: ``auto`` is cross-entropy for classes and mean squared error for numbers. ``binary_cross_entropy`` of
            classes asks of each class "this one or not?" on its own (one logit a class); ``hinge`` is the
            multi-class margin loss of Crammer and Singer (2001).
        class_weights: ``none``, ``balanced`` (inversely proportional to a class's count in the training split), or
            one weight a class.
        label_smoothing: Share of each target spread evenly over all classes, in cross-entropies.
        huber_delta: Where Huber's loss turns from squared to absolute, in units of the (standardised) target.
    """

    name: Literal["auto", "mse", "mae", "huber", "cross_entropy", "binary_cross_entropy", "hinge"] = "auto"
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"
    label_smoothing: float = 0.0
    huber_delta: float = 1.0

    def resolve(self, task: str) -> Self:
        """The record with ``auto`` replaced by what it means for ``task``."""
        if self.name != "auto":
            return self
        return dataclasses.replace(self, name="cross_entropy" if task == "classification" else "mse")

    def validate(self) -> Self:
        """Check every field and return the record itself; see ``Spec.validate``."""
        super().validate()
        self._need(0 <= self.label_smoothing < 1, "label_smoothing", "a number of at least 0 and below 1")
        self._need(self.huber_delta > 0, "huber_delta", "a number above 0")
        if isinstance(self.class_weights, tuple):
            positive = all(weight >= 0 for weight in self.class_weights) and sum(self.class_weights) > 0
            self._need(positive, "class_weights", "weights of at least 0, not all 0")
        self._need(self.label_smoothing == 0 or self.name != "hinge", "label_smoothing", "0 with hinge")
        return self


@dataclass(frozen=True)
class ScheduleSpec(Spec):
    """How the learning rate moves while training goes on. Shares are of all steps that are planned.

    Attributes:
        name: ``constant``; ``step`` (multiplied by ``factor`` after every ``every`` share); ``cosine`` (half a cosine
            down to ``final`` times the start); ``one_cycle`` (up to the learning rate during the ``rise`` share, then
            down to ``final`` of it; Smith and Topin 2019); ``plateau`` (multiplied by ``factor`` when the validation
            loss has not fallen for ``patience`` epochs).
        warmup: Share during which the rate first grows linearly, from a hundredth of where the schedule then starts.
        factor: Of ``step`` and ``plateau``.
        every: Of ``step``.
        final: Of ``cosine`` and ``one_cycle``.
        rise: Of ``one_cycle``.
        patience: Of ``plateau``, in epochs.
    """

    name: Literal["constant", "step", "cosine", "one_cycle", "plateau"] = "constant"
    warmup: float = 0.0
    factor: float = 0.3
    every: float = 0.34
    final: float = 0.01
    rise: float = 0.3
    patience: int = 5

    def validate(self) -> Self:
        """Check every field and return the record itself; see ``Spec.validate``."""
        super().validate()
        self._need(0 <= self.warmup < 1, "warmup", "a share of at least 0 and below 1")
        self._need(0 < self.factor < 1, "factor", "a number above 0 and below 1")
        self._need(0 < self.every <= 1, "every", "a share above 0, at most 1")
        self._need(0 <= self.final <= 1, "final", "a share of the learning rate, 0 to 1")
        self._need(self.final > 0 or self.name != "one_cycle", "final", "a share above 0 with one_cycle")
        self._need(0 < self.rise < 1, "rise", "a share above 0 and below 1")
        self._need(self.patience >= 0, "patience", "a number of epochs of at least 0")
        return self
