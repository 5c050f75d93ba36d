"""Everything that can be decided about a fit, as one record: what is left open is chosen from the data."""

from __future__ import annotations

import dataclasses
import json
import typing
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pellucid.data.settings import DataSettings
from pellucid.errors import SettingsError
from pellucid.training.spec import LossSpec, NetworkSpec, OptimizerSpec, ScheduleSpec, Spec, _check

if TYPE_CHECKING:
    from pellucid.data.prepared import Prepared

__all__ = ["FitSettings", "Lens"]

Lens = Literal["calibration", "collapse", "layers", "margins", "robustness"]
"""What can be measured along training."""

_SPECS: dict[str, type[Spec]] = {
    "network": NetworkSpec,
    "optimizer": OptimizerSpec,
    "loss": LossSpec,
    "schedule": ScheduleSpec,
}
_SHORTHAND = {"network": "kind", "optimizer": "name", "loss": "name", "schedule": "name"}
"""The field that a bare word decides: ``network="cnn"``, ``optimizer="sgd"``."""


@dataclass(frozen=True)
class FitSettings:
    """What to train on, what to train and how. None leaves a choice to the data; ``resolve`` makes it.

    Attributes:
        data: Which columns mean what, how to split and how to preprocess.
        network: What the network is made of.
        optimizer: How weights follow gradients.
        loss: What training makes small.
        schedule: How the learning rate moves.
        epochs: Passes over the training split.
        batch_size: Examples a step; full-batch optimizers take them all.
        patience: Stop after so many epochs without a lower validation loss and take the best weights back; 0 = never.
        clip: Largest global gradient norm; longer gradients are shortened to it. 0 = no limit.
        l1: Weight of the sum of absolute weights in the loss (biases and normalization left out).
        l2: Weight of the sum of squared weights in the loss, likewise.
        rate_test: Run a learning-rate range test first and train at the rate that it suggests.
        seed: Of starting weights, order, dropout and augmentation. The split has the same seed.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``auto``, ``float32``, ``bfloat16``, ``float16`` of the forward pass.
        threads: Threads of the CPU; None = as torch is set.
        watch: Record what happens inside the layers; without it only figures per epoch.
        lenses: Measure these along training, at epochs evenly spaced on a logarithmic axis: ``collapse``, ``layers``,
            ``calibration``, ``margins``, ``robustness``.
        label_noise: Share of the training labels that are changed on purpose, to study memorisation.
        label_noise_seed: Of which labels, and to what.
        choices: Single fields of specs that were decided while the rest is left open, by the spec's name:
            ``{"network": {"widths": (64, 32)}}``. Empty once resolved.
    """

    data: DataSettings = field(default_factory=DataSettings)
    network: NetworkSpec | None = None
    optimizer: OptimizerSpec | None = None
    loss: LossSpec | None = None
    schedule: ScheduleSpec | None = None
    epochs: int | None = None
    batch_size: int | None = None
    patience: int | None = None
    clip: float | None = None
    l1: float = 0.0
    l2: float = 0.0
    rate_test: bool = False
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: int | None = None
    watch: bool = True
    lenses: tuple[Lens, ...] = ()
    label_noise: float = 0.0
    label_noise_seed: int = 0
    choices: dict[str, dict[str, Any]] = field(default_factory=dict)

    def validate(self) -> Self:
        """Check every field and return the settings themselves.

        Raises:
            SettingsError: a value is of the wrong kind or out of its range; it names the setting and what is allowed.
        """
        hints = typing.get_type_hints(type(self))
        for entry in fields(self):
            if entry.name not in ("data", "choices"):
                _check(entry.name, getattr(self, entry.name), hints[entry.name])
        for name in _SPECS:
            spec = getattr(self, name)
            if spec is not None:
                spec.validate()
        for name, values in self.choices.items():
            _check_choices(name, values)
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise SettingsError(f"{name} cannot be {value}", place=name, remedy=f"use at least {lowest}")
        if self.label_noise > 1:
            raise SettingsError(
                f"label_noise cannot be {self.label_noise}", place="label_noise", remedy="give a share from 0 to 1"
            )
        return self

    def with_changes(self, **changes: Any) -> Self:
        """The settings with some fields changed, each named as it is called: ``target``, ``widths``, ``epochs`` …

        A name is looked for among the fit's own settings, then the data's, the network's, the optimizer's, the loss's
        and the schedule's. A spec may be given whole, as a dictionary of some fields, or by one word
        (``network="cnn"``).

        Raises:
            SettingsError: no setting has such a name, or a value does not suit.
        """
        changed = self
        for name, value in changes.items():
            changed = changed._with_change(name, value)
        return changed.validate()

    def _with_change(self, name: str, value: Any) -> Self:
        if name in _SPECS:
            return self._with_spec(name, value)
        if name in _OWN:
            return replace(self, **{name: _tuples(value)})
        if name in _DATA:
            return replace(self, data=replace(self.data, **{name: tuple(value) if isinstance(value, list) else value}))
        for spec, kind in _SPECS.items():
            if name in {entry.name for entry in fields(kind)} - {"name", "kind"}:
                return self._with_choices(spec, {name: value})
        raise SettingsError(
            f"there is no setting {name!r}", place=name, remedy="see `pellucid fit --help` for the settings"
        )

    def _with_spec(self, name: str, value: Any) -> Self:
        if value is None or isinstance(value, _SPECS[name]):
            kept = {spec: entry for spec, entry in self.choices.items() if spec != name}
            return replace(self, **{name: value}, choices=kept)
        if isinstance(value, str):
            value = {_SHORTHAND[name]: value}
        if not isinstance(value, dict):
            raise SettingsError(
                f"{name} cannot be {value!r}",
                place=name,
                remedy=f"give a word, a dictionary or a {_SPECS[name].__name__}",
            )
        return self._with_choices(name, value)

    def _with_choices(self, name: str, values: dict[str, Any]) -> Self:
        """Fields of one spec: put into it where it is there, kept for later where it is still open."""
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        spec = getattr(self, name)
        if spec is not None:
            return replace(self, **{name: _change(spec, values)})
        merged = {**self.choices.get(name, {}), **values}
        return replace(self, choices={**self.choices, name: merged})

    @property
    def resolved(self) -> bool:
        """Whether nothing is left open."""
        open_fields = (*_SPECS, "epochs", "batch_size", "patience", "clip")
        return not self.choices and all(getattr(self, name) is not None for name in open_fields)

    def resolve(self, prepared: Prepared) -> FitSettings:
        """The settings with every open choice made from the data; device and precision stay as they are."""
        return self.resolve_with_notes(prepared)[0]

    def resolve_with_notes(self, prepared: Prepared) -> tuple[FitSettings, tuple[str, ...]]:
        """As ``resolve``, with what was chosen and why, in sentences."""
        if self.resolved:
            return self, ()
        return _complete(self.validate(), prepared)

    def to_json(self) -> dict[str, Any]:
        """The settings as plain JSON values; ``from_json`` gives an equal record back."""
        return json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> FitSettings:
        """Read back what ``to_json`` wrote.

        Raises:
            SettingsError: a name is no setting, or a value is not allowed.
        """
        _check_known(document, _OWN | _SPECS.keys() | {"data", "choices"}, "settings")
        values = {key: _tuples(value) for key, value in document.items() if key not in ("data", "choices", *_SPECS)}
        data = document.get("data", {})
        _check_known(data, _DATA, "data")
        values["data"] = DataSettings(**{key: _tuples(value) for key, value in data.items()})
        for name, kind in _SPECS.items():
            if document.get(name) is not None:
                values[name] = kind.from_dict(document[name])
        choices = document.get("choices", {})
        values["choices"] = {
            spec: {key: _tuples(item) for key, item in entry.items()} for spec, entry in choices.items()
        }
        return cls(**values).validate()


_OWN = {entry.name for entry in fields(FitSettings)} - {"data", "choices", *_SPECS}
_DATA = {entry.name for entry in fields(DataSettings)}
_LOWEST: dict[str, float] = {
    "epochs": 0,
    "batch_size": 1,
    "patience": 0,
    "clip": 0,
    "l1": 0,
    "l2": 0,
    "threads": 1,
    "seed": 0,
    "label_noise": 0,
    "label_noise_seed": 0,
}


def _complete(settings: FitSettings, prepared: Prepared) -> tuple[FitSettings, tuple[str, ...]]:
    """Put a suggestion made from the data wherever the person decided nothing; what was suggested, in sentences."""
    from pellucid.training.defaults import suggest
    from pellucid.training.networks import default_network

    chosen = settings.choices
    network = settings.network
    if network is None and "network" in chosen:
        start = default_network(prepared, kind=chosen["network"].get("kind"))
        network = _change(start, _widths_for(start.kind, chosen["network"]))
    suggestion = suggest(
        prepared, network=network, optimizer=settings.optimizer or chosen.get("optimizer", {}).get("name")
    )
    specs = {
        name: getattr(settings, name) or _change(getattr(suggestion, name), chosen.get(name, {}))
        for name in ("optimizer", "loss", "schedule")
    }
    specs["network"] = network or suggestion.network
    numbers = {
        name: getattr(suggestion, name) if getattr(settings, name) is None else getattr(settings, name)
        for name in ("epochs", "batch_size", "patience", "clip")
    }
    reasons = dict(suggestion.reasons)
    if settings.lenses and settings.patience is None:
        numbers["patience"] = 0
        reasons["patience"] = "no early stopping, which would end training before what the lenses look for"
    if specs["optimizer"].needs_closure and settings.clip is None:
        numbers["clip"] = 0.0
    complete = replace(settings, **specs, **numbers, choices={}).validate()
    _check_together(complete)
    decided = {name for name in (*_SPECS, *numbers) if getattr(settings, name) is not None} | chosen.keys()
    decided |= {"optimizer"} if settings.rate_test else set()
    return complete, tuple(f"{name}: {reason}" for name, reason in reasons.items() if name not in decided and reason)


def _widths_for(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """What ``widths`` means for this kind of network: channels of a CNN's stages, units of recurrent layers."""
    if "widths" not in values or kind not in ("cnn", "rnn"):
        return values
    rest, widths = {name: value for name, value in values.items() if name != "widths"}, values["widths"]
    if kind == "cnn":
        return {"channels": widths, **rest}
    if not widths or len(set(widths)) > 1:
        raise SettingsError(
            f"recurrent layers are all equally wide, not {widths}",
            place="network.widths",
            remedy="give one number for each layer, all the same: 64,64",
        )
    return {"hidden": widths[0], "layers": len(widths), **rest}


def _check_together(settings: FitSettings) -> None:
    """Refuse what cannot be had at once."""
    if settings.optimizer is None or not settings.optimizer.needs_closure:
        return
    name = settings.optimizer.name
    if settings.clip:
        raise SettingsError(
            f"{name} measures its own steps, so gradients cannot be clipped", place="clip", remedy="use 0"
        )
    if settings.precision == "float16":
        raise SettingsError(f"{name} does not train in float16", place="precision", remedy="use float32")


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _check_known(document: dict[str, Any], known: typing.AbstractSet[str], place: str) -> None:
    for name in document:
        if name not in known:
            raise SettingsError(f"{name!r} is no setting", place=place, remedy=f"use one of {', '.join(sorted(known))}")


def _check_choices(spec: str, values: dict[str, Any]) -> None:
    """Raise unless fields can be decided so; a network's one by one, for defaults of another kind may contradict."""
    if spec == "network":
        for name, value in values.items():
            NetworkSpec.from_dict({name: value})
    else:
        _SPECS[spec].from_dict(values)


def _change(spec: Any, values: dict[str, Any]) -> Any:
    """``spec`` with some fields changed, checked."""
    _check_known(values, {entry.name for entry in fields(spec)}, spec._place())
    return replace(spec, **values).validate()
