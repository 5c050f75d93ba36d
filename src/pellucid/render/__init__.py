"""One result to text, rich, HTML and matplotlib: measuring never draws, drawing never measures."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

__all__ = ["load"]


def load(stem: str) -> None:
    """Import the renderings of one kind of result, and the general ones; called by the entry point."""
    import_module("pellucid.render.general")
    if stem.isidentifier() and find_spec(f"pellucid.render.{stem}"):
        import_module(f"pellucid.render.{stem}")
