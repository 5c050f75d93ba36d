"""``pellucid open``: the app in the browser, over a folder of runs."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["open_command"]


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
    from pellucid.server.serve import serve
    from pellucid.store.locations import default_runs_dir

    folder = runs_dir or str(default_runs_dir())
    shown = None
    if run is not None:
        from pellucid.store.run import open_run

        opened = open_run(run, folder)
        shown = opened.id
        folder = opened.location.replace("\\", "/").rstrip("/").rpartition("/")[0] or "."
    serve(folder, port, browser and not headless, run=shown, as_json=as_json)
