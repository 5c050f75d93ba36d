"""The built front end: hashed assets that a browser keeps for ever, and the page that every other address shows."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse

from pellucid.server.security import error_response, help_page
from pellucid.server.warming import load_ahead

__all__ = ["STATIC", "page", "router"]

STATIC = Path(__file__).parent / "static"
"""Where ``make web`` puts the front end."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".map": "application/json",
    ".wasm": "application/wasm",
}

router = APIRouter(include_in_schema=False)


@router.api_route("/{path:path}", methods=["GET", "HEAD"])
def page(request: Request, path: str) -> Response:
    """A file of the front end, or its page for the addresses within the app."""
    root: Path = request.app.state.static
    if path == "api" or path.startswith("api/"):
        if request.method == "HEAD":
            return error_response(405, "the API answers GET only", where=f"/{path[:200]}")
        return error_response(404, "the API has no such address", where=f"/{path[:200]}")
    if "." in path.rpartition("/")[2]:
        return _file(root, path)
    index = root / "index.html"
    if not index.is_file():
        return help_page(
            503,
            "The front end is not built",
            "This copy of Pellucid comes from a source checkout. Build its page once, in the checkout:",
            "<code>make web</code>",
            "Then reload. An installed wheel carries the page already.",
        )
    if path.startswith("runs/"):
        load_ahead()
    return FileResponse(index, media_type=_TYPES[".html"], headers={"Cache-Control": "no-cache"})


def _file(root: Path, path: str) -> Response:
    """A file below ``root``, never one above or beside it."""
    parts = path.split("/")
    inside = all(part not in ("", ".", "..") and not part.startswith(".") for part in parts)
    target = root.joinpath(*parts) if inside and "\\" not in path and "\0" not in path else None
    kind = _TYPES.get(target.suffix.lower()) if target else None
    if target is None or kind is None or not target.is_file() or not target.resolve().is_relative_to(root.resolve()):
        return error_response(404, "there is no such file", where=f"/{path[:200]}")
    hashed = parts[0] == "assets"
    caching = "public, max-age=31536000, immutable" if hashed else "no-cache"
    return FileResponse(target, media_type=kind, headers={"Cache-Control": caching})
