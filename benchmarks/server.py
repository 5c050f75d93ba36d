"""How fast is the app: its first page with 200 runs, and frames of a run of a million steps?

Ratios against named peers, interleaved in one run:

* the first page, from the start of the process, against ``python -m http.server``, the least a Python server can be;
* a frame of 1,000,000 steps, thinned to 2,000, against pandas reading the same Parquet files and taking every n-th row;
* what a live client gets for 100 new rows of that run, against the whole frame.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 200
STEPS = 1_000_000
BAR_S = 1.5


def first_page(command: list[str], port_of, path_of, ready: tuple[int, ...]) -> float:
    """Seconds from starting a server to the last byte of its first page."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline()
        connection = http.client.HTTPConnection("127.0.0.1", port_of(line), timeout=30)
        for path, headers in path_of(line):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.read()
            assert response.status in ready, (path, response.status)
        return time.perf_counter() - began
    finally:
        process.kill()
        process.communicate()


def ours(runs_dir: Path) -> float:
    def pages(line: str):
        bearer = {"Authorization": f"Bearer {json.loads(line)['token']}"}
        return [("/", bearer), ("/api/runs", bearer)]  # the page and the list that it shows

    command = [sys.executable, "-m", "pellucid", "open", "--json", "--headless", "--port", "0"]
    command += ["--runs-dir", str(runs_dir)]
    return first_page(command, lambda line: json.loads(line)["port"], pages, (200, 503))


def plain(folder: Path) -> float:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    return first_page(command, lambda line: int(line.split("port ")[1].split()[0]), lambda _: [("/", {})], (200,))


def make_runs(runs_dir: Path) -> None:
    from pellucid.store.writer import RunWriter

    with RunWriter.create(runs_dir, name="one", kind="fit", settings={"epochs": 3}, task="classification") as writer:
        for step in range(100):
            writer.append("steps", step=step, epoch=0, time_s=step / 8, loss=1 / (step + 1))
        writer.update(step=100, epoch=3, metrics={"accuracy": 0.9, "loss": 0.3})
    for number in range(RUNS - 1):
        shutil.copytree(writer.path, runs_dir / f"{writer.id}-{number}")


def make_long_run(runs_dir: Path) -> str:
    import numpy as np

    from pellucid.store.writer import RunWriter

    generator = np.random.default_rng(0)
    with RunWriter.create(runs_dir, name="long", kind="watch") as writer:
        for first in range(0, STEPS, 50_000):
            steps = np.arange(first, first + 50_000)
            rows = {"step": steps, "epoch": steps // 1000, "time_s": steps / 100, "batch_size": 32}
            rows |= {name: generator.random(len(steps)) for name in ("loss", "gradient_norm", "step_time_s")}
            rows["learning_rate"] = np.full(len(steps), 1e-3)
            writer.extend("steps", rows)
            writer.flush()
    return writer.id


def frames(runs_dir: Path, run_id: str, repeats: int) -> None:
    import pandas as pd

    from pellucid.server.frames import build_frame
    from pellucid.store.run import find_run

    def whole():
        return build_frame(find_run(run_id, runs_dir), "steps", points=2000)

    def tail():
        return build_frame(find_run(run_id, runs_dir), "steps", after=STEPS - 100, points=2000)

    def with_pandas():
        table = pd.read_parquet(sorted((runs_dir / run_id / "segments" / "steps").glob("*.parquet")))
        return table.iloc[:: STEPS // 2000].to_json(orient="split")

    times = {task: [] for task in (whole, tail, with_pandas)}
    for _ in range(repeats + 1):
        for task, measured in times.items():
            began = time.perf_counter()
            task()
            measured.append(time.perf_counter() - began)
    a, b, c = (statistics.median(times[task][1:]) for task in (whole, tail, with_pandas))
    print(f"frame of {STEPS:,} steps → {whole().rows:,} rows, {len(whole().payload) / 1e3:.0f} kB: {a * 1e3:.0f} ms")
    print(f"  against pandas.read_parquet, every n-th row as JSON ({c * 1e3:.0f} ms): ratio {a / c:.2f}")
    print(f"  100 new rows of it for a live page: {b * 1e3:.1f} ms, {a / b:.0f} × less than the whole")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        runs_dir = Path(folder) / "runs"
        make_runs(runs_dir)
        pairs = [(ours(runs_dir), plain(runs_dir)) for _ in range(repeats + 1)][1:]
        app, peer = (statistics.median(each) for each in zip(*pairs, strict=True))
        print(f"first page and list with {RUNS} runs, from process start: {app:.2f} s (bar {BAR_S} s)")
        print(f"  against `python -m http.server` ({peer:.2f} s): ratio {app / peer:.1f}")
        frames(runs_dir, make_long_run(runs_dir), repeats)
    return 0 if app <= BAR_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
