"""Which runs there are: a fast list that imports neither pyarrow nor NumPy, and the way from a word to a run."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.errors import RunCorruptedError, RunError, RunNotFoundError
from pellucid.store.filesystem import Folder, LocalFolder, open_folder
from pellucid.store.locations import check_run_id, default_runs_dir, is_run_id, is_uri
from pellucid.store.lock import writer_is_alive
from pellucid.store.manifest import MANIFEST_FILE, RunManifest, RunStatus, read_manifest

__all__ = ["RunSummary", "current_status", "find_run_folder", "list_runs", "locate", "resolve_run_id"]


def _no_metrics() -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs: the manifest without its long parts. ``error`` says why a run cannot be read."""

    id: str
    name: str = ""
    kind: str = ""
    status: RunStatus | str = ""
    created_at: str = ""
    updated_at: str = ""
    message: str = ""
    task: str = ""
    modality: str = ""
    source: str = ""
    model: str = ""
    parameters: int | None = None
    device: str = ""
    epochs_planned: int | None = None
    epoch: int | None = None
    step: int | None = None
    metrics: dict[str, float] = field(default_factory=_no_metrics)
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; a figure that JSON cannot say becomes null."""
        document = dataclasses.asdict(self)
        document["metrics"] = {name: _plain(value) for name, value in self.metrics.items()}
        return document


def _plain(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


_SHARED = tuple(each.name for each in dataclasses.fields(RunSummary) if each.name not in {"id", "status", "error"})


def list_runs(runs_dir: str | Path | None = None) -> list[RunSummary]:
    """All runs of a folder, newest first; a run that cannot be read is listed with its error.

    Args:
        runs_dir: A path or a URI; ``default_runs_dir()`` unless given. A folder that is not there holds no runs.
    """
    runs = open_folder(runs_dir if runs_dir is not None else default_runs_dir())
    summaries = [summary for name in _candidates(runs) if (summary := _summarise(runs.child(name), name)) is not None]
    return sorted(summaries, key=lambda each: (each.created_at or _time_of(each.id), each.id), reverse=True)


def _candidates(runs: Folder) -> list[str]:
    """Names of subfolders that may be runs: no hidden ones and no links."""
    names = [name for name in runs.names() if is_run_id(name)]
    if not isinstance(runs, LocalFolder):
        return names
    return [name for name in names if (runs.path / name).is_dir() and not (runs.path / name).is_symlink()]


def _summarise(folder: Folder, name: str) -> RunSummary | None:
    try:
        manifest = read_manifest(folder)
        if manifest.id != name:  # a copied or renamed folder goes by its own name
            manifest = dataclasses.replace(manifest, id=name)
    except FileNotFoundError:
        return None if not folder.exists("segments") else RunSummary(name, error=f"its {MANIFEST_FILE} is missing")
    except RunError as error:
        return RunSummary(name, error=error.message)
    except OSError as error:
        return RunSummary(name, error=str(error))
    shared = {each: getattr(manifest, each) for each in _SHARED}
    return RunSummary(id=name, status=current_status(folder, manifest), **shared)


def current_status(folder: Folder, manifest: RunManifest) -> RunStatus:
    """The manifest's status; but ``interrupted`` where it says running and no writer lives."""
    if manifest.status == "running" and not writer_is_alive(folder):
        return "interrupted"
    return manifest.status


def _time_of(run_id: str) -> str:
    """A creation time for sorting from an id, for a run whose manifest cannot be read."""
    date, _, rest = run_id.partition("-")
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}T{rest[:2]}:{rest[2:4]}" if len(date) == 8 and date.isdigit() else ""


def find_run_folder(run_id: str, runs_dir: str | Path | None = None) -> Folder:
    """The folder of exactly this run: what a server may call with a stranger's words.

    Raises:
        RunNotFoundError: there is no such run, or the id is no plain folder name, or it is a link.
    """
    runs = open_folder(runs_dir if runs_dir is not None else default_runs_dir())
    check_run_id(run_id)
    folder = runs.child(run_id)
    linked = isinstance(folder, LocalFolder) and folder.path.is_symlink()
    if linked or not folder.exists(MANIFEST_FILE):
        raise _unknown(run_id, runs, _candidates(runs))
    return folder


def resolve_run_id(words: str, runs_dir: str | Path | None = None) -> str:
    """The id of the run that a person means: an id, the unique beginning of one, a run's name, or ``latest``.

    Of several runs with that name, the newest is meant.

    Raises:
        RunNotFoundError: there is none, or several ids begin like this.
    """
    runs = open_folder(runs_dir if runs_dir is not None else default_runs_dir())
    listed = list_runs(runs_dir)
    ids = [each.id for each in listed]
    if words in ids:
        return words
    if words == "latest" and ids:
        return ids[0]
    named = [each.id for each in listed if each.name == words]
    if named:
        return named[0]
    beginning = [each for each in ids if words and each.startswith(words)]
    if len(beginning) > 1:
        raise RunNotFoundError(
            f"{len(beginning)} runs begin with {words!r}",
            place=runs.location,
            remedy=f"write more of the id: {', '.join(beginning[:5])}",
        )
    if not beginning:
        raise _unknown(words, runs, ids + [each.name for each in listed])
    return beginning[0]


def _unknown(words: str, runs: Folder, known: list[str]) -> RunNotFoundError:
    near = difflib.get_close_matches(words, dict.fromkeys(known), n=3, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else "list the runs there are with `pellucid runs`"
    return RunNotFoundError(f"there is no run {words!r}", place=runs.location, remedy=remedy)


def locate(path_or_id: str | Path, runs_dir: str | Path | None = None) -> Folder:
    """The folder of a run named by its path, its URI or a person's words.

    Raises:
        RunNotFoundError: there is none.
    """
    if is_uri(path_or_id):
        return _existing(open_folder(path_or_id))
    path = Path(path_or_id)
    if isinstance(path_or_id, Path) or len(path.parts) > 1 or (path / MANIFEST_FILE).exists():
        return _existing(LocalFolder(path))
    return find_run_folder(resolve_run_id(path_or_id, runs_dir), runs_dir)


def _existing(folder: Folder) -> Folder:
    if not folder.exists(MANIFEST_FILE):
        if folder.exists("segments"):
            raise RunCorruptedError(
                f"its {MANIFEST_FILE} is missing",
                place=folder.location,
                remedy="its tables can still be read from segments/ with pandas or DuckDB",
            )
        raise RunNotFoundError(
            "there is no run in this folder", place=folder.location, remedy="name a folder that holds a run.json"
        )
    return folder
