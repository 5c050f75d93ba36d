"""What a run needs to go on exactly where it stood: any nest of tensors and plain values as one safetensors buffer.

A full checkpoint (``checkpoints/last.safetensors``) holds model, optimizer, schedule, scaler, random streams, best
weights and counters. A weights file (``best``, ``final``, ``epoch-0001`` …) holds parameters and buffers under their
own names, so that any safetensors reader can open it. Tensors stand in the buffer; everything else stands as JSON in
its metadata. Nothing is pickled, and nothing that is read can run code.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as unpack_tensors
from safetensors.torch import save as pack_tensors

from pellucid.errors import RunCorruptedError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "BEST",
    "FINAL",
    "LAST",
    "Pace",
    "is_snapshot_epoch",
    "load_weights",
    "pack_state",
    "pack_weights",
    "snapshot_path",
    "unpack_state",
    "unpack_weights",
]

LAST = "checkpoints/last.safetensors"
BEST = "checkpoints/best.safetensors"
FINAL = "checkpoints/final.safetensors"

_STATE_SCHEMA = "checkpoint/1"
_WEIGHTS_SCHEMA = "weights/1"
_MARKS = frozenset({"$tensor", "$float", "$tuple", "$items"})
_REMEDY = "delete the file and resume: the run goes on from its beginning, or from an older copy put in its place"
_DAMAGE = (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError, RuntimeError)


def pack_state(state: dict[str, Any]) -> bytes:
    """One buffer of a nest of dictionaries, lists, tuples, tensors, numbers, texts and None.

    ``unpack_state`` rebuilds it exactly.
    """
    tensors: dict[str, Tensor] = {}
    document = {"schema": _STATE_SCHEMA, "state": _encode(state, "", tensors)}
    return pack_tensors(tensors, metadata={"document": json.dumps(document, allow_nan=False)})


def unpack_state(payload: bytes, *, place: str = "") -> dict[str, Any]:
    """Rebuild what ``pack_state`` was given; tensors are fresh copies on the CPU.

    Raises:
        RunCorruptedError: The buffer is truncated, damaged, of another kind, or no safetensors at all (a pickle, say).
    """
    tensors, document = _open(payload, _STATE_SCHEMA, place)
    try:
        state = _decode(document["state"], tensors)
    except _DAMAGE as error:
        raise RunCorruptedError(f"the checkpoint cannot be read ({error!r})", place=place, remedy=_REMEDY) from error
    if not isinstance(state, dict):
        raise RunCorruptedError("the checkpoint holds no state", place=place, remedy=_REMEDY)
    return state


def pack_weights(weights: dict[str, Tensor], **facts: float | str | bool | None) -> bytes:
    """One buffer of parameters and buffers under their own names, with ``facts`` (epoch, step …) in the metadata."""
    document = {"schema": _WEIGHTS_SCHEMA, "facts": facts}
    copies = {name: _to_cpu(tensor) for name, tensor in weights.items()}
    return pack_tensors(copies, metadata={"document": json.dumps(document, allow_nan=False)})


def unpack_weights(payload: bytes, *, place: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights by name and the facts that ``pack_weights`` was given."""
    tensors, document = _open(payload, _WEIGHTS_SCHEMA, place)
    facts = document.get("facts")
    return {name: tensor.clone() for name, tensor in tensors.items()}, facts if isinstance(facts, dict) else {}


def load_weights(model: nn.Module, weights: dict[str, Tensor], *, place: str = "") -> None:
    """Copy ``weights`` into ``model``; every name and shape must fit."""
    try:
        model.load_state_dict(weights, strict=True)
    except _DAMAGE as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise RunCorruptedError(
            f"the weights do not fit the network ({first})", place=place, remedy="use the checkpoint of this run"
        ) from error


def snapshot_path(epoch: int) -> str:
    """Where the weights after ``epoch`` epochs are kept."""
    return f"checkpoints/epoch-{epoch:04d}.safetensors"


def is_snapshot_epoch(epoch: int) -> bool:
    """Whether weights are kept after so many epochs: each of the first eight, then four per doubling.

    Weights change most at the beginning, and that is what a replay wants to show.

    >>> [epoch for epoch in range(70) if is_snapshot_epoch(epoch)]
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]
    """
    return epoch < 4 or epoch % (1 << (epoch.bit_length() - 3)) == 0


@dataclass
class Pace:
    """Decides when a checkpoint is due, so that writing them takes at most ``share`` of the time.

    At an epoch's end one is due unless the last one cost too much for that; inside a long epoch after ``within_s``.
    """

    share: float = 0.02
    within_s: float = 20.0
    clock: Callable[[], float] = time.monotonic
    _last: float = -math.inf
    _cost: float = 0.0

    def is_due(self, *, epoch_ended: bool) -> bool:
        """Whether to write one now."""
        waited = self.clock() - self._last
        return waited * self.share >= self._cost and (epoch_ended or waited >= self.within_s)

    def start(self) -> None:
        """Count from now: nothing has been written yet, and a long first epoch waits its full time."""
        self._last = self.clock()

    def time(self, write: Callable[[], None]) -> None:
        """Write one and remember what it cost."""
        began = self.clock()
        write()
        self._last = self.clock()
        self._cost = self._last - began


def _to_cpu(tensor: Tensor) -> Tensor:
    """A contiguous copy that shares memory with nothing."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[path] = _to_cpu(value)
        return {"$tensor": path}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return _encode_dictionary(value, path, tensors)
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{path}.{index}", tensors) for index, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if hasattr(value, "item"):  # a NumPy scalar
        return _encode(value.item(), path, tensors)
    raise TypeError(f"{path}: a checkpoint cannot hold a {type(value).__name__}")


def _encode_dictionary(value: dict[Any, Any], path: str, tensors: dict[str, Tensor]) -> Any:
    if all(isinstance(key, str) for key in value) and not _MARKS & value.keys():
        return {key: _encode(item, f"{path}.{key}" if path else key, tensors) for key, item in value.items()}
    return {
        "$items": [
            [_encode(key, f"{path}#{index}", tensors), _encode(item, f"{path}.{index}", tensors)]
            for index, (key, item) in enumerate(value.items())
        ]
    }


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    return _decode_dictionary(value, tensors) if isinstance(value, dict) else value


def _decode_dictionary(value: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    if "$tensor" in value:
        # A copy: the loaded tensor is a view at any byte offset, and some kernels round by alignment.
        return tensors[value["$tensor"]].clone()
    if "$float" in value:
        return float(value["$float"])
    if "$tuple" in value:
        return tuple(_decode(item, tensors) for item in value["$tuple"])
    if "$items" in value:
        return {_decode(key, tensors): _decode(item, tensors) for key, item in value["$items"]}
    return {key: _decode(item, tensors) for key, item in value.items()}


def _open(payload: bytes, schema: str, place: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the JSON document of a safetensors buffer of the schema expected."""
    try:
        tensors = unpack_tensors(payload)
        header = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])
        document = json.loads(header["__metadata__"]["document"])
        found = document["schema"]
    except (SafetensorError, *_DAMAGE) as error:
        raise RunCorruptedError(f"the file is no Pellucid checkpoint ({error})", place=place, remedy=_REMEDY) from error
    if found != schema:
        raise RunCorruptedError(f"expected {schema}, found {found!r}", place=place, remedy=_REMEDY)
    return tensors, document
