"""Commands that start a script several times over, such as torchrun: changed so that each process is watched."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

__all__ = ["watched_arguments"]


def watched_arguments(target: str, arguments: Sequence[str], options: Sequence[str]) -> tuple[str, ...] | None:
    """What to give a launcher so that it runs the script it is given under watch, in every process.

    Args:
        target: The command or module that is to run.
        arguments: What it is given.
        options: For ``pellucid run``, in each process.

    Returns:
        None where the target is no launcher that we know, or where it is not to run Python.
    """
    found = _PARSERS.get(Path(target).name)
    if found is None:
        return None
    own, make_parser = found
    parsed = _parse(make_parser, list(arguments[len(own) :])) if list(arguments[: len(own)]) == own else None
    if parsed is None or parsed.no_python or getattr(parsed, "tpu", False):
        return None
    rest = list(parsed.training_script_args)
    place = len(arguments) - len(rest) - 1
    if arguments[place] != parsed.training_script:
        return None
    before = list(arguments[:place]) if parsed.module else [*arguments[:place], "-m"]
    what = ["-m", parsed.training_script] if parsed.module else [parsed.training_script]
    return (*before, "pellucid", "run", *options, *what, *rest)


def _parse(make_parser: Callable[[], ArgumentParser], arguments: list[str]) -> Any:
    """What the launcher will understand; None where it will refuse, which it says best itself."""
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return make_parser().parse_args(arguments)
    except (SystemExit, Exception):
        return None


def _parser_of_torch() -> ArgumentParser:
    from torch.distributed.run import get_args_parser

    return get_args_parser()


def _parser_of_accelerate() -> ArgumentParser:
    from accelerate.commands.launch import launch_command_parser

    return launch_command_parser()


_PARSERS: dict[str, tuple[list[str], Callable[[], ArgumentParser]]] = {
    "torchrun": ([], _parser_of_torch),
    "torch.distributed.run": ([], _parser_of_torch),
    "accelerate": (["launch"], _parser_of_accelerate),
    "accelerate-launch": ([], _parser_of_accelerate),
    "accelerate.commands.launch": ([], _parser_of_accelerate),
}
"""The words before a launcher's own options, and who reads those."""
