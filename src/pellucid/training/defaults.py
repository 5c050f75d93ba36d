"""What to train with when nobody says: choices from the data's kind, size and shape, each with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.training.networks import default_network, describe_network
from pellucid.training.spec import LossSpec, NetworkSpec, OptimizerSpec, ScheduleSpec

if TYPE_CHECKING:
    from pellucid.data.prepared import Prepared

__all__ = ["Suggestion", "suggest"]

_FEW_EXAMPLES = 5_000
_FEW_FEATURES = 3


@dataclass(frozen=True)
class Suggestion:
    """Settings that suit the data.

    Attributes:
        network: What the network is made of.
        optimizer: How weights follow gradients.
        loss: What training makes small.
        schedule: How the learning rate moves.
        epochs: Passes over the training split.
        batch_size: Examples a step.
        patience: Epochs without a lower validation loss after which training stops; 0 = never.
        clip: Largest global gradient norm; 0 = no limit.
        reasons: Why, by the name of the setting, in sentences.
    """

    network: NetworkSpec
    optimizer: OptimizerSpec
    loss: LossSpec
    schedule: ScheduleSpec
    epochs: int
    batch_size: int
    patience: int
    clip: float
    reasons: dict[str, str]


@dataclass(frozen=True)
class _Pace:
    """How fast and how long to train: the numbers that belong together."""

    learning_rate: float
    weight_decay: float
    schedule: str
    epochs: int
    batch_size: int
    patience: int
    clip: float = 0.0
    why: str = ""


def suggest(
    prepared: Prepared, *, network: NetworkSpec | None = None, optimizer: OptimizerSpec | str | None = None
) -> Suggestion:
    """Settings for everything that a person left open.

    Args:
        prepared: The data.
        network: The network, if it is chosen already; else ``default_network``'s.
        optimizer: The optimiser or its name, if it is chosen already; rate, epochs and schedule then suit it.

    Returns:
        A whole set of settings with a sentence of reason for each that was chosen here.
    """
    examples = len(prepared.splits["train"])
    reasons: dict[str, str] = {}
    if network is None:
        network = default_network(prepared)
        reasons["network"] = f"{describe_network(network)}: {_network_reason(prepared, network, examples)}"
    pace = _pace(prepared, network, examples)
    chosen, pace = _optimizer(optimizer, pace, examples)
    if not isinstance(optimizer, OptimizerSpec):
        rate, decay = f"{chosen.learning_rate:g}", f"{chosen.weight_decay:g}"
        reasons["optimizer"] = f"{chosen.name} at a learning rate of {rate} and a weight decay of {decay}"
    reasons["loss"] = (
        "cross-entropy, for the target is a class"
        if prepared.task == "classification"
        else "mean squared error of the standardised target"
    )
    reasons["epochs"] = f"{pace.epochs} epochs in batches of {pace.batch_size}: {pace.why}"
    reasons["schedule"] = f"{pace.schedule.replace('_', '-')} learning rate"
    if pace.patience:
        reasons["patience"] = f"stops after {pace.patience} epochs without a lower validation loss, and keeps the best"
    return Suggestion(
        network=network,
        optimizer=chosen,
        loss=_loss(prepared),
        schedule=ScheduleSpec(name=pace.schedule),  # type: ignore[arg-type]  # _Pace holds a schedule's name
        epochs=pace.epochs,
        batch_size=pace.batch_size,
        patience=pace.patience,
        clip=pace.clip,
        reasons=reasons,
    )


def _network_reason(prepared: Prepared, network: NetworkSpec, examples: int) -> str:
    """Why the default network looks as it does."""
    if network.kind == "cnn":
        return f"images of {prepared.input_shape[1]}×{prepared.input_shape[2]} are halved stage by stage"
    if network.kind == "rnn":
        return "it reads a sequence in order"
    if network.kind == "bag":
        return f"texts of up to {prepared.input_shape[0]} tokens are long for a recurrent network"
    if network.dropout:
        return f"small, with a dropout of {network.dropout:g}, for there are {examples} training examples"
    return f"{math.prod(prepared.input_shape)} features and {examples} training examples"


def _loss(prepared: Prepared) -> LossSpec:
    """Cross-entropy or squared error; class weights stay a person's choice, for they bend the probabilities."""
    return LossSpec(name="cross_entropy" if prepared.task == "classification" else "mse")


def _pace(prepared: Prepared, network: NetworkSpec, examples: int) -> _Pace:
    """Rate, decay, schedule, epochs and batch size by the kind of data and the number of examples."""
    if prepared.modality == "image":
        return _image_pace(network, examples, colored=prepared.input_shape[0] > 1)
    if prepared.modality == "text":
        return _text_pace(prepared, network, examples)
    if prepared.modality == "series":
        return _series_pace(examples)
    return _table_pace(math.prod(prepared.input_shape), examples)


def _table_pace(features: int, examples: int) -> _Pace:
    """Many short epochs under strong decay for few examples; about 4,000 steps for many."""
    if features <= _FEW_FEATURES and examples < _FEW_EXAMPLES:
        why = "few features can hide fine boundaries, which take long to learn"
        return _Pace(5e-3, 0.01, "cosine", 150, 32, 40, why=why)
    if examples < _FEW_EXAMPLES:
        return _Pace(3e-3, 0.3, "cosine", 100, 32, 30, why="little data is seen often, under strong weight decay")
    batch_size = _power_of_two(examples / 100, 64, 512)
    epochs = _clamp(4_000 * batch_size / examples, 8, 60)
    return _Pace(2e-3, 0.02, "cosine", epochs, batch_size, max(5, epochs // 3), why="about 4,000 steps")


_IMAGE_EPOCHS = {40_000: 3, 10_000: 10, 1_000: 15, 0: 30}
"""Epochs for at least so many grey images; coloured ones are harder and take at least ten."""


def _image_pace(network: NetworkSpec, examples: int, *, colored: bool) -> _Pace:
    """One-cycle, which needs few epochs (Smith and Topin 2019)."""
    batch_size = _power_of_two(examples / 40, 16, 128)
    epochs = next(epochs for least, epochs in _IMAGE_EPOCHS.items() if examples >= least)
    if colored:
        epochs = max(epochs, 10)
    rate = 5e-3 if network.kind == "cnn" and network.normalization == "batch" else 2e-3
    return _Pace(rate, 0.01, "one_cycle", epochs, batch_size, 0, why="a one-cycle schedule needs few epochs")


def _text_pace(prepared: Prepared, network: NetworkSpec, examples: int) -> _Pace:
    """Recurrent networks with clipped gradients; bags need less care."""
    batch_size = _power_of_two(examples / 50, 16, 128)
    epochs = _clamp(3_000 * batch_size / examples, 5, 40)
    if network.kind == "bag":
        return _Pace(5e-3, 0.05, "one_cycle", epochs, batch_size, 0, why="about 3,000 steps")
    return _Pace(5e-3, 0.02, "one_cycle", epochs, batch_size, 0, clip=1.0, why="about 3,000 steps")


def _series_pace(examples: int) -> _Pace:
    """Clipped gradients, and no more epochs than the validation loss asks for."""
    batch_size = _power_of_two(examples / 30, 16, 128)
    epochs = _clamp(2_000 * batch_size / examples, 5, 60)
    return _Pace(
        3e-3, 0.01, "cosine", epochs, batch_size, max(5, epochs // 4), clip=1.0, why="about 2,000 steps at most"
    )


_RATES = {"gradient_descent": 0.1, "sgd": 0.05, "rmsprop": 1e-3, "adagrad": 0.02, "lbfgs": 1.0}
"""Learning rates of optimisers for which those of Adam would not do."""


def _optimizer(optimizer: OptimizerSpec | str | None, pace: _Pace, examples: int) -> tuple[OptimizerSpec, _Pace]:
    """The optimiser, and the pace as it suits it: full-batch ones take as many steps as others, one an epoch."""
    if isinstance(optimizer, OptimizerSpec):
        spec = optimizer
    elif optimizer in (None, "adamw"):
        spec = OptimizerSpec(name="adamw", learning_rate=pace.learning_rate, weight_decay=pace.weight_decay)
    else:
        name: str = optimizer
        spec = OptimizerSpec(
            name=name,  # type: ignore[arg-type]  # validate() refuses what is no optimiser
            learning_rate=_RATES.get(name, pace.learning_rate),
            momentum=0.9 if name == "sgd" else 0.0,
            # In the gradient, decay acts at full strength only where the optimiser does not divide by its size.
            weight_decay=0.0 if name == "lbfgs" else 1e-4,
        ).validate()
    if spec.full_batch:
        epochs = 100 if spec.name == "lbfgs" else 1_000
        patience = 10 if spec.name == "lbfgs" else 100
        why = "one step an epoch, over all examples"
        pace = _Pace(spec.learning_rate, spec.weight_decay, "constant", epochs, examples, patience, pace.clip, why)
    return spec, pace


def _power_of_two(value: float, low: int, high: int) -> int:
    """The power of two nearest to ``value`` on a logarithmic scale, within bounds."""
    return int(min(high, max(low, 2 ** round(math.log2(max(1.0, value))))))


def _clamp(value: float, low: int, high: int) -> int:
    return int(min(high, max(low, round(value))))
