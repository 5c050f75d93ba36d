"""What goes into each layer of a model while it runs: the features at every depth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.capture.features import evaluating, first_tensor
from pellucid.errors import SettingsError

__all__ = ["LayerBatch", "LayerInput", "find_layers", "read_layers"]

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class LayerInput:
    """What goes into one layer of weights: the features at that depth."""

    name: str  # of the module that takes them
    module: nn.Module
    shape: tuple[int, ...]  # of one example
    channels_last: bool  # where the features stand in ``shape``


@dataclass(frozen=True)
class LayerBatch:
    """What went into the layers during one forward pass."""

    features: list[Tensor]  # (examples, …) in the order of the layers
    targets: Tensor
    outputs: Tensor


def find_layers(model: nn.Module, inputs: Tensor, names: Sequence[str] | None = None) -> tuple[LayerInput, ...]:
    """The layers whose inputs are the features at every depth, in the order in which they run.

    Args:
        model: Any module.
        inputs: At least two examples to run it on.
        names: Only these modules; None takes every linear and convolutional layer. Layers that are given one and the
            same tensor (a block and its shortcut) count once, and so does a layer that runs several times.

    Raises:
        SettingsError: a name is not a module's, or nothing is left.
    """
    modules = dict(model.named_modules())
    unknown = [name for name in names or () if name not in modules]
    if unknown:
        raise SettingsError(
            f"the model has no module {unknown[0]!r}",
            place="layers",
            remedy="name one of " + ", ".join([name for name in modules if name][:12]),
        )
    asked = {
        name: one for name, one in modules.items() if (isinstance(one, _WEIGHTED) if names is None else name in names)
    }
    ran: list[tuple[str, nn.Module, Tensor]] = []
    handles = [module.register_forward_pre_hook(_note(ran, name)) for name, module in asked.items()]
    try:
        with evaluating(model):
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    found: dict[tuple[int, tuple[int, ...]], LayerInput] = {}
    seen: set[str] = set()
    for name, module, given in ran:
        usable = given.ndim >= 2 and len(given) == len(inputs) and given.is_floating_point()
        if usable and name not in seen:
            last = isinstance(module, nn.Linear) or given.ndim == 2
            found.setdefault(
                (given.data_ptr(), tuple(given.shape)), LayerInput(name, module, tuple(given.shape[1:]), last)
            )
        seen.add(name)
    if not found:
        raise SettingsError(
            "no layer takes a batch of features",
            place=type(model).__name__,
            remedy="name modules with layers=, whose first input is (examples, …) numbers",
        )
    return tuple(found.values())


def _note(ran: list[tuple[str, nn.Module, Tensor]], name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
        if given and isinstance(given[0], Tensor):
            ran.append((name, module, given[0]))

    return hook


def read_layers(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    layers: Sequence[LayerInput],
    reduce: Callable[[LayerInput, Tensor], Tensor],
) -> Iterator[LayerBatch]:
    """What goes into every layer, reduced as it comes by, with targets and outputs; one forward pass a batch."""
    held: dict[str, Tensor] = {}

    def keep(layer: LayerInput) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_module: nn.Module, given: tuple[Any, ...]) -> None:
            if layer.name not in held:
                held[layer.name] = reduce(layer, given[0])

        return hook

    handles = [layer.module.register_forward_pre_hook(keep(layer)) for layer in layers]
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    try:
        with evaluating(model):
            for inputs, targets in batches:
                held.clear()
                output = first_tensor(model(inputs.to(where)))
                yield LayerBatch([held[layer.name] for layer in layers], targets.to(where), output)
    finally:
        for handle in handles:
            handle.remove()
