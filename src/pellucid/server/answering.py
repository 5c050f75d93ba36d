"""The process that answers questions to one trace: torch is loaded here, never in the server.

``python -m pellucid.server.answering`` reads one line of JSON that says what to open, and then one line a question.
Each line is answered by a frame: a letter (``R`` a result's payload, ``E`` an error as JSON), the length as eight
bytes, and so many bytes. It ends with its input.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pellucid.errors import PellucidError, SettingsError

if TYPE_CHECKING:
    from pellucid.store.run import Run

__all__ = ["HEADER", "main", "serve_questions"]

HEADER = struct.Struct(">cQ")
"""A frame's head: its letter and its length."""

Answer = Callable[[dict[str, Any]], bytes]
"""What answers the questions to something that was opened."""

_POLITE = 5
"""How far the process steps back behind others, such as a training that goes on."""


def serve_questions(lines: BinaryIO, frames: BinaryIO) -> None:
    """Open what the first line says, then answer one line after the other.

    Args:
        lines: The questions.
        frames: Where the answers go.
    """
    answer: Answer | None = None
    for line in lines:
        try:
            document = json.loads(line)
            if answer is None:
                answer = _open(document)
                _write(frames, b"R", b"")
            else:
                _write(frames, b"R", answer(document))
        except PellucidError as error:
            _write(frames, b"E", _explain(type(error).__name__, error.message, error.place, error.remedy))
        except Exception as error:  # a model's own code may raise anything; the next question may fare better
            sys.excepthook(type(error), error, error.__traceback__)
            said = f"the question could not be answered ({type(error).__name__}: {str(error)[:300]})"
            _write(frames, b"E", _explain("TraceError", said, "", "see what the terminal says"))
        if answer is None:
            return


def _open(document: dict[str, Any]) -> Answer:
    """What answers questions of a kind."""
    kind = document.get("kind")
    if kind not in _OPENERS:
        raise SettingsError(
            f"there are no questions of the kind {kind!r}", place="kind", remedy=f"ask {', '.join(_OPENERS)}"
        )
    return _OPENERS[kind](document)


def _open_trace(document: dict[str, Any]) -> Answer:
    """One example of a run, traced; anew when a walk is asked for and the run has other weights since."""
    from pellucid.lenses.trace_questions import answer
    from pellucid.store.run import find_run
    from pellucid.training.traced import trace_example

    example = int(document["example"])
    run = find_run(document["run"], document["runs_dir"])
    seen = _weights_seen(run)
    trace, split = trace_example(run, example)

    def answer_one(question: dict[str, Any]) -> bytes:
        nonlocal trace, split, seen
        if question.get("ask") == "stepper" and _weights_seen(run) != seen:
            seen = _weights_seen(run)
            trace, split = trace_example(find_run(document["run"], document["runs_dir"]), example)
        return answer(trace, question, subject=f"row {example} of the {split} split").to_bytes()

    return answer_one


def _weights_seen(run: Run) -> list[tuple[str, int]]:
    """The files with weights and when they were written; nothing of a run that is not on this machine's disk."""
    try:
        return sorted((path.name, path.stat().st_mtime_ns) for path in Path(run.location, "checkpoints").iterdir())
    except OSError:
        return []


_OPENERS: dict[str, Callable[[dict[str, Any]], Answer]] = {"trace": _open_trace}
"""The kinds of questions."""


def _explain(kind: str, message: str, place: str, remedy: str) -> bytes:
    return json.dumps({"kind": kind, "message": message, "place": place, "remedy": remedy}).encode()


def _write(frames: BinaryIO, letter: bytes, payload: bytes) -> None:
    frames.write(HEADER.pack(letter, len(payload)) + payload)
    frames.flush()


def main() -> int:
    """Answer what comes on standard input; what a model prints goes to standard error."""
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(_POLITE)
    serve_questions(sys.stdin.buffer, frames)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
