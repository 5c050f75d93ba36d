"""What a trace holds in memory, measured in a process of its own by the benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "trace_memory.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")


def measured(*options: str) -> dict[str, int]:
    command = [sys.executable, str(SCRIPT), "--child", "--size", "middle", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_a_trace_takes_little_more_than_its_activations_and_gradients() -> None:
    whole = measured()
    assert whole["dropped"] == 0
    assert whole["peak"] <= 1.3 * whole["kept"]
    limited = measured("--limit", "0")
    assert limited["dropped"] > 50
    assert limited["kept"] - limited["gradients"] < 0.1 * (whole["kept"] - whole["gradients"])
    assert limited["peak"] < whole["peak"]
