"""Questions to a run's trace through the app, held against the same trace asked in this process."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from safetensors import safe_open

import pellucid
from pellucid.errors import RunError, RunNotFoundError, ServerError, SettingsError, TraceError
from pellucid.results.base import Result
from pellucid.server.asking import Desk
from pellucid.store.run import find_run
from pellucid.store.writer import RunWriter

from .conftest import TOKEN, client_of, make_run

STAND_IN = """
import json, os, struct, sys, time
from pellucid.server.answering import HEADER
frames, lines = sys.stdout.buffer, sys.stdin.buffer
opened = json.loads(lines.readline())
def say(payload, letter=b"R"):
    frames.write(HEADER.pack(letter, len(payload)) + payload)
    frames.flush()
say(b"")
for line in lines:
    question = json.loads(line)
    if question["ask"] == "crash":
        os._exit(3)
    if question["ask"] == "half":
        frames.write(HEADER.pack(b"R", 100) + b"only this")
        frames.flush()
        os._exit(0)
    if question["ask"] == "sleep":
        time.sleep(question["seconds"])
    say(json.dumps([os.getpid(), opened["example"]]).encode())
"""
"""A child without torch, so that what the desk does with children can be seen quickly."""


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> tuple[Path, str]:
    """(runs folder, id) of a small network that was fitted."""
    runs_dir = tmp_path_factory.mktemp("fitted")
    run = pellucid.fit("iris", epochs=2, runs_dir=runs_dir, seed=3)
    return runs_dir, run.id


@pytest.fixture
def app(fitted, static):
    client = client_of(fitted[0], static, Authorization=f"Bearer {TOKEN}")
    yield client
    client.app.state.desk.close()


@pytest.fixture
def desk(fitted):
    desk = Desk(fitted[0], command=(sys.executable, "-c", STAND_IN), grace_s=0.1)
    yield desk
    desk.close()


def ask(client, run: str, example: int = 5, **question: object):
    return client.post(f"/api/runs/{run}/ask", json={"kind": "trace", "example": example, "question": question})


def put(desk: Desk, run: str, example: int, **question: object) -> Future[bytes]:
    return desk.submit(run, {"kind": "trace", "example": example}, {"ask": "who", **question})


def who(desk: Desk, run: str, example: int, **question: object) -> list[int]:
    import json

    return json.loads(put(desk, run, example, **question).result(30))


def test_answers_are_those_of_the_trace_itself(app, fitted):
    from pellucid.training.traced import trace_example

    run = fitted[1]
    trace, split = trace_example(find_run(run, fitted[0]), 5)
    stepper = Result.from_bytes(ask(app, run, ask="stepper").content)
    assert stepper.subject == f"row 5 of the {split} split"
    assert stepper.loss == trace.loss.value
    weight = next(name for name in trace.tape.parameters if name.endswith("weight"))
    found = Result.from_bytes(ask(app, run, ask="gradient", name=weight, index=[1, 2]).content)
    assert found.value == trace.gradient(weight, (1, 2)).value
    tried = Result.from_bytes(ask(app, run, ask="what_if", name=weight, index=[1, 2], value=0.5).content)
    assert tried.loss_after == trace.what_if(weight, (1, 2), value=0.5).loss_after
    assert Result.from_bytes(ask(app, run, ask="check").content).agrees
    assert Result.from_bytes(ask(app, run, ask="outline").content).loss == trace.loss.value
    assert app.app.state.desk.alive() == 1


@pytest.mark.parametrize(
    ("question", "status", "said"),
    [
        ({"ask": "fortune"}, 400, "there is no question 'fortune'"),
        ({}, 400, "there is no question"),
        ({"ask": "value", "name": "nothing", "index": [0]}, 400, "nothing"),
        ({"ask": "value", "name": "loss", "index": "x"}, 400, "list of integers"),
        ({"ask": "loss", "of": 3}, 400, "has no 'of'"),
    ],
)
def test_a_question_that_is_not_understood_says_so(app, fitted, question, status, said):
    answer = ask(app, fitted[1], **question)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert said in error["message"]
    assert error["where"]
    assert error["remedy"]


def test_an_example_that_is_not_there_says_which_are(app, fitted):
    answer = ask(app, fitted[1], example=10_000, ask="loss")
    assert answer.status_code == 400
    assert "0 and 149" in answer.json()["error"]["remedy"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "trace", "question": {}},
        {"kind": "trace", "example": -1, "question": {}},
        {"kind": "séance", "example": 1, "question": {}},
        {"kind": "trace", "example": 1, "question": []},
        {"kind": "trace", "example": 1, "question": {}, "more": 1},
    ],
)
def test_a_malformed_request_starts_nothing(app, fitted, body):
    assert app.post(f"/api/runs/{fitted[1]}/ask", json=body).status_code == 422
    assert app.app.state.desk.alive() == 0


def test_runs_without_a_network_are_refused_at_once(finished, tmp_path, static):
    client = client_of(finished[0], static, Authorization=f"Bearer {TOKEN}")
    answer = ask(client, finished[1], ask="loss")
    assert answer.status_code == 404
    assert "no weights yet" in answer.json()["error"]["message"]
    assert ask(client, "no-such-run", ask="loss").status_code == 404
    with RunWriter.create(tmp_path, name="w", kind="watch", settings={}, environment={}) as writer:
        watched = writer.id
    with pytest.raises(RunError, match="recorded by a watch"):
        Desk(tmp_path).submit(watched, {}, {})
    assert client.app.state.desk.alive() == 0


def test_data_that_has_gone_is_named(tmp_path, static):
    table = tmp_path / "points.csv"
    table.write_text("a,b,y\n" + "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(60)))
    run = pellucid.fit(table, target="y", epochs=1, runs_dir=tmp_path / "runs", seed=0)
    table.unlink()
    client = client_of(tmp_path / "runs", static, Authorization=f"Bearer {TOKEN}")
    answer = ask(client, run.id, ask="loss")
    assert answer.status_code == 400
    assert "points.csv" in str(answer.json()["error"])
    client.app.state.desk.close()


def test_strangers_and_other_pages_may_not_ask(fitted, static, stranger, app):
    address, body = f"/api/runs/{fitted[1]}/ask", {"kind": "trace", "example": 1, "question": {"ask": "loss"}}
    assert stranger.post(address, json=body).status_code == 401
    assert app.post(address, json=body, headers={"Origin": "http://evil.example"}).status_code == 403
    assert app.post(address, json=body, headers={"Host": "evil.example"}).status_code == 400
    assert app.post(address, content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert app.post(address, data={"a": "b"}).status_code == 415
    assert app.post(address, json={**body, "question": {"ask": "x" * 20_000}}).status_code == 413
    chunks = (part for part in [b"{}"])
    assert app.post(address, content=chunks, headers={"Content-Type": "application/json"}).status_code == 411
    assert app.get(address).status_code == 404
    assert app.post(f"/api/runs/{fitted[1]}", json=body).status_code == 405
    assert app.app.state.desk.alive() == 0


def test_the_server_process_never_loads_torch(fitted):
    code = f"""
import sys
from pellucid.server.asking import Desk
desk = Desk({str(fitted[0])!r})
payload = desk.submit({fitted[1]!r}, {{"kind": "trace", "example": 1}}, {{"ask": "loss"}}).result(120)
print(len(payload) > 100, 'torch' in sys.modules)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    assert shown.stdout.split() == ["True", "False"]


def test_what_a_model_prints_does_not_garble_the_answer():
    code = """
import os, sys
from pellucid.server import answering
def opener(document):
    def answer(question):
        print("hello from the model")
        os.write(1, b"and from below")
        return b"payload"
    return answer
answering._OPENERS["trace"] = opener
answering.main()
"""
    lines = b'{"kind": "trace"}\n{}\n'
    done = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, check=True, timeout=60)
    assert done.stdout.endswith(b"payload")
    assert b"hello" not in done.stdout
    assert b"hello" in done.stderr


def test_a_child_is_kept_for_its_example(desk, fitted):
    first, again, other = (who(desk, fitted[1], example) for example in (1, 1, 2))
    assert first == again
    assert other[0] != first[0]
    assert other[1] == 2


def test_a_third_example_takes_the_place_of_the_oldest(desk, fitted):
    first, second = who(desk, fitted[1], 1), who(desk, fitted[1], 2)
    assert who(desk, fitted[1], 1) == first
    who(desk, fitted[1], 3)
    assert desk.alive() == 2
    assert who(desk, fitted[1], 1) == first, "the one used last stays"
    assert who(desk, fitted[1], 2) != second


@pytest.mark.parametrize("way", ["crash", "half"])
def test_after_a_crash_the_next_question_is_answered(desk, fitted, way):
    before = who(desk, fitted[1], 1)
    with pytest.raises(TraceError, match="ended unexpectedly"):
        who(desk, fitted[1], 1, ask=way)
    after = who(desk, fitted[1], 1)
    assert after[1] == before[1]
    assert after[0] != before[0]


def test_a_child_killed_between_questions_is_not_noticed(desk, fitted):
    import os
    import signal

    pid = who(desk, fitted[1], 1)[0]
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert who(desk, fitted[1], 1)[0] != pid


def test_two_at_work_are_enough(desk, fitted):
    slow = [put(desk, fitted[1], example, ask="sleep", seconds=20) for example in (1, 2)]
    with pytest.raises(ServerError, match="2 other examples"):
        put(desk, fitted[1], 3)
    desk.forget(slow[0])
    assert who(desk, fitted[1], 3)[1] == 3, "an answer that nobody waits for makes room"
    assert not slow[1].done()


def test_an_answer_that_nobody_waits_for_is_given_up(desk, fitted):
    running = put(desk, fitted[1], 1, ask="sleep", seconds=60)
    queued = put(desk, fitted[1], 1)
    while not running.running():
        time.sleep(0.01)
    desk.forget(queued)
    assert queued.cancelled()
    desk.forget(running)
    with pytest.raises(TraceError):
        running.result(20)
    assert who(desk, fitted[1], 1)[1] == 1


def test_an_idle_child_ends(fitted):
    desk = Desk(fitted[0], command=(sys.executable, "-c", STAND_IN), idle_s=0.2)
    pid = who(desk, fitted[1], 1)[0]
    deadline = time.monotonic() + 20
    while desk.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert desk.alive() == 0
    assert who(desk, fitted[1], 1)[0] != pid
    desk.close()


def test_an_answer_that_takes_too_long_is_stopped(fitted):
    desk = Desk(fitted[0], command=(sys.executable, "-c", STAND_IN), limit_s=1.0)
    with pytest.raises(TraceError, match="no answer within 1 s"):
        who(desk, fitted[1], 1, ask="sleep", seconds=60)
    desk.close()


def test_too_many_questions_are_refused(desk, fitted):
    put(desk, fitted[1], 1, ask="sleep", seconds=30)
    waiting = [put(desk, fitted[1], 1) for _ in range(15)]
    with pytest.raises(ServerError, match="too many"):
        put(desk, fitted[1], 1)
    assert not any(future.done() for future in waiting)


def test_closing_leaves_no_question_open(fitted):
    desk = Desk(fitted[0], command=(sys.executable, "-c", STAND_IN))
    futures = [put(desk, fitted[1], 1, ask="sleep", seconds=60) for _ in range(3)]
    threading.Timer(0.5, desk.close).start()
    for future in futures:
        with pytest.raises((TraceError, ServerError)):
            future.result(20)


def test_a_walk_is_that_of_the_newest_weights(fitted, tmp_path, static):
    from safetensors.torch import load_file, save_file

    shutil.copytree(fitted[0] / fitted[1], tmp_path / fitted[1])
    client = client_of(tmp_path, static, Authorization=f"Bearer {TOKEN}")
    before, again = (Result.from_bytes(ask(client, fitted[1], ask="stepper").content).loss for _ in range(2))
    assert before == again
    path = tmp_path / fitted[1] / "checkpoints" / "final.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file({name: 2 * tensor for name, tensor in load_file(path).items()}, path, metadata)
    assert Result.from_bytes(ask(client, fitted[1], ask="loss").content).value == before, "of the walk that is shown"
    after = Result.from_bytes(ask(client, fitted[1], ask="stepper").content).loss
    assert after != before
    assert Result.from_bytes(ask(client, fitted[1], ask="loss").content).value == after
    client.app.state.desk.close()


def test_errors_keep_their_class(app, fitted):
    desk = app.app.state.desk
    with pytest.raises(SettingsError):
        put(desk, fitted[1], 5, ask="fortune").result(60)
    with pytest.raises(RunNotFoundError):
        put(desk, make_run(fitted[0], name="bare"), 5).result(60)
