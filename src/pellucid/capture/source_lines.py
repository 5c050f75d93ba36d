"""From a running operation to the person's own line of code, without reading a file until someone asks."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import torch

__all__ = ["Site", "Source", "find_site", "is_foreign", "resolve"]

Site = tuple[CodeType, int]
"""A code object and the offset of the instruction in it: a place in the code whose line is found when asked."""

_OURS = str(Path(__file__).parent)
_FOREIGN_FOLDERS = (
    str(Path(torch.__file__).parent),
    _OURS,
    str(Path(__file__).parents[1] / "lenses"),
)
_FOREIGN_PARTS = ("jaxtyping", "beartype", "contextlib.py", "<frozen ")

_foreign_files: dict[str, bool] = {}


@dataclass(frozen=True, slots=True)
class Source:
    """A line of code.

    Attributes:
        file: The path of the file, or the name of the notebook cell.
        line: The number of the line, from 1.
        text: The line without its indentation; "" if the file is not there.
        function: The function around it.
    """

    file: str
    line: int
    text: str
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f": {self.text}" if self.text else "")


def find_site(depth: int) -> Site | None:
    """The innermost running line that belongs neither to torch nor to the tracer.

    A model made of torch's modules alone has no such line inside it, and a loss function given as it is neither: then
    it is the line that asked for the trace.
    """
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        foreign = _foreign_files.get(file)
        if foreign is None:
            foreign = is_foreign(file)
        if not foreign:
            return code, frame.f_lasti
        frame = frame.f_back
    return None


def resolve(site: Site | None) -> Source | None:
    """The line at a place in the code."""
    if site is None:
        return None
    code, instruction = site
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
    text = linecache.getline(code.co_filename, line).strip()
    return Source(code.co_filename, line, text, code.co_qualname)


def is_foreign(file: str) -> bool:
    """Whether a file belongs to torch or to the tracer, so that its lines say nothing about the person's model."""
    known = _foreign_files.get(file)
    if known is not None:
        return known
    found = file.startswith(_FOREIGN_FOLDERS) or any(part in file for part in _FOREIGN_PARTS)
    _foreign_files[file] = found
    return found
