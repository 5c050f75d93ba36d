"""Which modules a network runs, in which order, with which shapes, and who feeds whom: seen in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from pellucid.capture.module_descriptions import describe_module
from pellucid.results.network_outline import LayerOutline, NetworkOutline

__all__ = ["OutlineObserver", "leaf_modules", "trace_network_outline"]

_INPUT = -1
"""The index that stands for the network's input at the end of an edge."""


def leaf_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The modules whose outputs are a network's layers, by qualified name: those without children."""
    return {name: module for name, module in model.named_modules() if not any(True for _ in module.children())}


class OutlineObserver:
    """Watches one forward pass through hooks and tells the outline; the model runs as it would without.

    The data flow is read off the autograd graph where there is one (so that views, sums and other operations between
    two modules are seen through), else off which module's output tensor is another's input.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._layers: list[LayerOutline] = []
        self._index_of: dict[str, int] = {}
        self._edges: dict[tuple[int, int], None] = {}
        self._producer_of_node: dict[Any, int] = {}
        self._producer_of_storage: dict[int, int] = {}
        self._kept: list[Tensor] = []  # keeps storages alive, so that no address is used twice during the pass

    @contextmanager
    def observing(self, wrap: Callable[[Any], Any] = lambda hook: hook) -> Iterator[None]:
        """Hooks are on the model inside this block and gone after it, whatever happens; each as ``wrap`` returns it."""
        handles = [
            module.register_forward_hook(wrap(self._hook(name)), with_kwargs=True)
            for name, module in leaf_modules(self._model).items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._producer_of_node.clear()
            self._producer_of_storage.clear()
            self._kept.clear()

    def outline(self) -> NetworkOutline:
        """What was seen so far."""
        parameters = list(self._model.parameters())
        return NetworkOutline(
            model=type(self._model).__name__,
            layers=tuple(self._layers),
            edges=tuple(self._edges),
            parameters=sum(p.numel() for p in parameters),
            trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
            parameter_bytes=sum(p.numel() * p.element_size() for p in parameters),
        )

    def _hook(self, name: str) -> Any:
        def observe(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            outputs = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
            index = self._register(name, module, inputs, outputs)
            for producer in {source for tensor in inputs for source in self._sources(tensor)}:
                self._edges[producer, index] = None
            for tensor in outputs:
                self._kept.append(tensor)
                self._producer_of_storage[_address(tensor)] = index
                if tensor.grad_fn is not None:
                    self._producer_of_node[tensor.grad_fn] = index

        return observe

    def _register(self, name: str, module: nn.Module, inputs: list[Tensor], outputs: list[Tensor]) -> int:
        if name in self._index_of:
            index = self._index_of[name]
            self._layers[index] = replace(self._layers[index], calls=self._layers[index].calls + 1)
            return index
        own = list(module.parameters())
        self._layers.append(
            LayerOutline(
                name=name or type(module).__name__,
                kind=type(module).__name__,
                description=describe_module(module),
                input_shape=tuple(inputs[0].shape[1:]) if inputs else (),
                output_shape=tuple(outputs[0].shape[1:]) if outputs else (),
                parameters=sum(p.numel() for p in own),
                trainable_parameters=sum(p.numel() for p in own if p.requires_grad),
                calls=1,
            )
        )
        self._index_of[name] = len(self._layers) - 1
        return self._index_of[name]

    def _sources(self, tensor: Tensor) -> set[int]:
        """The layers whose outputs a tensor was made from, with no other layer in between."""
        if tensor.grad_fn is None:
            return {self._producer_of_storage.get(_address(tensor), _INPUT)}
        found: set[int] = set()
        seen: set[Any] = set()
        open_nodes = [tensor.grad_fn]
        while open_nodes:
            node = open_nodes.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in self._producer_of_node:
                found.add(self._producer_of_node[node])
            elif _is_input(node):
                found.add(_INPUT)
            else:
                open_nodes.extend(parent for parent, _ in node.next_functions if parent is not None)
        return found or {self._producer_of_storage.get(_address(tensor), _INPUT)}


def _followed(value: Any) -> Any:
    """A floating tensor as a leaf of the autograd graph, so that the flow is seen in a frozen network too."""
    return value.detach().requires_grad_() if isinstance(value, Tensor) and value.is_floating_point() else value


def _is_input(node: Any) -> bool:
    """Whether a node of the autograd graph is where a followed input enters it."""
    variable = getattr(node, "variable", None)
    return isinstance(variable, Tensor) and not isinstance(variable, nn.Parameter)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def trace_network_outline(model: nn.Module, example_inputs: Tensor | tuple[Any, ...]) -> NetworkOutline:
    """Which layers does this network run on this input, and how are they connected?

    One forward pass in evaluation mode; modes, random streams, buffers and gradients are afterwards as before.

    Args:
        model: Any eager module.
        example_inputs: A batch that the model accepts; a tuple is taken as several positional arguments.

    Returns:
        Leaf modules in order of their first call, with edges.

    >>> outline = trace_network_outline(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.zeros(1, 2))
    >>> [layer.kind for layer in outline.layers], outline.edges
    (['Linear', 'ReLU'], ((-1, 0), (0, 1)))
    """
    inputs = tree_map(_followed, example_inputs if isinstance(example_inputs, tuple) else (example_inputs,))
    training = {module: module.training for module in model.modules()}
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    observer = OutlineObserver(model)
    model.eval()
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad(), observer.observing():
            model(*inputs)
    finally:
        for module, mode in training.items():
            module.training = mode
    return observer.outline()
