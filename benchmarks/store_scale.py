"""A long run of a deep model: how large is its folder, and how soon are its curves there?

    OMP_NUM_THREADS=1 python benchmarks/store_scale.py [--steps 1000000] [--layers 50] [--every 1] [--histograms 1000]
                                                   [--keep FOLDER] [--again RUN] [--pictures FOLDER]

The run has a row for every step and, at every ``--every``-th step, one for every layer, written in blocks as the watch
writes them, only faster; and each layer's histograms at every ``--histograms``-th. Printed are bytes per recorded
number (empty cells not counted), and, each in a fresh process and thrice again in the same one: the time until the
first curve (the steps' frame) and until one layer's whole history is ready, by the server's own function. The frame of
the layer is checked to hold the smallest and the largest value of every column.

Then the same as a person meets it, in a headless Chromium, with a server that was just started and again: from the
start of the navigation until the first curve is on the screen, and from a click on a layer until its history is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from pellucid.store.writer import RunWriter

BLOCK = 2_000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PARTS = {"statistics": "curves", "finer": "curves in full", "distribution": "histograms"}
WATCHED = ("blocks.7.mlp", "blocks.23.mlp", "blocks.41.mlp")

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

LOOK = """(() => {
  const seen = window.seen = {};
  let layer = '';
  const drawn = (canvas) => {
    if (!canvas || canvas.width < 50 || canvas.height < 50) return false;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let coloured = 0;
    for (let at = 0; at < data.length; at += 4) {
      const [r, g, b] = data.subarray(at, at + 3);
      if (data[at + 3] > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 50) coloured += 1;
    }
    return coloured > 200;
  };
  const note = (name, canvas) => {
    if (!(name in seen) && drawn(canvas)) seen[name] = performance.now();
  };
  addEventListener('click', (event) => {
    const option = event.target.closest?.('[role=option]');
    if (!option) return;
    layer = option.querySelector('.name').textContent;
    delete seen.statistics;
    delete seen.distribution;
    delete seen.finer;
    seen.click = performance.now();
  }, true);
  requestAnimationFrame(function look() {
    note('curve', document.querySelector('.charts .main canvas'));
    if (layer && document.querySelector('.history h2 .mono')?.textContent === layer) {
      const charts = document.querySelector('.history .uplot canvas');
      note('statistics', charts);
      const rows = document.querySelector('.history .controls .small')?.textContent.replaceAll(',', '') ?? '';
      if (parseInt(rows) > 1000) note('finer', charts);
      note('distribution', [...document.querySelectorAll('.history canvas')].find((one) => !one.closest('.uplot')));
    }
    requestAnimationFrame(look);
  });
})();"""
"""Notes when something coloured is on a chart for the first time: axes and words are grey."""


def walk(generator: np.random.Generator, steps: int, start: np.ndarray) -> np.ndarray:
    """Figures that drift, as those of a training do, with noise on top."""
    drift = generator.standard_normal((steps, len(start)), dtype=np.float32)
    noise = generator.standard_normal(drift.shape, dtype=np.float32)
    np.cumsum(drift, axis=0, out=drift)
    drift *= 0.002
    drift += start
    start[:] = drift[-1]
    return np.exp(drift + 0.05 * noise)


Extremes = dict[str, tuple[float, float]]
"""The smallest and the largest value of each column."""


def build(folder: Path, steps: int, layers: int, every: int, histograms: int) -> tuple[Path, int, Extremes]:
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
            for share in ("activation_zero", "dead_units"):
                column = figures[:, :, columns.index(share)]
                column /= 1 + column
            for step, values in zip(sampled.tolist(), figures, strict=True):
                writer.extend_block("layers", layout, step, values, given)
            numbers += 8 * count + (len(columns) + 1) * layers * len(sampled)
            numbers += 68 * draw_histograms(generator, writer, number[number % histograms == 0], layers)
            low, high = np.minimum(low, figures[:, 7].min(axis=0)), np.maximum(high, figures[:, 7].max(axis=0))
            writer.flush()
    return writer.path, numbers, dict(zip(columns, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def draw_histograms(generator: np.random.Generator, writer: RunWriter, steps: np.ndarray, layers: int) -> int:
    """Write each layer's histograms of its activations, gradients and weights; return how many."""
    bins = np.linspace(-3, 3, 64)
    for step in steps.tolist():
        for layer in range(layers):
            middle, width = 0.3 * np.sin(layer + step * 1e-5), 0.6 + 0.3 * np.cos(step * 3e-6)
            density = np.exp(-0.5 * ((bins - middle) / width) ** 2)
            counts = generator.poisson(4096 * density / density.sum(), (3, 64))
            kinds = {"kind": ["activation", "gradient", "weight"], "low": -3.0, "high": 3.0, "counts": counts}
            writer.extend(
                "histograms", {"step": [step] * 3, "layer": f"blocks.{layer}.mlp", **kinds, "elements": counts.sum(1)}
            )
    return 3 * layers * len(steps)


def read(run: Path, table: str, layer: str) -> tuple[float, list[float], int, int]:
    arguments = [sys.executable, "-c", READ, str(run), table, layer]
    told = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return json.loads(told)


def check(run: Path, layer: str, extremes: Extremes) -> None:
    from pellucid.results import codec
    from pellucid.server.frames import build_frame
    from pellucid.store.run import open_run

    payload = build_frame(open_run(run), "layers", points=2000, layer=layer).payload
    _, arrays = codec.unpack(payload)
    for name, (low, high) in extremes.items():
        assert (arrays[name].min(), arrays[name].max()) == (low, high), name


def in_the_browser(run: Path, pictures: Path | None) -> None:
    """Print when a person sees the first curve, and a layer's history after a click."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("PELLUCID_CHROMIUM") or next((found for found in map(shutil.which, CHROMIUM) if found), None)
    if path is None:
        print("  no Chromium here: nothing was measured in the browser")
        return
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as state:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        curves: dict[bool, list[float]] = {True: [], False: []}
        shown: dict[tuple[str, bool], list[float]] = {}
        for _ in range(3):
            command = [sys.executable, "-m", "pellucid", "open", "--headless", "--json", "--port", "0"]
            command += ["--runs-dir", str(run.parent)]
            environment = {**os.environ, "XDG_STATE_HOME": state}
            server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            try:
                told = json.loads(server.stdout.readline())
                address = f"{told['address']}runs/{run.name}?token={told['token']}"
                for fresh in (True, False):
                    curves[fresh].append(first_curve(browser, address, pictures))
                histories(browser, f"{address}&tab=layers", shown, pictures)
            finally:
                server.terminate()
                server.wait()
        browser.close()
    fresh, again = (statistics.median(curves[one]) for one in (True, False))
    print(f"  in Chromium, first curve: {fresh:.0f} ms from a server just started, again {again:.0f} ms  bar 1000")
    for (what, first), times in shown.items():
        which = "the first time" if first else "another one"
        print(f"  in Chromium, from a click to a layer's {what}, {which}: {statistics.median(times):.0f} ms  bar 300")


def first_curve(browser: Browser, address: str, pictures: Path | None) -> float:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(LOOK)
    page.goto(address)
    page.wait_for_function("() => 'curve' in window.seen")
    took = page.evaluate("window.seen.curve")
    if pictures:
        page.wait_for_timeout(1000)
        page.screenshot(path=pictures / "overview.png", full_page=True)
    context.close()
    return took


def histories(
    browser: Browser, address: str, shown: dict[tuple[str, bool], list[float]], pictures: Path | None
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(LOOK)
    page.goto(address)
    page.locator(".history .uplot canvas").first.wait_for()
    page.wait_for_timeout(1000)
    for layer in WATCHED:
        page.get_by_role("option", name=layer).click()
        page.wait_for_function("() => ['statistics', 'distribution', 'finer'].every((name) => name in window.seen)")
        seen = page.evaluate("window.seen")
        for what, words in PARTS.items():
            shown.setdefault((words, layer == WATCHED[0]), []).append(seen[what] - seen["click"])
        page.wait_for_timeout(500)
    if pictures:
        page.screenshot(path=pictures / "layer.png", full_page=True)
    context.close()


def report_folder(run: Path, numbers: int) -> None:
    sizes = [path.stat().st_size for path in run.rglob("*") if path.is_file()]
    beside = sum(path.stat().st_size for path in (run / "overview").rglob("*") if path.is_file())
    print(f"  {sum(sizes) / numbers:.2f} bytes a number (bar 12), {beside / sum(sizes):.1%} of it overviews")
    print(f"  {sum(sizes) / 2**20:,.0f} MiB in {len(sizes)} files")


def report_frames(run: Path) -> None:
    for words, table, layer, bar in (
        ("first curve", "steps", "", 1000),
        ("a layer's history", "layers", "blocks.7.mlp", 300),
        ("a layer's histograms", "histograms", "blocks.7.mlp", 300),
        ("all layers' histories", "layers", "", None),
    ):
        loaded, times, rows, size = read(run, table, layer)
        warm = statistics.median(times[1:])
        print(
            f"  {words}: {times[0] * 1e3:.0f} ms, again {warm * 1e3:.0f} ms"
            f" ({rows:,} rows, {size / 1e3:.0f} kB; loading the code before: {loaded * 1e3:.0f} ms)"
            + (f"  bar {bar}" if bar else "")
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=50)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--histograms", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="write the run there and leave it")
    parser.add_argument("--again", type=Path, help="measure this run, kept before, instead of writing one")
    parser.add_argument("--pictures", type=Path, help="a folder for what Chromium showed")
    given = parser.parse_args()
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        run = given.again
        if run is None:
            began = time.process_time()
            run, numbers, extremes = build(
                given.keep or Path(temporary), given.steps, given.layers, given.every, given.histograms
            )
            took = time.process_time() - began
            print(f"{given.steps:,} steps, {given.layers} layers every {given.every}: {numbers:,} numbers")
            print(f"  drawn and written in {took:.0f} s of processor time")
            report_folder(run, numbers)
            check(run, "blocks.7.mlp", extremes)
        report_frames(run)
        in_the_browser(run, given.pictures)


if __name__ == "__main__":
    main()
