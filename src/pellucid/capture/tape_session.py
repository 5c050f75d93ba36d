"""The recorder: a torch function mode that notes every operation, its arguments and its results as it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pellucid.capture.source_lines import Site, find_site
from pellucid.capture.tape_aliases import AliasTracker
from pellucid.capture.tape_arguments import bind
from pellucid.capture.tape_functions import FunctionFacts, describe_function
from pellucid.capture.tape_memory import MemoryKeeper, watch_for_end
from pellucid.capture.tape_state import StateGuard
from pellucid.capture.tape_transforms import TransformWatch, innermost_transform
from pellucid.capture.tape_values import Decision, Origin, Phase, Step, Value, values_in

__all__ = ["Recorder", "version_of"]

_facts: dict[Any, FunctionFacts] = {}

_autocast_on = torch._C._is_any_autocast_enabled


class Recorder(TorchFunctionMode):
    """Records the operations that run while it is the active mode.

    Attributes:
        values: Every value so far.
        steps: Every step so far.
        decisions: Every reading of a number out of a tensor so far.
        phase: What runs now.
        failure: Where an operation raised: its facts and its place in the code; None if none did.
    """

    def __init__(self, guard: StateGuard) -> None:
        super().__init__()
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self.decisions: list[Decision] = []
        self.phase: Phase = "forward"
        self.failure: tuple[str, Site | None] | None = None
        self.modules: Any = None
        self.memory: MemoryKeeper | None = None
        self.aliases = AliasTracker(self, guard)
        self.shared: set[int] = set()
        """The ids of the values of large parameters that several modules share."""
        self._guard = guard
        self._known: dict[int, Value] = {}
        self._within: tuple[str, ...] = ()
        self._transforms = TransformWatch(self.find)

    # -- the mode itself ---------------------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function and note it; torch calls this in its place."""
        if innermost_transform() is not None:
            self._transforms.note(args, kwargs)
            return func(*args, **kwargs) if kwargs else func(*args)
        facts = _facts.get(func)
        if facts is None:
            facts = _facts[func] = describe_function(func)
        treatment = facts.treatment
        if treatment == "pass":
            return func(*args, **kwargs) if kwargs else func(*args)
        if treatment == "record":
            return self._record(func, facts, args, kwargs or {})
        if treatment == "unroll":
            return self._unroll(facts, args, kwargs or {})
        if treatment == "decide":
            return self._decide(func, facts, args, kwargs or {})
        self._guard.keep_gradients()
        return func(*args, **(kwargs or {}))

    def _record(self, func: Any, facts: FunctionFacts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function as one step."""
        self._transforms.ended = True
        given = tuple([self._refer(item) for item in args])
        keywords = {key: self._refer(item) for key, item in kwargs.items()} if kwargs else {}
        site = find_site(3)
        modules = self.modules
        step = Step(
            len(self.steps), facts.op, facts.name, self.phase, modules.module, modules.call, self._within,
            given, keywords, func, site,
        )  # fmt: skip
        step.grad_enabled = torch.is_grad_enabled()
        if _autocast_on():
            step.autocast = _autocast_dtype()
        if facts.random:
            step.rng_state = torch.get_rng_state()
            if "generator" in kwargs and kwargs["generator"] is not None:
                self._guard.keep_generator(kwargs["generator"])
        target = self._written_tensor(facts, args, kwargs)
        if target is not None:
            self.aliases.before_write(target)
        before = [(t, self._known[id(t)]) for t in self._statistics(func, facts, args, kwargs)]
        for tensor, _ in before:
            self.aliases.before_write(tensor)
        if self.shared and target is None:
            args, kwargs = self._split_uses(args, kwargs)
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.failure = self.failure or (facts.name, site)
            raise
        self._note(step, result, target, before)
        return result

    def _split_uses(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give each use of a large shared parameter an edge of its own, through a view of it.

        Autograd adds the gradients of several uses up in new memory, three times the parameter's; ``differentiate``
        adds them in place.
        """

        def split(item: Any) -> Any:
            value = self._known.get(id(item)) if isinstance(item, nn.Parameter) else None
            if value is None or value.id not in self.shared or not torch.is_grad_enabled():
                return item
            view = item.view_as(item)
            value.uses.append((view.grad_fn, 0))
            return view

        return tuple([split(item) for item in args]), {key: split(item) for key, item in kwargs.items()}

    def _note(self, step: Step, result: Any, target: Tensor | None, before: list[tuple[Tensor, Value]]) -> None:
        """Give the results of a step that has run their values, and add it to the tape."""
        steps, index = self.steps, step.index
        if index != len(steps):
            index = step.index = len(steps)
        if target is not None:
            self._note_write(step, result, target)
        elif isinstance(result, Tensor):
            step.outputs = (self._output(result, index, 0),)
        else:
            made = _flat_tensors(result)
            if not made:
                return
            step.outputs = tuple([self._output(tensor, index, place) for place, tensor in enumerate(made)])
        for tensor, old in before:
            new = self.add(tensor, "op", old.name, producer=index, output=-1)
            self.aliases.after_write(tensor, new)
            step.written += ((old, new),)
        steps.append(step)
        for value in values_in((step.given, step.keywords)):
            value.consumers.append(index)
        if self.memory is not None:
            self.memory.note(step)

    def _note_write(self, step: Step, result: Any, target: Tensor) -> None:
        """The values of an in-place step."""
        old = self._known.get(id(target))
        new = self.add(target, "op", old.name if old is not None else "", producer=step.index)
        self.aliases.after_write(target, new)
        step.in_place = True
        if old is not None:
            step.written = ((old, new),)
        others = [t for t in _flat_tensors(result) if t is not target] if result is not None else []
        step.outputs = (new, *(self._output(t, step.index, place + 1) for place, t in enumerate(others)))

    def _output(self, tensor: Tensor, index: int, place: int) -> Value:
        """The value of a result; an argument handed back as it is keeps its own."""
        known = self._known.get(id(tensor))
        if known is not None and (known.tensor is tensor or known.reference is not None):
            return known
        return self.add(tensor, "op", producer=index, output=place)

    def _unroll(self, facts: FunctionFacts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a composite function with the recorder on for what it calls."""
        around = self._within
        self._within = (*around, facts.name)
        try:
            with self:
                return facts.body(*args, **kwargs)
        except Exception:
            self.failure = self.failure or (facts.name, find_site(3))
            raise
        finally:
            self._within = around

    def _decide(self, func: Any, facts: FunctionFacts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function that reads a number out of a tensor."""
        result = func(*args, **kwargs)
        if isinstance(args[0], Tensor):
            outcome = result if isinstance(result, bool | int | float | complex) else None
            value = self._refer(args[0])
            place = self.modules.module
            self.decisions.append(Decision(len(self.steps), facts.kind, value, outcome, place, find_site(3)))
        return result

    # -- values ------------------------------------------------------------------------------------------------------

    def find(self, tensor: Tensor) -> Value | None:
        """The value of a tensor, if it is known; asks the tensor nothing."""
        return self._known.get(id(tensor))

    def present(self, tensor: Tensor) -> Value:
        """The value of what a tensor holds now."""
        return self._refer(tensor)

    def add(
        self, tensor: Tensor, origin: Origin, name: str = "", *, producer: int | None = None, output: int = 0
    ) -> Value:
        """A new value for what a tensor holds now."""
        values = self.values
        value = Value(len(values), tensor, tensor.shape, tensor.dtype, origin, name, producer, output)
        if tensor.requires_grad:
            value.requires_grad = True
            node = tensor.grad_fn
            value.edge = tensor if node is None else (node, tensor.output_nr)
        value.version = version_of(tensor)
        values.append(value)
        self._known[id(tensor)] = value
        return value

    def _refer(self, item: Any) -> Any:
        """An argument with its tensors replaced by their values."""
        if isinstance(item, Tensor):
            value = self._known.get(id(item))
            if value is None:
                return self._discover(item)
            if value.version != version_of(item):
                return self.aliases.refresh(item, value)
            if value.edge is None and item.requires_grad:
                return self._late(item, value)
            return value
        return self._refer_parts(item)

    def _refer_parts(self, item: Any) -> Any:
        """An argument that is no tensor, with the tensors inside it replaced."""
        kind = item.__class__
        if kind is list or kind is tuple:
            return kind([self._refer(part) for part in item])
        if kind is dict:
            return {key: self._refer(part) for key, part in item.items()}
        if kind is slice:
            return slice(self._refer(item.start), self._refer(item.stop), self._refer(item.step))
        return item

    def _discover(self, tensor: Tensor) -> Value:
        """A value for a tensor that no recorded step made."""
        name = self.modules.attribute_name(tensor)
        if (tensor.requires_grad and tensor.grad_fn is not None) or (self._transforms.name and not name):
            return self._opaque(tensor)
        return self.add(tensor, "constant", name)

    def _late(self, tensor: Tensor, value: Value) -> Value:
        """A known tensor that autograd has begun to follow since: an ``autograd.Function``'s result, or a new leaf."""
        if tensor.grad_fn is None:
            value.requires_grad, value.edge = True, tensor
            return value
        return self._opaque(tensor)

    def _opaque(self, tensor: Tensor) -> Value:
        """The result of something that torch does not show; autograd's graph says from which values it came."""
        node = tensor.grad_fn
        sources = self._transforms.sources() or ([] if node is None else self._sources(node))
        name = self._transforms.name or type(node).__name__.removesuffix("Backward")
        modules = self.modules
        step = Step(
            len(self.steps), name, f"opaque: {name}", self.phase, modules.module, modules.call, self._within,
            tuple(sources), {}, None, find_site(4),
        )  # fmt: skip
        if not sources:
            return self.add(tensor, "constant", modules.attribute_name(tensor))
        value = self.add(tensor, "op", producer=step.index)
        step.outputs = (value,)
        self.steps.append(step)
        for source in sources:
            source.consumers.append(step.index)
        return value

    def _sources(self, node: Any) -> list[Value]:
        """The recorded values nearest above a node of autograd's graph."""
        by_edge = {_edge_key(value.edge): value for value in self.values if value.edge is not None}
        found: dict[int, Value] = {}
        seen, waiting = {node}, [node]
        while waiting:
            for upper, output in waiting.pop().next_functions:
                if upper is None:
                    continue
                leaf = getattr(upper, "variable", None)
                value = by_edge.get((id(leaf), -1) if leaf is not None else (hash(upper), output))
                if value is not None:
                    found[value.id] = value
                elif upper not in seen:
                    seen.add(upper)
                    waiting.append(upper)
        return [found[key] for key in sorted(found)]

    def forget(self, value: Value) -> None:
        """Stop keeping a value's numbers; if the model uses its tensor again it is still recognised."""
        if value.tensor is not None and self._known.get(id(value.tensor)) is value:
            self.aliases.forget(value)
            watch_for_end(value, self._known)
        elif value.tensor is not None:
            value.tensor = None

    # -- what a function writes --------------------------------------------------------------------------------------

    def _written_tensor(self, facts: FunctionFacts, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """The tensor that a call overwrites."""
        if facts.writes_first:
            return args[0] if args and isinstance(args[0], Tensor) else kwargs.get("input")
        if facts.flag >= 0:
            flag = args[facts.flag] if len(args) > facts.flag else kwargs.get("inplace", False)
            return (args[0] if args else kwargs["input"]) if flag else None
        out = kwargs.get("out") if kwargs else None
        return out if isinstance(out, Tensor) else None

    def _statistics(
        self, func: Any, facts: FunctionFacts, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Tensor]:
        """The running statistics that a normalisation is about to update."""
        if not facts.statistics:
            return []
        bound = bind(func, args, kwargs)
        if not (bound.get("training") or bound.get("use_input_stats")):
            return []
        return [bound[name] for name in facts.statistics if bound.get(name) is not None]


def _flat_tensors(result: Any) -> list[Tensor]:
    """The tensors in what a function returned, in order."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, list | tuple):
        return [tensor for item in result for tensor in _flat_tensors(item)]
    return []


def version_of(tensor: Tensor) -> int:
    """How often a tensor was written; 0 for inference tensors, which do not count."""
    try:
        return tensor._version
    except RuntimeError:
        return 0


def _edge_key(edge: Any) -> tuple[int, int]:
    """Something to find an edge of autograd's graph by."""
    return (id(edge), -1) if isinstance(edge, Tensor) else (hash(edge[0]), edge[1])


def _autocast_dtype() -> torch.dtype:
    """The dtype of the automatic mixed precision that is on."""
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
    return torch.float32
