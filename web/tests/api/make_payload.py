"""Writes ``payload.safetensors`` with Pellucid's own codec: the bytes that ``payload.test.ts`` must understand.

Run it from the root of the repository when the codec changes: ``python web/tests/api/make_payload.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pellucid.results import codec

__all__ = ["ARRAYS", "DOCUMENT"]

DOCUMENT = {
    "schema": "example/1",
    "rate": {"$array": "rate"},
    "inner": {"loss": {"$array": "inner.loss"}},
    "rows": {"$array": "rows"},
    "flags": {"$array": "flags"},
    "image": {"$array": "image"},
    "half": {"$array": "half"},
    "suggestion": {"$float": "nan"},
    "absent": None,
    "bounds": [{"$float": "inf"}, {"$float": "-inf"}, 1.5],
    "reason": "größer als 0 · ≤ 3",
}

ARRAYS = {
    "rate": np.array([1e-5, 0.1, np.nan]),
    "inner.loss": np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32),
    "rows": np.array([0, 2**40, -1], dtype=np.int64),
    "flags": np.array([True, False, True]),
    "image": np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3),
    "half": np.array([0.5, -2, 65504, 2.0**-24], dtype=np.float16),
}

if __name__ == "__main__":
    Path(__file__).with_name("payload.safetensors").write_bytes(codec.pack(DOCUMENT, ARRAYS))
