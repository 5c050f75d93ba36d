"""What a person may call the values of a trace, and what is said to a name or an index that is none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from pellucid.capture.tape import Tape
from pellucid.capture.tape_values import ModuleCall, Value
from pellucid.errors import SettingsError
from pellucid.results.explanation import EntryReference

__all__ = ["Names", "check_index"]

_STEP = re.compile(r"step (\d+)(?:\.(\d+))?")
_CALL = re.compile(r"(.*)@(\d+)")
_MOST_NAMED = 6


class Names:
    """The names of a tape's values.

    A parameter, buffer or input has its own name; ``fc1`` is the output of the module's first call and ``fc1@1`` of
    its second; ``step 4`` is what that step made, ``step 4.1`` its second output; ``loss`` is the loss.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._leaves: dict[str, Value] = {}
        self._names: dict[int, str] = {}
        for value in tape.values:
            if value.producer is None and value.name:
                for name in (value.name, *value.aliases):
                    self._leaves.setdefault(name, value)
                self._names.setdefault(value.id, value.name)
        self._calls: dict[str, list[ModuleCall]] = {}
        for call in tape.calls:
            if call.outputs:
                self._calls.setdefault(call.module, []).append(call)
        for module, calls in sorted(self._calls.items(), key=lambda item: -len(item[0])):
            for call in calls if module else ():
                name = f"{module}@{call.call}" if call.call else module
                if name not in self._leaves:
                    self._names.setdefault(call.outputs[0].id, name)
        if tape.loss is not None:
            self._names[tape.loss.id] = "loss"

    def find(self, name: str) -> Value:
        """The value of a name.

        Raises:
            SettingsError: nothing is called that.
        """
        if name == "loss" and self._tape.loss is not None:
            return self._tape.loss
        if name in self._leaves:
            return self._leaves[name]
        step = _STEP.fullmatch(name)
        if step:
            return self._of_step(name, int(step[1]), int(step[2] or 0))
        numbered = _CALL.fullmatch(name)
        module, number = (numbered[1], int(numbered[2])) if numbered else (name, 0)
        for call in self._calls.get(module, ()):
            if call.call == number:
                return call.outputs[0]
        raise self._unknown(name)

    def calls(self, module: str) -> Sequence[ModuleCall]:
        """The calls of a module.

        Raises:
            SettingsError: no module of that name ran.
        """
        if module not in self._calls:
            raise self._unknown(module, modules=True)
        return self._calls[module]

    def of(self, value: Value) -> str:
        """The name by which ``find`` gives this value back."""
        if value.id in self._names:
            return self._names[value.id]
        if value.producer is None:
            return f"value {value.id}"
        place = f".{value.output}" if value.output > 0 else ""
        return f"step {value.producer}{place}"

    def reference(self, value: Value, index: tuple[int, ...], *, gradient: bool = False) -> EntryReference | None:
        """Where a reader of this entry can walk on; None where there is nothing to be said."""
        name = self.of(value)
        if name.startswith("value "):
            return None
        if gradient or value.producer is None:
            if value.gradient is None:
                return None
            return EntryReference("gradient", name, index, f"trace.gradient({_quoted(name)}, {index!r})")
        if value is self._tape.loss:
            return EntryReference("value", "loss", (), "trace.loss")
        return EntryReference("value", name, index, f"trace.value({_quoted(name)}, {index!r})")

    def _of_step(self, name: str, step: int, output: int) -> Value:
        count = len(self._tape.steps)
        if step >= count:
            raise SettingsError(f"there is no {name}", place=name, remedy=f"the steps are 0 to {count - 1}")
        outputs = self._tape.steps[step].outputs
        if output >= len(outputs):
            raise SettingsError(
                f"step {step} has no output {output}", place=name, remedy=f"its outputs are 0 to {len(outputs) - 1}"
            )
        return outputs[output]

    def _unknown(self, name: str, *, modules: bool = False) -> SettingsError:
        known = [module for module in self._calls if module] + ([] if modules else list(self._leaves))
        near = difflib.get_close_matches(name, known, n=_MOST_NAMED, cutoff=0.4)
        near += [one for one in known if one not in near and name and (name in one or one in name)]
        named = (near or known)[:_MOST_NAMED]
        shown = ", ".join(map(repr, named))
        what = "module ran" if modules else "value of the trace is"
        said = f"no {what} called {name!r}" if not modules else f"no module called {name!r} ran"
        lead = ("did you mean one of" if len(named) > 1 else "did you mean") if near else "there are"
        return SettingsError(said, place=name or "name", remedy=f"{lead} {shown}" if shown else "print the trace")


def check_index(name: str, shape: Sequence[int], index: object) -> tuple[int, ...]:
    """The index of one entry, negative axes counted from the end.

    Args:
        name: What is indexed, for the message.
        shape: Its shape.
        index: One integer for each axis; a bare integer where there is one axis.

    Raises:
        SettingsError: it does not fit.
    """
    axes = (index,) if isinstance(index, int) else index
    ranges = ", ".join(f"0–{side - 1}" if side else "none" for side in shape)
    remedy = f"give {len(shape)} integers, in the ranges {ranges}" if shape else "it is one number: give ()"
    if not isinstance(axes, tuple | list) or len(axes) != len(shape) or not all(isinstance(axis, int) for axis in axes):
        raise SettingsError(
            f"{index!r} is no index of {name}, whose shape is {_sides(shape)}", place=name, remedy=remedy
        )
    if any(not -side <= axis < side for axis, side in zip(axes, shape, strict=True)):
        raise SettingsError(
            f"the index {tuple(axes)} lies outside {name}, whose shape is {_sides(shape)}", place=name, remedy=remedy
        )
    return tuple(axis % side for axis, side in zip(axes, shape, strict=True))


def _sides(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "that of one number"


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
