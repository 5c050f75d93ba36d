"""Where renderings meet results. Results know no rendering: ``pellucid.render`` registers its own here.

A renderer is a function of one result. The room that draws is found through the entry-point group
``pellucid.renderers``, each entry a function of a schema's stem that imports what draws it, so that another package
can draw results of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, cast

from pellucid.errors import PellucidError

if TYPE_CHECKING:
    from pellucid.results.base import Result

__all__ = ["Medium", "notebook_bundle", "render", "renderer"]

Medium = Literal["plot", "frame", "rich", "text", "html", "latex"]

_RENDERERS: dict[tuple[str, Medium], Callable[..., Any]] = {}
"""Renderers by the stem of a result's schema ('*' serves every result) and the medium."""


def renderer(stem: str, medium: Medium) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: register a function as the rendering of one kind of result in one medium."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _RENDERERS[stem, medium] = function
        return function

    return register


def render(result: Result, medium: Medium, **options: Any) -> Any:
    """Draw ``result`` in ``medium`` with the renderer registered for it, or with the general one."""
    stem = result.schema.split("/")[0]
    _load_renderers_of(stem)
    function = _RENDERERS.get((stem, medium)) or _RENDERERS.get(("*", medium))
    if function is None:
        raise NotImplementedError(f"nothing draws {result.schema} as {medium}")
    return function(result, **options)


def notebook_bundle(shown: Any) -> dict[str, Any] | None:
    """What a notebook shows for an object: its view, where the notebook has a kernel and can hold widgets.

    Args:
        shown: A result, or something else of which the host of the entry-point group ``pellucid.notebooks`` makes a
            widget.

    Returns:
        MIME types and their contents with a text beside the view; None for the static forms.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    host = next(iter(entry_points(group="pellucid.notebooks")), None)
    try:
        bundle = None if host is None else host.load()(shown)._repr_mimebundle_()
    except PellucidError:  # no widgets in this environment, or nothing built that they could show
        return None
    if isinstance(bundle, tuple):
        bundle = cast("tuple[dict[str, Any], dict[str, Any]]", bundle)[0]
    return {**bundle, "text/plain": str(shown)} if bundle else None


@cache
def _load_renderers_of(stem: str) -> None:
    for entry in entry_points(group="pellucid.renderers"):
        entry.load()(stem)
