"""What a script prints, as metrics of its run."""

from __future__ import annotations

import time

from pellucid.store.writer import RunWriter
from pellucid.watch.printed import PrintedLines, read_figures
from pellucid.watch.script_loaders import EpochCounter
from pellucid.watch.steps import StepRecorder

__all__ = ["ScriptOutput"]

_MOST_NAMES = 200
_MOST_AT_FIRST = 500
_LINES_A_SECOND = 50
"""Of a script that prints more only the figures of so many lines are read, after the first."""
_LONGEST_TEXT = 10_000


class ScriptOutput:
    """Reads figures off lines as they are written.

    Args:
        writer: The run.
        epochs: Told of printed epochs.
        steps: Tells step and time of the run.
    """

    def __init__(self, writer: RunWriter, epochs: EpochCounter, steps: StepRecorder) -> None:
        self._writer = writer
        self._epochs = epochs
        self._steps = steps
        self._lines = PrintedLines()
        self._names: set[tuple[str, str]] = set()
        self._read = 0
        self._began_s = time.perf_counter()

    def add(self, text: str) -> None:
        """The script writes this."""
        if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
            return
        for line in self._lines.add(text):
            elapsed_s = time.perf_counter() - self._began_s
            if self._read < _MOST_AT_FIRST + _LINES_A_SECOND * elapsed_s:
                self._read += 1
                self._take(line)

    def _take(self, line: str) -> None:
        figures = read_figures(line)
        for figure in figures:
            if figure.counter and figure.name.split()[-1] == "epoch" and figure.value == int(figure.value):
                self._epochs.note_printed(int(figure.value), self._steps.next_step)
        for figure in figures:
            key = (figure.split, figure.name)
            if figure.counter or (key not in self._names and len(self._names) >= _MOST_NAMES):
                continue
            self._names.add(key)
            self._writer.append(
                "metrics",
                step=max(self._steps.next_step - 1, 0),
                epoch=self._epochs.now,
                time_s=self._steps.elapsed_s(),
                split=figure.split,
                metric=figure.name,
                value=figure.value,
            )
