"""How a script's tensors flow from the batch to the loss, learned in a few steps under a function mode."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from pellucid.results.watched_script import CodeLine, ScriptCall, ScriptLoss, TensorFacts
from pellucid.watch.call_site import CallSite, calling_site
from pellucid.watch.script_events import ScriptContext, ScriptObserver
from pellucid.watch.wiring_calls import CallRecord
from pellucid.watch.wiring_graph import graph_names, loss_node_kind
from pellucid.watch.wiring_loss import Term, dissect, last_operation
from pellucid.watch.wiring_names import NETWORK
from pellucid.watch.wiring_recipes import HeldForward, Recipe, find_recipe, read_recipe
from pellucid.watch.wiring_settings import flat_tensors
from pellucid.watch.wiring_targets import ShapeOfLoss, TargetValues, compared_in_evaluation, look_at_shape
from pellucid.watch.wiring_tensors import SeenTensor

__all__ = ["EvaluationSeen", "LossSeen", "ScriptWiring", "wiring_of"]

_KEPT_TRAINING = 3
_KEPT_EVALUATIONS = 2
_MOST_LOSSES = 32
_MOST_HELD = 8
_SURE = 2
"""From this rank of a term on it is a loss in its own right."""

_wirings: WeakKeyDictionary[ScriptContext, ScriptWiring] = WeakKeyDictionary()


@dataclass(slots=True)
class LossSeen:
    """A loss that is back-propagated now.

    Attributes:
        kind: As ``ScriptLoss.kind``.
        loss: What is back-propagated.
        prediction: Of the loss function; None where it is not found.
        target: Of the loss function; None where there is none or it is not found.
        value: What the loss function gave; known in learned steps.
        factor: What ``value`` is multiplied by.
        inputs: Where no model is called: tensors that come to the parameters from outside; known in learned steps.
    """

    kind: str
    loss: Tensor
    prediction: Tensor | None
    target: Tensor | None
    value: Tensor | None
    factor: float
    inputs: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EvaluationSeen:
    """A learned evaluation's forward pass with what its output was held against."""

    step: int
    inputs: list[Tensor]
    outputs: list[Tensor]
    target: Tensor | None


@dataclass(slots=True)
class _Line:
    """One line that gives a loss, as far as it is known."""

    backward: CodeLine
    graph: tuple[str, ...]
    kind: str
    first: Tensor
    last: Tensor | float
    steps: int = 0
    term: Term | None = None
    others: tuple[Term, ...] = ()
    prediction: TensorFacts | None = None
    target: TensorFacts | None = None
    shape: ShapeOfLoss = field(default_factory=ShapeOfLoss)
    values: TargetValues = field(default_factory=TargetValues)
    operation: str = ""
    module: str = ""
    recipe: Recipe | None = None


@dataclass(slots=True)
class _Forward:
    """A model's forward pass within a learned step; ``start`` counts the calls before it."""

    start: int
    end: int
    inputs: list[Tensor]
    outputs: list[Tensor]


def wiring_of(context: ScriptContext) -> ScriptWiring:
    """The wiring that is being learned of the same script, for the observers that come after it."""
    return _wirings[context]


class ScriptWiring(ScriptObserver):
    """Records the calls of learned steps and finds each loss in them."""

    part = "wiring"

    def __init__(self, context: ScriptContext) -> None:
        super().__init__(context)
        _wirings[context] = self
        self.record: CallRecord | None = None
        """The learned step under way."""
        self.current: LossSeen | None = None
        """Between the begin and the end of a backward pass in a learned step."""
        self.evaluated: list[Callable[[EvaluationSeen], None]] = []
        """Told of each learned evaluation."""
        self.held: dict[int, HeldForward] = {}
        """Forward passes of which it is not known yet what they were for, by their number."""
        self.forwards = 0
        """Forward passes so far."""
        self.main_kind = "custom"
        """Of the loss that was found first."""
        self._phase = "train"
        self._forwards: list[_Forward] = []
        self._lines: dict[tuple[object, ...], _Line] = {}
        self._by_site: dict[CallSite, _Line] = {}
        self._pending: list[tuple[_Line, SeenTensor | None, SeenTensor | None]] = []
        self._reaching: set[int] = set()
        self._targets: set[int] = set()
        self._kept: dict[str, list[tuple[ScriptCall, ...]]] = {"train": [], "evaluation": []}

    @property
    def latest_calls(self) -> tuple[ScriptCall, ...]:
        """Of the latest training step that was learned."""
        return self._kept["train"][-1] if self._kept["train"] else ()

    def learning_changes(self, step: int, phase: str, on: bool) -> None:
        """Begin a record, or close it."""
        if self.record is not None:
            self._close(self.record)
        self._forwards, self._pending = [], []
        self._reaching, self._targets = set(), set()
        self.record = CallRecord(self.context, step) if on else None
        self._phase = phase

    def called(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Record."""
        if self.record is not None:
            self.record.add(function, args, kwargs, result)

    def module_ends(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Bridge what was not seen inside it."""
        if self.record is not None:
            self.record.link(module, (args, kwargs), output)

    def forward_begins(
        self, root: nn.Module, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], phase: str
    ) -> None:
        """What enters a model."""
        self.forwards += 1
        if self.record is not None and index >= 0:
            given = flat_tensors((args, kwargs))
            self.record.enter(given)
            start = len(self.record.calls)
            self._forwards.append(_Forward(start, start, given, []))

    def forward_ends(  # noqa: PLR0917  # as the event is told
        self, root: nn.Module, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, phase: str
    ) -> None:
        """What leaves it; it is held until it is known what for."""
        if index < 0:
            return
        # Nearly always one tensor comes in and one goes out.
        returned = [output] if type(output) is Tensor else flat_tensors(output)
        given = [args[0]] if len(args) == 1 and not kwargs and type(args[0]) is Tensor else flat_tensors((args, kwargs))
        self._hold(given, returned)
        if self.record is not None:
            self.record.leave(returned)
            if self._forwards:
                self._forwards[-1].outputs = returned
                self._forwards[-1].end = len(self.record.calls)

    def _hold(self, given: list[Tensor], returned: list[Tensor]) -> None:
        inputs = [tensor.detach() for tensor in given]
        outputs = [tensor.detach() for tensor in returned]
        self.held[self.forwards - 1] = HeldForward(inputs, outputs, self.context.forward_site, self.context.step)
        if len(self.held) > _MOST_HELD:
            del self.held[next(iter(self.held))]

    def backward_begins(self, loss: Tensor, step: int) -> None:
        """Find the loss in what was recorded."""
        site = calling_site()
        line = self._by_site.get(site)
        if self.record is None:
            if line is None:
                line = self._new_line((site,), loss, loss_node_kind(loss))
                self._by_site[site] = line
            _count(line, loss)
            return
        self._learn(self.record, site, loss)

    def backward_ends(self, loss: Tensor, step: int) -> None:
        """Let go of the graph."""
        self.current = None

    def ended(self, error: BaseException | None) -> None:
        """Close what is open."""
        self.learning_changes(self.context.step, self._phase, False)

    def parts(self) -> dict[str, Any]:
        """The losses and the calls."""
        if self.record is not None:
            self._settle(self.record)
        kept = [calls for phase in self._kept.values() for calls in phase]
        lines = sorted(self._lines.values(), key=lambda line: -line.steps)
        return {
            "losses": tuple(_result(line) for line in lines),
            "calls": tuple(call for calls in sorted(kept, key=_first_step) for call in calls),
        }

    def passed_over(self, site: CallSite, count: int, latest: float | Tensor) -> None:
        """So many backward passes began at a line and were told to nobody; of the latest of their losses."""
        line = self._by_site.get(site)
        if line is not None:
            line.steps += count
            line.last = latest

    def _learn(self, record: CallRecord, site: CallSite, loss: Tensor) -> None:
        """Dissect a loss of a learned step."""
        before = len(record.calls)
        seen = record.book.see(loss)
        terms = dissect(record, seen, before)
        main, place = terms[0], self.context.place()
        known = self._by_site.get(site)
        if known is not None and known.term is None:
            known.term = main
            self._lines[_key(place, main)] = self._lines.pop((site,), known)
            known.backward = place
        line = self._lines.get(_key(place, main))
        if line is None:
            line = self._new_line(_key(place, main), loss, main.kind)
        self._by_site[site] = line
        _count(line, loss)
        self._describe(record, line, main, terms[1:])
        for term in terms[1:]:
            if term.rank > _SURE and term.place != main.place:
                self._learn_side_loss(record, place, term, loss)
        prediction, target = _alive(record, main.prediction), _alive(record, main.target)
        value = record.book.tensor(main.value.key)
        inputs = _outside_inputs(record, main) if not self._forwards else []
        self.current = LossSeen(line.kind, loss, prediction, target, value, main.factor, inputs)
        line.recipe = self._recipe(record, loss, main, prediction, target)
        if self.main_kind == "custom":
            self.main_kind = line.kind
        self._reaching.update(call.order for call in record.upstream(seen.key, before))
        self._targets.update(term.target.key for term in terms if term.target is not None)

    def read(self, loss: Tensor) -> LossSeen | None:
        """What is back-propagated now, learned step or not; None while the line is not known.

        Args:
            loss: As ``backward_begins`` tells it.
        """
        if self.current is not None and self.current.loss is loss:
            return self.current
        line = self._by_site.get(calling_site())
        if line is None or line.recipe is None:
            return None
        prediction, target = read_recipe(line.recipe, loss, list(self.held.values()))
        return LossSeen(line.kind, loss, prediction, target, None, 1.0)

    def _recipe(
        self, record: CallRecord, loss: Tensor, main: Term, prediction: Tensor | None, target: Tensor | None
    ) -> Recipe:
        """How to find the same tensors in other steps."""
        forwards = [HeldForward(forward.inputs, forward.outputs) for forward in self._forwards]
        difference, sign = None, 0
        call = main.call
        if call is not None and call.name in ("sub", "rsub") and main.prediction is not None:
            difference = _alive(record, call.outputs[0])
            first = call.inputs[0].key == main.prediction.key
            sign = -1 if first == (call.name == "sub") else 1
        if call is not None and call.name == "l1_loss" and main.prediction is not None:
            given = call.named.get("input")
            difference, sign = target, -1 if given is not None and given.key == main.prediction.key else 1
        return find_recipe(loss, forwards, prediction, target, (difference, sign))

    def _learn_side_loss(self, record: CallRecord, place: CodeLine, term: Term, loss: Tensor) -> None:
        """A loss that is added to the loss proper."""
        value = record.book.tensor(term.value.key)
        value = loss if value is None or value.numel() != 1 else value
        line = self._lines.get(_key(place, term)) or self._new_line(_key(place, term), value, term.kind)
        _count(line, value)
        self._describe(record, line, term, [])

    def _describe(self, record: CallRecord, line: _Line, term: Term, others: list[Term]) -> None:
        """Take down what the loss's tensors look like; of later steps only which values the targets take."""
        prediction, target = _alive(record, term.prediction), _alive(record, term.target)
        line.values.add(target)
        if line.prediction is not None or any(waiting[0] is line for waiting in self._pending):
            return
        line.term, line.others, line.kind = term, tuple(others), term.kind
        line.shape = look_at_shape(term.kind, prediction, target)
        operation = last_operation(record, term)
        if operation is not None:
            line.operation, line.module = operation.name, operation.module
        self._pending.append((line, term.prediction, term.target))

    def _new_line(self, key: tuple[object, ...], loss: Tensor, kind: str) -> _Line:
        value = loss.detach()
        line = _Line(self.context.place(), graph_names(loss), kind, value, value)
        if len(self._lines) < _MOST_LOSSES:
            self._lines[key] = line
        return line

    def _close(self, record: CallRecord) -> None:
        """Keep the record's calls, and tell of its evaluations."""
        self._settle(record)
        phases = [(forward.start, self._phase_of(record, forward)) for forward in self._forwards]

        def phase_of_call(order: int) -> str:
            if order in self._reaching:
                return "train"
            earlier = [phase for start, phase in phases if start <= order]
            return earlier[-1] if earlier else phases[0][1] if phases else self._phase

        calls = record.script_calls(phase_of_call, self._reaching, self._targets)
        phase = "train" if self._reaching or not calls else self._phase
        if calls:
            kept = self._kept[phase]
            most = _KEPT_TRAINING if phase == "train" else _KEPT_EVALUATIONS
            # The first ones, and the latest.
            kept[most:] = [calls]
        self._tell(record)

    def _settle(self, record: CallRecord) -> None:
        """Bring the figures of predictions and targets over."""
        record.book.fetch()
        for line, prediction, target in self._pending:
            if prediction is not None:
                line.prediction = record.book.facts(prediction, record.origin(prediction))
            if target is not None:
                line.target = record.book.facts(target, record.origin(target, target=True))

    def _phase_of(self, record: CallRecord, forward: _Forward) -> str:
        """What a forward pass was for: one that reaches a loss trains."""
        keys = {record.book.key(tensor) for tensor in forward.outputs}
        made = [call.order for call in record.calls if any(tensor.key in keys for tensor in call.outputs)]
        if any(order in self._reaching for order in made):
            return "train"
        return "evaluation" if self._reaching else self._phase

    def _tell(self, record: CallRecord) -> None:
        """Tell of each forward pass of an evaluation what its output was held against."""
        ends = [forward.start for forward in self._forwards[1:]] + [len(record.calls)] * bool(self._forwards)
        for forward, end in zip(self._forwards, ends, strict=True):
            if self._phase_of(record, forward) == "evaluation" and forward.outputs:
                keys = {record.book.key(tensor) for tensor in forward.outputs}
                target = compared_in_evaluation(record, forward.end, end, keys)
                inputs = [tensor.detach() for tensor in forward.inputs]
                outputs = [tensor.detach() for tensor in forward.outputs]
                seen = EvaluationSeen(record.step, inputs, outputs, _alive(record, target))
                for listener in self.evaluated:
                    listener(seen)


def _key(place: CodeLine, term: Term) -> tuple[object, ...]:
    return place.file, place.line, term.place.file, term.place.line, term.kind


def _first_step(calls: tuple[ScriptCall, ...]) -> tuple[int, int]:
    return calls[0].step, calls[0].order


def _alive(record: CallRecord, seen: SeenTensor | None) -> Tensor | None:
    tensor = None if seen is None else record.book.tensor(seen.key)
    return None if tensor is None else tensor.detach()


def _outside_inputs(record: CallRecord, term: Term) -> list[Tensor]:
    """Tensors that meet parameters on the way to a prediction, where no model was called; the nearest to it last."""
    if term.prediction is None:
        return []
    rows = term.prediction.shape[:1]
    found: dict[int, Tensor] = {}
    for call in record.upstream(term.prediction.key, term.made_before):
        for tensor in call.inputs if call.name in NETWORK else ():
            outside = tensor.key not in record.derived and not tensor.is_parameter and tensor.shape[:1] == rows
            alive = _alive(record, tensor) if outside else None
            if alive is not None:
                found[tensor.key] = alive
    return list(found.values())[::-1]


def _count(line: _Line, loss: Tensor) -> None:
    line.last = loss.detach()
    line.steps += 1


def _number(value: Tensor | float) -> float:
    if not isinstance(value, Tensor):
        return value
    return value.double().sum().item() if value.numel() == 1 and not value.is_meta else math.nan


def _result(line: _Line) -> ScriptLoss:
    term = line.term
    settings = dict(term.call.settings) if term is not None and term.call is not None else {}
    own = {(term.place.line, term.kind)} if term is not None else set()
    summands = {(other.place.line, other.kind) for other in line.others} - own
    return ScriptLoss(
        kind=line.kind,
        place=term.place if term is not None and term.place.line else line.backward,
        backward=line.backward,
        reduction=term.reduction if term is not None else "",
        settings=settings,
        prediction=line.prediction,
        target=line.target,
        graph=line.graph,
        terms=len(summands),
        last_operation=line.operation,
        last_module=line.module,
        rows_sum_to_one=line.shape.rows_sum_to_one,
        log_rows_sum_to_one=line.shape.log_rows_sum_to_one,
        target_values=line.values.kept,
        target_one_hot=line.shape.target_one_hot,
        classes=line.shape.classes,
        first=_number(line.first),
        last=_number(line.last),
        steps=line.steps,
        sign=term.sign if term is not None else 0,
        scale=term.scale if term is not None else math.nan,
        others=tuple(other.kind for other in line.others[:16]),
    )
