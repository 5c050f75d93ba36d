"""A run's network, rebuilt from what the run keeps, without its data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from pellucid.errors import PellucidError, RunCorruptedError, RunError, RunNotFoundError
from pellucid.training.checkpoints import BEST, FINAL, LAST, load_weights, unpack_state, unpack_weights
from pellucid.training.networks import build_network
from pellucid.training.settings import FitSettings

if TYPE_CHECKING:
    from torch import nn

    from pellucid.data.prepared import Modality, Prepared, Task
    from pellucid.store.run import Run

__all__ = ["NETWORK_FILE", "NetworkCard", "load_network", "network_of", "read_card", "settings_of"]

NETWORK_FILE = "network.json"
_VERSION = 1


@dataclass(frozen=True)
class NetworkCard:
    """What goes into a run's network and what its outputs mean: kept as ``network.json``."""

    modality: Modality
    task: Task
    input_shape: tuple[int, ...]
    outputs: int
    classes: tuple[str, ...] | None
    target_names: tuple[str, ...]
    target_scale: tuple[np.ndarray, np.ndarray] | None
    pixel_scale: tuple[np.ndarray, np.ndarray] | None
    vocabulary_size: int | None

    @classmethod
    def of(cls, prepared: Prepared) -> NetworkCard:
        """The card of a network that is trained on ``prepared``."""
        return cls(**{entry.name: getattr(prepared, entry.name) for entry in dataclasses.fields(cls)})

    def to_bytes(self) -> bytes:
        """The content of the file."""
        document = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        for name in ("target_scale", "pixel_scale"):
            if document[name] is not None:
                document[name] = [np.asarray(part, dtype=np.float64).ravel().tolist() for part in document[name]]
        return json.dumps({"version": _VERSION, **document}, indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes, *, place: str = "") -> NetworkCard:
        """Read the file back.

        Raises:
            RunCorruptedError: it is damaged.
        """
        try:
            document: dict[str, Any] = json.loads(content)
            if document.pop("version") != _VERSION:
                raise ValueError("it is of another version")
            for name in ("target_scale", "pixel_scale"):
                document[name] = _scale(document[name])
            lists: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
            return cls(**lists)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunCorruptedError(
                f"the description of the network cannot be read ({error})", place=place, remedy="fit again"
            ) from error


def _scale(value: Any) -> tuple[np.ndarray, np.ndarray] | None:
    if value is None:
        return None
    mean, std = value
    return np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)


def settings_of(run: Run) -> FitSettings:
    """The settings that a fit was made with.

    Raises:
        RunError: the run is not a fit.
        RunCorruptedError: its settings cannot be read.
    """
    if run.manifest.kind != "fit":
        raise RunError(
            "this run was recorded by a watch, so it holds no network",
            place=run.location,
            remedy="give a run that `pellucid fit` made",
        )
    try:
        return FitSettings.from_json(run.manifest.settings)
    except (PellucidError, TypeError, AttributeError, ValueError) as error:
        raise RunCorruptedError(
            f"the run's settings cannot be read ({error})", place=f"{run.location}/run.json", remedy="fit again"
        ) from error


def read_card(run: Run) -> NetworkCard:
    """What goes into the run's network and what its outputs mean."""
    return NetworkCard.from_bytes(run.read_file(NETWORK_FILE), place=f"{run.location}/{NETWORK_FILE}")


def network_of(card: NetworkCard, settings: FitSettings) -> nn.Module:
    """The network with its starting weights, on the CPU."""
    if settings.network is None:
        raise RunCorruptedError("the run does not say what its network is made of", remedy="fit again")
    return build_network(
        settings.network,
        input_shape=card.input_shape,
        outputs=card.outputs,
        vocabulary_size=card.vocabulary_size,
        seed=settings.seed,
    )


def load_network(
    run: Run, weights: str | None = None, *, device: torch.device | str = "cpu"
) -> tuple[nn.Module, NetworkCard]:
    """The run's network in evaluation mode, and its card.

    Args:
        run: A fit.
        weights: Which file of the run, such as ``checkpoints/epoch-0004.safetensors``. None takes the final weights;
            for a run that has none yet, the best so far where early stopping is on, else the last checkpoint's.
        device: Where to put it.

    Raises:
        RunNotFoundError: the run has no weights yet.
        RunCorruptedError: a file of it is damaged.
    """
    settings, card = settings_of(run), read_card(run)
    model = network_of(card, settings)
    name = weights or _newest(run, prefer_best=bool(settings.patience))
    place = f"{run.location}/{name}"
    payload = run.read_file(name)
    if name == LAST:
        values = cast("dict[str, torch.Tensor]", unpack_state(payload, place=place).get("model", {}))
    else:
        values, _ = unpack_weights(payload, place=place)
    load_weights(model, values, place=place)
    return model.to(device).eval(), card


def _newest(run: Run, *, prefer_best: bool) -> str:
    """The file whose weights stand for the run."""
    names = run.file_names("checkpoints")
    for name in (FINAL, BEST, LAST) if prefer_best else (FINAL, LAST):
        if name.partition("/")[2] in names:
            return name
    raise RunNotFoundError("the run has no weights yet", place=run.location, remedy="wait for its first checkpoint")
