"""Which lines are the person's own, and what their files say."""

from __future__ import annotations

import linecache
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from pellucid.results.watched_script import CodeLine, SourceFile

__all__ = ["NOWHERE", "ScriptPlaces", "variables"]

NOWHERE = CodeLine(file="", line=0, text="", function="")

_OURS = str(Path(__file__).parents[1]) + "/"
_TORCH = str(Path(torch.__file__).parent) + "/"
_STANDARD = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))
_INSTALLED = tuple(f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib"))
_MOST_SOURCES = 64
_LONGEST_SOURCE = 400_000
_LOCALS_ARE_A_COPY = 0x1  # CO_OPTIMIZED


class ScriptPlaces:
    """Tells the person's lines from those of libraries, and keeps the sources they are in.

    Args:
        script: The file that was started; None in a notebook.
    """

    def __init__(self, script: Path | None) -> None:
        self._folder = str((script.parent if script else Path.cwd()).resolve()) + "/"
        self._script = str(script.resolve()) if script else ""
        self._ranks: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        if script is not None:
            self._keep(self._script)

    def _rank(self, file: str) -> int:
        """0 for the person's own file, 1 for a library's, 2 for one that says nothing: torch's, Python's or ours."""
        rank = self._ranks.get(file)
        if rank is None:
            rank = self._ranks[file] = self._judge(file)
        return rank

    def _judge(self, file: str) -> int:
        if file.startswith((_OURS, _TORCH)) or file.startswith("<frozen"):
            return 2
        if self._name(file) == self._name(self._script):
            return 0
        if file.startswith(_INSTALLED):
            return 1
        return 2 if file.startswith(_STANDARD) else 0

    def frames(self) -> Iterator[FrameType]:
        """The running frames that belong to the person, innermost first; those of libraries where there are none."""
        own, libraries = [], []
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            rank = self._rank(frame.f_code.co_filename)
            (own if rank == 0 else libraries if rank == 1 else []).append(frame)
            frame = frame.f_back
        return iter(own or libraries)

    def frame(self) -> FrameType | None:
        """The innermost of them."""
        found: FrameType | None = None
        frame: FrameType | None = sys._getframe(1)
        ranks = self._ranks
        while frame is not None:
            file = frame.f_code.co_filename
            rank = ranks[file] if file in ranks else self._rank(file)
            if rank == 0:
                return frame
            if rank == 1 and found is None:
                found = frame
            frame = frame.f_back
        return found

    def here(self) -> CodeLine:
        """The line that runs now."""
        return self.line_of(self.frame())

    def line_of(self, frame: FrameType | None) -> CodeLine:
        """The line at which a frame is."""
        if frame is None:
            return NOWHERE
        return self.line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)

    def of_error(self, error: BaseException) -> CodeLine:
        """The person's line that an error came from."""
        if isinstance(error, SyntaxError) and error.filename:
            return self.line(error.filename, error.lineno or 0, "<module>")
        found, trace = NOWHERE, error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if self._rank(code.co_filename) == 0:
                found = self.line(code.co_filename, trace.tb_lineno, code.co_qualname)
            trace = trace.tb_next
        return found

    def line(self, file: str, number: int, function: str) -> CodeLine:
        """A line by file and number."""
        if self._rank(file) == 0:
            self._keep(file)
        return CodeLine(
            file=self._name(file), line=number, text=linecache.getline(file, number).strip(), function=function
        )

    def _name(self, file: str) -> str:
        whole = str(Path(file).resolve()) if file and not file.startswith("<") else file
        return whole.removeprefix(self._folder)

    def _keep(self, file: str) -> None:
        name = self._name(file)
        if name in self._texts or len(self._texts) >= _MOST_SOURCES:
            return
        text = "".join(linecache.getlines(file))
        if text and len(text) <= _LONGEST_SOURCE:
            self._texts[name] = text

    def sources(self) -> tuple[SourceFile, ...]:
        """The person's files that took part."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.startswith(self._folder) and self._rank(file) == 0:
                self._keep(file)
        return tuple(SourceFile(path=path, text=text) for path, text in self._texts.items())


def variables(frame: FrameType) -> dict[str, Any]:
    """The variables of a frame, its own before its module's, without keeping any of them alive."""
    own = frame.f_locals
    found = {**frame.f_globals, **own}
    if frame.f_code.co_flags & _LOCALS_ARE_A_COPY and type(own) is dict:
        own.clear()  # before Python 3.13 the frame would hold this copy, and all values in it, until it ends
    return found
