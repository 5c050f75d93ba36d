"""What happens while a script trains, told to whoever wants to learn from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pellucid.results.watched_script import CodeLine
from pellucid.watch.call_site import CallSite
from pellucid.watch.guard import Guard

if TYPE_CHECKING:
    from pellucid.store.writer import RunWriter

__all__ = ["ScriptContext", "ScriptEvents", "ScriptObserver"]

Phase = str
"""``train`` or ``evaluation``."""


class ScriptContext(Protocol):
    """What an observer may ask while the script runs. It must change nothing of the script's."""

    @property
    def writer(self) -> RunWriter:
        """The run; observers add rows to ``observations`` and ``events``."""
        ...

    @property
    def step(self) -> int:
        """Updates so far, so the number of the step under way."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch under way, counted from 0; 0 while none is recognised."""
        ...

    @property
    def learning(self) -> bool:
        """Whether this step or evaluation is a learned one: its calls are told by ``called``."""
        ...

    @property
    def models(self) -> Sequence[nn.Module]:
        """The models found so far, in the order of ``WatchedScript.models``."""
        ...

    @property
    def optimizers(self) -> Sequence[Optimizer]:
        """The optimisers that stepped so far, in the order of ``WatchedScript.optimizers``."""
        ...

    def locate(self, module: nn.Module) -> tuple[int, str]:
        """Index of the model that owns a module, and its qualified name; (−1, '') where no model does."""
        ...

    def running_module(self) -> nn.Module | None:
        """The innermost module whose forward pass is running; known in learned steps only."""
        ...

    @property
    def forward_site(self) -> CallSite:
        """The line that called the forward pass that is being told."""
        ...

    def place(self) -> CodeLine:
        """The innermost running line of the person's own code; of a library's where none of theirs runs."""
        ...

    def place_at(self, site: CallSite) -> CodeLine:
        """The line that ``calling_site`` named."""
        ...


class ScriptObserver:
    """Learns something of a watched script. Override the events it needs; the rest cost nothing.

    Every event runs under the guard, with gradients and function modes off: an error in one is recorded and switches
    this observer off. An event may keep references to tensors until the step ends, and must neither draw random numbers
    nor change a tensor.

    Attributes:
        part: The name under which the guard knows it.
    """

    part = ""

    def __init__(self, context: ScriptContext) -> None:
        self.context = context

    def wants(self, step: int) -> bool:
        """Whether to be told of this step, asked before it; of others nothing may be told but learned evaluations.

        Steps at which no observer has anything to look at go by in a few microseconds.
        """
        return False

    def passed_over(self, site: CallSite, count: int, latest: float | Tensor) -> None:
        """So many backward passes began at a line in steps that were told to nobody; of the latest of their losses."""

    def forward_begins(
        self, root: nn.Module, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], phase: Phase
    ) -> None:
        """A module is called while no other runs.

        Args:
            root: The module called.
            index: The model it belongs to; −1 for a module without parameters, such as a loss.
            args: As given.
            kwargs: As given.
            phase: ``evaluation`` when gradients are off; else ``train``, which ``forward_settled`` may correct.
        """

    def forward_ends(  # noqa: PLR0917
        self, root: nn.Module, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, phase: Phase
    ) -> None:
        """That call has returned."""

    def forward_settled(self, root: nn.Module, index: int, phase: Phase, number: int) -> None:
        """It is known what a forward pass was for: one that a backward pass went through trains.

        Told once for each ``forward_ends``: at once where gradients are off, after the backward pass that went through
        it, or after two that did not (so one may be settled before an earlier one).

        Args:
            root: As in ``forward_ends``.
            index: As in ``forward_ends``.
            phase: What it was for.
            number: Which one of all forward passes told by ``forward_begins``, counted from 0.
        """

    def backward_begins(self, loss: Tensor, step: int) -> None:
        """A backward pass from this tensor is about to start; gradients of earlier passes still stand."""

    def backward_ends(self, loss: Tensor, step: int) -> None:
        """It is done."""

    def update_begins(self, optimizer: Optimizer | None, step: int) -> None:
        """The weights are about to change; without an optimiser, where the script updates them by hand."""

    def update_ends(self, optimizer: Optimizer | None, step: int) -> None:
        """They have changed."""

    def learning_changes(self, step: int, phase: Phase, on: bool) -> None:
        """A learned step or evaluation begins or ends: in between ``called`` tells of every torch function."""

    def called(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """A torch function was called in a learned step, by the script or a module of its."""

    def module_begins(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module, root or not, is called in a learned step."""

    def module_ends(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """That call has returned."""

    def loader_iterated(self, loader: Any, place: CodeLine) -> None:
        """A ``DataLoader`` begins a pass."""

    def printed(self, text: str) -> None:
        """The script wrote this to its standard output."""

    def ended(self, error: BaseException | None) -> None:
        """The script has ended; of what it raised, if it did."""

    def parts(self) -> dict[str, Any]:
        """Fields of ``WatchedScript`` that this observer fills, by name. Asked several times."""
        return {}


class ScriptEvents:
    """Tells every observer of every event it overrides.

    Args:
        observers: Who is told, in this order.
        guard: Keeps their errors from the script; each observer is a part of its own. What they cost is counted where
            the event came from, which is under the guard already.
    """

    forward_begins: Callable[..., None]
    forward_ends: Callable[..., None]
    forward_settled: Callable[..., None]
    backward_begins: Callable[..., None]
    backward_ends: Callable[..., None]
    update_begins: Callable[..., None]
    update_ends: Callable[..., None]
    learning_changes: Callable[..., None]
    called: Callable[..., None]
    module_begins: Callable[..., None]
    module_ends: Callable[..., None]
    loader_iterated: Callable[..., None]
    printed: Callable[..., None]
    ended: Callable[..., None]

    def __init__(self, observers: Sequence[ScriptObserver], guard: Guard) -> None:
        self._observers = observers
        self._guard = guard
        self._wants = self._guarded("wants")
        self._passed_over = self._guarded("passed_over")
        for event in (name for name in ScriptEvents.__annotations__ if not name.startswith("_")):
            setattr(self, event, self._teller(event))

    def parts(self) -> dict[str, Any]:
        """What the observers know, by field of ``WatchedScript``."""
        found: dict[str, Any] = {}
        for observer in self._observers:
            found.update(self._guard(_part(observer), observer.parts)() or {})
        return found

    def wants(self, step: int) -> bool:
        """Whether any observer that works wants to be told of this step."""
        answers = [wants(step) for wants in self._wants]  # every one is asked
        return any(answers)

    def passed_over(self, site: CallSite, count: int, latest: float | Tensor) -> None:
        """Tell of what was told to nobody."""
        for passed_over in self._passed_over:
            passed_over(site, count, latest)

    def _guarded(self, name: str) -> list[Callable[..., Any]]:
        """This method of every observer that has its own, each under the guard."""
        own = (each for each in self._observers if getattr(type(each), name) is not getattr(ScriptObserver, name))
        return [self._guard(_part(observer), getattr(observer, name)) for observer in own]

    def _teller(self, event: str) -> Callable[..., None]:
        guard, switched_off = self._guard, self._guard.switched_off
        told = [
            (_part(observer), getattr(observer, event))
            for observer in self._observers
            if getattr(type(observer), event) is not getattr(ScriptObserver, event)
        ]
        if not told:
            return _ignore

        # At every step: what is looked up here is not looked up there.
        is_grad_enabled, set_grad_enabled = torch.is_grad_enabled, torch._C._set_grad_enabled
        disable = torch._C.DisableTorchFunction

        def tell(*args: Any) -> None:
            with disable():
                gradients = is_grad_enabled()
                set_grad_enabled(False)
                try:
                    for part, each in told:
                        if part not in switched_off:
                            try:
                                each(*args)
                            except Exception as error:
                                guard.switch_off(part, error)
                finally:
                    set_grad_enabled(gradients)

        return tell


def _part(observer: ScriptObserver) -> str:
    return observer.part or type(observer).__name__


def _ignore(*args: Any) -> None:
    """Nobody listens."""
