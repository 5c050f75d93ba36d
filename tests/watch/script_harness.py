"""Tells observers of a small script what the launcher tells them, without the launcher: for tests of one observer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.overrides import TorchFunctionMode

from pellucid.results.watched_script import CodeLine
from pellucid.watch.call_site import calling_site, line_number


class Writer:
    """Keeps rows."""

    def __init__(self):
        self.rows = {}

    def extend(self, table, columns):
        kept = self.rows.setdefault(table, [])
        length = max(len(c) for c in columns.values() if isinstance(c, list | tuple))
        full = {k: list(c) if isinstance(c, list | tuple) else [c] * length for k, c in columns.items()}
        kept.extend(dict(zip(full, values, strict=True)) for values in zip(*full.values(), strict=True))

    def append(self, table, row):
        self.rows.setdefault(table, []).append(dict(row))


class Harness:
    """Context and launcher in one. Learned: the first three steps and every one after them that ``learn`` names."""

    def __init__(self, *observers, learn=lambda step: step < 3):
        self.writer, self.step, self.epoch, self.learning = Writer(), 0, 0, False
        self.models, self.optimizers = [], []
        self._running, self._roots, self._learn = [], 0, learn
        self.observers = [make(self) for make in observers]
        self._mode = None

    def locate(self, module):
        for index, model in enumerate(self.models):
            for name, owned in model.named_modules():
                if owned is module:
                    return index, name
        return -1, ""

    def running_module(self):
        return self._running[-1] if self._running else None

    @property
    def forward_site(self):
        return calling_site()

    def place(self):
        frame = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if "/tests/" in file and "script_harness" not in file:
                return CodeLine(file.rsplit("/", 1)[-1], frame.f_lineno, "", frame.f_code.co_name)
            frame = frame.f_back
        return CodeLine("", 0, "", "")

    def place_at(self, site):
        return CodeLine(site[0].co_filename.rsplit("/", 1)[-1], line_number(site), "", site[0].co_name)

    def tell(self, event, *args):
        with torch._C.DisableTorchFunction(), torch.no_grad():
            for observer in self.observers:
                getattr(observer, event)(*args)

    def turn(self, on, phase="train"):
        if on == self.learning:
            return
        self.learning = on
        self.tell("learning_changes", self.step, phase, on)
        if on:
            self._mode = _Mode(self)
            self._mode.__enter__()
        else:
            self._mode.__exit__(None, None, None)

    def _begin(self, module, args, kwargs):
        if not self._running and not isinstance(module, nn.modules.loss._Loss):
            if any(True for _ in module.parameters()) and module not in self.models:
                self.models.append(module)
            index = self.locate(module)[0]
            phase = "train" if torch.is_grad_enabled() else "evaluation"
            self.tell("forward_begins", module, index, args, kwargs, phase)
        self._running.append(module)
        if self.learning:
            self.tell("module_begins", module, args, kwargs)

    def _end(self, module, args, kwargs, output):
        self._running.pop()
        if self.learning:
            self.tell("module_ends", module, args, kwargs, output)
        if not self._running and not isinstance(module, nn.modules.loss._Loss):
            index = self.locate(module)[0]
            phase = "train" if torch.is_grad_enabled() else "evaluation"
            self.tell("forward_ends", module, index, args, kwargs, output, phase)
            number, self._roots = self._roots, self._roots + 1
            if phase == "evaluation":
                self.tell("forward_settled", module, index, phase, number)
            else:
                self._unsettled.append((module, index, number))

    @contextmanager
    def evaluating(self):
        """A learned evaluation."""
        self.turn(True, "evaluation")
        yield
        self.turn(False)

    @contextmanager
    def watching(self):
        self._unsettled = []
        call, backward = nn.Module.__call__, torch.autograd.backward

        def watched_call(module, *args, **kwargs):
            self._begin(module, args, kwargs)
            try:
                output = call(module, *args, **kwargs)
            except BaseException:
                self._running.pop()
                raise
            self._end(module, args, kwargs, output)
            return output

        def watched_backward(tensors, *args, **kwargs):
            loss = tensors if isinstance(tensors, torch.Tensor) else tensors[0]
            self.tell("backward_begins", loss, self.step)
            backward(tensors, *args, **kwargs)
            self.tell("backward_ends", loss, self.step)
            for module, index, number in self._unsettled:
                self.tell("forward_settled", module, index, "train", number)
            self._unsettled = []

        def before(optimizer, args, kwargs):
            self.tell("update_begins", optimizer, self.step)

        def after(optimizer, args, kwargs):
            self.tell("update_ends", optimizer, self.step)
            if optimizer not in self.optimizers:
                self.optimizers.append(optimizer)
            self.step += 1
            self.turn(False)
            self.turn(self._learn(self.step))

        hooks = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
        nn.Module.__call__, torch.autograd.backward = watched_call, watched_backward
        error = None
        try:
            self.turn(self._learn(0))
            yield self
        except BaseException as raised:
            error = raised
            raise
        finally:
            nn.Module.__call__, torch.autograd.backward = call, backward
            for hook in hooks:
                hook.remove()
            self.turn(False)
            self.tell("ended", error)

    def parts(self):
        found = {}
        for observer in self.observers:
            found.update(observer.parts())
        return found


class _Mode(TorchFunctionMode):
    def __init__(self, harness):
        self._harness = harness

    def __torch_function__(self, function: Callable, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self._harness.tell("called", function, args, kwargs or {}, result)
        return result
