"""What a run was made with: versions, platform, processor, threads and device."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import pellucid

__all__ = ["describe_environment"]

_PACKAGES = ("torch", "numpy", "pandas", "pyarrow", "scikit-learn")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """The environment as plain values for the run's manifest; nothing that names the person or the machine."""
    return {
        "pellucid": pellucid.__version__,
        "python": platform.python_version(),
        **{package: _version_of(package) for package in _PACKAGES},
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": str(device),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else "",
        "cuda": torch.version.cuda or "",
    }


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """The processor's own name where the system tells it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
