"""The local app: routes over a folder of runs, for one person on this machine."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from pellucid import __version__
from pellucid.server import routes_runs

__all__ = ["create_app"]


def create_app(runs_dir: str | Path, token: str) -> FastAPI:
    """The app over the runs in ``runs_dir``; every route of its API wants ``token``."""
    app = FastAPI(title="Pellucid", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.runs_dir = Path(runs_dir)
    app.state.token = token
    app.include_router(routes_runs.router)
    return app
