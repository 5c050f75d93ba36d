"""Nobody but this person, from this page, reads anything; and nobody reads outside the runs and the front end."""

from __future__ import annotations

import asyncio
import json
import socket
from urllib.parse import unquote

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from pellucid.server import security
from pellucid.server.security import cookie_name
from pellucid.store.writer import RunWriter

from .conftest import TOKEN, client_of

pytestmark = pytest.mark.timeout(30)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def api_paths(run_id):
    return ["/api/version", "/api/runs", f"/api/runs/{run_id}", f"/api/runs/{run_id}/tables/steps", "/api/nothing"]


def test_without_the_token_the_api_says_nothing(stranger, finished):
    for path in api_paths(finished[1]):
        response = stranger.get(path)
        assert response.status_code == 401
        assert response.json()["error"]["remedy"]
        assert finished[1] not in response.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer t\u00f6ken".encode()},
        {"Cookie": f"pellucid={TOKEN}"},
        {"Cookie": f"pellucid-1={TOKEN}"},
        {"Cookie": "pellucid-8765="},
        {"Cookie": f'pellucid-8765="{TOKEN}'},
        {"Cookie": "pellucid-8765=" + "a" * 4000},
    ],
)
def test_a_wrong_token_is_none(stranger, headers):
    assert stranger.get("/api/version", headers=headers).status_code == 401


def test_tokens_are_compared_in_constant_time(stranger, monkeypatch):
    compared = []
    real = security.secrets.compare_digest
    monkeypatch.setattr(security.secrets, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    stranger.get("/api/version", headers={"Authorization": "Bearer wrong"})
    assert (b"wrong", TOKEN.encode()) in compared


def test_the_address_with_the_token_lets_a_browser_in(stranger):
    response = stranger.get(f"/runs/some-run?tab=layers&token={TOKEN}&runs=a%2Cb")
    assert response.status_code == 303
    assert response.headers["location"] == "/runs/some-run?tab=layers&runs=a%2Cb"
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"pellucid-8765={TOKEN};")
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert stranger.get("/api/version").status_code == 200  # the client keeps the cookie
    assert stranger.get("/").status_code == 200


def test_the_address_with_a_wrong_token_sets_no_cookie(stranger):
    response = stranger.get("/?token=wrong")
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert "pellucid open" in response.text


@pytest.mark.parametrize("path", ["//evil.example/", "///evil.example", "/%5Cevil.example", "/%2F%2Fevil.example/x"])
def test_the_redirect_stays_here(static, finished, path):
    client = client_of(finished[0], static)
    response = client.get(f"http://127.0.0.1:8765{path}?token={TOKEN}")
    location = response.headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_the_token_in_the_address_opens_no_api(stranger):
    assert stranger.get(f"/api/version?token={TOKEN}").status_code == 401


def test_the_page_needs_the_token_and_its_files_do_not(stranger):
    for path in ("/", "/runs/some-run", "/compare"):
        response = stranger.get(path)
        assert response.status_code == 401
        assert "pellucid open" in response.text
    assert stranger.get("/assets/index-1a2b3c.css").status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "evil.example/127.0.0.1",
        "192.168.1.2:8765",
        "0.0.0.0",
        "127.0.0.1:x",
        "127.1",
        "localhost.",
        "[::2]",
        "",
    ],
)
def test_a_foreign_host_is_turned_away(client, host):
    for path in ("/api/version", "/", "/assets/index-1a2b3c.css"):
        assert client.get(path, headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:8765", "127.0.0.1:9000", "[::1]:8765", "LOCALHOST:80"])
def test_loopback_names_are_let_in(client, host):
    assert client.get("/api/version", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8765", 200),
        ("https://127.0.0.1:8765", 200),
        ("http://127.0.0.1:8766", 403),
        ("http://127.0.0.1", 403),
        ("http://localhost:8765", 403),
        ("http://evil.example", 403),
        ("http://127.0.0.1:8765.evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origin_must_be_our_own(client, origin, status):
    response = client.get("/api/version", headers={"Origin": origin})
    assert response.status_code == status
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_nothing_can_be_changed(client, finished, method):
    for path in ("/api/runs", f"/api/runs/{finished[1]}", "/", "/assets/index-1a2b3c.js"):
        response = client.request(method, path, headers={"Access-Control-Request-Method": "GET"})
        assert response.status_code == 405
        assert response.headers["allow"] == "GET, HEAD"
        assert "access-control-allow-origin" not in response.headers


def test_a_request_has_no_body(client):
    assert client.request("GET", "/api/version", content=b"x").status_code == 413
    chunks = (chunk for chunk in (b"x", b"y"))
    assert client.request("GET", "/api/version", content=chunks).status_code == 413


def test_every_answer_has_the_headers(client, stranger, finished):
    paths = [*api_paths(finished[1]), "/", "/assets/index-1a2b3c.js", "/nothing.js", "/?token=x", f"/?token={TOKEN}"]
    for caller in (client, stranger):
        for path in paths:
            headers = caller.get(path).headers
            assert headers["content-security-policy"] == POLICY
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-resource-policy"] == "same-origin"


def raw_get(app, path):
    """Status and body for a path sent exactly as written: an HTTP client would tidy it up first."""
    headers = [(b"host", b"127.0.0.1:8765"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "root_path": ""}
    scope |= {
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "asgi": {"spec_version": "2.4"},
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


TRAVERSALS = ["..", "%2e%2e", "..%2f..", "%2e%2e%2foutside", "..%5c..", "%00", ".", ".hidden", "a%2fb", "-", "~", "%ff"]


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_id_or_name_leads_out_of_the_runs(client, finished, name):
    for path in (
        f"/api/runs/{name}",
        f"/api/runs/{name}/tables/steps",
        f"/api/runs/{name}/results/network_outline",
        f"/api/runs/{finished[1]}/results/{name}",
        f"/api/runs/{finished[1]}/results/{name}%2frun.json",
        f"/api/runs/{finished[1]}/tables/{name}",
    ):
        status, body = raw_get(client.app, path)
        assert status in (404, 422)
        assert json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.js",
        "/%2e%2e/outside.js",
        "/assets/../../outside.js",
        "/assets/%2e%2e/%2e%2e/outside.js",
        "/assets/..%2f..%2foutside.js",
        "/..%5coutside.js",
        "/assets//index-1a2b3c.js",
        "//outside.js",
        "/link.js",
        "/secret.key",
        "/.hidden.js",
        "/assets",
        "/index.html%00.js",
        "/assets/nothing.js",
    ],
)
def test_no_file_outside_the_front_end(client, static, path):
    link = static / "link.js"
    if not link.is_symlink():
        link.symlink_to(static.parent / "outside.js")
        (static / ".hidden.js").write_text("hidden")
    status, body = raw_get(client.app, path)
    assert b"kept from you" not in body
    assert status == 404 or (path == "/assets" and b"<title>Pellucid" in body)


def test_a_link_among_the_runs_is_no_run(tmp_path, static):
    with RunWriter.create(tmp_path / "elsewhere", name="secret", kind="fit") as writer:
        pass
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere" / writer.id)
    client = client_of(tmp_path / "runs", static, Authorization=f"Bearer {TOKEN}")
    assert client.get("/api/runs").json() == {"runs": []}
    assert client.get("/api/runs/linked").status_code == 404


def test_a_link_inside_a_run_is_not_followed(tmp_path, static):
    (tmp_path / "outside.safetensors").write_bytes(b"kept from you")
    with RunWriter.create(tmp_path / "runs", name="tricky", kind="fit") as writer:
        pass
    results = tmp_path / "runs" / writer.id / "results"
    results.mkdir()
    (results / "stolen.safetensors").symlink_to(tmp_path / "outside.safetensors")
    client = client_of(tmp_path / "runs", static, Authorization=f"Bearer {TOKEN}")
    response = client.get(f"/api/runs/{writer.id}/results/stolen")
    assert response.status_code == 422
    assert "link leads out" in response.json()["error"]["message"]
    assert b"kept from you" not in response.content


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"},
        {"Authorization": f"Bearer {TOKEN}", "Origin": "http://127.0.0.1:8766"},
        {"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"},
    ],
)
def test_the_live_connection_is_guarded_too(stranger, headers):
    with pytest.raises(WebSocketDisconnect), stranger.websocket_connect("/api/live", headers=headers):
        pass


def test_the_live_connection_takes_the_cookie(stranger):
    headers = {"Cookie": f"{cookie_name('127.0.0.1:8765')}={TOKEN}", "Origin": "http://127.0.0.1:8765"}
    with stranger.websocket_connect("ws://127.0.0.1:8765/api/live", headers=headers) as socket:
        socket.send_json({"type": "watch", "runs": True})
        assert socket.receive_json()["type"] == "runs"


def test_a_fault_of_ours_shows_no_trace(finished, static, monkeypatch, caplog):
    def fail(self):
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr("pellucid.server.index.RunIndex.read", fail)
    app = client_of(finished[0], static).app
    client = TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False)
    response = client.get("/api/runs", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "a secret of the inside" in caplog.text


def test_only_loopback_is_listened_on():
    from pellucid.server.serve import bind_port

    with bind_port(0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
        assert bound.family == socket.AF_INET
