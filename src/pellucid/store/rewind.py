"""Rewinding a run's tables to an earlier step, so that a resumed run does not tell the same steps twice.

``rewind.json`` makes it one atomic change. Kept rows are first written as new segments that nobody reads yet; then
one write of ``rewind.json`` says from which row on, in which table, only the new segments count; then the old ones
are deleted. A process killed before that write has changed nothing; killed after it, the next writer finishes.
"""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pellucid.errors import RunCorruptedError
from pellucid.store.filesystem import Folder
from pellucid.store.segments import (
    Segment,
    concatenate,
    encode_segment,
    list_segments,
    read_segment,
    resolve_segments,
)
from pellucid.store.tables import TABLES

__all__ = ["REWIND_FILE", "Rewind", "finish_rewind", "read_rewind", "rewind_tables"]

REWIND_FILE = "rewind.json"


def _no_cuts() -> dict[str, int]:
    return {}


@dataclass(frozen=True)
class Rewind:
    """A rewind under way: which writer's new segments replace which rows."""

    token: str
    committed: bool
    cuts: dict[str, int] = field(default_factory=_no_cuts)
    """By table, the first row from which on only ``token``'s segments count."""

    def visible(self, table: str, found: list[Segment]) -> list[Segment]:
        """The segments that count, of those in the folder."""
        if not self.committed:
            return [segment for segment in found if segment.token != self.token]
        cut = self.cuts.get(table)
        return [segment for segment in found if cut is None or segment.first < cut or segment.token == self.token]


def read_rewind(folder: Folder) -> Rewind | None:
    """The rewind that is under way, or None."""
    try:
        content = json.loads(folder.read(REWIND_FILE))
        cuts = {str(table): int(row) for table, row in cast("dict[str, Any]", content["cuts"]).items()}
        return Rewind(str(content["token"]), bool(content["committed"]), cuts)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunCorruptedError(
            f"a rewind's note cannot be read ({error})",
            place=f"{folder.location}/{REWIND_FILE}",
            remedy="delete this file",
        ) from error


def rewind_tables(folder: Folder, token: str, after_step: int) -> None:
    """Keep only the rows with ``step <= after_step``; −1 empties the tables.

    Args:
        folder: The run; the caller holds its lock and has called ``finish_rewind``.
        token: The caller's, which no segment there bears yet.
        after_step: The last step that stays.
    """
    _note(folder, Rewind(token, committed=False))
    cuts: dict[str, int] = {}
    for table in TABLES:
        cut, kept = _kept_rows(folder, table, token, after_step)
        if cut is None:
            continue
        cuts[table] = cut
        if len(kept):
            replacement = Segment(cut, cut + len(kept) - 1, token)
            folder.write(replacement.path(table), encode_segment(kept, table), durable=True)
    _note(folder, Rewind(token, committed=True, cuts=cuts))
    finish_rewind(folder)


def finish_rewind(folder: Folder) -> None:
    """Complete a committed rewind, or undo one that was not committed. For who holds the run's lock."""
    rewind = read_rewind(folder)
    if rewind is None:
        return
    for table in TABLES:
        found = list_segments(folder, table)
        visible = set(rewind.visible(table, found))
        for segment in found:
            if segment not in visible:
                folder.delete(segment.path(table))
    folder.delete(REWIND_FILE)


def _note(folder: Folder, rewind: Rewind) -> None:
    content = {"token": rewind.token, "committed": rewind.committed, "cuts": rewind.cuts}
    folder.write(REWIND_FILE, json.dumps(content).encode(), durable=True)


def _kept_rows(folder: Folder, table: str, token: str, after_step: int) -> tuple[int | None, pa.Table]:
    """First row of the first segment with a later step (None if there is none), and what stays from there on."""
    chosen, _, _ = resolve_segments(each for each in list_segments(folder, table) if each.token != token)
    cut: int | None = None
    kept: list[pa.Table] = []
    for segment in chosen:
        try:
            steps = read_segment(folder, table, segment, columns=["step"]).column("step")
            # A row without a step stays unless all go.
            stays = (np.asarray(steps.fill_null(0)) <= after_step) & (after_step >= 0)
            if cut is None and not stays.all():
                cut = segment.first
            if cut is not None and stays.any():
                kept.append(read_segment(folder, table, segment).filter(pa.array(stays)))
        except RunCorruptedError:
            if cut is None:
                cut = segment.first  # what cannot be read is let go with what comes after it
    return cut, concatenate(kept, table)
