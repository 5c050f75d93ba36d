"""Whether one run came out better than another: the figure that both tell of their task, over their steps."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from pellucid.diagnosis.series import Series
from pellucid.results.diagnosis import TriedChange

if TYPE_CHECKING:
    from pellucid.diagnosis.evidence import Evidence

__all__ = ["compare_progress"]

_HIGHER = ("accuracy", "acc", "f1", "auc", "auroc", "recall", "precision", "r2", "iou", "score", "bleu", "psnr", "dice")
_LOWER = ("error", "err", "mae", "mse", "rmse", "mape", "ppl", "perplexity", "nll", "loss", "cost", "wer", "cer", "fid")
_LOSSES = ("nll", "loss", "cost", "ppl", "perplexity")
_HELD_OUT = ("test", "validation")
_TAIL = 0.2
_LEAST_GAIN = 0.02
"""Of the figure's size, or of 1 for a share: less is within what another seed does."""


def compare_progress(before: Evidence, after: Evidence, *, failed: bool = False) -> TriedChange:
    """Compare two runs of a script by the figure that says most of its task.

    First choice is what the script itself prints of held-out data (accuracy before error before loss), then what it
    prints of its training, then the accuracy that the watch saw at the loss, last the loss it saw. Of these the first
    decides that moved at all. A loss counts only where both runs have the same one, or nothing else is told: a change
    may have given it another scale.

    Args:
        before: The run as it was.
        after: The run with the change.
        failed: Whether the changed script ended by an error.
    """
    figures = _shared_figures(before, after)
    name, higher, old, new = next((one for one in figures if _moved(one)), figures[0])
    was, became = _ending(old), _ending(new)
    better = _is_better(was, became, higher=higher) and not failed
    steps = after.script.steps
    said = f"{name} {_text(was)} → {_text(became)} after {steps:,} steps"
    if failed:
        said += "; the changed script ended by an error"
    return TriedChange(
        metric=name,
        higher_is_better=higher,
        before=old.y.astype(np.float64),
        after=new.y.astype(np.float64),
        x=old.x.astype(np.float64),
        x_after=new.x.astype(np.float64),
        x_name="step",
        improved=better,
        said=said,
    )


_Figure = tuple[str, bool, Series, Series]
"""Name, whether more is better, and the series of both runs."""


def _shared_figures(before: Evidence, after: Evidence) -> list[_Figure]:
    """The figures that both runs have, the one that says most first."""
    same_loss = _loss_of(before) == _loss_of(after)
    shared = [key for key in before.records.metrics if key in after.records.metrics]
    ranked = sorted((rank, key) for key in shared if (rank := _rank(key)) is not None)
    told: list[_Figure] = []
    for (is_loss, *_), (split, name) in ranked:
        label = f"{name} ({split})" if split else name
        if same_loss or not is_loss:
            told.append((label, _is_higher(name), before.metric(name, split), after.metric(name, split)))
    for phase in ("evaluation", "train"):
        old, new = (run.series(phase, "prediction", "accuracy") for run in (before, after))
        if len(old) and len(new):
            told.append((f"accuracy ({phase})", True, old, new))
    if same_loss or not told:
        told.append(("loss", False, before.loss, after.loss))
    return told


def _loss_of(run: Evidence) -> tuple[str, ...]:
    """What gives the run's loss its scale."""
    loss = run.main_loss
    return () if loss is None else (loss.kind, loss.reduction, loss.last_operation)


def _moved(figure: _Figure) -> bool:
    """Whether the two runs end at all differently by it."""
    _, higher, old, new = figure
    was, became = _ending(old), _ending(new)
    return _is_better(was, became, higher=higher) or _is_better(became, was, higher=higher)


def _rank(key: tuple[str, str]) -> tuple[int, int, int] | None:
    """Losses last, held-out data first, shares before errors; None for a figure that says nothing of the task."""
    split, name = key
    words = _words(name)
    if not words & {*_HIGHER, *_LOWER}:
        return None
    return int(bool(words & set(_LOSSES))), int(split not in _HELD_OUT), int(not _is_higher(name))


def _is_higher(name: str) -> bool:
    return bool(_words(name) & set(_HIGHER))


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower()))


def _ending(series: Series) -> float:
    """The mean of the last fifth; nan where the last value is not finite."""
    if not len(series) or not math.isfinite(float(series.y[-1])):
        return math.nan
    return series.end(_TAIL, 1)


def _is_better(was: float, became: float, *, higher: bool) -> bool:
    if not math.isfinite(became):
        return False
    if not math.isfinite(was):
        return True
    gain = became - was if higher else was - became
    return gain > _LEAST_GAIN * max(abs(was), abs(became), 1.0 if higher else 0.0)


def _text(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "not finite"
