"""The terminal that commands write to."""

from __future__ import annotations

from typing import Any

from rich.console import Console

__all__ = ["PatientConsole"]


class PatientConsole(Console):
    """A console that falls silent when its reader has gone (`pellucid runs | head`), where rich would end the process.

    A fit must not die because nobody looks at its progress any more.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, **options)

    def on_broken_pipe(self) -> None:
        """Say nothing from here on."""
        self.quiet = True
