"""``pellucid predict``: raw rows in, predictions with probabilities out."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.errors import SettingsError, StorageError

if TYPE_CHECKING:
    import pandas

__all__ = ["predict_command", "write_frame"]

_FORMATS = (".csv", ".tsv", ".parquet", ".jsonl")


def predict_command(
    run: Annotated[str, typer.Argument(help="The run: its id, the beginning of one, its name, or latest.")],
    source: Annotated[
        str | None,
        typer.Argument(help="A file or folder shaped like the training data.", show_default=False),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to: .csv, .tsv, .parquet or .jsonl; else CSV to standard output."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Predict the training data's own train, validation or test rows instead.")
    ] = None,
    runs_dir: Annotated[str | None, typer.Option(help="Folder of the runs; $PELLUCID_RUNS or ./runs.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say rows and figures as JSON; with -o, for then the rows go there.")
    ] = False,
) -> None:
    """Predict with a trained network: the same preprocessing as in training, and figures where the target is known.

    pellucid predict latest new.csv -o out.csv
    """
    from pellucid.store.run import open_run

    opened = open_run(run, runs_dir)
    if output is not None and output.suffix.lower() not in _FORMATS:
        raise SettingsError(
            f"cannot write {output.suffix or 'a file without an ending'}",
            place=str(output),
            remedy=f"let the name end in one of {', '.join(_FORMATS)}",
        )
    if as_json and output is None:
        raise SettingsError("rows and figures cannot share standard output", place="--json", remedy="give -o too")
    from pellucid.training.evaluation import headline_figures
    from pellucid.training.predict import evaluate_frame, predict
    from pellucid.training.trained import read_card

    frame = predict(opened, source, split=split)
    if output is None:
        frame.to_csv(sys.stdout, index=False)
    else:
        write_frame(frame, output)
    found = evaluate_frame(frame, read_card(opened), split or "new")
    figures = headline_figures(found) if found is not None else {}
    _say(len(frame), output, figures, as_json)


def write_frame(frame: pandas.DataFrame, path: Path) -> None:
    """Write the frame beside ``path`` and then rename it, so that nobody ever sees half a file.

    Raises:
        StorageError: the folder cannot be written, or the disk is full; an older file is still there.
    """
    partial: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(handle)
        partial = Path(name)
        _write(frame, partial, path.suffix.lower())
        partial.replace(path)
    except OSError as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise StorageError(
            f"the predictions cannot be written ({error.strerror or error})",
            place=str(path),
            remedy="choose a folder that exists, may be written and has space",
        ) from error


def _write(frame: pandas.DataFrame, path: Path, ending: str) -> None:
    if ending == ".parquet":
        frame.to_parquet(path, index=False)
    elif ending == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")


def _say(rows: int, output: Path | None, figures: dict[str, float], as_json: bool) -> None:
    """Rows and figures: on standard output, unless the rows themselves went there."""
    if as_json:
        import json
        import math

        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        typer.echo(json.dumps({"rows": rows, "output": str(output), "metrics": finite}))
        return
    if output is not None:
        typer.echo(f"{rows} rows written to {output}")
    if figures:
        shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
        typer.echo(f"The target is known: {shown}", err=output is None)
