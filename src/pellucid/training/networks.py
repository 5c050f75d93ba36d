"""From a spec to a network, and from data to a spec."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from pellucid.errors import SettingsError
from pellucid.training.bag import Bag
from pellucid.training.cnn import CNN
from pellucid.training.initialization import initialize
from pellucid.training.mlp import MLP
from pellucid.training.rnn import RNN
from pellucid.training.spec import NetworkKind, NetworkSpec

if TYPE_CHECKING:
    from pellucid.data.prepared import Prepared

__all__ = ["build_network", "default_network", "describe_network"]


def build_network(
    spec: NetworkSpec,
    *,
    input_shape: tuple[int, ...],
    outputs: int,
    vocabulary_size: int | None = None,
    seed: int = 0,
) -> nn.Module:
    """The network a spec describes, with its starting weights.

    Args:
        spec: What the network is made of.
        input_shape: Shape of one example without the batch axis, as ``Prepared.input_shape``.
        outputs: Numbers the network gives per example (or per step).
        vocabulary_size: How many tokens there are, if the inputs are tokens; padding (0) included.
        seed: Of the starting weights; the global random state is left as it was.

    Returns:
        A module from a batch of inputs to logits or predictions. With ``lsuv`` call ``initialize`` again with a batch.

    Raises:
        SettingsError: the spec is wrong in itself, or does not suit inputs of this shape.
    """
    spec.validate()
    _check_suits(spec, input_shape, vocabulary_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if spec.kind == "cnn":
            model: nn.Module = CNN(spec, input_shape, outputs)
        elif spec.kind == "rnn":
            model = RNN(spec, input_shape, outputs, vocabulary_size)
        elif spec.kind == "bag":
            model = Bag(spec, outputs, vocabulary_size or 0)
        else:
            model = MLP(spec, input_shape, outputs)
    return initialize(model, spec, seed=seed)


def _check_suits(spec: NetworkSpec, input_shape: tuple[int, ...], vocabulary_size: int | None) -> None:
    """Raise unless the kind of network can read inputs of this shape."""
    tokens = vocabulary_size is not None
    problem, remedy = "", ""
    if spec.kind == "mlp" and tokens:
        problem, remedy = "an mlp reads numbers, not tokens", "use bag or rnn for text"
    elif spec.kind == "bag" and not tokens:
        problem, remedy = "a bag reads text", "use mlp for tables, cnn for images, rnn for series"
    elif spec.kind == "cnn" and (tokens or len(input_shape) != 3):
        problem, remedy = "a cnn reads images", "use mlp for tables, rnn for series, rnn or bag for text"
    elif spec.kind == "rnn" and not tokens and len(input_shape) != 2:
        problem, remedy = "an rnn reads text or series", "use mlp for tables, cnn for images"
    if problem:
        shape = " × ".join(str(side) for side in input_shape)
        what = "tokens" if tokens else "numbers"
        raise SettingsError(f"{problem}, and these examples are {shape} {what}", place="network.kind", remedy=remedy)


def default_network(prepared: Prepared, *, kind: NetworkKind | None = None) -> NetworkSpec:
    """A network that suits the data: small for small data, and of the kind the data calls for unless ``kind`` says.

    Args:
        prepared: The data; its size and shape decide.
        kind: The kind wanted, or None for the one that the modality calls for.
    """
    examples = len(prepared.splits["train"])
    natural = {"table": "mlp", "image": "cnn", "series": "rnn", "text": "rnn"}[prepared.modality]
    chosen = kind or natural
    if chosen == "rnn" and prepared.modality == "text" and kind is None and prepared.input_shape[0] > 60:
        chosen = "bag"  # long texts take an RNN minutes, and a bag of words is hard to beat on them
    if chosen == "cnn" and kind is None and min(prepared.input_shape[-2:]) < 2:
        chosen = "mlp"  # a single row or column of pixels cannot be halved
    if chosen == "cnn":
        return _default_cnn(prepared)
    if chosen == "rnn":
        return _default_rnn(prepared, examples)
    if chosen == "bag":
        return NetworkSpec(kind="bag", embedding=64, widths=(64,), dropout=0.3)
    return _default_mlp(prepared, examples)


def _default_mlp(prepared: Prepared, examples: int) -> NetworkSpec:
    """Wider with more examples; much dropout while examples are few, none on the plane, where it blurs boundaries."""
    features = math.prod(prepared.input_shape)
    if prepared.modality == "image":
        return NetworkSpec(kind="mlp", widths=(256, 128), dropout=0.2)
    if features <= 3:
        return NetworkSpec(kind="mlp", widths=(64, 64), activation="silu")
    if examples < 5_000:
        return NetworkSpec(kind="mlp", widths=(64, 32), activation="silu", dropout=0.3)
    return NetworkSpec(
        kind="mlp", widths=(128, 64) if examples < 50_000 else (256, 128), activation="silu", dropout=0.1
    )


def _default_cnn(prepared: Prepared) -> NetworkSpec:
    """Stages until at most 7×7 positions are left; more channels for colours and for very small pictures."""
    if len(prepared.input_shape) != 3:
        return NetworkSpec(kind="cnn")
    channels, height, width = prepared.input_shape
    side = min(height, width)
    halvings = max(1, math.ceil(math.log2(side / 7)))
    first = 16 if channels == 1 and side >= 16 else 32
    return NetworkSpec(
        kind="cnn",
        channels=tuple(min(128, first * 2**stage) for stage in range(halvings)),
        normalization="batch",
        dropout=0.2 if channels == 1 else 0.4,
        global_pooling=side > 64,
        head_widths=(64,),
    )


def _default_rnn(prepared: Prepared, examples: int) -> NetworkSpec:
    """An LSTM, which runs two to four times as fast as a GRU on CPUs; characters one-hot, words embedded."""
    hidden = 32 if examples < 500 else 64
    spec = NetworkSpec(kind="rnn", cell="lstm", hidden=hidden)
    if prepared.modality == "text":
        small = (prepared.vocabulary_size or 0) <= 128
        every = prepared.task == "classification" and prepared.splits["train"].targets.ndim == 2
        spec = replace(
            spec,
            embedding="one_hot" if small else 64,
            output="every" if every else "last",
            hidden=128 if every else hidden,
            dropout=0.1,
        )
    return spec


def describe_network(spec: NetworkSpec) -> str:
    """One line for lists of runs: ``MLP 64-32 relu``, ``CNN 16-32 relu batch``, ``GRU 64``."""
    if spec.kind == "rnn":
        name = {"plain": "RNN", "gru": "GRU", "lstm": "LSTM"}[spec.cell]
        words = [f"{'bidirectional ' if spec.bidirectional else ''}{name}", "-".join([str(spec.hidden)] * spec.layers)]
        words += ["-".join(map(str, spec.head_widths)), spec.activation] if spec.head_widths else []
        return " ".join(words)
    widths = spec.channels if spec.kind == "cnn" else spec.widths
    words = [{"mlp": "MLP", "cnn": "residual CNN" if spec.residual else "CNN", "bag": "bag of words"}[spec.kind]]
    words += ["-".join(map(str, widths)), spec.activation] if widths else ["linear"]
    words += [spec.normalization] if spec.normalization != "none" else []
    return " ".join(words)
