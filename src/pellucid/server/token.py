"""The secret that lets a browser in: the same for a day, so that an open page survives a restart of the server."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

__all__ = ["remembered_token", "token_path"]

_LIFETIME_S = 24 * 3600
"""A token that no server was started with for so long is replaced."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")


def token_path() -> Path:
    """Where the token is kept: in the person's own state folder (``$XDG_STATE_HOME``, else ``~/.local/state``)."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "pellucid" / "token"


def remembered_token() -> str:
    """The token of the server before, if it was started within a day; else a fresh one, remembered for the next.

    The file is readable by its owner alone. Where it cannot be kept so, every server draws a token of its own.
    """
    path = token_path()
    token = _read(path) or secrets.token_urlsafe(24)
    with contextlib.suppress(OSError):
        _write(path, token)
    return token


def _read(path: Path) -> str | None:
    """The token in the file, unless others may read it, it is old, or it is no token."""
    try:
        found = path.stat()
        others = found.st_mode & 0o077
        fresh = time.time() - found.st_mtime < _LIFETIME_S
        text = path.read_text("ascii") if not others and fresh and found.st_uid == os.getuid() else ""
    except (OSError, ValueError):
        return None
    return text if _TOKEN.fullmatch(text) else None


def _write(path: Path, token: str) -> None:
    """Replace the file; it is made for its owner alone from the first moment."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(token)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
