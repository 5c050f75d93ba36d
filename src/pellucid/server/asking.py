"""Questions that need torch are put to child processes, so that the server itself never loads it.

Each run and example that is asked about has a child of its own (see ``answering``), which keeps the trace between
questions. There are few of them; the one that was idle longest makes room, and each ends by itself when idle.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, cast

from pellucid import errors
from pellucid.errors import PellucidError, RunError, RunNotFoundError, ServerError, TraceError
from pellucid.server.answering import HEADER
from pellucid.store.run import find_run

__all__ = ["Desk"]

_LOG = logging.getLogger("pellucid.server")

_MOST_WAITING = 16
_COMMAND = (sys.executable, "-P", "-m", "pellucid.server.answering")
_LAST_WORDS = 4000

_Job = tuple["Future[bytes]", bytes]


class Desk:
    """Takes questions and hands them to child processes. May be used from any thread.

    Args:
        runs_dir: The runs folder.
        most: How many children may live at a time.
        idle_s: After how many seconds without a question a child ends.
        limit_s: After how many seconds an answer is given up.
        grace_s: How long an answer that nobody waits for any more may still take.
        command: What starts a child.
    """

    def __init__(
        self,
        runs_dir: str | Path,
        *,
        most: int = 2,
        idle_s: float = 600.0,
        limit_s: float = 300.0,
        grace_s: float = 5.0,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self.runs_dir, self.most, self.idle_s, self.limit_s, self.grace_s = runs_dir, most, idle_s, limit_s, grace_s
        self.command = tuple(command)
        self._lock = threading.Lock()
        self._children: dict[str, _Child] = {}

    def submit(self, run_id: str, subject: dict[str, Any], question: dict[str, Any]) -> Future[bytes]:
        """Put a question; the payload of its answer, or the error, comes with the future.

        Args:
            run_id: The run asked about.
            subject: What is opened: the kind of questions, and which example.
            question: The question.

        Raises:
            RunError: there is no such run, or nothing in it that could be asked.
            ServerError: too much is being asked already.
        """
        self._check(run_id)
        opening = json.dumps({**subject, "run": run_id, "runs_dir": str(self.runs_dir)}, sort_keys=True)
        future: Future[bytes] = Future()
        with self._lock:
            child = self._children.get(opening)
            if child is None:
                self._make_room()
                child = self._children[opening] = _Child(self, opening)
            child.put(future, json.dumps(question).encode())
        return future

    def forget(self, future: Future[bytes]) -> None:
        """Nobody waits for this answer any more: it is left out, or given up if it takes long."""
        if future.cancel():
            return
        with self._lock:
            child = next((one for one in self._children.values() if one.current is future), None)
        if child is not None:
            child.abandon(future, self.grace_s)

    def close(self) -> None:
        """End every child."""
        with self._lock:
            children, self._children = list(self._children.values()), {}
        for child in children:
            child.end()

    def alive(self) -> int:
        """How many children there are."""
        with self._lock:
            return len(self._children)

    def retire(self, child: _Child) -> bool:
        """Let a child go that has nothing to do; False if a question has come in meanwhile."""
        with self._lock:
            if child.is_wanted:
                return False
            self._children = {key: one for key, one in self._children.items() if one is not child}
            return True

    def _make_room(self) -> None:
        """The child that was idle longest ends, if there are too many. Called with the lock held."""
        if len(self._children) < self.most:
            return
        idle = {key: child for key, child in self._children.items() if not child.is_wanted}
        if not idle:
            raise ServerError(
                f"{self.most} other examples are being computed just now",
                remedy="wait until they are done, or close their pages, and ask again",
            )
        oldest = min(idle, key=lambda key: idle[key].used_at)
        self._children.pop(oldest).end()

    def _check(self, run_id: str) -> None:
        """Refuse at once what no child could answer."""
        run = find_run(run_id, self.runs_dir)
        if run.manifest.kind != "fit":
            raise RunError(
                "this run was recorded by a watch, so it holds no network",
                place=run.location,
                remedy="trace the model in your own script with pellucid.trace(), or give a run of `pellucid fit`",
            )
        if not run.file_names("checkpoints"):
            raise RunNotFoundError(
                "the run has no weights yet", place=run.location, remedy="wait for its first checkpoint"
            )


class _Child:
    """One child process, the thread that talks to it, and the questions that wait."""

    def __init__(self, desk: Desk, opening: str) -> None:
        self._desk, self._opening = desk, opening
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._waiting: tuple[Future[bytes], ...] = ()
        self._counting = threading.Lock()
        self._abandoned: Future[bytes] | None = None
        self._timed_out = self._ended = self._given_up = False
        self.current: Future[bytes] | None = None
        self.used_at = time.monotonic()
        threading.Thread(target=self._work, name="pellucid-asking", daemon=True).start()

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for an answer."""
        return any(not one.done() and one is not self._abandoned for one in self._waiting)

    def put(self, future: Future[bytes], question: bytes) -> None:
        """Queue a question. Called with the desk's lock held."""
        if len(self._waiting) >= _MOST_WAITING:
            raise ServerError("too many questions wait already", remedy="wait for the answers, and ask again")
        with self._counting:
            self._waiting = (*self._waiting, future)
        self._jobs.put((future, question))

    def end(self) -> None:
        """No more questions: those that wait are refused."""
        self._ended = True
        self._jobs.put(None)
        self._kill()

    def abandon(self, future: Future[bytes], grace_s: float) -> None:
        """Nobody waits for this answer: end the process if it is still at it after a while."""
        self._abandoned = future

        def give_up() -> None:
            if self.current is future and not future.done():
                self._given_up = True
                self._kill()

        _start_timer(grace_s, give_up)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self._desk.idle_s)
            except queue.Empty:
                if self._desk.retire(self):
                    break
                continue
            if job is None:
                break
            self._answer(*job)
            self.used_at = time.monotonic()
        self._discard()

    def _answer(self, future: Future[bytes], question: bytes) -> None:
        payload, failure = b"", None
        if future.set_running_or_notify_cancel():
            self.current, self._timed_out, self._given_up = future, False, False
            limit = _start_timer(self._desk.limit_s, self._time_out)
            try:
                payload = self._ask(question)
            except Exception as error:
                failure = error
            limit.cancel()
        self.current = None
        with self._counting:
            self._waiting = tuple(one for one in self._waiting if one is not future)
        if failure is not None:
            future.set_exception(failure)
        elif not future.cancelled():
            future.set_result(payload)

    def _ask(self, question: bytes) -> bytes:
        """The answer; the process is started if there is none, or none any more."""
        if self._ended:
            raise ServerError("the app is closing", remedy="open it again, and ask again")
        process = self._process
        if process is None or process.poll() is not None:
            self._discard()
            process = self._start()
            try:
                self._exchange(process, self._opening.encode())
            except PellucidError:
                self._discard()
                raise
        return self._exchange(process, question)

    def _start(self) -> subprocess.Popen[bytes]:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process
        self._process = subprocess.Popen(
            self._desk.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C in the terminal is the server's affair
        )
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> bytes:
        """One line out, one frame in."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
            head = process.stdout.read(HEADER.size)
            letter, length = HEADER.unpack(head) if len(head) == HEADER.size else (b"", 0)
            payload = process.stdout.read(length)
        except OSError as error:
            raise self._died(process) from error
        if letter == b"E" and len(payload) == length:
            raise _error_of(payload)
        if letter != b"R" or len(payload) != length:
            raise self._died(process)
        return payload

    def _died(self, process: subprocess.Popen[bytes]) -> PellucidError:
        """Why there is no answer; the log gets the process's last words."""
        process.kill()
        code = process.wait()
        if self._log is not None and not (self._ended or self._given_up):
            self._log.seek(0)
            words = self._log.read()[-_LAST_WORDS:].decode(errors="replace")
            _LOG.warning("the process that answered questions ended (%s)\n%s", code, words)
        self._discard()
        if self._timed_out:
            return TraceError(
                f"there was no answer within {self._desk.limit_s:g} s",
                remedy="ask about a smaller example, or use pellucid.trace() in a script",
            )
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        return TraceError(
            f"the process that computes the trace ended unexpectedly ({ended})",
            remedy="ask again: it starts anew; if it ends again, see what the terminal says",
        )

    def _time_out(self) -> None:
        self._timed_out = True
        self._kill()

    def _kill(self) -> None:
        """Let the process end; from any thread."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def _discard(self) -> None:
        """Be done with the process; from the child's own thread."""
        process, log, self._process, self._log = self._process, self._log, None, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # what was not written yet has no reader any more
                        stream.close()
        if log is not None:
            log.close()


def _start_timer(seconds: float, call: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer


def _error_of(payload: bytes) -> PellucidError:
    """The error that the child raised, of the same class."""
    said = cast("dict[str, str]", json.loads(payload))
    kind = getattr(errors, said["kind"], None)
    if not (isinstance(kind, type) and issubclass(kind, PellucidError)):
        kind = PellucidError
    return kind(said["message"], place=said["place"], remedy=said["remedy"])
