"""Any sequence of writing, merging, dying, resuming and rewinding leaves what a plain list would hold."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pellucid.store import appender as appender_module
from pellucid.store import flushing as flushing_module
from pellucid.store.run import open_run
from pellucid.store.writer import RunWriter


class LifeOfARun(RuleBasedStateMachine):
    """``waiting`` rows are in memory, ``safe`` ones were flushed."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.writer: RunWriter | None = RunWriter.create(self.folder, name="x", kind="fit")
        self.path = self.writer.path
        self.safe: list[int] = []
        self.waiting: list[int] = []
        self.reader = open_run(self.path)

    @precondition(lambda self: self.writer is not None)
    @rule(steps=st.lists(st.integers(0, 30), min_size=1, max_size=6))
    def write(self, steps: list[int]) -> None:
        for step in steps:
            self.writer.append("steps", step=step)
        self.waiting += steps

    @precondition(lambda self: self.writer is not None)
    @rule()
    def flush(self) -> None:
        self.writer.flush()
        self.safe += self.waiting
        self.waiting = []

    @precondition(lambda self: self.writer is not None)
    @rule()
    def merge(self) -> None:
        self.writer._flusher._merge()

    @precondition(lambda self: self.writer is not None)
    @rule()
    def die(self) -> None:
        self.writer._flusher.stop()
        self.writer.become_inert()
        self.writer = None
        self.waiting = []

    @precondition(lambda self: self.writer is not None)
    @rule()
    def close(self) -> None:
        self.writer.close()
        self.writer = None
        self.safe += self.waiting
        self.waiting = []

    @precondition(lambda self: self.writer is None)
    @rule(after=st.one_of(st.none(), st.integers(-1, 30)))
    def resume(self, after: int | None) -> None:
        self.writer = RunWriter.resume(self.path, after_step=after)
        if after is not None:
            self.safe = [step for step in self.safe if step <= after]

    @invariant()
    def a_reader_sees_what_is_safe(self) -> None:
        if not hasattr(self, "reader"):
            return
        for run in (open_run(self.path), self.reader.refresh()):
            rows = run.table("steps", columns=["step"])["step"].to_pylist()
            assert rows == self.safe
            assert run.row_count("steps") == len(rows)
            assert run.warnings == ()
            assert run.status in ({"running"} if self.writer else {"finished", "interrupted"})

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        if self.writer is not None:
            self.writer.close()
        shutil.rmtree(self.folder)


@pytest.fixture(autouse=True)
def _small_merges_and_no_flush_of_its_own(monkeypatch):
    monkeypatch.setattr(appender_module, "_FAN", 2)
    monkeypatch.setattr(flushing_module, "FLUSH_INTERVAL_S", 3600)


TestLifeOfARun = LifeOfARun.TestCase
TestLifeOfARun.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
