"""The ``pellucid`` command: its subcommands, and how errors reach a person."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from pellucid import __version__
from pellucid.cli.demo import demo_command
from pellucid.cli.diagnose import diagnose_command
from pellucid.cli.exit_codes import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_OWN_FAULT
from pellucid.cli.export import export_command
from pellucid.cli.fit import fit_command
from pellucid.cli.measure import measure_command
from pellucid.cli.open import open_command
from pellucid.cli.predict import predict_command
from pellucid.cli.report import report_command
from pellucid.cli.run import SETTINGS as RUN_SETTINGS
from pellucid.cli.run import run_command, run_main
from pellucid.cli.runs import runs_command
from pellucid.cli.trace import trace_command
from pellucid.errors import PellucidError

__all__ = ["EXIT_ERROR", "EXIT_INTERRUPTED", "EXIT_OWN_FAULT", "app", "main"]

app = typer.Typer(
    name="pellucid",
    help="Opens up neural networks: trains one from your data, or watches yours, and shows what happens inside.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("fit")(fit_command)
app.command("predict")(predict_command)
app.command("run", context_settings=RUN_SETTINGS)(run_command)
app.command("diagnose")(diagnose_command)
app.command("trace")(trace_command)
app.command("measure")(measure_command)
app.command("runs")(runs_command)
app.command("open")(open_command)
app.command("report")(report_command)
app.command("export")(export_command)
app.command("demo")(demo_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pellucid {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command; ``--debug`` may stand anywhere and is taken by ``main``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What stands after ``pellucid``; None takes it from the process.

    Returns:
        The exit code: 0, 1 for an error of the user's, 2 for wrong usage, 70 for one of ours, 130 for Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"]:
        return run_main(words[1:])  # what is a script's own is left alone: its environment, its options, its Ctrl-C
    # Read when torch is loaded, which is later: a thread that waits for another gives its core away instead of spinning
    # on it. On a machine that does nothing else that costs little; on a busy one it makes training twice as fast.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in words
    try:
        app([word for word in words if word != "--debug"], prog_name="pellucid")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        typer.secho("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`pellucid runs | head`): that is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        return _say(error, debug)
    return 0


def _say(error: Exception, debug: bool) -> int:
    """Tell the person what went wrong, the traceback only if it was asked for; the exit code."""
    if debug:
        traceback.print_exc()
    said, code = error, EXIT_ERROR
    if isinstance(error, OSError):
        said = PellucidError(
            error.strerror or str(error),
            place=str(error.filename or "what is written to, perhaps standard output"),
            remedy="check that it exists, may be read and written, and has space",
        )
    elif not isinstance(error, PellucidError):
        code = EXIT_OWN_FAULT
        said = PellucidError(
            f"Pellucid itself failed: {type(error).__name__}: {error}",
            remedy="run the command again with --debug and report what it shows",
        )
    typer.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    typer.secho(str(said), err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
