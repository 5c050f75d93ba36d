"""What a trace must leave as it was: modules, parameters, gradients, buffers, random streams, torch's settings."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["RandomState", "StateGuard", "bytes_of", "overwrite", "set_version"]

_CONTAINERS = (dict, list, set)

_SMALL_BUFFER = 1 << 20
"""Buffers up to this many bytes are copied before the pass; larger ones when an operation is about to write them."""


class RandomState:
    """The random streams of torch, Python and, if it is loaded, NumPy."""

    def __init__(self) -> None:
        self._torch = torch.get_rng_state()
        self._python = random.getstate()
        self._numpy = sys.modules["numpy"].random.get_state() if "numpy" in sys.modules else None
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None

    def restore(self) -> None:
        """Put the streams back."""
        torch.set_rng_state(self._torch)
        random.setstate(self._python)
        if self._numpy is not None:
            sys.modules["numpy"].random.set_state(self._numpy)
        if self._cuda is not None:
            torch.cuda.set_rng_state_all(self._cuda)


class StateGuard:
    """A picture of everything that running a model may change, and the way back.

    Attributes of modules are kept by identity, and their lists, dicts and sets one level deep: what a model changes
    deeper inside its own objects stays changed.
    """

    def __init__(self, modules: list[nn.Module]) -> None:
        self._random = RandomState()
        self._grad_enabled = torch.is_grad_enabled()
        self._default_dtype = torch.get_default_dtype()
        self._modules = [(module, module.__dict__.copy()) for module in modules]
        self._containers: list[tuple[Any, Any]] = []
        self._parameters: list[tuple[nn.Parameter, bool, Tensor | None]] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []
        self._versions: list[tuple[Tensor, int]] = []
        self._storages: dict[int, tuple[torch.UntypedStorage, Tensor]] = {}
        self._gradients: list[tuple[Tensor, Tensor]] | None = None
        self._generators: dict[int, tuple[torch.Generator, Tensor]] = {}
        for _, attributes in self._modules:
            for item in attributes.values():
                if item.__class__ is dict or isinstance(item, _CONTAINERS):
                    self._containers.append((item, item.copy()))
            for parameter in attributes["_parameters"].values():
                if parameter is not None:
                    self._parameters.append((parameter, parameter.requires_grad, parameter.grad))
                    self._versions.append((parameter, parameter._version))
            for buffer in attributes["_buffers"].values():
                if buffer is None:
                    continue
                self._versions.append((buffer, buffer._version))
                if buffer.nbytes <= _SMALL_BUFFER:
                    self._buffers.append((buffer, buffer.detach().clone()))

    def keep_storage(self, tensor: Tensor, content: Tensor) -> None:
        """Remember what a storage held before the first write into it; the content is as ``bytes_of`` gives it."""
        storage = tensor.untyped_storage()
        self._storages.setdefault(storage._cdata, (storage, content))

    def keep_gradients(self) -> None:
        """Copy every ``.grad``, because the model itself is about to run a backward pass."""
        if self._gradients is None:
            self._gradients = [(g, g.clone()) for _, _, g in self._parameters if g is not None]

    def keep_generator(self, generator: torch.Generator) -> None:
        """Remember the state of a generator that the model uses by itself."""
        if id(generator) not in self._generators:
            self._generators[id(generator)] = (generator, generator.get_state())

    def restore(self) -> None:
        """Put everything back."""
        for storage, content in self._storages.values():
            torch.empty(0, dtype=torch.uint8, device=content.device).set_(storage).copy_(content)
        for live, kept in self._buffers:
            overwrite(live, kept)
        self._restore_modules()
        for live, version in self._versions:
            if live._version != version:
                set_version(live, version)
        for generator, state in self._generators.values():
            generator.set_state(state)
        self._random.restore()
        torch.set_grad_enabled(self._grad_enabled)
        if torch.get_default_dtype() is not self._default_dtype:
            torch.set_default_dtype(self._default_dtype)

    def _restore_modules(self) -> None:
        """The modules' attributes, parameters and gradients."""
        for module, attributes in self._modules:
            if not _same_items(module.__dict__, attributes):
                module.__dict__.clear()
                module.__dict__.update(attributes)
        for live, kept in self._containers:
            if live or kept:
                _restore_container(live, kept)
        for parameter, requires_grad, gradient in self._parameters:
            if parameter.requires_grad is not requires_grad:
                parameter.requires_grad_(requires_grad)
            if parameter.grad is not gradient:
                parameter.grad = gradient
        for live, kept in self._gradients or ():
            overwrite(live, kept)


def bytes_of(tensor: Tensor) -> Tensor:
    """A copy of the whole storage under a tensor."""
    with torch.no_grad():
        return torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.untyped_storage()).clone()


def set_version(tensor: Tensor, version: int) -> None:
    """Say that a tensor, which holds what it held, was never written, so that graphs made before stay usable."""
    change = getattr(torch._C, "_autograd", None)
    change = getattr(change, "_unsafe_set_version_counter", None)
    if change is None:
        return
    try:
        change((tensor,), (version,))
    except TypeError:
        # torch before 2.7 takes one tensor at a time.
        change(tensor, version)


def overwrite(live: Tensor, content: Tensor) -> None:
    """Write into a tensor without raising its version, so that graphs made before stay usable."""
    version = live._version
    with torch.no_grad():
        live.copy_(content)
    set_version(live, version)


def _same_items(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    """Whether two dicts hold the same objects under the same keys."""
    return len(one) == len(other) and all(key in one and one[key] is item for key, item in other.items())


def _restore_container(live: Any, kept: Any) -> None:
    """Make a dict, list or set hold what it held, if it does not."""
    if isinstance(live, dict):
        if not _same_items(live, kept):
            live.clear()
            live.update(kept)
    elif isinstance(live, list):
        if len(live) != len(kept) or any(a is not b for a, b in zip(live, kept, strict=True)):
            live[:] = kept
    elif live != kept:
        live.clear()
        live.update(kept)
