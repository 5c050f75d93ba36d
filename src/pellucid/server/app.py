"""The local app: routes over a folder of runs, for one person on this machine."""

from __future__ import annotations

import logging
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

from pellucid import __version__
from pellucid.errors import (
    PellucidError,
    RunCorruptedError,
    RunNotFoundError,
    RunTooNewError,
    ServerError,
    StorageError,
)
from pellucid.server import live, routes_page, routes_runs
from pellucid.server.asking import Desk
from pellucid.server.index import RunIndex
from pellucid.server.security import Guard, error_response
from pellucid.server.shelf import Shelf

__all__ = ["create_app"]

_LOG = logging.getLogger("pellucid.server")

_STATUS: tuple[tuple[type[PellucidError], int], ...] = (
    (RunNotFoundError, 404),
    (RunCorruptedError, 422),
    (RunTooNewError, 422),
    (StorageError, 503),
    (ServerError, 503),
)


def create_app(runs_dir: str | Path, token: str, *, static: Path | None = None) -> FastAPI:
    """The app over a folder of runs.

    Args:
        runs_dir: A path or a URI; it need not exist yet.
        token: What every caller of the API must show; see ``security.Guard``.
        static: The built front end; the one that comes with the package unless given.
    """
    app = FastAPI(title="Pellucid", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.runs_dir = runs_dir
    app.state.index = RunIndex(runs_dir)
    app.state.hub = live.Hub(runs_dir, app.state.index)
    app.state.desk = Desk(runs_dir)
    app.state.shelf = Shelf()
    app.state.static = static or routes_page.STATIC
    app.include_router(routes_runs.router)
    app.include_router(live.router)
    app.include_router(routes_page.router)
    app.add_exception_handler(PellucidError, _explain)
    app.add_exception_handler(RequestValidationError, _explain_request)
    app.add_exception_handler(HTTPException, _explain_status)
    app.add_exception_handler(Exception, _explain_fault)
    app.add_middleware(_Compression, minimum_size=1024, compresslevel=5)
    app.add_middleware(Guard, token=token)  # added last, so that it runs first
    return app


class _Compression(GZipMiddleware):
    """Compresses pages, scripts and JSON; not arrays, which would cost more time than the loopback saves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        binary = "/results/" in path or "/tables/" in path or path.endswith("/ask")
        await (self.app if binary else super().__call__)(scope, receive, send)


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, PellucidError)
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 400)
    return error_response(status, error.message, where=error.place, remedy=error.remedy)


async def _explain_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return error_response(422, f"the request is not understood: {first['msg']}", where=place)


async def _explain_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, str(error.detail), where=request.url.path[:200])


async def _explain_fault(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has the trace, the answer none of it."""
    _LOG.exception("%s failed", request.url.path, exc_info=error)
    return error_response(500, f"the server failed ({type(error).__name__})", remedy="see what the terminal says")
