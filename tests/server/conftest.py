"""A small run, an app over its folder, and a browser that holds the key."""

from __future__ import annotations

import numpy as np
import pytest
from starlette.testclient import TestClient

from pellucid.results.learning_rate_range import LearningRateRange
from pellucid.results.network_outline import LayerOutline, NetworkOutline
from pellucid.server.app import create_app
from pellucid.store.tables import HISTOGRAM_BINS
from pellucid.store.writer import RunWriter

TOKEN = "a-token-of-the-tests"
LAYERS = ("stages.0", "stages.2", "head")


def make_outline() -> NetworkOutline:
    layers = tuple(LayerOutline(name, "Linear", "4 → 4", (4,), (4,), 20, 20, 1) for name in LAYERS)
    return NetworkOutline("Sequential", layers, ((-1, 0), (0, 1), (1, 2)), 60, 60, 240)


def make_range() -> LearningRateRange:
    rates = np.geomspace(1e-5, 1.0, 20)
    return LearningRateRange(rates, rates**2, rates**2 + 1, 0.01, 0.02, None, "Adam", "one tenth of the steepest")


def fill(writer: RunWriter, steps: range) -> None:
    """Rows whose every value follows from the step."""
    for step in steps:
        writer.append("steps", step=step, epoch=step // 10, time_s=step / 8, loss=1 / (step + 1), batch_size=32)
        for number, layer in enumerate(LAYERS):
            writer.append("layers", step=step, layer=layer, activation_mean=step + number / 10)
            for kind in ("activation", "weight"):
                counts = np.arange(HISTOGRAM_BINS, dtype=np.int32) + step
                writer.append("histograms", step=step, layer=layer, kind=kind, low=-1.0, high=1.0, counts=counts)
    writer.append("metrics", step=steps.stop, epoch=1, time_s=1.0, split="train", metric="accuracy", value=0.5)
    writer.append("metrics", step=steps.stop, epoch=1, time_s=1.0, split="validation", metric="accuracy", value=0.25)
    writer.append("events", step=steps.start, time_s=0.0, kind="started", message="training began")


def make_run(runs_dir, name: str = "Digits", steps: int = 30) -> str:
    """A finished run; its id."""
    with RunWriter.create(
        runs_dir,
        name=name,
        kind="fit",
        settings={"epochs": 3, "rates": [0.1, float("nan")]},
        environment={"python": "3.11"},
        task="classification",
        parameters=60,
        seed=7,
    ) as writer:
        fill(writer, range(steps))
        writer.put_result("network_outline", make_outline())
        writer.put_result("learning_rate_range", make_range())
        writer.update(step=steps, epoch=3, metrics={"accuracy": 0.25, "loss": float("nan")})
    return writer.id


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """(runs folder, id) of one finished run that no test changes."""
    runs_dir = tmp_path_factory.mktemp("finished")
    return runs_dir, make_run(runs_dir)


@pytest.fixture(scope="session")
def static(tmp_path_factory):
    """A built front end, as small as it can be."""
    root = tmp_path_factory.mktemp("static")
    (root / "assets").mkdir()
    (root / "report").mkdir()
    (root / "index.html").write_text("<!doctype html><title>Pellucid</title>")
    (root / "assets" / "index-1a2b3c.js").write_text("export const big = '" + "x" * 5000 + "';")
    (root / "assets" / "index-1a2b3c.css").write_text("body { margin: 0 }")
    (root / "secret.key").write_text("no type for this")
    (root.parent / "outside.js").write_text("kept from you")
    return root


def client_of(runs_dir, static, **headers) -> TestClient:
    app = create_app(runs_dir, TOKEN, static=static)
    return TestClient(app, base_url="http://127.0.0.1:8765", headers=headers, follow_redirects=False)


@pytest.fixture
def client(finished, static):
    """A caller with the token, over the finished run."""
    return client_of(finished[0], static, Authorization=f"Bearer {TOKEN}")


@pytest.fixture
def stranger(finished, static):
    """A caller without it."""
    return client_of(finished[0], static)
