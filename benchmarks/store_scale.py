"""A long run of a deep model: how large is its folder, and how soon are its curves there?

    OMP_NUM_THREADS=1 python benchmarks/store_scale.py [--steps 1000000] [--layers 50] [--every 1] [--keep FOLDER]

The run has a row for every step and, at every ``--every``-th step, one for every layer, written in blocks as the watch
writes them, only faster. Printed are bytes per recorded number (empty cells not counted), and, each in a fresh process
and thrice again in the same one: the time until the first curve (the steps'
frame) and until one layer's whole history is ready, by the server's own function. The frame of the layer is checked to
hold the smallest and the largest value of every column.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BLOCK = 2_000

READ = """
import sys, time, json
began = time.perf_counter()
import pyarrow.compute, pyarrow.parquet
from pellucid.server.frames import build_frame
from pellucid.store.run import open_run
loaded = time.perf_counter() - began
run, table, layer = open_run(sys.argv[1]), sys.argv[2], sys.argv[3] or None
times = []
for _ in range(4):
    began = time.perf_counter()
    frame = build_frame(run.refresh(), table, points=2000, layer=layer)
    times.append(time.perf_counter() - began)
print(json.dumps([loaded, times, frame.rows, len(frame.payload)]))
"""


def walk(generator: np.random.Generator, steps: int, start: np.ndarray) -> np.ndarray:
    """Figures that drift, as those of a training do, with noise on top."""
    drift = generator.standard_normal((steps, len(start)), dtype=np.float32)
    noise = generator.standard_normal(drift.shape, dtype=np.float32)
    np.cumsum(drift, axis=0, out=drift)
    drift *= 0.002
    drift += start
    start[:] = drift[-1]
    return np.exp(drift + 0.05 * noise)


def build(folder: Path, steps: int, layers: int, every: int) -> tuple[Path, int, dict[str, tuple[float, float]]]:
    """Write the run; return its folder, how many numbers it has, and the extremes of one layer's columns."""
    from pellucid.store.rows import BlockLayout
    from pellucid.store.tables import TABLES
    from pellucid.store.writer import RunWriter

    columns = [name for name in TABLES["layers"].names if name not in ("step", "layer", "activation_saturated")]
    layout = BlockLayout(tuple(columns), {"layer": [f"blocks.{i}.mlp" for i in range(layers)]})
    generator = np.random.default_rng(0)
    step_state = np.zeros(3, dtype=np.float32)
    layer_state = np.zeros(layers * len(columns), dtype=np.float32)
    given = np.ones((layers, len(columns)), dtype=bool)
    numbers = 0
    low, high = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
    with RunWriter.create(folder, name="long", kind="watch") as writer:
        for first in range(0, steps, BLOCK):
            count = min(BLOCK, steps - first)
            number = np.arange(first, first + count)
            loss, norm, took = walk(generator, count, step_state).T
            rows = {"step": number, "epoch": number // 1000, "time_s": number * 0.01 + took * 1e-3, "loss": loss}
            rows |= {
                "gradient_norm": norm,
                "step_time_s": took * 0.01,
                "learning_rate": 1e-3 * 0.999 ** (number // 1000),
            }
            writer.extend("steps", {**rows, "batch_size": 32})
            sampled = number[number % every == 0]
            figures = walk(generator, len(sampled), layer_state).reshape(len(sampled), layers, len(columns))
            figures[:, :, 0] = 128
            for step, values in zip(sampled.tolist(), figures, strict=True):
                writer.extend_block("layers", layout, step, values, given)
            numbers += 8 * count + (len(columns) + 1) * layers * len(sampled)
            low, high = np.minimum(low, figures[:, 7].min(axis=0)), np.maximum(high, figures[:, 7].max(axis=0))
            writer.flush()
    return writer.path, numbers, dict(zip(columns, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def read(run: Path, table: str, layer: str) -> tuple[float, list[float], int, int]:
    arguments = [sys.executable, "-c", READ, str(run), table, layer]
    told = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return json.loads(told)


def check(run: Path, layer: str, extremes: dict[str, tuple[float, float]]) -> None:
    from pellucid.results import codec
    from pellucid.server.frames import build_frame
    from pellucid.store.run import open_run

    payload = build_frame(open_run(run), "layers", points=2000, layer=layer).payload
    _, arrays = codec.unpack(payload)
    for name, (low, high) in extremes.items():
        assert (arrays[name].min(), arrays[name].max()) == (low, high), name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=50)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write the run there and leave it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        began = time.process_time()
        run, numbers, extremes = build(given.keep or Path(temporary), given.steps, given.layers, given.every)
        took = time.process_time() - began
        sizes = [path.stat().st_size for path in run.rglob("*") if path.is_file()]
        beside = sum(path.stat().st_size for path in (run / "overview").rglob("*") if path.is_file())
        print(f"{given.steps:,} steps, {given.layers} layers every {given.every}: {numbers:,} numbers")
        print(f"  drawn and written in {took:.0f} s of processor time")
        print(f"  {sum(sizes) / numbers:.2f} bytes a number (bar 12), {beside / sum(sizes):.1%} of it overviews")
        print(f"  {sum(sizes) / 2**20:,.0f} MiB in {len(sizes)} files")
        for words, table, layer, bar in (
            ("first curve", "steps", "", 1000),
            ("a layer's history", "layers", "blocks.7.mlp", 300),
            ("all layers' histories", "layers", "", None),
        ):
            loaded, times, rows, size = read(run, table, layer)
            warm = statistics.median(times[1:])
            print(
                f"  {words}: {times[0] * 1e3:.0f} ms, again {warm * 1e3:.0f} ms"
                f" ({rows:,} rows, {size / 1e3:.0f} kB; loading the code before: {loaded * 1e3:.0f} ms)"
                + (f"  bar {bar}" if bar else "")
            )
        check(run, "blocks.7.mlp", extremes)


if __name__ == "__main__":
    main()
