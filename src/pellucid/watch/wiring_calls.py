"""The calls of one learned step, in order, and how a tensor flows from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pellucid.results.watched_script import CodeLine, ScriptCall, Setting
from pellucid.watch.call_site import is_own_call
from pellucid.watch.script_events import ScriptContext
from pellucid.watch.wiring_names import LOSSES, call_name, is_in_place, is_recorded
from pellucid.watch.wiring_settings import flat_tensors, settings_of, tensor_arguments
from pellucid.watch.wiring_tensors import SeenTensor, TensorBook

__all__ = ["CallRecord", "SeenCall"]


_MOST_CALLS = 20_000
_MOST_WITH_FIGURES = 4_000
_MOST_KEPT = 600
"""Of a longer step the first and the last calls, as many of each, are kept in the result."""


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One call as it was seen; ``named`` holds a loss function's tensors by argument."""

    order: int
    name: str
    module: str
    model: int
    training: bool
    place: CodeLine
    inputs: tuple[SeenTensor, ...]
    outputs: tuple[SeenTensor, ...]
    settings: dict[str, Setting]
    named: dict[str, SeenTensor] = field(default_factory=dict)


class CallRecord:
    """What happens in one learned step.

    Args:
        context: Says where a call was made and which module was running.
        step: Updates before it.
    """

    def __init__(self, context: ScriptContext, step: int) -> None:
        self._context = context
        self.step = step
        self.book = TensorBook()
        self.calls: list[SeenCall] = []
        self.derived: set[int] = set()
        """Keys of tensors computed from a parameter, through ``detach`` too."""
        self.roots: dict[int, int] = {}
        """Keys of what models returned, and the call after which they did."""
        self.doors: set[int] = set()
        """Keys of what models were given."""
        self._producers: dict[int, list[int]] = {}

    def add(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Take a call down."""
        if len(self.calls) >= _MOST_CALLS or not is_recorded(function) or is_own_call():
            return
        name, in_place = call_name(function), is_in_place(function)
        given = flat_tensors((args, kwargs))
        returned = given[:1] if in_place else flat_tensors(result)
        if not given and not returned:
            return
        written = {id(tensor) for tensor in returned}
        inputs = tuple(self.book.see(tensor, overwritten=id(tensor) in written) for tensor in given)
        module = self._context.running_module()
        model, path = self._locate(module)
        named = {}
        if name in LOSSES:
            by_id = {id(tensor): seen for tensor, seen in zip(given, inputs, strict=True)}
            arguments = tensor_arguments(function, args, kwargs)
            named = {key: by_id[id(tensor)] for key, tensor in arguments.items() if id(tensor) in by_id}
        outputs = tuple(self.book.see(tensor) for tensor in returned)
        self._append(
            name, path, model, self._is_training(module), inputs, outputs, settings_of(function, args, kwargs), named
        )

    def link(self, module: nn.Module, given: Any, returned: Any) -> None:
        """Join what a module returned to what it was given, where nothing was seen of how: it is compiled."""
        outputs = [t for t in flat_tensors(returned) if not t.is_leaf or not t.requires_grad]
        outputs = [tensor for tensor in outputs if self.book.key(tensor) not in self._producers]
        known = {self.book.key(tensor) for tensor in flat_tensors(given)}
        outputs = [tensor for tensor in outputs if self.book.key(tensor) not in known]
        if outputs:
            inputs = tuple(self.book.see(tensor) for tensor in flat_tensors(given))
            model, path = self._locate(module)
            seen = tuple(self.book.see(tensor) for tensor in outputs)
            self._append(type(module).__name__, path, model, module.training, inputs, seen, {}, {})
            self.derived.update(tensor.key for tensor in seen if tensor.requires_grad)

    def enter(self, tensors: Iterable[Tensor]) -> None:
        """These are given to a model."""
        self.doors.update(self.book.see(tensor).key for tensor in tensors)

    def leave(self, tensors: Iterable[Tensor]) -> None:
        """These come from a model."""
        for tensor in tensors:
            self.roots.setdefault(self.book.key(tensor), len(self.calls))

    def producer(self, key: int, before: int) -> SeenCall | None:
        """The last call before a point in time that made the tensor."""
        for order in reversed(self._producers.get(key, ())):
            if order < before:
                return self.calls[order]
        return None

    def upstream(self, key: int, before: int) -> Iterator[SeenCall]:
        """Every call that the tensor was computed through, the latest first."""
        waiting, seen = [(key, before)], set()
        while waiting:
            call = self.producer(*waiting.pop())
            if call is None or call.order in seen:
                continue
            seen.add(call.order)
            yield call
            waiting.extend((tensor.key, call.order) for tensor in call.inputs)

    def downstream(self, keys: Iterable[int], start: int) -> Iterator[tuple[SeenCall, set[int]]]:
        """The calls from ``start`` on that use one of the tensors or what came of them, with all such keys so far."""
        reached = set(keys)
        for call in self.calls[start:]:
            if any(tensor.key in reached for tensor in call.inputs):
                yield call, reached
                reached.update(tensor.key for tensor in call.outputs)

    def script_calls(
        self, phases: Callable[[int], str], reaching: set[int], targets: set[int]
    ) -> tuple[ScriptCall, ...]:
        """The calls as the result keeps them."""
        self.book.fetch()
        calls = self.calls
        if len(calls) > _MOST_KEPT:
            calls = [*calls[: _MOST_KEPT // 2], *calls[-(_MOST_KEPT // 2) :]]

        def facts(tensors: tuple[SeenTensor, ...]) -> Any:
            return tuple(self.book.facts(tensor, self._origin(tensor, targets)) for tensor in tensors[:8])

        return tuple(
            ScriptCall(
                step=self.step,
                phase=phases(call.order),
                order=call.order,
                function=call.name,
                module=call.module,
                model=call.model,
                training=call.training,
                place=call.place,
                inputs=facts(call.inputs),
                outputs=facts(call.outputs),
                settings=call.settings,
                reaches_loss=call.order in reaching,
            )
            for call in calls
        )

    def origin(self, tensor: SeenTensor, target: bool = False) -> str:
        """Where a tensor came from."""
        return self._origin(tensor, {tensor.key} if target else set())

    def _origin(self, tensor: SeenTensor, targets: set[int]) -> str:
        if tensor.is_parameter:
            return "parameter"
        if tensor.key in targets:
            return "target"
        if tensor.key in self.doors and tensor.key not in self.derived:
            return "input"
        return "activation" if tensor.key in self.derived or tensor.requires_grad else "constant"

    def _append(  # noqa: PLR0917  # the fields of a call, in order
        self,
        name: str,
        module: str,
        model: int,
        training: bool,
        inputs: tuple[SeenTensor, ...],
        outputs: tuple[SeenTensor, ...],
        settings: dict[str, Setting],
        named: dict[str, SeenTensor],
    ) -> None:
        order = len(self.calls)
        place = self._context.place()
        self.calls.append(SeenCall(order, name, module, model, training, place, inputs, outputs, settings, named))
        if order == _MOST_WITH_FIGURES:
            self.book.close()
        for tensor in outputs:
            self._producers.setdefault(tensor.key, []).append(order)
        if any(tensor.is_parameter or tensor.key in self.derived for tensor in inputs):
            self.derived.update(tensor.key for tensor in outputs)

    def _locate(self, module: nn.Module | None) -> tuple[int, str]:
        """The model and the module's name in it; the class's name where no model owns the module."""
        if module is None:
            return -1, ""
        model, path = self._context.locate(module)
        return (model, path) if model >= 0 else (-1, type(module).__name__)

    def _is_training(self, module: nn.Module | None) -> bool:
        if module is not None:
            return module.training
        return all(model.training for model in self._context.models)
