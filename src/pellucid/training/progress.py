"""What a fit tells while it works, and to whom: the terminal, a notebook, or nobody."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EpochFigures", "Progress"]


@dataclass(frozen=True)
class EpochFigures:
    """How training stands after an epoch.

    Attributes:
        epoch: Epochs done.
        epochs: Epochs planned.
        step: Steps done.
        figures: By split and metric, ``{"train": {"loss": 0.31}, "validation": {"loss": 0.40, "accuracy": 0.88}}``.
        best: Whether the figure that early stopping watches is the lowest so far.
    """

    epoch: int
    epochs: int
    step: int
    figures: dict[str, dict[str, float]]
    best: bool


class Progress:
    """Says nothing. A subclass that shows something overrides what it shows; none of it may raise or be slow."""

    def note(self, text: str) -> None:
        """A sentence about what was found or decided."""

    def warn(self, text: str) -> None:
        """A sentence about something that went differently from what was wanted."""

    def stage(self, name: str) -> None:
        """A longer piece of work begins: "reading", "learning-rate test", "fold 2 of 5", "training", "evaluating"."""

    def begin_training(self, *, epochs: int, epoch: int, steps_per_epoch: int) -> None:
        """The loop begins or goes on at ``epoch``, counted from 0."""

    def step(self, batch: int) -> None:
        """So many batches of the present epoch are done; called a few times a second at most."""

    def epoch(self, figures: EpochFigures) -> None:
        """An epoch ended."""

    def end_training(self) -> None:
        """The loop is over, whichever way."""
