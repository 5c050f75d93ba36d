"""``pellucid open``: the app in the browser, over a folder of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pellucid.store.run import Run

__all__ = ["open_command", "show_run"]


def open_command(
    run: Annotated[
        str | None,
        typer.Argument(help="Id, beginning of an id, name or folder of the run to show first, or 'latest'."),
    ] = None,
    *,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes any free one. [default: 8765 or the next free one]")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in your browser.")] = True,
    headless: Annotated[bool, typer.Option("--headless", help="The same as --no-browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say the address and its token as one line of JSON.")] = False,
    runs_dir: Annotated[str | None, typer.Option("--runs-dir", help="Folder of the runs.")] = None,
) -> None:
    """Open the app: all runs, live while they train. Only this machine can reach it; Ctrl-C ends it."""
    from pellucid.store.locations import default_runs_dir

    folder = runs_dir or str(default_runs_dir())
    if run is None:
        from pellucid.server.serve import serve

        serve(folder, port, browser and not headless, as_json=as_json)
        return
    from pellucid.store.run import open_run

    show_run(open_run(run, folder), port=port, browser=browser and not headless, as_json=as_json)


def show_run(
    run: Run,
    *,
    port: int | None = None,
    browser: bool = True,
    view: Mapping[str, str | int] | None = None,
    as_json: bool = False,
) -> None:
    """Open the app at the page of a run.

    Args:
        run: The run.
        port: As ``serve`` takes it.
        browser: Whether to open the page in the person's browser.
        view: What of the page to show, as its address says it.
        as_json: Say the address as one line of JSON.
    """
    from pellucid.server.serve import serve

    folder = run.location.replace("\\", "/").rstrip("/").rpartition("/")[0] or "."
    serve(folder, port, browser, run=run.id, view=view, as_json=as_json)
