"""Runs a script with some of its files changed, though the files themselves stay as they are: for trying a fix."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

from pellucid.errors import SettingsError
from pellucid.store.locations import REPLACED_SOURCES

__all__ = ["install_replaced_sources", "read_replaced_sources"]


def read_replaced_sources() -> dict[str, str]:
    """The texts that stand in for files, by resolved path; none unless the environment names them.

    Raises:
        SettingsError: the file that is named cannot be read.
    """
    named = os.environ.get(REPLACED_SOURCES)
    if not named:
        return {}
    try:
        texts = json.loads(Path(named).read_text(encoding="utf-8"))
        return {str(Path(path).resolve()): str(text) for path, text in texts.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"the changed sources cannot be read: {error}", place=named, remedy=f"unset {REPLACED_SOURCES}"
        ) from error


def install_replaced_sources(texts: Mapping[str, str]) -> None:
    """From now on, imports of these files compile the given texts; byte code on disk is neither read nor written."""
    if texts:
        sys.meta_path.insert(0, _ReplacingFinder(texts))


class _ReplacingFinder(MetaPathFinder):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        text = self._texts.get(str(Path(spec.origin).resolve()))
        if text is None:
            return None
        spec.loader = _TextLoader(fullname, spec.origin, text)
        spec.cached = None
        return spec


class _TextLoader(SourceFileLoader):
    """Loads a module from a text; its name and file are those of the file that the text stands in for."""

    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self._text = text

    def path_stats(self, path: str) -> Mapping[str, float]:
        """Without a date there is no byte code to look for."""
        raise OSError(path)

    def get_data(self, path: str) -> bytes:
        if path == self.path:
            return self._text.encode()
        return super().get_data(path)
