"""Runs every check of the project, one after the other, and ends with the tests.

Name some of them to run only those: ``python scripts/run_checks.py lint types``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS: dict[str, list[str]] = {
    "lint": [f"{BIN}/ruff", "check", "."],
    "format": [f"{BIN}/ruff", "format", "--check", "."],
    "layers": [f"{BIN}/lint-imports", "--no-cache"],
    "types": [f"{BIN}/pyright"],
    "web": [sys.executable, "scripts/build_web.py", "--check"],
    "tests": [
        *(sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "worksteal"),
        *("--cov", "--cov-report=term:skip-covered", "--cov-fail-under=90"),
    ],
}


def main(wanted: list[str]) -> int:
    """Run the checks by name (all by default); the exit code is the number that failed."""
    unknown = [name for name in wanted if name not in CHECKS]
    if unknown:
        print(f"There is no check {unknown[0]!r}. To do: choose from {', '.join(CHECKS)}.", file=sys.stderr)
        return 2
    # One thread a test process: two processes share two cores, and results do not hang on the number of threads.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    failed = []
    for name in wanted or CHECKS:
        print(f"\n── {name} " + "─" * (74 - len(name)), flush=True)
        began = time.monotonic()
        if subprocess.run(CHECKS[name], cwd=ROOT, env=environment, check=False).returncode:
            failed.append(name)
        print(f"── {name}: {'FAILED' if name in failed else 'passed'} in {time.monotonic() - began:.0f} s", flush=True)
    if failed:
        print(f"\nFailed: {', '.join(failed)}")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
