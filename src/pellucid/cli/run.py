"""``pellucid run``: a person's own training script, unchanged, under watch."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from pellucid.cli.exit_codes import EXIT_ERROR
from pellucid.errors import PellucidError, SettingsError
from pellucid.watch.launch import Ending, LaunchRequest, launch

if TYPE_CHECKING:
    from pellucid.results.diagnosis import Finding

__all__ = ["run_command", "run_main"]

SETTINGS = {"allow_interspersed_args": False, "ignore_unknown_options": False}
"""Everything after the script's name is the script's."""


def run_command(  # noqa: PLR0917  # one option each
    script: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCRIPT [ARGS]...", help="A Python file, or the command of a package; then its own options."
        ),
    ] = None,
    module: Annotated[
        str | None, typer.Option("-m", metavar="MODULE", help="Run a module, as python -m does; ends the options.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="What looking closely may cost, as a share of the time of training.")
    ] = "3%",
    full: Annotated[bool, typer.Option("--full", help="Everything at every step, whatever it costs.")] = False,
    headless: Annotated[
        bool, typer.Option("--headless", help="Say nothing but the run's path, last on standard output.")
    ] = False,
    runs_dir: Annotated[str | None, typer.Option(help="Folder of the runs; $PELLUCID_RUNS or ./runs.")] = None,
    name: Annotated[str, typer.Option(help="What to call the run; after the script if left out.")] = "",
    probe: Annotated[
        bool,
        typer.Option("--probe", help="When it has ended, try things on copies of the model, for the diagnosis."),
    ] = False,
) -> Ending:
    """Run your training script, unchanged, under watch; then say whether it learns, and if not, why.

    pellucid run train.py --lr 0.1
    """
    target, *arguments = [*([module] if module else []), *(script or [])] or [""]
    if not target:
        raise SettingsError("there is nothing to run", remedy="name a script, or a module with -m")
    request = LaunchRequest(
        target=target,
        arguments=tuple(arguments),
        module=module is not None,
        budget=_share(budget),
        full=full,
        runs_dir=runs_dir,
        name=name,
        probe=probe,
        headless=headless,
    )
    ending = launch(request)
    _tell(ending, headless=headless)
    return ending


def run_main(words: Sequence[str]) -> int:
    """Run what stands after ``pellucid run``, outside of the command line's own handling of errors and Ctrl-C.

    Args:
        words: Options of ours, then the script and what is its own.

    Returns:
        The script's exit code.
    """
    command = _command()
    try:
        ending = command.main(_split_module(list(words)), prog_name="pellucid run", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PellucidError as error:
        typer.secho("Error: ", fg="red", bold=True, nl=False, err=True)
        typer.secho(str(error), err=True)
        return EXIT_ERROR
    if not isinstance(ending, Ending):
        return int(ending or 0)  # help was asked for
    if ending.interrupted:
        _leave_as_interrupted()
    return ending.code


def _command() -> Any:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.command("run", context_settings=SETTINGS)(run_command)
    return typer.main.get_command(app)


def _split_module(words: list[str]) -> list[str]:
    """After ``-m MODULE`` everything is the module's, as in python's own command line."""
    for place, word in enumerate(words):
        if word == "-m":
            return [*words[: place + 2], "--", *words[place + 2 :]]
        if word == "--" or not word.startswith("-"):
            takes_value = place > 0 and words[place - 1] in ("--budget", "--runs-dir", "--name")
            if not takes_value:
                return words
    return words


def _share(text: str) -> float:
    """ "1%" or "0.01"."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SettingsError(f"{text!r} is no share of the time", place="--budget", remedy="write it as 3% or 0.03")
    return value


def _tell(ending: Ending, *, headless: bool) -> None:
    """Say the verdict on standard error, and with ``headless`` the run's path on standard output."""
    try:
        if ending.problem:
            typer.secho(f"pellucid: the run is not whole: {ending.problem}", err=True)
        if ending.run:
            verdict = _diagnose(ending.run)
            if not headless:
                typer.secho(f"\n{verdict}", err=True)
                typer.secho(f"run: {ending.run}", err=True)
        if headless and ending.run:
            sys.stdout.flush()
            print(ending.run, flush=True)
    except (OSError, ValueError):  # nobody listens any more; the script's own code counts
        return


def _diagnose(location: str) -> str:
    """The verdict in a few lines; it is kept in the run."""
    try:
        from pellucid.diagnosis import diagnose
        from pellucid.store.added_results import add_result
        from pellucid.store.run import open_run

        run = open_run(location)
        diagnosis = diagnose(run)
        add_result(run, "diagnosis", diagnosis)
    except Exception as error:  # the script has ended well or not: that is not ours to change
        return f"the run was recorded, but not diagnosed: {type(error).__name__}: {error}"
    if not diagnosis.findings:
        return f"{diagnosis.verdict}: {len(diagnosis.checked)} possible causes looked for, none found"
    told = [line for finding in diagnosis.findings[:3] for line in _finding_lines(finding)]
    return "\n".join([diagnosis.verdict, *told, f"more: pellucid diagnose {run.id}, or --try to try the change"])


def _finding_lines(finding: Finding) -> list[str]:
    """What is wrong, then where and what to do."""
    place = finding.where.place
    where = f"{place.file}:{place.line}: " if place.line else ""
    lines = [f"{finding.severity} {finding.code} ({finding.certainty:.0%}): {finding.title}"]
    return lines if finding.severity == "note" else [*lines, f"    {where}{finding.fix}"]


def _leave_as_interrupted() -> None:
    """End as Python ends on an uncaught Ctrl-C: whoever started us sees the signal."""
    if os.name != "posix":
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.excepthook = lambda *_: None  # what there is to say has been said
    raise KeyboardInterrupt
