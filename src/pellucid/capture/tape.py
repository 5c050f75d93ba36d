"""A tape: one forward pass, its loss, its backward pass and the optimiser's update of an unchanged model."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.capture.source_lines import Site, Source, is_foreign, resolve
from pellucid.capture.tape_gradients import differentiate, disentangle, recompute_gradient
from pellucid.capture.tape_memory import MemoryKeeper, choose_gradients
from pellucid.capture.tape_modules import ModuleTracker
from pellucid.capture.tape_replay import recompute
from pellucid.capture.tape_session import Recorder, version_of
from pellucid.capture.tape_state import StateGuard
from pellucid.capture.tape_structures import map_tensors, tensors_in
from pellucid.capture.tape_update import compute_updates
from pellucid.capture.tape_values import Decision, ModuleCall, Origin, Step, Update, Value
from pellucid.core.rules.registry import rule_names
from pellucid.errors import SettingsError, TraceError

__all__ = ["Failure", "Loss", "Tape", "record_tape"]

Loss = Callable[..., Any] | str | Mapping[str, Callable[..., Any]] | Sequence[Callable[..., Any]] | None
"""How the loss comes about: see ``record_tape``."""


_LARGE = 1 << 20
"""The bytes from which the gradients of a shared parameter are added up in place."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Where a pass ended early.

    Attributes:
        phase: "forward", "loss", "backward" or "update".
        module: The qualified name of the module that ran; "" for the model itself.
        function: The torch function that raised; "" if it was the module's own code.
        source: The person's line.
        message: What was raised.
    """

    phase: str
    module: str
    function: str
    source: Source | None
    message: str


@dataclass(eq=False)
class Tape:
    """Everything that one pass computed.

    Attributes:
        steps: The operations, in the order in which they ran.
        values: The tensors, in the order in which they came about; ``values[v.id] is v``.
        calls: The calls of modules, in the order in which they began.
        decisions: The places where a number left the tensors.
        inputs: The inputs (and the target) by path.
        parameters: All parameters of the model by their first name, used or not.
        buffers: The buffers that were used, by name, as they were before.
        outputs: What the model returned, by path: "output" for one tensor, "logits", "[1]", "hidden_states[3]".
        losses: The losses by name, each a scalar.
        loss: What was differentiated: the only loss, or the sum of all; None for a forward pass alone.
        updates: The optimiser's update of each parameter, by name.
        training: Whether the model was in training mode.
        failure: Where the pass ended early; None for a whole one.
    """

    steps: list[Step]
    values: list[Value]
    calls: list[ModuleCall]
    decisions: list[Decision]
    inputs: dict[str, Value] = field(default_factory=dict)
    parameters: dict[str, Value] = field(default_factory=dict)
    buffers: dict[str, Value] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    losses: dict[str, Value] = field(default_factory=dict)
    loss: Value | None = None
    updates: dict[str, Update] = field(default_factory=dict)
    training: bool = False
    failure: Failure | None = None

    def read(self, value: Value) -> Tensor:
        """A value's numbers, computed again if they were not kept.

        Raises:
            TraceError: It is a parameter or buffer that was changed since, or it cannot be computed again.
        """
        tensor = value.tensor
        if tensor is None:
            return recompute(self.steps, [value], {})[value.id]
        if value.producer is None and value.version >= 0 and version_of(tensor) != value.version:
            raise TraceError(
                f"{value.name or 'an input'} has changed since it was traced",
                place=f"{value.origin} {value.name}",
                remedy="trace again, or explain the trace before the next optimiser step",
            )
        return tensor

    def read_gradient(self, value: Value) -> Tensor | None:
        """The loss's derivative by a value, computed again if it was not kept; None where there is none."""
        if value.gradient_kept:
            return value.gradient
        known: dict[int, Tensor] = {}

        def read(one: Value) -> Tensor:
            if one.tensor is not None:
                return self.read(one)
            if one.id not in known:
                known.update(recompute(self.steps, [one], known))
            return known[one.id]

        return recompute_gradient(value, self.steps, self.values, read)

    def replay(self, edits: Mapping[int, Tensor], wanted: Sequence[Value]) -> list[Tensor]:
        """What values would be if others had other numbers, with every operation and every random draw as recorded.

        Args:
            edits: The other numbers, by value id.
            wanted: The values asked for.

        Returns:
            Their numbers, in order. Branches that the model took stay taken (see ``decisions``).
        """
        changed = set(edits)
        for step in self.steps:
            if any(value.id in changed for value in step.inputs):
                changed.update(v.id for v in (*step.outputs, *(new for _, new in step.written)))
        dropped = {value.id: value.tensor for value in self.values if value.id in changed and value.id not in edits}
        try:
            for key in dropped:
                self.values[key].tensor = None
            found = recompute(self.steps, wanted, dict(edits))
        finally:
            for key, tensor in dropped.items():
                self.values[key].tensor = tensor
        return [found[v.id] if v.id in found else self.read(v) for v in wanted]


def record_tape(
    model: nn.Module,
    inputs: Any,
    keyword_inputs: Mapping[str, Any] | None = None,
    *,
    target: Any = None,
    loss: Loss = None,
    optimizer: torch.optim.Optimizer | None = None,
    memory_limit: int | None = None,
) -> Tape:
    """Run a model once, forward and backward, and keep every operation, value and gradient.

    Args:
        model: Any eager model; a compiled one is traced as the module that was compiled. It, its gradients, the random
            streams and its modes are as before afterwards.
        inputs: The positional inputs, as a tuple; one that is no tuple is the only input.
        keyword_inputs: The inputs by name.
        target: What the loss compares the output with; None if the loss takes the output alone.
        loss: A function of (output, target), a loss module, or several of them by name or in a list: then the sum is
            differentiated. A string names a tensor of the output ("loss", "logits") whose sum is differentiated.
            None for the forward pass alone.
        optimizer: What would step: its update is computed on copies.
        memory_limit: How many bytes of values and gradients to keep; None for all. Others are computed when asked for.

    Raises:
        SettingsError: The arguments contradict each other.
        TraceError: The model or the loss raised; the error names the operation, the module and the line, and its
            ``tape`` holds what was recorded until then.

    >>> tape = record_tape(nn.Linear(2, 1), torch.ones(3, 2), loss="output")
    >>> [step.op for step in tape.steps], tape.parameters["bias"].gradient
    (['linear', 'sum'], tensor([3.]))
    """
    model = _original(model)
    rule_names()  # The rules load here, where no mode sees what their modules compute.
    if memory_limit is not None and memory_limit < 0:
        raise SettingsError(
            f"a memory limit of {memory_limit} bytes is negative", place="memory_limit", remedy="give 0 or more"
        )
    if optimizer is not None and loss is None:
        raise SettingsError(
            "an update needs a gradient, and there is no loss", place="loss=None", remedy="give loss= as well"
        )
    return _Pass(model, target, loss, optimizer, memory_limit).run(inputs, keyword_inputs or {})


class _Pass:
    """One pass of a model, from its inputs to the tape."""

    def __init__(
        self, model: nn.Module, target: Any, loss: Loss, optimizer: torch.optim.Optimizer | None, limit: int | None
    ) -> None:
        self.model, self.target, self.loss, self.optimizer, self.limit = model, target, loss, optimizer, limit
        modules = list(model.modules())
        losses = [item for item in _loss_functions(loss).values() if isinstance(item, nn.Module)]
        self.guard = StateGuard([*modules, *(part for item in losses for part in item.modules())])
        recorder = self.recorder = Recorder(self.guard)
        self.tracker = recorder.modules = ModuleTracker(model, recorder.find, recorder.steps)
        for item in losses:
            self.tracker.name_loss(item)
        self.tape = Tape(
            recorder.steps, recorder.values, self.tracker.calls, recorder.decisions, training=model.training
        )
        self.live: dict[int, Value] = {}
        self.phase = "forward"

    def run(self, inputs: Any, keyword_inputs: Mapping[str, Any]) -> Tape:
        """The whole pass; everything outside the tape is as before afterwards."""
        error: Exception | None = None
        with ExitStack() as stack:
            stack.callback(self.guard.restore)
            stack.enter_context(_eager())
            if self.loss is not None:
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.enable_grad())
            try:
                self._run_phases(inputs, keyword_inputs)
            except TraceError:
                raise
            except Exception as raised:
                error = raised
                self._note_failure(raised)
            finally:
                self.tracker.stop()
                self._finish()
        if error is not None:
            raise self._explained(error) from error
        return self.tape

    def _run_phases(self, inputs: Any, keyword_inputs: Mapping[str, Any]) -> None:
        """Forward, loss, backward, update."""
        recorder, tape = self.recorder, self.tape
        self._enter_state()
        positional = inputs if isinstance(inputs, tuple) and not hasattr(inputs, "_fields") else (inputs,)
        given, keywords = self._enter_inputs(positional, keyword_inputs)
        if self.limit is not None:
            recorder.memory = MemoryKeeper(self.limit, recorder.forget)
            recorder.memory.exclude(tape.values)
        self.tracker.start()
        with recorder:
            output = _run_model(self.model, given, keywords)
        tape.outputs = self._named(output, "output")
        if self.loss is None:
            return
        self.phase = recorder.phase = "loss"
        with recorder:
            total = _run_model(self._total_loss, (output,), {})
        self.tracker.stop()
        tape.loss = recorder.find(total)
        self.phase = "backward"
        recorder.aliases.check(tape.values, version_of)
        if total.requires_grad:
            self._differentiate(total)
        if self.optimizer is not None:
            self.phase = "update"
            tape.updates = compute_updates(self.optimizer, self.live)

    def _differentiate(self, total: Tensor) -> None:
        """The gradients, those that the limit leaves room for."""
        tape, memory, entangled = self.tape, self.recorder.memory, self.recorder.aliases.entangled
        followed = [value for value in tape.values if value.edge is not None]
        kept: set[int] | None = None
        if memory is not None and self.limit is not None:
            kept = choose_gradients(followed, tape.steps, self.limit - memory.held)
            kept.update(value.id for value in (*tape.losses.values(), tape.loss) if value is not None)
        with _no_autocast():
            differentiate(total, followed if kept is None or entangled else [v for v in followed if v.id in kept])
        if entangled:
            disentangle(tape.steps, tape.values, entangled, tape.read)
        if kept is not None:
            for value in followed:
                if value.id not in kept:
                    value.gradient, value.gradient_kept = None, False

    def _enter_state(self) -> None:
        """Values for the parameters, used or not, and for the buffers."""
        tape, recorder = self.tape, self.recorder
        for prefix, module in self.model.named_modules(remove_duplicate=False):
            stem = f"{prefix}." if prefix else ""
            tables: list[tuple[Mapping[str, Tensor | None], dict[str, Value], Origin]] = [
                (module._parameters, tape.parameters, "parameter"),
                (module._buffers, tape.buffers, "buffer"),
            ]
            for table, known, origin in tables:
                for name, tensor in table.items():
                    if tensor is None:
                        continue
                    value = recorder.find(tensor)
                    if value is None:
                        value = known[stem + name] = recorder.add(tensor, origin, stem + name)
                        self.live[id(tensor)] = value
                    elif value.name != stem + name and stem + name not in value.aliases:
                        value.aliases += (stem + name,)
                        if self.loss is not None and value.requires_grad and value.nbytes >= _LARGE:
                            recorder.shared.add(value.id)

    def _enter_inputs(self, positional: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, Any]:
        """Copies of the inputs that the model may overwrite, followed by autograd where it can."""
        names = _input_names(self.model, len(positional))
        copies: dict[int, Tensor] = {}

        def enter(path: str, tensor: Tensor) -> Tensor:
            if isinstance(tensor, nn.Parameter) and id(tensor) in self.live:
                return tensor
            if id(tensor) not in copies:
                copies[id(tensor)] = self._copy(tensor)
                self.tape.inputs[path] = self.recorder.add(copies[id(tensor)], "input", path)
            return copies[id(tensor)]

        given = tuple(map_tensors(item, enter, name) for name, item in zip(names, positional, strict=True))
        words = {key: map_tensors(item, enter, key) for key, item in keywords.items()}
        self.target = map_tensors(self.target, enter, "target")
        return given, words

    def _copy(self, tensor: Tensor) -> Tensor:
        """A copy of an input, a branch of autograd's graph if a loss will be differentiated."""
        if tensor.layout is not torch.strided:
            return tensor.detach()
        if self.loss is not None and (tensor.is_floating_point() or tensor.is_complex()):
            return tensor.detach().clone().requires_grad_().view_as(tensor).clone()
        return tensor.detach().clone()

    def _total_loss(self, output: Any) -> Tensor:
        """The scalar to differentiate; each loss on the way is noted by name."""
        losses = self._losses(output)
        for name, item in losses.items():
            if not isinstance(item, Tensor):
                raise SettingsError(
                    f"the loss {name!r} is no tensor but {type(item).__name__}",
                    place="loss",
                    remedy="return a tensor that depends on the output; .item() cuts it off",
                )
        scalars = {name: item if item.dim() == 0 else item.sum() for name, item in losses.items()}
        for name, scalar in scalars.items():
            value = self.recorder.find(scalar)
            if value is not None:
                self.tape.losses[name] = value
        first, *others = scalars.values()
        for other in others:
            first = first + other
        return first

    def _losses(self, output: Any) -> dict[str, Any]:
        """What the loss functions return, by name."""
        if isinstance(self.loss, str):
            tensors = dict(tensors_in(output))
            path = "" if self.loss == "output" and "" in tensors else self.loss
            if path not in tensors:
                raise SettingsError(
                    f"the output holds no tensor {self.loss!r}",
                    place=f"loss={self.loss!r}",
                    remedy="name one of " + ", ".join(repr(p or "output") for p in tensors),
                )
            return {self.loss: tensors[path]}
        arguments = (output,) if self.target is None else (output, self.target)
        found: dict[str, Any] = {}
        for name, function in _loss_functions(self.loss).items():
            result = function(*arguments)
            if isinstance(result, Mapping):
                found.update({str(key): item for key, item in result.items()})
            elif isinstance(result, list | tuple):
                found.update({f"{name}[{i}]": item for i, item in enumerate(result)})
            else:
                found[name] = result
        if not found:
            raise SettingsError("there is no loss", place="loss", remedy="give at least one loss function")
        return found

    def _named(self, structure: Any, bare: str) -> dict[str, Value]:
        """The values of the tensors in a structure, by path."""
        found = ((path, self.recorder.present(tensor)) for path, tensor in tensors_in(structure))
        return {path or bare: value for path, value in found}

    def _note_failure(self, error: Exception) -> None:
        """Keep where the pass ended."""
        function, site = self.recorder.failure or ("", None)
        if self.phase == "backward":
            function, site = _overwriting(self.tape.steps, str(error))
        source = resolve(site) or _raised_at(error)
        self.tape.failure = Failure(
            self.phase, self.tracker.module, function, source, f"{type(error).__name__}: {error}"
        )

    def _explained(self, error: Exception) -> Exception:
        """The error to raise: ours as they are, others with the place where they arose."""
        if isinstance(error, SettingsError):
            return error
        failure = self.tape.failure
        assert failure is not None
        where = {"forward": "the model", "loss": "the loss", "backward": "the backward pass"}.get(
            self.phase, "the update"
        )
        function = f" in {failure.function}" if failure.function else ""
        module = f"module {failure.module}, " if failure.module else ""
        explained = TraceError(
            f"{where} raised{function}: {failure.message}",
            place=f"{module}{failure.source}" if failure.source else module.rstrip(", "),
            remedy="mend the line; the error's .tape holds what was recorded until then",
        )
        explained.tape = self.tape
        return explained

    def _finish(self) -> None:
        """Cut the tape off from autograd's graph and from the recorder."""
        recorder = self.recorder
        recorder.aliases.check(self.tape.values, version_of)
        recorder.aliases.before_restore()
        separated = recorder.aliases.separated
        for value in self.tape.values:
            tensor = value.tensor
            value.edge = None
            value.uses = []
            if tensor is not None and tensor.requires_grad:
                value.tensor = tensor.detach()
            if value.id in separated:
                value.version = -1
        # No reference cycle is left: a tape goes when the last reference to it does.
        del recorder.modules, recorder.aliases, recorder.memory


def _run_model(model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The frame at which the search for the person's line ends (see ``source_lines``)."""
    return model(*args, **kwargs)


def _original(model: nn.Module) -> nn.Module:
    """The eager module behind a compiled one."""
    original = model.__dict__.get("_modules", {}).get("_orig_mod")
    return model if original is None else original


def _eager() -> Any:
    """Compiled parts run as they were written; needs nothing where nothing was compiled."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _no_autocast() -> Any:
    """No automatic mixed precision around the backward pass, as torch advises."""
    if not torch._C._is_any_autocast_enabled():
        return nullcontext()
    stack = ExitStack()
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
    return stack


def _loss_functions(loss: Loss) -> dict[str, Callable[..., Any]]:
    """The loss functions by name."""
    if loss is None or isinstance(loss, str):
        return {}
    if isinstance(loss, Mapping):
        return dict(loss)
    if isinstance(loss, Sequence):
        return {f"loss[{i}]": item for i, item in enumerate(loss)}
    return {"loss": loss}


def _input_names(model: nn.Module, count: int) -> list[str]:
    """The names of the model's positional parameters; ``input0`` … beyond them."""
    forward = inspect.unwrap(type(model).forward)
    code = getattr(forward, "__code__", None)
    names = list(code.co_varnames[1 : code.co_argcount]) if code is not None else []
    return [names[i] if i < len(names) else f"input{i}" for i in range(count)]


def _overwriting(steps: Sequence[Step], message: str) -> tuple[str, Site | None]:
    """The in-place step to which autograd's complaint about an overwritten tensor most likely refers."""
    if "modified by an inplace operation" not in message:
        return "", None
    writing = [step for step in steps if step.in_place and step.written]
    alike = [s for s in writing if f"{list(s.written[0][0].shape)}]" in message]
    if not (alike or writing):
        return "", None
    step = (alike or writing)[-1]
    return step.function, step.site


def _raised_at(error: Exception) -> Source | None:
    """The innermost line of a traceback that belongs to the person."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_foreign(code.co_filename):
            found = resolve((code, trace.tb_lasti))
        trace = trace.tb_next
    return found
