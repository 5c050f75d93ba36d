"""What the layers of a network look like during one training step: activations, gradients, weights, updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pellucid.capture.network_outline import leaf_modules
from pellucid.core.tensor_summary import count_histogram, summarize_activation
from pellucid.store.tables import HISTOGRAM_BINS
from pellucid.watch.layer_step import LayerStep
from pellucid.watch.updates import UpdateMeasure

__all__ = ["LayerSampler", "is_compiled"]

_MOST_ACTIVATION_ELEMENTS = 1 << 18
"""Of a larger activation an even share of the batch's examples is summarised; the row says how many."""

_MOST_ACTIVATION_ELEMENTS_IN_FULL = 1 << 22

MOST_HISTOGRAM_ELEMENTS = 65_536
"""A larger tensor's histogram counts an even share of it: the standard error of a bin's share is below 0.2 %."""

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


class LayerSampler:
    """Looks at a model's layers, one step at a time.

    Between samples the model carries no hook; with ``full`` the hooks stay, since every step is a sample.

    Args:
        model: The network in training.
        guard: Wraps a hook so that an error in it is recorded and never reaches the training.
        only: Qualified names of the layers to sample; None for all.
        full: Whether every step will be sampled.
        prefix: Put before the layers' names, where several models are recorded into one run.
        forward: Whether to look at activations at all; without, no hook is ever put on a layer. A compiled model's are
            never looked at: a hook would change what is compiled.
    """

    def __init__(
        self,
        model: nn.Module,
        guard: Callable[[Callable[..., Any]], Callable[..., Any]],
        only: list[str] | None = None,
        *,
        full: bool = False,
        prefix: str = "",
        forward: bool = True,
    ) -> None:
        modules = {name or type(m).__name__: m for name, m in leaf_modules(model).items()}
        self._modules = {prefix + name: m for name, m in modules.items() if only is None or name in only}
        # A parameter that two layers share is counted in the first.
        owner: dict[int, str] = {}
        parameters: dict[int, list[nn.Parameter]] = {}
        for slot, (name, module) in enumerate(self._modules.items()):
            own = [p for p in module.parameters() if owner.setdefault(id(p), name) == name and p.requires_grad]
            if own:
                parameters[slot] = own
        self._parameters = parameters
        self.updates = UpdateMeasure(parameters)
        self.fast = False
        """Whether tensors in the processor's memory are read by compiled passes, which take a moment to load."""
        self._guard = guard
        self._full, self._forward = full, forward and not is_compiled(model)
        self._most_elements = _MOST_ACTIVATION_ELEMENTS_IN_FULL if full else _MOST_ACTIVATION_ELEMENTS
        self._handles: list[RemovableHandle] = []
        self._with_histograms = False
        self._latest: LayerStep | None = None
        self._gradients_seen = False

    @property
    def layers(self) -> list[str]:
        """Names of the layers sampled."""
        return list(self._modules)

    @property
    def sees_activations(self) -> bool:
        """Whether layers' outputs are looked at."""
        return self._forward

    @property
    def is_sampling(self) -> bool:
        """Whether a step is being sampled now."""
        return self._latest is not None

    def start(self, step: int, *, histograms: bool) -> None:
        """Sample the forward pass that comes next."""
        self._latest = LayerStep(step, len(self._modules))
        self._with_histograms = histograms
        self._gradients_seen = False
        if self._forward and not self._handles:
            self._handles = [
                module.register_forward_hook(self._guard(self._activation_hook(slot, module)))
                for slot, module in enumerate(self._modules.values())
            ]

    def stop(self) -> None:
        """Take every hook off."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._latest = [], None

    @torch.no_grad()
    def before_update(self) -> None:
        """Look at the gradients, and keep the weights to measure the update by."""
        latest = self._latest
        if latest is None:
            return
        self.updates.before(fast=self.fast)
        self._gradients_seen = True
        if self._with_histograms:
            for slot, (first, *_) in self._parameters.items():
                if first.grad is not None:
                    gradient = first.grad
                    values = gradient.coalesce().values() if gradient.is_sparse else gradient
                    self._add_histogram(latest, slot, "gradient", values)

    @torch.no_grad()
    def after_update(self) -> LayerStep | None:
        """Look at the weights, take the hooks off and hand over the finished step."""
        finished = self._latest
        if finished is None:
            return None
        if self._gradients_seen:
            finished.updates = self.updates.after()
            if self._with_histograms:
                for slot, (first, *_) in self._parameters.items():
                    self._add_histogram(finished, slot, "weight", first)
        if self._full:
            self._latest = None
        else:
            self.stop()
        finished.send()
        return finished

    def _activation_hook(self, slot: int, module: nn.Module) -> Callable[..., None]:
        bounds = next((bounds for kind, bounds in _BOUNDS if isinstance(module, kind)), None)
        channels_first = isinstance(module, _CHANNELS_FIRST)

        def observe(_: nn.Module, args: Any, output: Any) -> None:
            latest = self._latest
            # The first call of a training step counts; an evaluation in between has gradients off.
            if latest is None or latest.has_activation(slot) or not torch.is_grad_enabled():
                return
            # Inside vmap no number can be had.
            if torch._C._functorch.peek_interpreter_stack() is not None:  # pyright: ignore[reportAttributeAccessIssue]
                return
            activation: Any = output[0] if isinstance(output, tuple) and output else output
            if not isinstance(activation, Tensor) or activation.numel() == 0 or activation.is_complex():
                return
            values = activation.detach()
            axis = 1 if values.ndim == 4 or (channels_first and values.ndim > 2) else values.ndim - 1
            every = -(-values.numel() // self._most_elements) if values.ndim > 1 else 1
            latest.examples[slot] = -(-len(values) // every) if values.ndim else 1
            if self.fast and values.is_cpu:
                self._summarize_near(latest, slot, values, axis, every, bounds)
            else:
                with torch.no_grad():
                    latest.far[slot] = summarize_activation(
                        values[::every] if every > 1 else values, unit_axis=axis, bounds=bounds
                    )
            if self._with_histograms:
                with torch.no_grad():
                    self._add_histogram(latest, slot, "activation", values)

        return observe

    def _summarize_near(  # noqa: PLR0917  # called in one place, at every step
        self, latest: LayerStep, slot: int, values: Tensor, axis: int, every: int, bounds: tuple[float, float] | None
    ) -> None:
        from pellucid.core.tensor_pass import summarize_plain

        if values.dtype not in (torch.float32, torch.float64):
            values = values.float()
        if not values.is_contiguous():
            if values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last):
                values, axis = values.permute(0, 2, 3, 1), 3
            else:
                values = values.contiguous()
        shape = values.shape
        ndim = len(shape)
        if ndim < 2:
            split = (1, 1, values.numel(), 1)
        elif axis == ndim - 1:
            split = (shape[0], shape[1:-1].numel(), shape[-1], 1)
        else:
            split = (shape[0], 1, shape[1], shape[2:].numel())
        summarize_plain(values.numpy().reshape(-1), split, bounds, latest.activation_row(slot), every=every)

    def _add_histogram(self, latest: LayerStep, slot: int, kind: str, values: Tensor) -> None:
        if self.fast and values.is_cpu:
            from pellucid.core.tensor_pass import count_bins

            flat = values.detach().reshape(-1)
            flat = flat if flat.dtype in (torch.float32, torch.float64) else flat.float()
            if not flat.numel():
                return
            every = -(-flat.numel() // MOST_HISTOGRAM_ELEMENTS)
            latest.histograms.append(
                (slot, kind, count_bins(flat.numpy(), HISTOGRAM_BINS, every=every), values.numel())
            )
        else:
            binned = count_histogram(values, HISTOGRAM_BINS, most=MOST_HISTOGRAM_ELEMENTS)
            latest.far_histograms.append((slot, kind, binned, values.numel()))


def is_compiled(model: nn.Module) -> bool:
    """Whether the model or a part of it was given to ``torch.compile``."""
    return any(type(m).__name__ == "OptimizedModule" or m._compiled_call_impl is not None for m in model.modules())
