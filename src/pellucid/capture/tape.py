"""A tape: one forward pass, its loss, its backward pass and the optimiser's update of an unchanged model."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.capture.tape_contents import Tape
from pellucid.capture.tape_failures import Failure, explain_failure, locate_failure
from pellucid.capture.tape_gradients import differentiate, disentangle, without_dead_ends
from pellucid.capture.tape_loss import Loss, compute_losses, loss_functions
from pellucid.capture.tape_memory import MemoryKeeper, choose_gradients
from pellucid.capture.tape_modules import ModuleTracker
from pellucid.capture.tape_refusals import refuse_lazy, refuse_without_numbers
from pellucid.capture.tape_session import Recorder, version_of
from pellucid.capture.tape_state import StateGuard
from pellucid.capture.tape_structures import map_tensors, tensors_in
from pellucid.capture.tape_update import compute_updates
from pellucid.capture.tape_values import Origin, Value
from pellucid.core.rules.registry import rule_names
from pellucid.errors import SettingsError, TraceError

__all__ = ["Failure", "Loss", "Tape", "record_tape"]

_LARGE = 1 << 20
"""The bytes from which the gradients of a shared parameter are added up in place."""


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
    if not isinstance(model, nn.Module):
        raise SettingsError(
            f"a {type(model).__name__} is no nn.Module", place="model", remedy="put it into the forward of a module"
        )
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
        losses = [item for item in loss_functions(loss).values() if isinstance(item, nn.Module)]
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
        error, tape, recorder = None, self.tape, self.recorder
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
                tape.failure = locate_failure(raised, self.phase, self.tracker.module, tape.steps, recorder.failure)
            finally:
                self.tracker.stop()
                self._finish()
        if error is not None:
            if isinstance(error, SettingsError) or tape.failure is None:
                raise error
            raise explain_failure(tape.failure, tape) from error
        return tape

    def _run_phases(self, inputs: Any, keyword_inputs: Mapping[str, Any]) -> None:
        """Forward, loss, backward, update."""
        recorder, tape = self.recorder, self.tape
        self._enter_state()
        positional = inputs if isinstance(inputs, tuple) and not hasattr(inputs, "_fields") else (inputs,)
        given, keywords = self._enter_inputs(positional, keyword_inputs)
        refuse_without_numbers(tape.values)
        if self.limit is not None:
            recorder.memory = MemoryKeeper(self.limit, recorder.forget)
            recorder.memory.exclude(tape.values)
        self.tracker.start()
        with recorder:
            output = _run_model(self.model, given, keywords)
        refuse_lazy(output)
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
        followed = without_dead_ends([value for value in tape.values if value.edge is not None])
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
                        value.hooked = bool(tensor._backward_hooks)
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
        losses = compute_losses(self.loss, output, self.target)
        scalars = {name: item if item.dim() == 0 else item.sum() for name, item in losses.items()}
        for name, scalar in scalars.items():
            value = self.recorder.find(scalar)
            if value is not None:
                self.tape.losses[name] = value
        first, *others = scalars.values()
        for other in others:
            first = first + other
        return first

    def _named(self, structure: Any, bare: str) -> dict[str, Value]:
        """The values of the tensors in a structure, by path."""
        found = ((path, self.recorder.present(tensor)) for path, tensor in tensors_in(structure))
        return {path or bare: value for path, value in found}

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
            if value.gradient is not None and value.gradient.layout is not torch.strided:
                value.gradient = value.gradient.to_dense()
            if value.id in separated:
                value.version = -1
        # No reference cycle is left: a tape goes when the last reference to it does.
        del recorder.modules, recorder.aliases, recorder.memory


def _run_model(model: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call the model or the loss."""
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


def _input_names(model: nn.Module, count: int) -> list[str]:
    """The names of the model's positional parameters; ``input0`` … beyond them."""
    forward = inspect.unwrap(type(model).forward)
    code = getattr(forward, "__code__", None)
    names = list(code.co_varnames[1 : code.co_argcount]) if code is not None else []
    return [names[i] if i < len(names) else f"input{i}" for i in range(count)]
