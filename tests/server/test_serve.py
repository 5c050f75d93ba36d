"""Starting and ending the app as a person does: in a process of its own."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import webbrowser

import pytest

from pellucid.errors import ServerError
from pellucid.server import serve as serving
from pellucid.server.serve import PREFERRED_PORT, bind_port, serve

pytestmark = pytest.mark.timeout(60)

COMMAND = [sys.executable, "-c", "import typer; from pellucid.cli.open import open_command; typer.run(open_command)"]


@pytest.fixture
def start(finished):
    """Starts ``pellucid open`` with arguments; what it says as JSON, and the process."""
    running = []

    def begin(*arguments, code=COMMAND):
        process = subprocess.Popen(
            [*code, "--headless", "--json", "--port", "0", "--runs-dir", str(finished[0]), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return json.loads(process.stdout.readline()), process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def ask(said, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", said["port"], timeout=20)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.getheaders(), response.read()


def test_it_serves_says_where_and_ends_on_ctrl_c(start, finished):
    said, process = start()
    assert said["url"] == f"http://127.0.0.1:{said['port']}/?token={said['token']}"
    status, headers, _ = ask(said, said["url"].partition(str(said["port"]))[2])
    assert status == 303
    (cookie,) = [value for name, value in headers if name == "set-cookie"]
    status, headers, body = ask(said, "/api/runs", Cookie=cookie.partition(";")[0])
    assert (status, json.loads(body)["runs"][0]["id"]) == (200, finished[1])
    assert not [name for name, _ in headers if name.lower() == "server"]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_it_ends_while_a_page_is_connected(start, finished):
    from websockets.sync.client import connect

    said, process = start()
    headers = {"Authorization": f"Bearer {said['token']}"}
    with connect(f"ws://127.0.0.1:{said['port']}/api/live", additional_headers=headers) as live:
        live.send(json.dumps({"type": "watch", "runs": True, "run": finished[1], "tables": {"steps": {}}}))
        assert [type(live.recv(timeout=10)) for _ in range(3)] == [str, str, bytes]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_run_is_opened_by_a_persons_words(start, finished):
    for words in ("Digits", "latest", finished[1][:-1]):
        said, _ = start(words)
        assert said["address"].endswith(f"/runs/{finished[1]}")


def test_a_page_is_served_without_heavy_libraries(start):
    code = (
        "import sys, threading, typer\n"
        "from pellucid.cli.open import open_command\n"
        "from pellucid.server import routes_runs\n"
        "heavy = ('torch', 'sklearn', 'pandas', 'matplotlib', 'pyarrow', 'numpy', 'scipy', 'rich')\n"
        "routes_runs.router.get('/modules')(lambda: [name for name in heavy if name in sys.modules])\n"
        "typer.run(open_command)\n"
    )
    said, _ = start(code=[sys.executable, "-c", code])
    bearer = {"Authorization": f"Bearer {said['token']}"}
    assert ask(said, "/", **bearer)[0] in (200, 503)  # 503 where the front end is not built
    assert ask(said, "/api/runs", **bearer)[0] == 200
    loaded = json.loads(ask(said, "/api/modules", **bearer)[2])
    assert loaded in ([], ["rich"])  # typer may bring rich along


def test_tables_are_served_without_torch(start, finished):
    code = (
        "import sys, typer\n"
        "from pellucid.cli.open import open_command\n"
        "from pellucid.server import routes_runs\n"
        "routes_runs.router.get('/modules')(lambda: [n for n in ('torch', 'sklearn', 'pandas') if n in sys.modules])\n"
        "typer.run(open_command)\n"
    )
    said, _ = start(code=[sys.executable, "-c", code])
    bearer = {"Authorization": f"Bearer {said['token']}"}
    for part in ("", "/tables/steps", "/results/network_outline"):
        assert ask(said, f"/api/runs/{finished[1]}{part}", **bearer)[0] == 200
    assert json.loads(ask(said, "/api/modules", **bearer)[2]) == []


def test_a_port_that_is_taken_is_an_error_with_a_way_out():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerError, match="taken") as caught:
            serve("runs", port, open_browser=False)
        assert caught.value.place == f"port {port}"
        assert "--port 0" in caught.value.remedy


def test_the_preferred_port_gives_way(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(serving, "PREFERRED_PORT", other.getsockname()[1])
        with bind_port() as bound:
            assert bound.getsockname()[1] not in (0, other.getsockname()[1])
    assert PREFERRED_PORT == 8765


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_no_such_port(port):
    with pytest.raises(ServerError, match="no such port"):
        bind_port(port)


def test_the_browser_opens_at_the_run(monkeypatch, capsys):
    import threading

    opened = []
    seen = threading.Event()
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or seen.set())
    monkeypatch.setattr(serving, "_run", lambda runs_dir, token, listening: seen.wait(5))
    serve("runs", 0, run="20260101-digits")
    (url,) = opened
    assert "/runs/20260101-digits?token=" in url
    said = capsys.readouterr().out
    assert url in said
    assert said.endswith("Stopped.\n")
    serve("runs", 0, run="a b", view={"tab": "trace", "example": 12})
    assert "/runs/a%20b?tab=trace&example=12&token=" in opened[1]
