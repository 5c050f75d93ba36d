"""Processes that ``torch.multiprocessing.spawn`` starts: each is watched, and writes a run of its own."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import util
from typing import TYPE_CHECKING, Any

from pellucid.watch.script_parts import ScriptSettings

if TYPE_CHECKING:
    from pellucid.watch.script_watch import ScriptWatch

__all__ = ["ArgumentsUnderWatch"]


class ArgumentsUnderWatch(tuple[Any, ...]):
    """The arguments of a function that runs in other processes. Who unpickles them finds a plain tuple, and is watched.

    No frame of ours stands above the function, so that its errors read as without a watch.
    """

    settings: ScriptSettings
    numbers: Iterator[int]

    @classmethod
    def of(cls, arguments: Sequence[Any], settings: ScriptSettings) -> ArgumentsUnderWatch:
        """The arguments, with the settings of the watch over each process; the processes are counted from 0."""
        made = cls(arguments)
        made.settings, made.numbers = settings, itertools.count()
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        own = self.settings.name or self.settings.title.removesuffix(".py")
        return _arrive, (replace(self.settings, name=f"{own}-process{next(self.numbers)}"), tuple(self))


def _arrive(settings: ScriptSettings, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """In the new process, while it reads what it is to do. Whatever fails here, the process goes on."""
    with suppress(Exception):
        from pellucid.watch.script_watch import ScriptWatch

        watch = ScriptWatch(settings)
        watch.start()
        _stop_at_the_end(watch)
        util.register_after_fork(watch, _stop_at_the_end)  # a server that forks forgets what is to be done at the end
    return arguments


def _stop_at_the_end(watch: ScriptWatch) -> None:
    util.Finalize(None, _stop, args=(watch,), exitpriority=100)


def _stop(watch: ScriptWatch) -> None:
    error = sys.exc_info()[1]
    while isinstance(error, SystemExit) and error.__context__ is not None:
        error = error.__context__  # torch leaves by an exit when it has noted the error
    watch.stop(None if isinstance(error, SystemExit) else error)
