"""What does recording cost? Appending a row and keeping a number, against ``csv.writer`` and ``sqlite3``.

All three record the same rows of the ``steps`` table, in turns of some thousand rows, in one process and one run, so
that a busy machine is busy for all. Printed are ratios; absolute figures stand beside them for orientation.

    python benchmarks/store.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import csv
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.core.downsample import choose_rows
from pellucid.store.run import list_runs, open_run
from pellucid.store.tables import TABLES
from pellucid.store.writer import RunWriter

TURN = 5_000
NAMES = TABLES["steps"].names

Rows = list[dict[str, Any]]


class Clock:
    """Adds up how long the calling thread waits, and how much processor time the whole process spends."""

    def __init__(self) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def __call__(self, work: Callable[[], Any]) -> None:
        """Do the work under the clock."""
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.wall_s += time.perf_counter() - wall
        self.cpu_s += time.process_time() - cpu


def make_rows(first: int, count: int, generator: np.random.Generator) -> Rows:
    """Rows as training makes them: a noisy falling loss, times with jitter, a norm in single precision."""
    noise = generator.normal(size=(count, 3))
    return [
        {
            "step": step,
            "epoch": step // 1000,
            "time_s": step * 0.01 + abs(a) * 1e-3,
            "loss": 2.3 / (1 + step * 1e-4) + 0.05 * b,
            "learning_rate": 1e-3,
            "step_time_s": 0.01 + abs(a) * 1e-3,
            "gradient_norm": float(np.float32(1 + 0.1 * c)),
            "batch_size": 128,
        }
        for step, (a, b, c) in zip(range(first, first + count), noise.tolist(), strict=True)
    ]


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def record(folder: Path, total: int) -> None:
    """Record ``total`` rows three ways in turns, and print the ratios."""
    writer = RunWriter.create(folder / "runs", name="benchmark", kind="watch")
    text = (folder / "steps.csv").open("w", newline="")
    plain = csv.writer(text)
    database = sqlite3.connect(folder / "steps.sqlite")
    database.execute("pragma journal_mode=wal")
    database.execute(f"create table steps ({', '.join(NAMES)})")
    insert = f"insert into steps values ({', '.join('?' * len(NAMES))})"
    ours, flushing, theirs, tables = Clock(), Clock(), Clock(), Clock()
    generator = np.random.default_rng(0)

    def append(rows: Rows) -> None:
        for row in rows:
            writer.append("steps", **row)

    def write(rows: Rows) -> None:
        for row in rows:
            plain.writerow(row.values())
        text.flush()

    def store(rows: Rows) -> None:
        for row in rows:
            database.execute(insert, tuple(row.values()))
        database.commit()

    for first in range(0, total, TURN):
        rows = make_rows(first, TURN, generator)
        ours(lambda rows=rows: append(rows))
        flushing(lambda: (writer.flush(), writer._merge()))  # what the daemon thread does beside the training
        theirs(lambda rows=rows: write(rows))
        tables(lambda rows=rows: store(rows))
    flushing(writer.close)
    text.close()
    database.close()

    numbers = total * len(NAMES)
    run = open_run(writer.path)
    assert run.row_count("steps") == total
    files = len(list((writer.path / "segments" / "steps").iterdir()))
    sizes = [size_of(path) for path in (writer.path, folder / "steps.csv", folder / "steps.sqlite")]
    print(f"{total:,} rows of {len(NAMES)} numbers")
    for name, clock, size in zip(("csv", "sqlite"), (theirs, tables), sizes[1:], strict=True):
        print(f"  append, caller waits   ours / {name:<6} = {ours.wall_s / clock.wall_s:.2f}")
        print(f"  all processor time     ours / {name:<6} = {(ours.cpu_s + flushing.cpu_s) / clock.cpu_s:.2f}")
        print(f"  bytes a number         ours / {name:<6} = {sizes[0] / size:.2f}")
    print(
        f"  (append {ours.wall_s / total * 1e6:.2f} µs a row, flush and merge {flushing.cpu_s / total * 1e6:.2f} µs a"
    )
    print(f"   row beside it, {sizes[0] / numbers:.2f} bytes a number, {files} files)")
    read(run, total)


def read(run: Any, total: int) -> None:
    """Print what reading and thinning the run costs."""
    clock = Clock()
    tables: list[Any] = []
    clock(lambda: tables.append(run.table("steps")))
    columns = [tables[0].column(name).to_numpy() for name in NAMES]
    thin = Clock()
    thin(lambda: print(f"  thinned to {len(choose_rows(columns, total, 2000))} rows", end=""))
    print(f" in {thin.wall_s * 1e3:.0f} ms; the whole table read in {clock.wall_s * 1e3:.0f} ms")


def listing(folder: Path, count: int = 200) -> None:
    """Print what listing many runs costs, against reading the same files without understanding them."""
    for _ in range(count):
        RunWriter.create(folder, name="x", kind="fit", settings={"layers": [64] * 20}).close()
    ours, bare = Clock(), Clock()
    for _ in range(5):
        ours(lambda: list_runs(folder))
        bare(lambda: [path.read_bytes() for path in sorted(folder.glob("*/run.json"))])
    print(
        f"list {count} runs, ours / reading the files = {ours.wall_s / bare.wall_s:.1f} ({ours.wall_s / 5e-3:.0f} ms)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    total = parser.parse_args().rows // TURN * TURN
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder), max(TURN, total))
    with tempfile.TemporaryDirectory() as folder:
        listing(Path(folder))


if __name__ == "__main__":
    main()
