"""What a run's page will ask for is loaded while the browser still fetches the page itself."""

from __future__ import annotations

import contextlib
import importlib
import threading

__all__ = ["load_ahead"]

_NEEDED = (
    "pyarrow.parquet",
    "pyarrow.compute",
    "pellucid.store.overview",
    "pellucid.store.rewind",
    "pellucid.server.frames",
)
"""What reads tables; the list of runs does without."""

_begun = threading.Lock()


def load_ahead() -> None:
    """Begin to load what reads tables, in a thread; the second time nothing happens."""
    if _begun.acquire(blocking=False):
        threading.Thread(target=_load, name="pellucid-loading", daemon=True).start()


def _load() -> None:
    with contextlib.suppress(ImportError):  # said where it is needed
        for name in _NEEDED:
            importlib.import_module(name)
