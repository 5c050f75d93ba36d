"""Where torch tells of a script: its own hooks where there are any, else a wrapped function of torch's.

Nothing of the person's is touched, and at the end everything of torch's is as before.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.export
from torch import Tensor, fx, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from pellucid.watch.script_listener import TapsListener

__all__ = ["Taps"]


class Taps:
    """Wraps functions of torch's while it is open.

    Args:
        listener: Who is told.
        passes: Asked first of each backward pass; where it agrees, nobody is told.
    """

    def __init__(self, listener: TapsListener, passes: Callable[[Any], bool]) -> None:
        self._listener, self._passes = listener, passes
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self._in_backward = False
        self._steps_inside: set[int] = set()

    def open(self) -> None:
        """Wrap."""
        self._replace(torch.autograd, "backward", self._backward)
        self._replace(Optimizer, "__init__", lambda f: self._after(f, self._listener.optimizer_made))
        for kind in list(vars(lr_scheduler).values()):
            if isinstance(kind, type) and issubclass(kind, LRScheduler):
                if "__init__" in vars(kind):
                    self._replace(kind, "__init__", lambda f: self._after(f, self._listener.scheduler_made))
                if "step" in vars(kind):
                    self._replace(kind, "step", self._scheduler_step)
        self._replace(DataLoader, "__iter__", self._loader_iter)
        self._replace(_BaseDataLoaderIter, "__init__", self._iterator_init)
        self._replace(_BaseDataLoaderIter, "__next__", self._iterator_next)
        self._replace(torch.amp.GradScaler, "scale", self._scale)
        self._replace(torch.amp.GradScaler, "step", self._scaler_step)
        self._replace(torch, "compile", self._compile)
        self._replace(nn.Module, "__reduce_ex__", lambda _: _reduce_without_hooks)
        for owner, name in (
            (torch.jit, "script"),
            (torch.jit, "trace"),
            (fx.Tracer, "trace"),
            (torch.export, "export"),
        ):
            self._replace(owner, name, self._unhooked)
        for owner in (torch.multiprocessing, sys.modules["torch.multiprocessing.spawn"]):
            self._replace(owner, "start_processes", self._start_processes)
        self._replace(BaseProcess, "start", self._start_process)
        self._replace(subprocess.Popen, "__init__", self._start_program)
        if hasattr(warnings, "_showwarnmsg_impl"):
            self._replace(warnings, "_showwarnmsg_impl", self._warn)
        for stream in (sys.stdout, sys.stderr):
            self._listen_to(stream)

    def close(self) -> None:
        """Put everything back that is still ours to put back."""
        for owner, name, original, ours in reversed(self._replaced):
            if vars(owner).get(name) is not ours:
                continue  # somebody wrapped it again; ours passes everything on
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        self._replaced = []

    def _replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        original = vars(owner).get(name)
        ours = wrap(original)
        setattr(owner, name, ours)
        self._replaced.append((owner, name, original, ours))

    def _listen_to(self, stream: Any) -> None:
        """See what is written, on the stream object that the script has."""
        write, listener = getattr(stream, "write", None), self._listener
        if write is None or "write" in getattr(stream, "__dict__", {"write": 0}):
            return

        @wraps(write)
        def written(text: Any) -> Any:
            count = write(text)
            if listener.is_listening():
                listener.written(text)
            return count

        try:
            stream.write = written
        except (AttributeError, TypeError):
            return
        self._replaced.append((stream, "write", None, written))

    def _after(self, function: Any, tell: Callable[[Any], None]) -> Any:
        listener = self._listener

        @wraps(function)
        def made(this: Any, *args: Any, **kwargs: Any) -> None:
            function(this, *args, **kwargs)
            if listener.is_listening():
                tell(this)

        return made

    def _backward(self, function: Any) -> Any:
        listener, passes = self._listener, self._passes

        @wraps(function)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            # A backward pass inside another is torch's own (checkpointing) and no step of the script's.
            if self._in_backward or not listener.is_listening():
                return function(tensors, *args, **kwargs)
            self._in_backward = True
            try:
                if passes(tensors):
                    return function(tensors, *args, **kwargs)
                listener.backward_begins(tensors)
                result = function(tensors, *args, **kwargs)
                listener.backward_ends(tensors)
                return result
            finally:
                self._in_backward = False

        return backward

    def _scheduler_step(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def step(this: Any, *args: Any, **kwargs: Any) -> Any:
            if id(this) in self._steps_inside or not listener.is_listening():
                return function(this, *args, **kwargs)
            self._steps_inside.add(id(this))
            try:
                listener.scheduler_steps(this)
                return function(this, *args, **kwargs)
            finally:
                self._steps_inside.discard(id(this))

        return step

    def _loader_iter(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def begin(this: Any) -> Any:
            if listener.is_listening():
                listener.loader_begins(this)
            return function(this)

        return begin

    def _iterator_init(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def made(this: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
            function(this, loader, *args, **kwargs)
            if listener.is_listening():
                listener.iterator_made(this, loader)

        return made

    def _iterator_next(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def following(this: Any) -> Any:
            if listener.is_listening():
                listener.batch_given(this)
            return function(this)

        return following

    def _scale(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def scale(this: Any, outputs: Any) -> Any:
            scaled = function(this, outputs)
            if scaled is not outputs and isinstance(outputs, Tensor) and listener.is_listening():
                listener.loss_scaled(scaled, outputs)
            return scaled

        return scale

    def _scaler_step(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def step(this: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            before = listener.updates
            done = function(this, optimizer, *args, **kwargs)
            if listener.is_listening() and listener.updates == before:
                listener.update_skipped()
            return done

        return step

    def _compile(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def compile(model: Any = None, *args: Any, **kwargs: Any) -> Any:
            if model is None or not listener.is_listening():
                return function(model, *args, **kwargs)
            listener.compiling(model)
            compiled = function(model, *args, **kwargs)
            if isinstance(compiled, torch.nn.Module):
                listener.compiled(compiled)
            return compiled

        return compile

    def _unhooked(self, function: Any) -> Any:
        """What reads a module's code or its graph must meet none of our hooks."""
        listener = self._listener

        @wraps(function)
        def unhooked(*args: Any, **kwargs: Any) -> Any:
            if not listener.is_listening():
                return function(*args, **kwargs)
            listener.reading_begins()
            try:
                return function(*args, **kwargs)
            finally:
                listener.reading_ends()

        return unhooked

    def _start_processes(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def start(fn: Any, args: Any = (), *rest: Any, **kwargs: Any) -> Any:
            if listener.is_listening() and "fork" not in (*rest, kwargs.get("start_method")):
                args = listener.processes_start(args) or args
            return function(fn, args, *rest, **kwargs)

        return start

    def _start_process(self, function: Any) -> Any:
        """Those that torch starts are its own (loaders' workers) or watched."""
        listener = self._listener

        @wraps(function)
        def start(this: Any) -> Any:
            told = str(getattr(getattr(this, "_target", None), "__module__", "")).split(".")[0] != "torch"
            if told and listener.is_listening():
                listener.process_starts(this)
            return function(this)

        return start

    def _start_program(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def made(this: Any, args: Any, *rest: Any, **kwargs: Any) -> None:
            first = args[0] if isinstance(args, list | tuple) and args else args
            if listener.is_listening() and Path(str(first)).name.startswith("python"):
                listener.process_starts(this)
            function(this, args, *rest, **kwargs)

        return made

    def _warn(self, function: Any) -> Any:
        listener = self._listener

        @wraps(function)
        def show(message: Any) -> None:
            function(message)
            if listener.is_listening():
                text = f"{message.category.__name__}: {message.message}"
                listener.warned(text, str(message.filename), int(message.lineno))

        return show


_HOOKS = {
    "_forward_hooks": ("_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    "_forward_pre_hooks": ("_forward_pre_hooks_with_kwargs",),
}


def _reduce_without_hooks(module: nn.Module, protocol: Any) -> Any:
    """What a module is pickled or copied as: without the hooks of this watch, so that whoever reads it needs none."""
    reduced = object.__reduce_ex__(module, protocol)
    if not (isinstance(reduced, tuple) and len(reduced) > 2 and isinstance(reduced[2], dict)):
        return reduced
    state: dict[str, Any] = reduced[2]
    for hooks, marks in _HOOKS.items():
        ours = [key for key, hook in (state.get(hooks) or {}).items() if _is_ours(hook)]
        if not ours:
            continue
        if state is reduced[2]:
            state = dict(state)
        for name in (hooks, *marks):
            kept = {key: value for key, value in state.get(name, {}).items() if key not in ours}
            state[name] = type(state[name])(kept)
    return (*reduced[:2], state, *reduced[3:])


def _is_ours(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("pellucid.")
