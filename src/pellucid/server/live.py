"""The live connection: one task looks at the disk for everybody; each connection is told what it has not heard yet.

Nothing queues up. The poller only wakes connections; a connection then compares what is on disk with what it sent
last, so that a slow client gets fewer and longer frames, never a backlog.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from pellucid.errors import PellucidError
from pellucid.server.describe import describe_run
from pellucid.server.index import RunIndex
from pellucid.server.models import (
    ErrorDetail,
    ErrorMessage,
    RunDetail,
    RunMessage,
    RunsMessage,
    TableSubscription,
    WatchMessage,
)
from pellucid.store.run import Run, find_run

__all__ = ["POLL_INTERVAL_S", "Hub", "live", "router"]

POLL_INTERVAL_S = 0.25
"""How often the runs folder is looked at while anyone is connected."""

_RECHECK_TICKS = 8
"""A writer that died changes no file: a run that says running is described anew after this many looks."""

router = APIRouter()


@dataclass(frozen=True)
class _RunState:
    """A watched run as it was last found: either it and its description, or why it cannot be read."""

    run: Run | None
    detail: RunDetail | None
    message: str  # the text frame that tells it


@dataclass(eq=False)
class _Connection:
    """What one page wants, and what it was sent last."""

    watch: WatchMessage = field(default_factory=lambda: WatchMessage(type="watch"))
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    runs_sent: str = ""
    run_sent: str = ""
    resumes: int | None = None
    next_rows: dict[str, int] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)  # tables of which a first frame was sent

    def subscribe(self, watch: WatchMessage) -> None:
        """Replace the subscription; everything it names is sent at once."""
        self.watch = watch
        self.runs_sent = self.run_sent = ""
        self.resumes = watch.resumes
        self.begun = set()
        self.next_rows = {table: wanted.after for table, wanted in _tables(watch).items()}
        self.wake.set()


class Hub:
    """All connections of a server, and the one task that looks at the runs folder for them."""

    def __init__(self, runs_dir: str | Path, index: RunIndex) -> None:
        self.runs_dir = runs_dir
        self.index = index
        self.connections: set[_Connection] = set()
        self.runs_message = ""
        self._states: dict[str, _RunState] = {}
        self._signatures: dict[str, object] = {}
        self._warnings: dict[tuple[str, int], dict[str, None]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._ticks = 0

    def join(self, connection: _Connection) -> None:
        """Take a connection in; with the first one, polling begins."""
        self.connections.add(connection)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())

    def leave(self, connection: _Connection) -> None:
        """Let a connection go; after the last one, polling ends."""
        self.connections.discard(connection)
        if not self.connections and self._poller is not None:
            self._poller.cancel()
            self._poller = None
            self._states.clear()
            self._warnings.clear()
            self._signatures.clear()

    async def state_of(self, run_id: str) -> _RunState:
        """A run as the poller found it last; looked up now if nobody watched it so far."""
        if run_id not in self._states:
            found = await asyncio.to_thread(_look_at, run_id, self.runs_dir)
            return self._states.setdefault(run_id, found)  # the poller may have looked later
        return self._states[run_id]

    def message_of(self, state: _RunState) -> str:
        """The text frame of a run, with what could not be read of it: that shows only once its tables are read."""
        if state.run is None or state.detail is None:
            return state.message
        key = (state.detail.id, state.detail.resumes)
        found = {**self._warnings.get(key, {}), **dict.fromkeys(state.run.warnings)}
        if not found:
            return state.message
        self._warnings[key] = found
        return RunMessage(type="run", run=state.detail.model_copy(update={"warnings": list(found)})).model_dump_json()

    async def list_message(self) -> str:
        """The text frame with all runs."""
        if not self.runs_message:
            self.runs_message = await asyncio.to_thread(self._list_runs)
        return self.runs_message

    def _list_runs(self) -> str:
        try:
            return RunsMessage(type="runs", runs=self.index.read()).model_dump_json()
        except PellucidError as error:
            return _error_message(error.message, error.place, error.remedy)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            self._ticks += 1
            changed = await self._look_at_list() | await self._look_at_runs()
            if changed:
                for connection in self.connections:
                    connection.wake.set()

    async def _look_at_list(self) -> bool:
        if not any(connection.watch.runs for connection in self.connections):
            self.runs_message = ""
            return False
        before = self.runs_message
        self.runs_message = await asyncio.to_thread(self._list_runs)
        return self.runs_message != before

    async def _look_at_runs(self) -> bool:
        watched = {connection.watch.run for connection in self.connections} - {None}
        for gone in self._states.keys() - watched:
            del self._states[gone]
            self._signatures.pop(gone, None)
        changed = False
        for run_id in watched:
            assert run_id is not None
            signature = await asyncio.to_thread(_signature, run_id, self.runs_dir)
            state = self._states.get(run_id)
            running = state is not None and state.detail is not None and state.detail.status == "running"
            if signature == self._signatures.get(run_id) and not (running and self._ticks % _RECHECK_TICKS == 0):
                continue
            self._signatures[run_id] = signature
            found = await asyncio.to_thread(_look_at, run_id, self.runs_dir)
            changed |= state is None or found.message != state.message
            self._states[run_id] = found
        return changed


def _look_at(run_id: str, runs_dir: str | Path) -> _RunState:
    """Open and describe a run; what is wrong with it becomes the message."""
    try:
        run = find_run(run_id, runs_dir)
        detail = describe_run(run)
        return _RunState(run, detail, RunMessage(type="run", run=detail).model_dump_json())
    except PellucidError as error:
        return _RunState(None, None, _error_message(error.message, error.place, error.remedy))


def _error_message(message: str, where: str = "", remedy: str = "") -> str:
    detail = ErrorDetail(message=message, where=where, remedy=remedy)
    return ErrorMessage(type="error", error=detail).model_dump_json()


def _signature(run_id: str, runs_dir: str | Path) -> object:
    """What changes when anything in the run's folder does; for a remote folder always new."""
    from pellucid.store.locations import is_run_id, is_uri

    if is_uri(runs_dir) or not is_run_id(run_id):
        return object()
    folder = Path(runs_dir) / run_id
    seen: list[tuple[int, int]] = []
    for part in ("run.json", "rewind.json", "results", *(f"segments/{name}" for name in _TABLE_NAMES)):
        try:
            found = (folder / part).stat()
            seen.append((found.st_mtime_ns, found.st_size))
        except OSError:
            seen.append((0, 0))
    return tuple(seen)


_TABLE_NAMES = ("steps", "layers", "histograms", "metrics", "observations", "geometry", "events")


def _tables(watch: WatchMessage) -> dict[str, TableSubscription]:
    wanted = {table: getattr(watch.tables, table) for table in _TABLE_NAMES}
    return {table: each for table, each in wanted.items() if each is not None}


@router.websocket("/api/live")
async def live(socket: WebSocket) -> None:
    """Tell one page what it asked to hear of, until it goes."""
    hub: Hub = socket.app.state.hub
    connection = _Connection()
    await socket.accept()
    hub.join(connection)
    both = [asyncio.create_task(_listen(socket, connection)), asyncio.create_task(_tell(socket, hub, connection))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:  # nothing is awaited here, so that a server that is being stopped comes through
        for task in both:
            task.cancel()
        hub.leave(connection)
    for task in both:
        with contextlib.suppress(WebSocketDisconnect, asyncio.CancelledError):
            await task


async def _listen(socket: WebSocket, connection: _Connection) -> None:
    """Take subscriptions until the page goes; what cannot be understood is answered and otherwise ignored."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            connection.subscribe(WatchMessage.model_validate_json(message.get("text") or message.get("bytes") or ""))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.send_text(_error_message(f"the message is not understood: {first['msg']}", where))


async def _tell(socket: WebSocket, hub: Hub, connection: _Connection) -> None:
    """Whenever woken, send what this connection has not heard yet."""
    while True:
        await connection.wake.wait()
        connection.wake.clear()
        if connection.watch.runs:
            message = await hub.list_message()
            if message != connection.runs_sent:
                connection.runs_sent = message
                await socket.send_text(message)
        if connection.watch.run is not None:
            await _tell_run(socket, hub, connection)


async def _tell_run(socket: WebSocket, hub: Hub, connection: _Connection) -> None:
    watch = connection.watch
    assert watch.run is not None
    state = await hub.state_of(watch.run)
    if connection.watch is not watch:
        return  # another subscription came meanwhile, and has woken us again
    await _tell_description(socket, connection, hub.message_of(state))
    if state.run is None or state.detail is None:
        return
    if connection.resumes not in (None, state.detail.resumes):
        connection.next_rows = dict.fromkeys(connection.next_rows, 0)  # rows were numbered anew
    connection.resumes = state.detail.resumes
    for table, wanted in _tables(watch).items():
        await _tell_table(socket, connection, state.run, table, wanted)
        if connection.watch is not watch:
            return
    await _tell_description(socket, connection, hub.message_of(state))


async def _tell_description(socket: WebSocket, connection: _Connection, message: str) -> None:
    if message != connection.run_sent:
        connection.run_sent = message
        await socket.send_text(message)


async def _tell_table(
    socket: WebSocket, connection: _Connection, run: Run, table: str, wanted: TableSubscription
) -> None:
    """Send what was added since this connection's last frame: also if it is nothing of the layer asked for."""
    from pellucid.server.frames import build_frame  # NumPy and pyarrow load with the first table

    watch = connection.watch
    after = connection.next_rows[table]
    first = table not in connection.begun
    if not first and run.row_count(table) == after:
        return
    try:
        frame = await asyncio.to_thread(
            build_frame, run, table, after=after, points=wanted.points, layer=wanted.layer, kind=wanted.kind
        )
    except PellucidError as error:
        await socket.send_text(_error_message(error.message, error.place, error.remedy))
        connection.begun.add(table)
        connection.next_rows[table] = run.row_count(table)
        return
    if connection.watch is not watch:
        return
    connection.begun.add(table)
    connection.next_rows[table] = frame.next_row
    await socket.send_bytes(frame.payload)
