"""Notebook hosts of the app's views.

``show`` makes a widget of a result or of a trace. In a notebook whose kernel has anywidget, a result or a trace at the
end of a cell becomes one by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid.errors import MissingExtraError

if TYPE_CHECKING:
    from pellucid.lenses.trace import Trace
    from pellucid.results.base import Result
    from pellucid.widgets.result_widget import ResultWidget

__all__ = ["show"]


def show(shown: Result | Trace) -> ResultWidget:
    """A result by the view that the app shows it with; a trace as the walk through it, which answers questions.

    Args:
        shown: Any result, or what ``pellucid.trace`` returned.

    Returns:
        A widget. What is looked at can be read and set: ``widget.position``, ``widget.selected``.

    Raises:
        MissingExtraError: anywidget is not installed.
        SettingsError: it is neither a result nor a trace.
        ServerError: the views are not built.
    """
    try:
        from pellucid.widgets.result_widget import ResultWidget
    except ModuleNotFoundError as error:
        if error.name not in ("anywidget", "ipywidgets", "traitlets"):
            raise
        raise MissingExtraError(
            "views in a notebook need anywidget", place=error.name, remedy="run pip install 'pellucid[notebook]'"
        ) from error
    return ResultWidget(shown)
