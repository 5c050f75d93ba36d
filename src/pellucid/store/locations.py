"""Where runs live, what they are called, and which names are safe to follow."""

from __future__ import annotations

import os
import re
import secrets
import time
import unicodedata
from pathlib import Path

from pellucid.errors import RunNotFoundError, SettingsError

__all__ = [
    "REPLACED_SOURCES",
    "check_relative_path",
    "check_run_id",
    "default_runs_dir",
    "is_run_id",
    "is_uri",
    "new_run_id",
    "slug",
]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}(\.[A-Za-z0-9_-]+)*")
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_LONGEST_SLUG = 48

REPLACED_SOURCES = "PELLUCID_REPLACED_SOURCES"
"""Environment variable that names a JSON file: by the path of a source file, the text that runs in its place."""


def default_runs_dir() -> str | Path:
    """The folder that holds runs unless one is named: ``$PELLUCID_RUNS``, else ``runs`` in the working folder."""
    named = os.environ.get("PELLUCID_RUNS") or "runs"
    return named if is_uri(named) else Path(named)  # a Path would make one slash of two


def is_uri(location: str | Path) -> bool:
    """Whether the location is a URI (``s3://…``) and not a local path."""
    return isinstance(location, str) and _URI.match(location) is not None


def slug(name: str) -> str:
    """A name as it may stand in a folder's name: lower-case ASCII words joined by ``-``; ``run`` if nothing is left.

    >>> slug("Zürich: 3 Dice!")
    'zurich-3-dice'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    return "-".join(words)[:_LONGEST_SLUG].strip("-") or "run"


def new_run_id(name: str) -> str:
    """A fresh id ``<YYYYMMDD-HHMMSS>-<slug>-<4 hex>``, in local time, so that folders sort by age."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(name)}-{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    """Whether the text can be a run's folder name: no separators, no leading dot, no ``..``."""
    return _RUN_ID.fullmatch(text) is not None


def check_run_id(text: str) -> str:
    """Return the id, or raise ``RunNotFoundError`` if it could lead anywhere but to a run folder."""
    if not is_run_id(text):
        raise RunNotFoundError(
            f"{text!r} is no run id", remedy="give the name of a run's folder, as `pellucid runs` lists it"
        )
    return text


def check_relative_path(relative: str) -> str:
    """Return a path that stays inside its folder, or raise ``SettingsError``."""
    parts = relative.split("/")
    if not relative or "\\" in relative or "\0" in relative or any(part in {"", ".", ".."} for part in parts):
        raise SettingsError(
            f"{relative!r} is not a path inside a run",
            remedy="use names joined by '/', without '..' and not beginning with '/'",
        )
    return relative
