"""The forward passes of a script: which module is called on its own, and what each call was for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pellucid.capture.every_module import hook_every_module, unhook_every_module
from pellucid.watch.call_site import NO_SITE, CallSite, calling_site
from pellucid.watch.guard import Guard
from pellucid.watch.script_models import ModelBook

__all__ = ["Forward", "ForwardListener", "Forwards", "PassedOver", "count_examples"]

_MOST_OUTPUTS = 4
"""Of a structured output so many tensors are followed into the backward pass."""
_DEEPEST_OUTPUT = 3
_PATIENCE = 2
"""Backward passes that a forward pass may miss before it counts as an evaluation (a generator's is used second)."""
_MOST_OPEN = 64
_MOST_SITES = 256


@dataclass
class Forward:
    """One call of a root module.

    Attributes:
        number: Counted from 0 over all.
        phase: ``train`` is a guess until it is settled.
        reached: A backward pass went through it.
        examples: Of its first tensor; 0 unknown.
        site: The line that called it.
        seems: The phase by what calls from the same line have been for so far.
    """

    root: nn.Module
    index: int
    number: int
    phase: str
    training: bool
    examples: int
    modes: list[tuple[int, bool]] | None = None
    reached: bool = False
    missed: int = 0
    site: CallSite = NO_SITE
    seems: str = "train"
    handles: list[RemovableHandle] = field(default_factory=list)

    def reach(self, gradient: Any) -> None:
        """Gradients flow back to its output."""
        self.reached = True


PassedOver = tuple[nn.Module, tuple[Any, ...], dict[str, Any], Any, CallSite]
"""One call of a root module that nobody was told of: what it is, what went in and came out, the line that called it."""


class ForwardListener(Protocol):
    """Who is told."""

    @property
    def learning(self) -> bool:
        """Whether single calls are told."""
        ...

    def is_listening(self) -> bool:
        """Whether this thread and process are watched."""
        ...

    def root_begins(self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A model is called."""
        ...

    def root_ends(self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """It has returned; nothing where it raised."""
        ...

    def root_replayed(self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Both, told later, of a call that trains."""
        ...

    def settled(self, forward: Forward) -> None:
        """Its phase is known."""
        ...

    def module_begins(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module is called in a learned step."""
        ...

    def module_ends(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """It has returned."""
        ...


_Around = Callable[[Callable[..., None]], Callable[..., None]]


class Forwards:
    """Hooks on modules. All modules carry them while parts are sought or learned, afterwards only the roots.

    Args:
        book: Where roots are looked up and new ones added.
        guard: Keeps errors from the script.
        listener: Who is told.
    """

    def __init__(self, book: ModelBook, guard: Guard, listener: ForwardListener) -> None:
        self._book = book
        self._listener = listener
        self._before_any = guard("forward", self._any_begins)
        self._after_any = guard("forward", self._any_ends)
        self._before_root = guard("forward", self._root_begins)
        self._after_root = guard("forward", self._root_ends)
        self._everywhere: list[RemovableHandle] = []
        self._roots: dict[int, tuple[nn.Module, list[RemovableHandle]]] = {}
        self._running: list[nn.Module] = []
        self._under_way: Forward | None = None
        self._open: list[Forward] = []
        self._count = 0
        self._spared = False
        self._sites: dict[CallSite, set[str]] = {}
        self.usual: dict[CallSite, tuple[int, bool]] = {}
        """Of each line whose calls have always been trained on: how many of them a backward pass goes through, and
        whether the model is in training mode."""
        self.site = NO_SITE
        """The line that called the latest forward pass that was told."""
        self._paused: list[nn.Module] = []
        self._was_everywhere = False

    @property
    def running(self) -> nn.Module | None:
        """The innermost module under way."""
        return self._running[-1] if self._running else None

    @property
    def outermost(self) -> nn.Module | None:
        """The root under way."""
        return self._running[0] if self._running else None

    def spare(self, compiled: Any) -> None:
        """A module or function is compiled: inside it no hook may be seen, so that from here on none is put anywhere.

        A compiled wrapper carries its hooks outside, and those on it may stay; which modules a compiled function calls
        is unknown.
        """
        self._spared = True
        self.look_everywhere(False)
        inside = {id(each) for each in compiled.modules()} if isinstance(compiled, nn.Module) else None
        for key in [key for key in self._roots if inside is None or key in inside]:
            for handle in self._roots.pop(key)[1]:
                handle.remove()

    @property
    def has_roots(self) -> bool:
        """Whether any model was found."""
        return bool(self._roots)

    @property
    def has_open(self) -> bool:
        """Whether there are forward passes of which it is not known yet what they were for."""
        return bool(self._open)

    @property
    def looks_everywhere(self) -> bool:
        """Whether all modules carry hooks."""
        return bool(self._everywhere)

    def go_light(self, around_begin: _Around, around_end: _Around) -> None:
        """Put a shorter way before what the hooks of roots do; to be called before there are any."""
        self._before_root, self._after_root = around_begin(self._before_root), around_end(self._after_root)

    def look_everywhere(self, on: bool) -> None:
        """Hooks on all modules, or off them."""
        if on and not self._everywhere and not self._spared:
            self._everywhere = hook_every_module(self._before_any, self._after_any, always=True)
        elif not on:
            unhook_every_module(self._everywhere)
            self._everywhere = []

    def close(self) -> None:
        """Take every hook off."""
        self.look_everywhere(False)
        for _, handles in self._roots.values():
            for handle in handles:
                handle.remove()
        for forward in self._open:
            for handle in forward.handles:
                handle.remove()
        self._roots = {}
        self._running = []

    def pause(self) -> None:
        """Take every hook off for a while."""
        self._paused = [root for root, _ in self._roots.values()]
        self._was_everywhere = bool(self._everywhere)
        for _, handles in self._roots.values():
            for handle in handles:
                handle.remove()
        self._roots = {}
        self.look_everywhere(False)

    def resume(self) -> None:
        """Put them on again."""
        for root in self._paused:
            self.follow(root)
        self.look_everywhere(self._was_everywhere)
        self._paused = []

    def follow(self, root: nn.Module) -> None:
        """Put hooks on a root."""
        if id(root) in self._roots or isinstance(root, nn.TransformerEncoderLayer):
            return  # whose fused evaluation is chosen only where it carries no hook
        handles = [
            root.register_forward_pre_hook(self._before_root, with_kwargs=True),
            root.register_forward_hook(self._after_root, with_kwargs=True, always_call=True),
        ]
        self._roots[id(root)] = (root, handles)

    # All modules

    def _any_begins(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if id(module) in self._roots or not self._can_look():
            return
        if not self._running and self._book.index_of(module) >= 0:
            self.follow(module)
            self._begin(module, args, {})
            return
        self._running.append(module)
        if self._listener.learning:
            self._listener.module_begins(module, args, {})

    def _any_ends(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None, output: Any = None
    ) -> None:
        # Where the module raised, torch leaves out the keywords.
        kwargs = kwargs if isinstance(kwargs, dict) else {}
        if id(module) in self._roots or not self._can_look():
            return
        if self._leave(module) and self._listener.learning:
            self._listener.module_ends(module, args, kwargs, output)

    # Roots

    def _root_begins(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._can_look():
            self._begin(module, args, kwargs)

    def _begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inside = bool(self._running)
        self._running.append(module)
        if inside:
            if self._listener.learning:
                self._listener.module_begins(module, args, kwargs)
            return
        forward = Forward(
            root=module,
            index=self._book.index_of(module),
            number=self._count,
            phase="train" if torch.is_grad_enabled() else "evaluation",
            training=module.training,
            examples=count_examples(args, kwargs),
            site=calling_site(),
        )
        # An accuracy computed with gradients on is an evaluation from its second time on.
        forward.seems = "evaluation" if self._sites.get(forward.site) == {"evaluation"} else forward.phase
        self._count += 1
        self._under_way, self.site = forward, forward.site
        self._listener.root_begins(forward, args, kwargs)
        if self._listener.learning:
            self._listener.module_begins(module, args, kwargs)

    def _root_ends(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not self._can_look() or not self._leave(module):
            return
        if self._listener.learning:
            self._listener.module_ends(module, args, kwargs, output)
        forward = self._under_way
        if self._running or forward is None:
            return
        self._under_way = None
        if output is None:
            return
        self._listener.root_ends(forward, args, kwargs, output)
        if forward.phase == "evaluation":
            self._listener.settled(forward)
            return
        self._open.append(forward)
        with torch._C.DisableTorchFunction():
            for tensor in _differentiable(output, 0)[:_MOST_OUTPUTS]:
                forward.handles.append(tensor.register_hook(forward.reach))
        if len(self._open) > _MOST_OPEN:
            self._settle(self._open.pop(0), "evaluation")

    def _leave(self, module: nn.Module) -> bool:
        """The module has returned; those above it that never said so have raised."""
        if not any(each is module for each in self._running):
            return False
        while self._running.pop() is not module:
            pass
        return True

    def _can_look(self) -> bool:
        return (
            self._listener.is_listening()
            and not torch.compiler.is_compiling()
            and not torch._C._get_tracing_state()
            and _interpreters() is None
        )

    # What a call was for

    def settle(self) -> None:
        """A backward pass is over."""
        still_open: list[Forward] = []
        reached = Counter((forward.site, forward.training) for forward in self._open if forward.reached)
        for forward in self._open:
            forward.missed += 1
            if forward.reached:
                self._settle(forward, "train")
            elif forward.missed >= _PATIENCE:
                self._settle(forward, "evaluation")
            else:
                still_open.append(forward)
        self._open = still_open
        for (site, training), count in reached.items():
            if self._sites.get(site) == {"train"}:
                self.usual[site] = (max(count, self.usual.get(site, (0, training))[0]), training)

    def settle_all(self) -> None:
        """The script is over."""
        for forward in self._open:
            self._settle(forward, "train" if forward.reached else "evaluation")
        self._open = []

    def _settle(self, forward: Forward, phase: str) -> None:
        for handle in forward.handles:
            handle.remove()
        forward.handles = []
        forward.phase = phase
        if len(self._sites) < _MOST_SITES:
            self._sites.setdefault(forward.site, set()).add(phase)
        if phase == "evaluation":
            self.usual.pop(forward.site, None)
        self._listener.settled(forward)

    def replay(self, passed: Sequence[PassedOver]) -> None:
        """Tell of forward passes that were passed over, now that a backward pass through them begins."""
        for root, args, kwargs, output, site in passed:
            forward = Forward(
                root=root,
                index=self._book.index_of(root),
                number=self._count,
                phase="train",
                training=root.training,
                examples=count_examples(args, kwargs),
                reached=True,
                site=site,
            )
            self._count += 1
            self.site = site
            self._listener.root_replayed(forward, args, kwargs, output)
            self._open.append(forward)

    def examples_reached(self) -> int:
        """Examples of the forward passes that the latest backward pass went through, of one model."""
        reached = [each for each in self._open if each.reached]
        return sum(each.examples for each in reached if each.index == reached[0].index)


def _interpreters() -> Any:
    """The function transforms under way, such as vmap; None where there are none."""
    return torch._C._functorch.peek_interpreter_stack()  # pyright: ignore[reportAttributeAccessIssue]


def count_examples(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Of the first tensor that a model is given; 0 unknown."""
    for value in args:
        if isinstance(value, Tensor) and value.ndim:
            return value.shape[0]
    for value in kwargs.values():
        if isinstance(value, Tensor) and value.ndim:
            return value.shape[0]
    return 0


def _differentiable(value: Any, depth: int) -> list[Tensor]:
    """Tensors of a structured output that a gradient can reach."""
    if isinstance(value, Tensor):
        return [value] if value.requires_grad and value.grad_fn is not None else []
    if depth >= _DEEPEST_OUTPUT:
        return []
    items: Any = ()
    if isinstance(value, dict):
        items = value.values()
    elif isinstance(value, list | tuple):
        items = value
    elif hasattr(value, "__dataclass_fields__"):
        items = vars(value).values()
    return [tensor for each in items for tensor in _differentiable(each, depth + 1)]
