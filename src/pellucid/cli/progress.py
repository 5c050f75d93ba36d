"""What a fit says in a terminal while it works: notes, a bar with rate and time left, the figures of the last epoch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from pellucid.cli.console import PatientConsole
from pellucid.training.progress import EpochFigures, Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

__all__ = ["TerminalProgress"]

_WIDE = 90


class TerminalProgress(Progress):
    """Notes as lines and training as a live bar, on standard error; without a terminal the lines only.

    Args:
        console: Where to; standard error unless given.
        quiet: Say nothing but warnings.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self._console = console or PatientConsole(stderr=True)
        self._quiet = quiet
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._steps = 1
        self._done = 0
        self._stage = ""

    def note(self, text: str) -> None:
        """A line with a dot before it."""
        if not self._quiet:
            self._print(f"[dim]·[/dim] {escape(text)}")

    def warn(self, text: str) -> None:
        """A line in yellow."""
        self._print(f"[yellow]![/yellow] {escape(text)}")

    def stage(self, name: str) -> None:
        """What is done now; in a terminal the bar says it too."""
        self._stage = name
        if not self._quiet:
            self._print(f"[bold]{escape(name[:1].upper() + name[1:])}[/bold]")

    def begin_training(self, *, epochs: int, epoch: int, steps_per_epoch: int) -> None:
        """Show the bar, if there is a terminal to show it in."""
        self._steps, self._done = max(1, steps_per_epoch), epoch
        if self._quiet or not self._console.is_terminal:
            return
        self._bars = _BarsAndFigures(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16 if self._console.width < _WIDE else 28),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]left[/dim]"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            refresh_per_second=5,
        )
        self._bars.start()
        self._task = self._bars.add_task(
            f"epoch {epoch + 1}/{epochs}",
            total=epochs * self._steps,
            completed=epoch * self._steps,
            rate="",
            figures="",
        )

    def step(self, batch: int) -> None:
        """Move the bar inside an epoch."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._done * self._steps + batch, rate=self._rate())

    def epoch(self, figures: EpochFigures) -> None:
        """Move the bar by an epoch and show its figures."""
        self._done = figures.epoch
        if self._bars is not None and self._task is not None:
            following = min(figures.epoch + 1, figures.epochs)
            self._bars.update(
                self._task,
                completed=figures.epoch * self._steps,
                description=f"epoch {following}/{figures.epochs}",
                rate=self._rate(),
                figures=_say(figures),
            )

    def end_training(self) -> None:
        """Take the bar away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = self._task = None

    def _print(self, markup: str) -> None:
        """A line, unless it cannot be written: that is no reason to stop training."""
        try:
            self._console.print(markup, soft_wrap=True)
        except OSError:
            self._console = Console(quiet=True)

    def _rate(self) -> str:
        """Steps a second."""
        if self._bars is None or self._task is None:
            return ""
        speed = self._bars.tasks[0].speed
        return f"{speed:,.0f} steps/s" if speed else ""


class _BarsAndFigures(Bars):
    """The bar, and under it the figures of the last epoch, which would leave it no room beside them."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            yield Text(task.fields.get("figures", ""), style="dim", no_wrap=True, overflow="ellipsis")


def _say(figures: EpochFigures) -> str:
    """``train loss 0.312 · validation loss 0.401, accuracy 0.880 ★``; the star marks the best epoch so far."""
    parts = [
        f"{split} " + ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        for split, values in figures.figures.items()
    ]
    return " · ".join(parts) + (" ★" if figures.best else "")
