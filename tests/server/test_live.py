"""The live connection: told at once, told of every change, of everything and of nothing twice."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pellucid.results import codec
from pellucid.server.index import RunIndex
from pellucid.server.live import Hub
from pellucid.store.writer import RunWriter

from .conftest import TOKEN, client_of, fill, make_run

pytestmark = pytest.mark.timeout(60)

ADDRESS = "ws://127.0.0.1:8765/api/live"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def runs_dir(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def connect(runs_dir, static):
    """Opens a live connection to an app over ``runs_dir``."""
    client = client_of(runs_dir, static, **HEADERS)
    with client:  # one event loop for all connections
        yield lambda: client.websocket_connect(ADDRESS)


def read_frame(socket):
    return codec.unpack(socket.receive_bytes())


def until(socket, wanted):
    """The first text frame for which ``wanted`` holds; binary frames are passed over."""
    while True:
        message = socket.receive()
        if message.get("text") and wanted(found := json.loads(message["text"])):
            return found


def test_runs_at_once_and_when_the_list_changes(connect, runs_dir):
    with connect() as socket:
        socket.send_json({"type": "watch", "runs": True})
        assert socket.receive_json() == {"type": "runs", "runs": []}
        first = make_run(runs_dir, "first", steps=1)
        found = until(socket, lambda m: m["runs"] and m["runs"][0]["status"] == "finished")
        assert [run["id"] for run in found["runs"]] == [first]
        shutil.rmtree(runs_dir / first)
        assert until(socket, lambda m: not m["runs"]) == {"type": "runs", "runs": []}


def test_rows_arrive_once_each_while_they_are_written(connect, runs_dir):
    with RunWriter.create(runs_dir, name="live", kind="watch") as writer, connect() as socket:
        fill(writer, range(10))
        writer.flush()
        watch = {"type": "watch", "run": writer.id, "tables": {"steps": {}, "layers": {"layer": "head"}}}
        socket.send_json(watch)
        detail = socket.receive_json()
        assert detail["type"] == "run"
        assert detail["run"]["tables"]["steps"] == 10
        seen = {"steps": [], "layers": []}
        ends = {"steps": 0, "layers": 0}
        written = 10
        while len(seen["layers"]) < 40 or len(seen["steps"]) < 40:
            message = socket.receive()
            if message.get("bytes"):
                document, arrays = codec.unpack(message["bytes"])
                table = document["table"]
                assert document["first_row"] == ends[table]
                ends[table] = document["next_row"]
                seen[table] += arrays["step"].tolist()
                if written < 40 and len(seen["layers"]) == len(seen["steps"]) == written:
                    fill(writer, range(written, written + 10))
                    written += 10
        assert seen == {"steps": list(range(40)), "layers": list(range(40))}
        assert ends == {"steps": 40, "layers": 120}


def test_what_the_tables_reading_finds_damaged_is_told_and_remembered(connect, runs_dir):
    run_id = make_run(runs_dir, steps=30)
    (segment,) = (runs_dir / run_id / "segments" / "layers").glob("*.parquet")
    segment.write_bytes(segment.read_bytes()[:100])
    watch = {"type": "watch", "run": run_id, "tables": {"steps": {}, "layers": {}}}
    with connect() as socket:
        socket.send_json(watch)
        assert socket.receive_json()["run"]["warnings"] == []
        (warning,) = until(socket, lambda m: m["run"]["warnings"])["run"]["warnings"]
        assert "segment of the table layers cannot be read" in warning
        with connect() as another:
            another.send_json({"type": "watch", "run": run_id})
            assert another.receive_json()["run"]["warnings"] == [warning]


def test_a_client_goes_on_from_its_row(connect, runs_dir):
    run_id = make_run(runs_dir, steps=30)
    with connect() as socket:
        socket.send_json({"type": "watch", "run": run_id, "resumes": 0, "tables": {"steps": {"after": 28}}})
        assert socket.receive_json()["type"] == "run"
        document, arrays = read_frame(socket)
        assert (document["first_row"], document["next_row"]) == (28, 30)
        assert arrays["step"].tolist() == [28, 29]


def test_a_run_resumed_from_an_earlier_step_is_told_from_row_0(connect, runs_dir):
    run_id = make_run(runs_dir, steps=30)
    with connect() as socket:
        socket.send_json({"type": "watch", "run": run_id, "resumes": 0, "tables": {"steps": {"after": 30}}})
        assert socket.receive_json()["run"]["resumes"] == 0
        assert len(read_frame(socket)[1]["step"]) == 0
        with RunWriter.resume(runs_dir / run_id, after_step=9) as writer:
            fill(writer, range(10, 13))
            writer.flush()
            steps = []
            while steps != list(range(13)):
                message = socket.receive()
                if message.get("bytes"):
                    document, arrays = codec.unpack(message["bytes"])
                    steps = steps[: document["first_row"]] + arrays["step"].tolist()
        detail = until(socket, lambda m: m["run"]["status"] == "finished")
        assert detail["run"]["resumes"] == 1
    with connect() as socket:  # one that was away meanwhile, and knows the old rows
        socket.send_json({"type": "watch", "run": run_id, "resumes": 0, "tables": {"steps": {"after": 12}}})
        socket.receive_json()
        assert read_frame(socket)[0]["first_row"] == 0


def test_a_killed_writer_is_noticed(connect, runs_dir):
    script = (
        "import sys, time; from pellucid.store.writer import RunWriter\n"
        "writer = RunWriter.create(sys.argv[1], name='killed', kind='watch')\n"
        "writer.append('steps', step=0, loss=0.5); writer.flush(); print(writer.id, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(runs_dir)], stdout=subprocess.PIPE, text=True) as process:
        run_id = process.stdout.readline().strip()
        with connect() as socket:
            socket.send_json({"type": "watch", "runs": True, "run": run_id, "tables": {"steps": {}}})
            assert until(socket, lambda m: m["type"] == "run")["run"]["status"] == "running"
            process.kill()
            process.wait()
            assert until(socket, lambda m: m["type"] == "run")["run"]["status"] == "interrupted"
            listed = until(socket, lambda m: m["type"] == "runs" and m["runs"][0]["status"] != "running")
            assert listed["runs"][0]["status"] == "interrupted"


def test_a_run_that_is_not_there_is_an_error_until_it_is(connect, runs_dir):
    run_id = make_run(runs_dir, steps=3)
    (runs_dir / run_id).rename(runs_dir.parent / "aside")
    with connect() as socket:
        socket.send_json({"type": "watch", "run": run_id, "tables": {"steps": {}}})
        message = socket.receive_json()
        assert message["type"] == "error"
        assert run_id in message["error"]["message"]
        (runs_dir.parent / "aside").rename(runs_dir / run_id)
        assert socket.receive_json()["run"]["id"] == run_id
        assert read_frame(socket)[1]["step"].tolist() == [0, 1, 2]


def test_a_new_subscription_replaces_the_old(connect, runs_dir):
    one, two = make_run(runs_dir, "one", 3), make_run(runs_dir, "two", 5)
    with connect() as socket:
        socket.send_json({"type": "watch", "run": one, "tables": {"steps": {}}})
        assert socket.receive_json()["run"]["name"] == "one"
        assert read_frame(socket)[0]["next_row"] == 3
        socket.send_json({"type": "watch", "run": two, "tables": {"metrics": {}}})
        assert socket.receive_json()["run"]["name"] == "two"
        document, arrays = read_frame(socket)
        assert (document["table"], document["run"]) == ("metrics", two)
        labels = document["columns"]["split"]["labels"]
        assert [labels[code] for code in arrays["split"]] == ["train", "validation"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": "other"}',
        '{"type": "watch", "tables": {"nothing": {}}}',
        '{"type": "watch", "tables": {"steps": {"after": -1}}}',
        '{"type": "watch", "tables": {"steps": {"points": 1e99}}}',
        '{"type": "watch", "run": 3}',
        '{"type": "watch", "more": 1}',
        "[" * 10_000,
    ],
)
def test_nonsense_is_answered_and_ignored(connect, runs_dir, text):
    with connect() as socket:
        socket.send_text(text)
        assert "not understood" in socket.receive_json()["error"]["message"]
        socket.send_json({"type": "watch", "runs": True})
        assert socket.receive_json()["type"] == "runs"


@pytest.mark.parametrize("run", ["..", "../elsewhere", "/etc", "a/b", ".hidden", "\u0000", "x" * 5000])
def test_no_run_outside_the_folder(connect, run):
    with connect() as socket:
        socket.send_json({"type": "watch", "run": run, "tables": {"steps": {}}})
        assert socket.receive_json()["type"] == "error"


def test_a_filter_that_a_table_lacks_is_an_error(connect, runs_dir):
    run_id = make_run(runs_dir, steps=3)
    with connect() as socket:
        socket.send_json({"type": "watch", "run": run_id, "tables": {"steps": {"layer": "head"}, "metrics": {}}})
        assert socket.receive_json()["type"] == "run"
        assert "no column layer" in socket.receive_json()["error"]["message"]
        assert read_frame(socket)[0]["table"] == "metrics"


def test_polling_only_while_someone_listens(runs_dir, static, monkeypatch):
    looked = []
    real = RunIndex.read
    monkeypatch.setattr(RunIndex, "read", lambda self: looked.append(1) or real(self))
    client = client_of(runs_dir, static, **HEADERS)
    with client:
        with client.websocket_connect(ADDRESS) as one, client.websocket_connect(ADDRESS) as two:
            for socket in (one, two):
                socket.send_json({"type": "watch", "runs": True})
                socket.receive_json()
            make_run(runs_dir, steps=1)
            for socket in (one, two):
                until(socket, lambda m: m["runs"] and m["runs"][0]["status"] == "finished")
        hub = client.app.state.hub
        client.portal.call(asyncio.sleep, 0.3)
        assert not hub.connections
        before = len(looked)
        client.portal.call(asyncio.sleep, 0.8)
        assert len(looked) == before


class SlowSocket:
    """A page whose network takes its time."""

    def __init__(self, gate: asyncio.Semaphore) -> None:
        self.gate = gate
        self.frames = []

    async def send_text(self, text):
        pass

    async def send_bytes(self, payload):
        await self.gate.acquire()
        self.frames.append(codec.unpack(payload))


def test_a_slow_client_gets_merged_frames(runs_dir):
    from pellucid.server import live
    from pellucid.server.models import WatchMessage

    async def scenario():
        hub = Hub(runs_dir, RunIndex(runs_dir))
        socket, connection = SlowSocket(asyncio.Semaphore(1)), live._Connection()
        with RunWriter.create(runs_dir, name="fast", kind="watch") as writer:
            fill(writer, range(1))
            writer.flush()
            hub.join(connection)
            teller = asyncio.create_task(live._tell(socket, hub, connection))
            connection.subscribe(WatchMessage(type="watch", run=writer.id, tables={"steps": {}}))
            for step in range(1, 9):
                fill(writer, range(step, step + 1))
                writer.flush()
                await asyncio.sleep(0.3)
        for _ in range(3):
            socket.gate.release()
            await asyncio.sleep(0.5)
        hub.leave(connection)
        teller.cancel()
        return socket.frames

    frames = asyncio.run(scenario())
    assert 2 <= len(frames) <= 4  # eight flushes, seen by every quick client one by one
    assert np.concatenate([arrays["step"] for _, arrays in frames]).tolist() == list(range(9))


def test_two_hundred_runs_are_read_once(runs_dir):
    for number in range(20):
        make_run(runs_dir, f"run {number}", steps=1)
    originals = sorted(runs_dir.iterdir())
    for number in range(180):
        source = originals[number % 20]
        shutil.copytree(source, runs_dir / f"{source.name}-{number}")
    index = RunIndex(runs_dir)
    assert len(index.read()) == 200
    opened = []
    real = Path.read_bytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", lambda self: opened.append(self) or real(self))
        index.read()
        assert opened == []
        (originals[3] / "run.json").write_bytes(real(originals[3] / "run.json") + b" ")
        index.read()
        assert {path.parent.name for path in opened} == {originals[3].name}


def test_a_folder_that_becomes_a_run_takes_its_place(runs_dir):
    old, new = make_run(runs_dir, "old", 1), make_run(runs_dir, "new", 1)
    manifest = (runs_dir / old / "run.json").read_bytes()
    shutil.rmtree(runs_dir / old)
    (runs_dir / old).mkdir()
    index = RunIndex(runs_dir)
    assert [run.name for run in index.read()] == ["new"]
    (runs_dir / old / "run.json").write_bytes(manifest)
    assert [run.name for run in index.read()] == ["new", "old"]
    (runs_dir / new / "run.json").write_text("{")
    assert {run.id: run.status for run in index.read()} == {new: "unreadable", old: "finished"}
    (runs_dir / new / "run.json").unlink()
    assert index.read()[0].status == "unreadable"
