"""Who may ask: this machine, with the token, from our own page. Everything else is turned away before any route runs.

The token keeps other users and other pages out; the check of ``Host`` keeps out a page whose name was re-bound to
127.0.0.1; the check of ``Origin`` keeps out a page on another port, whose requests would carry the cookie too.
"""

from __future__ import annotations

import json
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid.server.models import ErrorDetail, ErrorReply

__all__ = ["CONTENT_SECURITY_POLICY", "LOOPBACK", "Guard", "cookie_name", "error_response", "help_page"]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names under which the app may be addressed."""

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",  # a view places its parts by style attributes; they cannot run anything
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

_QUESTION = re.compile(r"/api/runs/[^/]+/ask")
_LONGEST_QUESTION = 16 * 1024

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that checks host, origin, method, body and token, and adds the security headers.

    Args:
        app: What answers a request that may pass.
        token: What a caller must show, as the cookie or as ``Authorization: Bearer``.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # the ASGI call
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = _refuse_place(headers) or _refuse_request(scope, headers) or self._refuse_stranger(scope, headers)
        answer: ASGIApp = refusal or self.app
        if scope["type"] == "websocket":
            if refusal:
                await send({"type": "websocket.close", "code": 1008, "reason": "not allowed"})
            else:
                await self.app(scope, receive, send)
            return
        await answer(scope, receive, _with_headers(send))

    def _refuse_stranger(self, scope: Scope, headers: Headers) -> Response | None:
        """Without the token there is a 401; a page asked for with it in the address gets the cookie."""
        path: str = scope["path"]
        is_api = path == "/api" or path.startswith("/api/")
        if not is_api and scope["type"] == "http":
            query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            given = [value for key, value in query if key == "token"]
            if given:
                rest = [(key, value) for key, value in query if key != "token"]
                return self._let_in(headers, path, rest) if self._is_token(given[-1]) else _unknown_token_page()
        if self._shows_token(headers) or (not is_api and "." in path.rpartition("/")[2]):
            return None  # the front end's own files are no secret
        if is_api:
            return error_response(
                401, "the request shows no valid token", remedy="open the address that `pellucid open` printed"
            )
        return _unknown_token_page()

    def _let_in(self, headers: Headers, path: str, query: list[tuple[str, str]]) -> Response:
        where = "/" + quote(path.lstrip("/\\"))  # one slash: //host would lead to another host
        response = RedirectResponse(f"{where}?{urlencode(query)}" if query else where, status_code=303)
        response.set_cookie(cookie_name(headers.get("host", "")), self.token, httponly=True, samesite="strict")
        response.headers["Cache-Control"] = "no-store"
        return response

    def _shows_token(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer.strip()):
            return True
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        morsel = cookies.get(cookie_name(headers.get("host", "")))
        return morsel is not None and self._is_token(morsel.value)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())


def cookie_name(host: str) -> str:
    """The cookie's name: one a port, since browsers send a cookie to every port of a host.

    >>> cookie_name("localhost:8765")
    'pellucid-8765'
    """
    return f"pellucid-{_split_host(host)[1] or 80}"


def error_response(status: int, message: str, *, where: str = "", remedy: str = "") -> Response:
    """An error as the API says it: JSON with what was wrong, where, and what to do."""
    reply = ErrorReply(error=ErrorDetail(message=message, where=where, remedy=remedy))
    return Response(
        json.dumps(reply.model_dump()),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def help_page(status: int, title: str, *paragraphs: str) -> Response:
    """A plain page for a person; ``paragraphs`` are HTML written by us, never by anyone else."""
    body = "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>{title} – Pellucid</title>"
        f'<body style="font: 1rem/1.5 system-ui; max-width: 36rem; margin: 15vh auto; padding: 0 1rem">'
        f"<h1>{title}</h1>{body}</body></html>",
        status_code=status,
        headers={"Cache-Control": "no-store"},
    )


def _unknown_token_page() -> Response:
    return help_page(
        401,
        "This page needs its key",
        "Open the address that <code>pellucid open</code> printed in the terminal: it ends in <code>?token=…</code>.",
        'If you just did, <a href="">try again</a>; if the app was started anew since, its key has changed.',
    )


def _split_host(host: str) -> tuple[str, int | None]:
    """Name and port of a Host header; an empty name if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return "", None
    plain = parts.netloc == host and "@" not in host and not parts.path and not parts.query
    return (name, port) if plain else ("", None)


def _refuse_place(headers: Headers) -> Response | None:
    """Turn away a foreign host name, and a foreign page."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or _split_host(hosts[0])[0] not in LOOPBACK:
        return error_response(
            400,
            "the app answers only under localhost, 127.0.0.1 and [::1]",
            where=f"Host: {', '.join(hosts)[:200]}",
            remedy="open the address that `pellucid open` printed",
        )
    for origin in headers.getlist("origin"):
        if origin not in (f"http://{hosts[0]}", f"https://{hosts[0]}"):
            return error_response(403, "another page may not use the app", where=f"Origin: {origin[:200]}")
    return None


def _refuse_request(scope: Scope, headers: Headers) -> Response | None:
    """Turn away what would change something or carry a body: the app only shows, and answers questions."""
    if scope["type"] != "http":
        return None
    if scope["method"] == "POST" and _QUESTION.fullmatch(scope["path"]):
        return _refuse_question(headers)
    if scope["method"] not in ("GET", "HEAD"):
        refused = error_response(405, f"{scope['method']} is not allowed: the app only reads")
        refused.headers["Allow"] = "GET, HEAD"
        return refused
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        return error_response(413, "the app takes no request body")
    return None


def _refuse_question(headers: Headers) -> Response | None:
    """A question is JSON, which no page elsewhere can send without being asked first, and short."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return error_response(415, "a question is asked as application/json")
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not length.isdecimal():
        return error_response(411, "a question says how long it is (Content-Length)")
    if len(length) > 9 or int(length) > _LONGEST_QUESTION:
        return error_response(413, f"a question has at most {_LONGEST_QUESTION:,} bytes")
    return None


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return send_with_headers
