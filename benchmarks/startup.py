"""What it costs to start: ``import pellucid`` over bare Python, and ``pellucid --help``; the two take turns.

python benchmarks/startup.py [--turns 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "bare Python": [sys.executable, "-c", "pass"],
    "import pellucid": [sys.executable, "-c", "import pellucid"],
    "import rich": [sys.executable, "-c", "import rich.console"],
    "pellucid --help": [sys.executable, "-m", "pellucid", "--help"],
}


def main() -> None:
    """Start each command in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(options.turns + 1):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:
                seconds[name].append(time.perf_counter() - began)
    bare = statistics.median(seconds["bare Python"])
    print(f"{'':18}{'ms':>8}{'over bare Python':>19}")
    for name, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{name:18}{1000 * median:8.0f}{1000 * (median - bare):15.0f} ms")


if __name__ == "__main__":
    main()
