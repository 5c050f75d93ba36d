"""``pellucid.watch()`` in one line: the script or notebook that says it is watched until it ends."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from pellucid.errors import SettingsError
from pellucid.watch.script_parts import ScriptSettings
from pellucid.watch.script_watch import ScriptWatch

__all__ = ["watch_script"]


def watch_script(
    *, runs_dir: str | Path | None = None, name: str = "", budget: float = 0.03, full: bool = False
) -> ScriptWatch:
    """Watch whatever trains in this process from here on, until it ends or ``stop`` is called.

    Args:
        runs_dir: Where to make the run; None means ``$PELLUCID_RUNS`` or ``./runs``.
        name: The run's name; '' means the script's.
        budget: Share of the training time that the watch may cost, 0…1.
        full: Everything at every step, whatever it costs.

    Raises:
        SettingsError: A budget outside 0…1.
    """
    if not 0 <= budget <= 1:
        raise SettingsError(f"the budget is a share of the training time, not {budget}", remedy="give 0…1, e.g. 0.03")
    file = getattr(sys.modules["__main__"], "__file__", None)
    script = Path(file) if isinstance(file, str) and Path(file).is_file() else None
    watch = ScriptWatch(
        ScriptSettings(
            budget=budget,
            full=full,
            runs_dir=runs_dir,
            name=name,
            script=script,
            title=script.name if script else "session",
            arguments=tuple(sys.argv[1:]) if script else (),
            starter=("python",) if script else (),
        )
    )
    watch.start()
    watch.note_compiled_before()
    _stop_at_the_end(watch)
    return watch


def _stop_at_the_end(watch: ScriptWatch) -> None:
    """With the process, and with the error it ends by, where it ends by one."""
    last: list[BaseException] = []
    hook = sys.excepthook

    def note(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
        last.append(error)
        return hook(kind, error, trace)

    sys.excepthook = note
    atexit.register(lambda: watch.stop(last[-1] if last else None))
