"""Where training runs and in what precision; the caller's random state, threads and cuDNN choices come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pellucid.errors import DeviceError, SettingsError

__all__ = [
    "DEVICES",
    "PRECISIONS",
    "choose_device",
    "choose_precision",
    "random_state",
    "restore_random_state",
    "sealed",
]

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device to train on: ``auto`` takes CUDA, else MPS, else the CPU.

    Raises:
        DeviceError: It was asked for by name and is not there.
        SettingsError: The name is no device's.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise SettingsError(f"unknown device {name!r}", place="device", remedy=f"use one of {', '.join(DEVICES)}")
    if kind == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if kind == "cuda":
        _require_cuda(name)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("no MPS device is available", place=f"device {name}", remedy="use --device cpu")
    return torch.device(name)


def _require_cuda(name: str) -> None:
    if not torch.cuda.is_available():
        raise DeviceError(
            "no CUDA device is available",
            place=f"device {name}",
            remedy="use --device auto, or install a CUDA build of torch",
        )
    number = name.partition(":")[2]
    if number and (not number.isdigit() or int(number) >= torch.cuda.device_count()):
        raise DeviceError(
            f"there is no CUDA device {number}",
            place=f"device {name}",
            remedy=f"use 0 to {torch.cuda.device_count() - 1}",
        )


def choose_precision(name: str, device: torch.device) -> str:
    """The precision of forward passes: ``auto`` is float32, for its results are the same everywhere.

    Raises:
        SettingsError: The name is no precision's, or the device has none such.
    """
    if name == "auto":
        return "float32"
    if name not in PRECISIONS:
        raise SettingsError(
            f"unknown precision {name!r}", place="precision", remedy=f"use auto, {', '.join(PRECISIONS)}"
        )
    if name == "float16" and device.type == "cpu":
        raise SettingsError("float16 does not train on a CPU", place="precision", remedy="use bfloat16 or float32")
    return name


def random_state(device: torch.device) -> dict[str, Any]:
    """The state of torch's random streams, as tensors."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Set torch's random streams to what ``random_state`` gave."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if "mps" in state and device.type == "mps":
        torch.mps.set_rng_state(state["mps"])


@contextmanager
def sealed(device: torch.device, *, seed: int, threads: int | None = None) -> Iterator[None]:
    """Seed torch, use ``threads`` and deterministic kernels inside the block; give all of it back on leaving."""
    before, threads_before = random_state(device), torch.get_num_threads()
    cudnn = torch.backends.cudnn
    flags = (cudnn.benchmark, cudnn.deterministic)
    try:
        torch.manual_seed(seed)
        cudnn.benchmark, cudnn.deterministic = False, True
        if threads:
            torch.set_num_threads(threads)
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = flags
        restore_random_state(before, device)
        if threads and threads != threads_before:
            torch.set_num_threads(threads_before)
