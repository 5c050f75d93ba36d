"""Starting the app: a free port, a fresh key, an address to open, and a quiet end on Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import sys
import threading
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from pellucid.errors import ServerError
from pellucid.server.token import remembered_token

__all__ = ["PREFERRED_PORT", "bind_port", "page_address", "serve"]

PREFERRED_PORT = 8765
"""Used unless another is asked for; if it is taken, the next free one."""

_HOST = "127.0.0.1"
_TRIES = 20
_MOST_MESSAGE_BYTES = 64 * 1024


def serve(
    runs_dir: str | Path,
    port: int | None = None,
    open_browser: bool = True,
    *,
    run: str | None = None,
    view: Mapping[str, str | int] | None = None,
    as_json: bool = False,
) -> None:
    """Serve the runs of a folder to this machine until Ctrl-C.

    Args:
        runs_dir: The folder of runs, a path or a URI; it need not exist yet.
        port: The port to listen on; 0 takes any free one, None prefers 8765.
        open_browser: Whether to open the page in the person's browser.
        run: The id of the run to show first; the list of runs if None.
        view: What of its page to show first, as the page's own address says it: ``{"tab": "trace", "example": 12}``.
        as_json: Say where the app is as one line of JSON: ``{"url", "address", "port", "token"}``.

    Raises:
        ServerError: The port asked for is taken or not allowed.
    """
    listening = bind_port(port)
    with listening:
        listening.listen(128)  # from here on a browser's request waits until the app is loaded
        token = remembered_token()
        bound: int = listening.getsockname()[1]
        address = page_address(bound, run, view)
        url = f"{address}{'&' if view else '?'}token={token}"
        _announce(url, address, bound, token, as_json)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        _run(runs_dir, token, listening)
    if not as_json:
        sys.stdout.write("Stopped.\n")


def page_address(port: int, run: str | None = None, view: Mapping[str, str | int] | None = None) -> str:
    """The page of a run, or of all runs, without the token.

    >>> page_address(8765, "20260101-120000-digits-1a2b", {"tab": "trace"})
    'http://127.0.0.1:8765/runs/20260101-120000-digits-1a2b?tab=trace'
    """
    return f"http://{_HOST}:{port}/" + (f"runs/{quote(run, safe='')}" if run else "") + _query(view)


def _query(view: Mapping[str, str | int] | None) -> str:
    return f"?{urlencode(view)}" if view else ""


def bind_port(port: int | None = None) -> socket.socket:
    """A socket bound to the loopback address.

    Args:
        port: 0 to 65535, where 0 takes any free one; None tries 8765 and the ones after it.

    Raises:
        ServerError: The port is taken, reserved or out of range.
    """
    if port is not None:
        return _bind(port)
    for candidate in range(PREFERRED_PORT, PREFERRED_PORT + _TRIES):
        try:
            return _bind(candidate)
        except ServerError:
            continue
    return _bind(0)


def _bind(port: int) -> socket.socket:
    place = f"port {port}"
    if not 0 <= port <= 65535:
        raise ServerError("there is no such port", place=place, remedy="choose one from 1024 to 65535, or 0 for any")
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there the option would let two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((_HOST, port))
    except OSError as error:
        bound.close()
        remedy = "stop what uses it, or let Pellucid choose a free port with --port 0"
        if error.errno in (errno.EACCES, errno.EPERM):
            raise ServerError(
                "the port is reserved for the system", place=place, remedy="choose one above 1023"
            ) from error
        if error.errno == errno.EADDRINUSE:
            raise ServerError("the port is taken by another program", place=place, remedy=remedy) from error
        raise ServerError(f"the port cannot be used ({error.strerror})", place=place, remedy=remedy) from error
    return bound


def _announce(url: str, address: str, port: int, token: str, as_json: bool) -> None:
    if as_json:
        text = json.dumps({"url": url, "address": address, "port": port, "token": token})
    else:
        text = f"Pellucid is open at\n\n  {url}\n\nThe address is yours alone: it carries the key. Ctrl-C ends it."
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _run(runs_dir: str | Path, token: str, listening: socket.socket) -> None:
    """Run the server on the socket until it is told to end."""
    import uvicorn

    from pellucid.server.app import create_app

    config = uvicorn.Config(
        create_app(runs_dir, token),
        log_level="warning",
        access_log=False,  # it would write the token down
        server_header=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=_MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        proxy_headers=False,
        h11_max_incomplete_event_size=32 * 1024,
    )
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        uvicorn.Server(config).run(sockets=[listening])
