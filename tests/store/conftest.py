"""Runs to write and to read."""

from __future__ import annotations

import pytest

from pellucid.store.writer import RunWriter


def add_steps(writer: RunWriter, first: int, count: int) -> None:
    """Rows whose every value follows from the step, so that a test can tell a right row from a wrong one."""
    for step in range(first, first + count):
        writer.append("steps", step=step, epoch=step // 10, time_s=step / 8, loss=1 / (step + 1), batch_size=32)


@pytest.fixture
def runs_dir(tmp_path):
    """An empty folder for runs."""
    return tmp_path / "runs"


@pytest.fixture
def writer(runs_dir):
    """The writer of a new run; closed at the end."""
    made = RunWriter.create(runs_dir, name="Digits", kind="fit", settings={"epochs": 3}, environment={})
    yield made
    made.close()


@pytest.fixture
def steps():
    """``add_steps``."""
    return add_steps
