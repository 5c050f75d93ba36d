"""Figures in what a script prints: "epoch 3 loss 0.41 val acc 0.87" becomes metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["PrintedFigure", "PrintedLines", "read_figures"]

_NUMBER = r"[-+]?(?:\d+(?:_\d+)*(?:[.,]?\d+)?(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf)"
_FIGURE = re.compile(
    r"(?P<name>[A-Za-z][A-Za-z0-9_@ ./-]*?(?:\([^()]{0,24}\))?)"
    r"[\"'*`]*\s*(?:[:=]|->|is\b|of\b)?\s*[\"'`$]?(?:tensor\(\s*)?\[?"
    rf"(?P<number>(?<![\w.]){_NUMBER})(?P<percent>\s*%)?(?![\w])",
)
_COUNTERS = (
    "epoch",
    "ep",
    "step",
    "iter",
    "iteration",
    "batch",
    "it",
    "episode",
    "round",
    "trial",
    "fold",
    "seed",
    "size",
)
_SPLITS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "tr": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
    "te": "test",
    "held": "test",
}
_MOST_WORDS = 5
_LONGEST_LINE = 2_000
_LONGEST_NAME = 60


@dataclass(frozen=True)
class PrintedFigure:
    """One number with its name. ``split`` is '' where none is named; a counter tells where the run is."""

    split: str
    name: str
    value: float
    counter: bool


def read_figures(line: str) -> list[PrintedFigure]:
    """Named numbers of a line, in its order.

    >>> [(f.split, f.name, f.value) for f in read_figures("epoch 3/8 loss 0.4100 val acc 87%")]
    [('', 'epoch', 3.0), ('', 'loss', 0.41), ('validation', 'acc', 0.87)]
    """
    found: list[PrintedFigure] = []
    split_before = ""
    for match in _FIGURE.finditer(line[:_LONGEST_LINE]):
        words = [word for word in re.split(r"[\s_./-]+", match["name"].strip(" -./")) if word]
        if not words or len(match["name"]) > _LONGEST_NAME:
            continue
        words = words[-_MOST_WORDS:]
        split = next((_SPLITS[word.lower()] for word in words if word.lower() in _SPLITS), "")
        name = " ".join(word.lower() for word in words if word.lower() not in _SPLITS) or _split_of(words)
        value = float(match["number"].replace(",", "").replace("_", ""))
        if match["percent"]:
            value /= 100
        counter = name.split()[-1] in _COUNTERS
        found.append(PrintedFigure(split=split, name=name, value=value, counter=counter))
        split_before = split or split_before
    return found


def _split_of(words: list[str]) -> str:
    """The name of a figure that is named by its split alone: "train 0.41 test 0.52"."""
    return " ".join(word.lower() for word in words)


class PrintedLines:
    """Puts together the lines that a script writes piece by piece."""

    def __init__(self) -> None:
        self._open = ""

    def add(self, text: str) -> list[str]:
        """Whole lines that this text ends; of one that is overwritten by a progress bar only the last state."""
        if "\n" not in text:
            self._open = (self._open + text)[-_LONGEST_LINE:]
            return []
        *lines, self._open = (self._open + text).split("\n")
        return [line.rstrip("\r").rpartition("\r")[2] for line in lines]
