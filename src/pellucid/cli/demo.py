"""``pellucid demo``: train on the embedded handwritten digits under watch, then open the app."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["demo_command"]


def demo_command(
    headless: Annotated[bool, typer.Option("--headless", help="Train and print the summary; serve nothing.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the app; 0 takes any free one.")] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    runs_dir: Annotated[str | None, typer.Option(help="Folder of the runs.")] = None,
) -> None:
    """Train a small network on embedded handwritten digits under watch, and look inside it."""
    from pellucid.cli.fit import fit_and_report
    from pellucid.store.locations import default_runs_dir
    from pellucid.training.settings import FitSettings

    folder = runs_dir or default_runs_dir()
    run = fit_and_report("digits", FitSettings(), runs_dir=folder, name="handwritten digits")
    if not headless:
        from pellucid.server.serve import serve

        serve(folder, port=port, open_browser=browser, run=run.manifest.id)
