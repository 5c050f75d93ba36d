"""What the layers of a network look like during one training step: activations, gradients, weights, updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pellucid.capture.network_outline import leaf_modules
from pellucid.core.tensor_summary import ACTIVATION_FIGURES, count_histogram, fetch, global_norm, summarize_activation
from pellucid.store.tables import HISTOGRAM_BINS

__all__ = ["LayerSampler", "LayerStep"]

_MOST_ACTIVATION_ELEMENTS = 1 << 18
"""Of a larger activation an even share of the batch's examples is summarised; the row says how many."""

MOST_HISTOGRAM_ELEMENTS = 65_536
"""A larger tensor's histogram counts an even share of it: the standard error of a bin's share is below 0.2 %."""

_PARAMETER_FIGURES = ("gradient_norm", "weight_norm", "update_ratio")

_BOUNDS: tuple[tuple[type[nn.Module], tuple[float, float]], ...] = (
    (nn.Sigmoid, (0.0, 1.0)),
    (nn.Tanh, (-1.0, 1.0)),
    (nn.Hardsigmoid, (0.0, 1.0)),
    (nn.Softsign, (-1.0, 1.0)),
    (nn.ReLU6, (0.0, 6.0)),
    (nn.RNNBase, (-1.0, 1.0)),  # outputs of tanh, or of tanh times a gate
)
_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.GroupNorm,
)

Histogram = tuple[str, str, Tensor, Tensor, int]
"""Layer, kind, edges, counts, elements of the tensor."""


@dataclass
class LayerStep:
    """The samples of one step, on their device until ``rows`` fetches them."""

    step: int
    activations: dict[str, Tensor] = field(default_factory=dict)
    examples: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    histograms: list[Histogram] = field(default_factory=list)

    def rows(self, layers: list[str]) -> dict[str, list[Any]]:
        """Columns of the ``layers`` table, one row a layer that was seen; figures it does not have are None."""
        seen = [name for name in layers if name in self.activations or name in self.parameters]
        activations = dict(zip(self.activations, fetch(list(self.activations.values())), strict=True))
        parameters = dict(zip(self.parameters, fetch(list(self.parameters.values())), strict=True))
        columns: dict[str, list[Any]] = {"step": [self.step] * len(seen), "layer": seen}
        columns["examples"] = [self.examples.get(layer) for layer in seen]
        for index, figure in enumerate(ACTIVATION_FIGURES):
            name = figure if figure == "dead_units" else f"activation_{figure}"
            columns[name] = [_entry(activations, layer, index) for layer in seen]
        for index, figure in enumerate(_PARAMETER_FIGURES):
            columns[figure] = [_entry(parameters, layer, index) for layer in seen]
        # Without bounds there is no saturation: that is no value, not a bad one.
        columns["activation_saturated"] = [
            None if share is None or math.isnan(share) else share for share in columns["activation_saturated"]
        ]
        return columns

    def histogram_rows(self) -> dict[str, list[Any]]:
        """Columns of the ``histograms`` table."""
        edges = fetch([edges for _, _, edges, _, _ in self.histograms])
        counts = fetch([counts for _, _, _, counts, _ in self.histograms])
        return {
            "step": [self.step] * len(edges),
            "layer": [layer for layer, *_ in self.histograms],
            "kind": [kind for _, kind, *_ in self.histograms],
            "low": [low for low, _ in edges],
            "high": [high for _, high in edges],
            "counts": [[int(count) for count in bins] for bins in counts],
            "elements": [elements for *_, elements in self.histograms],
        }


def _entry(fetched: dict[str, list[float]], layer: str, index: int) -> float | None:
    return fetched[layer][index] if layer in fetched else None


class LayerSampler:
    """Puts hooks on a model's layers for one step at a time; between samples the model carries none.

    Args:
        model: The network in training.
        guard: Wraps a hook so that an error in it is recorded and never reaches the training.
        only: Qualified names of the layers to sample; None for all.
    """

    def __init__(
        self, model: nn.Module, guard: Callable[[Callable[..., Any]], Callable[..., Any]], only: list[str] | None = None
    ) -> None:
        modules = {name or type(m).__name__: m for name, m in leaf_modules(model).items()}
        self._modules = {name: m for name, m in modules.items() if only is None or name in only}
        # A parameter that two layers share is counted in the first.
        owner: dict[int, str] = {}
        self._parameters: dict[str, list[nn.Parameter]] = {}
        for name, module in self._modules.items():
            own = [p for p in module.parameters() if owner.setdefault(id(p), name) == name and p.requires_grad]
            if own:
                self._parameters[name] = own
        self._guard = guard
        self._handles: list[RemovableHandle] = []
        self._before: dict[str, list[Tensor]] = {}
        self._with_histograms = False
        self._latest: LayerStep | None = None

    @property
    def layers(self) -> list[str]:
        """Names of the layers sampled."""
        return list(self._modules)

    @property
    def is_sampling(self) -> bool:
        """Whether a step is being sampled now."""
        return self._latest is not None

    def start(self, step: int, *, histograms: bool) -> None:
        """Sample the forward pass that comes next."""
        self._latest = LayerStep(step)
        self._with_histograms = histograms
        self._handles = [
            module.register_forward_hook(self._guard(self._activation_hook(name, self._latest)))
            for name, module in self._modules.items()
        ]

    def stop(self) -> None:
        """Take every hook off."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._latest, self._before = [], None, {}

    @torch.no_grad()
    def before_update(self) -> None:
        """Look at the gradients, and keep the weights to measure the update by."""
        if self._latest is None:
            return
        for name, parameters in self._parameters.items():
            self._before[name] = [p.detach().clone() for p in parameters]
            if self._with_histograms and parameters[0].grad is not None:
                gradient = parameters[0].grad
                values = gradient.coalesce().values() if gradient.is_sparse else gradient
                self._add_histogram(name, "gradient", values)

    @torch.no_grad()
    def after_update(self) -> LayerStep | None:
        """Look at the weights, take the hooks off and hand over the finished step."""
        finished = self._latest
        if finished is None:
            return None
        for name, before in self._before.items():
            parameters = self._parameters[name]
            gradients = [p.grad for p in parameters if p.grad is not None]
            weight = global_norm(before)
            moved = global_norm([p.detach() - old for p, old in zip(parameters, before, strict=True)])
            gradient = global_norm(gradients) if gradients else weight.new_full((), float("nan"))
            finished.parameters[name] = torch.stack([gradient, weight, moved / weight])
            if self._with_histograms:
                self._add_histogram(name, "weight", parameters[0])
        self.stop()
        return finished

    def _activation_hook(self, name: str, latest: LayerStep) -> Callable[..., None]:
        def observe(module: nn.Module, args: Any, output: Any) -> None:
            # The first call of a training step counts; an evaluation in between has gradients off.
            if name in latest.activations or not torch.is_grad_enabled():
                return
            activation: Any = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(activation, Tensor) or activation.numel() == 0 or activation.is_complex():
                return
            with torch.no_grad():
                share = _share_of_examples(activation.detach())
                latest.examples[name] = len(share) if share.ndim else 1
                latest.activations[name] = summarize_activation(
                    share, unit_axis=_unit_axis(module, share), bounds=_bounds(module)
                )
                if self._with_histograms:
                    self._add_histogram(name, "activation", activation)

        return observe

    def _add_histogram(self, layer: str, kind: str, values: Tensor) -> None:
        assert self._latest is not None
        edges, counts = count_histogram(values, HISTOGRAM_BINS, most=MOST_HISTOGRAM_ELEMENTS)
        self._latest.histograms.append((layer, kind, edges, counts, values.numel()))


def _share_of_examples(activation: Tensor) -> Tensor:
    """Every k-th example, so that about ``_MOST_ACTIVATION_ELEMENTS`` entries are left; all if there are fewer."""
    step = -(-activation.numel() // _MOST_ACTIVATION_ELEMENTS)
    return activation[::step] if step > 1 and activation.ndim > 1 else activation


def _unit_axis(module: nn.Module, activation: Tensor) -> int:
    """Channels come second in images (and after convolutions and poolings); everywhere else units come last."""
    if activation.ndim == 4 or (isinstance(module, _CHANNELS_FIRST) and activation.ndim > 2):
        return 1
    return activation.ndim - 1


def _bounds(module: nn.Module) -> tuple[float, float] | None:
    return next((bounds for kind, bounds in _BOUNDS if isinstance(module, kind)), None)
