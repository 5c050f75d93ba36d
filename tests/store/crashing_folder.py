"""A local folder on which the process dies at a chosen operation."""

from __future__ import annotations

from pellucid.store.filesystem import PARTIAL, LocalFolder


class Crash(BaseException):
    """Stands for ``kill -9``: no handler of ordinary exceptions sees it."""


class CrashingFolder(LocalFolder):
    """Counts down over three moments a write (before, half written, just renamed) and two a delete (before, after)."""

    def __init__(self, path, moments: int) -> None:
        super().__init__(path)
        self.moments = moments

    def _pass(self) -> None:
        self.moments -= 1
        if self.moments == 0:
            raise Crash

    def write(self, relative, content, *, durable=False):
        self._pass()
        half = self.path / (relative + ".0dead0" + PARTIAL)
        half.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(content[: len(content) // 2])
        self._pass()
        half.unlink()
        super().write(relative, content, durable=durable)
        self._pass()

    def delete(self, relative):
        self._pass()
        super().delete(relative)
        self._pass()
