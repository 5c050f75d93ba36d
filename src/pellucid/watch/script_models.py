"""The models of a script, recognised when they are called."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pellucid.results.watched_script import CodeLine, ScriptModel, ScriptModule
from pellucid.watch.script_parameters import ParameterRecord
from pellucid.watch.script_places import NOWHERE, ScriptPlaces, variables

__all__ = ["ModelBook", "ModelRecord", "Modes"]

_MOST_MODELS = 16
_MOST_FRAMES = 8
_MOST_LOOSE = 64
_LONGEST_SETTINGS = 400
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module")
"""Names that torch puts before those of a module it wraps."""


@dataclass
class Modes:
    """How often a module was seen in training mode."""

    seen: int = 0
    training: int = 0

    def share(self) -> float:
        """Of the times it was seen."""
        return self.training / self.seen if self.seen else math.nan


@dataclass
class ModelRecord:
    """One model under watch."""

    module: nn.Module
    name: str
    place: CodeLine
    compiled: bool
    parameters: list[ParameterRecord] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)  # of modules, by id
    strangers: dict[int, tuple[str, nn.Module]] = field(default_factory=dict)
    calls: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    modes: defaultdict[tuple[int, str], Modes] = field(default_factory=lambda: defaultdict(Modes))
    forwards: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    was_training: dict[str, bool] = field(default_factory=dict)
    begun: bool = False

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """All modules, those included that it runs and does not own."""
        for name, module in self.module.named_modules():
            yield _unwrapped(name), module
        yield from self.strangers.values()


class ModelBook:
    """Finds models and keeps what is learned of them.

    Args:
        places: Tells the person's frames.
    """

    def __init__(self, places: ScriptPlaces) -> None:
        self._places = places
        self.records: list[ModelRecord] = []
        self.parameters: dict[int, ParameterRecord] = {}  # by id of the tensor
        self.loose: dict[int, ParameterRecord] = {}
        self._index: dict[int, int] = {}  # of modules, by id

    def index_of(self, root: nn.Module) -> int:
        """The model that a module called on its own belongs to; −1 where it has no parameters."""
        known = self._index.get(id(root))
        if known is not None:
            return known
        if next(root.parameters(), None) is None or len(self.records) >= _MOST_MODELS:
            return -1
        return self._add(root)

    def locate(self, module: nn.Module) -> tuple[int, str]:
        """The model that owns a module, and its name there."""
        index = self._index.get(id(module), -1)
        return (index, self.records[index].names[id(module)]) if index >= 0 else (-1, "")

    def _add(self, root: nn.Module) -> int:
        frames = list(self._places.frames())[:_MOST_FRAMES]
        module, name = _owner(root, frames)
        record = ModelRecord(
            module=module,
            name=name
            or _variable_name(module, frames)
            or _variable_name(_inner(module), frames)
            or type(_inner(module)).__name__,
            place=self._places.line_of(frames[0]) if frames else NOWHERE,
            compiled=hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None,
        )
        inside = {id(m) for m in module.modules()}
        index = next((i for i, old in enumerate(self.records) if id(old.module) in inside), len(self.records))
        if index < len(self.records):
            old = self.records[index]
            record.calls, record.modes, record.forwards = old.calls, old.modes, old.forwards
            self.records[index] = record
        else:
            self.records.append(record)
        for path, each in module.named_modules():
            record.names[id(each)] = _unwrapped(path)
            self._index[id(each)] = index
        self._take_parameters(record, ((_unwrapped(p), m) for p, m in module.named_modules()))
        return index

    def _take_parameters(self, record: ModelRecord, modules: Iterable[tuple[str, nn.Module]]) -> None:
        for path, module in modules:
            for name, tensor in module.named_parameters(recurse=False):
                if id(tensor) in self.parameters and self.parameters[id(tensor)] in record.parameters:
                    continue
                fan_in = _fan_in(module, tensor)
                found = self.parameters.get(id(tensor))
                whole = f"{path}.{name}" if path else name
                if found is None:
                    found = ParameterRecord(name=whole, module=path, tensor=tensor, fan_in=fan_in)
                    self.parameters[id(tensor)] = found
                    self.loose.pop(id(tensor), None)
                found.name, found.module = whole, path
                record.parameters.append(found)

    def begin(self, index: int) -> None:
        """Training of this model begins."""
        record = self.records[index]
        if record.begun:
            return
        record.begun = True
        for parameter in record.parameters:
            if not parameter.figures and not is_lazy(parameter.tensor):
                parameter.begin()

    def adopt(self, module: nn.Module, index: int) -> None:
        """A module that no model owns runs inside this model."""
        record = self.records[index]
        if (not module._parameters and not module._modules) or id(module) in record.strangers:
            return
        name = _place_in(record, module) or f"?{type(module).__name__}{len(record.strangers)}"
        for path, each in module.named_modules():
            whole = f"{name}.{path}" if path else name
            record.strangers[id(each)] = (whole, each)
            record.names[id(each)] = whole
            self._index[id(each)] = index
            self._take_parameters(record, [(whole, each)])
        record.begun = False

    def see_leaf(self, tensor: Tensor, frame: FrameType | None) -> None:
        """A leaf took part in a loss: a parameter, or a tensor that no module owns."""
        known = self.parameters.get(id(tensor))
        if known is not None:
            known.used = True
            return
        loose = self.loose.get(id(tensor))
        if loose is not None and loose.tensor is tensor:
            loose.used = True  # seen twice: it lives on from step to step
        elif len(self.loose) < _MOST_LOOSE:
            name = _name_of(tensor, frame) if frame is not None else ""
            fan_in = tensor.numel() // len(tensor) if tensor.ndim > 1 and len(tensor) else 0
            record = ParameterRecord(name=name or f"tensor{len(self.loose)}", module="?", tensor=tensor, fan_in=fan_in)
            record.begin()
            self.loose[id(tensor)] = record

    def drop_passing(self) -> None:
        """Leaves seen once, such as an input that wants a gradient, are no parameters."""
        self.loose = {key: each for key, each in self.loose.items() if each.used or each.optimizer >= 0}

    def all_parameters(self) -> list[ParameterRecord]:
        """Of all models, loose ones included."""
        return [*self.parameters.values(), *self.loose.values()]

    def modes_now(self, index: int) -> list[tuple[int, bool]]:
        """Which modules are in training mode now."""
        return [(id(module), module.training) for _, module in self.records[index].modules()]

    def note_modes(self, index: int, phase: str, modes: list[tuple[int, bool]]) -> None:
        """Such a snapshot was of a forward pass in this phase."""
        record = self.records[index]
        for key, training in modes:
            entry = record.modes[key, phase]
            entry.seen += 1
            entry.training += training

    def describe(self) -> tuple[ScriptModel, ...]:
        """All models as records; loose tensors stand in one of their own."""
        models = [_describe(record) for record in self.records]
        loose = [each for each in self.loose.values() if each.used or each.optimizer >= 0]
        if loose:
            models.append(
                ScriptModel(
                    name="",
                    kind="tensors",
                    place=NOWHERE,
                    parameters_total=sum(each.tensor.numel() for each in loose),
                    modules=(),
                    parameters=tuple(each.describe() for each in loose),
                    train_calls=0,
                    evaluation_calls=0,
                    compiled=False,
                )
            )
        return tuple(models)


def _describe(record: ModelRecord) -> ScriptModel:
    modules = tuple(
        ScriptModule(
            name=name,
            kind=type(_inner(module)).__name__,
            settings=_settings(module),
            parameters=sum(p.numel() for p in module._parameters.values() if p is not None and not is_lazy(p)),
            calls=record.calls[id(module)],
            registered=id(module) not in record.strangers,
            trained_mode=record.modes[id(module), "train"].share(),
            evaluated_mode=record.modes[id(module), "evaluation"].share(),
        )
        for name, module in record.modules()
        if not hasattr(module, "_orig_mod")
    )
    return ScriptModel(
        name=record.name,
        kind=type(_inner(record.module)).__name__,
        place=record.place,
        parameters_total=sum(p.tensor.numel() for p in record.parameters if not is_lazy(p.tensor)),
        modules=modules,
        parameters=tuple(p.describe() for p in record.parameters if not is_lazy(p.tensor)),
        train_calls=record.forwards["train"],
        evaluation_calls=record.forwards["evaluation"],
        compiled=record.compiled,
    )


def _settings(module: nn.Module) -> str:
    try:
        return module.extra_repr()[:_LONGEST_SETTINGS]
    except Exception:  # the person's own code
        return ""


def _inner(module: nn.Module) -> nn.Module:
    """The module that torch.compile wrapped."""
    inner = module._modules.get("_orig_mod")
    return module if inner is None else inner


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _fan_in(module: nn.Module, tensor: Tensor) -> int:
    """Inputs of a unit: of a bias those of its module's weight."""
    if is_lazy(tensor):
        return 0
    weight: Any = tensor if tensor.ndim > 1 else next((p for p in module._parameters.values() if _is_matrix(p)), None)
    if weight is None or not weight.numel():
        return 0
    if isinstance(module, nn.RNNBase):
        return module.hidden_size  # what its default is made of
    return weight.numel() // len(weight)


def _is_matrix(parameter: Any) -> bool:
    return parameter is not None and not is_lazy(parameter) and parameter.ndim > 1


def _owner(root: nn.Module, frames: list[FrameType]) -> tuple[nn.Module, str]:
    """The largest module in the running frames' variables that contains a root, and its name; else the root."""
    best, best_name, most = root, "", sum(1 for _ in root.modules())
    for frame in frames:
        for name, value in _reachable(variables(frame)):
            if isinstance(value, nn.Module) and value is not root:
                inside = list(value.modules())
                if len(inside) > most and any(each is root for each in inside):
                    best, best_name, most = value, name, len(inside)
    return best, "" if best_name == "self" else best_name


def _variable_name(module: nn.Module, frames: list[FrameType]) -> str:
    for frame in frames:
        for name, value in _reachable(variables(frame)):
            if value is module and name != "self":
                return name
    return ""


def _reachable(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Variables, and the attributes of an object whose method runs."""
    yield from values.items()
    self = values.get("self")
    if self is not None and not isinstance(self, nn.Module):
        yield from getattr(self, "__dict__", {}).items()


def _name_of(tensor: Tensor, frame: FrameType) -> str:
    for name, value in _reachable(variables(frame)):
        if value is tensor:
            return name
        if isinstance(value, list | tuple) and len(value) <= _MOST_LOOSE:
            place = next((i for i, each in enumerate(value) if each is tensor), -1)
            if place >= 0:
                return f"{name}[{place}]"
        if isinstance(value, dict) and len(value) <= _MOST_LOOSE:
            key = next((k for k, each in value.items() if each is tensor), None)
            if key is not None:
                return f"{name}[{key!r}]"
    return ""


def _place_in(record: ModelRecord, stranger: nn.Module) -> str:
    """Where a model keeps a module that it does not own: "layers[0]"."""
    for path, owner in record.module.named_modules():
        for name, value in vars(owner).items():
            if name.startswith("_"):
                continue
            items = value.items() if isinstance(value, dict) else enumerate(value) if _is_row(value) else ()
            for key, each in items:
                if each is stranger:
                    return f"{path}.{name}[{key}]".lstrip(".")
    return ""


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple)
