"""One table being written: rows become segments, small segments become larger ones, a full disk is waited out."""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
import math

import pyarrow as pa

from pellucid.errors import RunCorruptedError
from pellucid.store.filesystem import Folder
from pellucid.store.overview import OverviewWriter
from pellucid.store.rows import RowBuffer
from pellucid.store.segments import (
    SEGMENTS,
    Segment,
    concatenate,
    encode_segment,
    list_segments,
    read_segment,
    resolve_segments,
)

__all__ = ["TableAppender"]

_FAN = 8
"""That many neighbours of a tier are merged into one of the next."""
_SMALLEST_TIER_BYTES = 16 * 1024
_SEALED_BYTES = 4 * 1024 * 1024
"""A segment this large is never rewritten."""
_SUMMARISED_BYTES = 512 * 1024
"""A segment this large has an overview."""
_MOST_PENDING_BYTES = 64 * 1024 * 1024
"""Rows kept in memory while they cannot be written."""


class TableAppender:
    """Writes one table; all methods but ``buffer``'s belong to whoever holds the writer's I/O lock."""

    def __init__(self, folder: Folder, table: str, token: str) -> None:
        self.folder = folder
        self.table = table
        self.buffer = RowBuffer(table)
        self.next_row = 0
        self.lost = 0
        """Rows given up because they could not be written for too long."""
        self._token = token
        self._overview = OverviewWriter(folder, table, token)
        self._pending: list[pa.Table] = []
        self._segments: list[tuple[Segment, int]] = []

    def take_over(self) -> None:
        """Go on after the rows that are there; delete what a killed writer left superseded or unfinished."""
        self.folder.delete_partials(f"{SEGMENTS}/{self.table}")
        chosen, superseded, _ = resolve_segments(list_segments(self.folder, self.table))
        for segment in superseded:
            self.folder.delete(segment.path(self.table))
        # The true sizes need not be known: a size is only a hint when to merge, and 4 bytes a value is the usual one.
        width = 4 * len(self.buffer.names)
        self._segments = [(segment, segment.rows * width) for segment in chosen]
        self.next_row = chosen[-1].last + 1 if chosen else 0
        sealed = [segment for segment, size in self._segments if size >= _SEALED_BYTES]
        self._overview.take_over(chosen, sealed)

    @property
    def pending_rows(self) -> int:
        """Rows that were taken but are not on disk, because writing failed."""
        return sum(len(part) for part in self._pending)

    def flush(self) -> None:
        """Write all rows that are there as one segment.

        Raises:
            OSError: it could not be written; the rows are kept and written next time.
        """
        rows = self.buffer.drain()
        if rows is not None:
            self._pending.append(rows)
        if not self._pending:
            return
        rows = concatenate(self._pending, self.table)
        content = encode_segment(rows, self.table)
        segment = Segment(self.next_row, self.next_row + len(rows) - 1, self._token)
        try:
            self.folder.write(segment.path(self.table), content)
        except OSError:
            self._bound_pending()
            raise
        self._pending = []
        self.next_row = segment.last + 1
        self._segments.append((segment, len(content)))
        self._summarise(segment, rows, len(content))

    def _bound_pending(self) -> None:
        while len(self._pending) > 1 and sum(part.nbytes for part in self._pending) > _MOST_PENDING_BYTES:
            self.lost += len(self._pending.pop(0))

    def merge(self) -> bool:
        """Merge the last segments into one if there are enough small ones; say whether that was done.

        The merged segment appears by rename before its parts are deleted, and a reader takes the longest, so that a
        crash at any point neither doubles nor loses a row.
        """
        count = self._mergeable()
        if not count:
            return False
        parts = [segment for segment, _ in self._segments[-count:]]
        try:
            rows = concatenate([read_segment(self.folder, self.table, part) for part in parts], self.table)
        except (FileNotFoundError, RunCorruptedError):
            # Someone damaged a segment from outside: leave the readable ones as they are and go on behind them.
            self._segments = [(segment, _SEALED_BYTES) for segment, _ in self._segments]
            return False
        content = encode_segment(rows, self.table)
        merged = Segment(parts[0].first, parts[-1].last, self._token)
        self.folder.write(merged.path(self.table), content)
        self._segments[-count:] = [(merged, len(content))]
        for part in parts:
            with contextlib.suppress(OSError):  # superseded all the same
                self.folder.delete(part.path(self.table))
        self._summarise(merged, rows, len(content), instead_of=parts)
        return True

    def _summarise(self, segment: Segment, rows: pa.Table, size: int, instead_of: list[Segment] | None = None) -> None:
        if size >= _SUMMARISED_BYTES:
            self._overview.add(segment, rows, final=size >= _SEALED_BYTES, instead_of=instead_of or [])

    def _mergeable(self) -> int:
        """How many of the last segments are to be merged: the most that some tier has enough of, else 0."""
        best = 0
        highest, of_highest = 0, 0
        for count, (_, size) in enumerate(reversed(self._segments), start=1):
            if size >= _SEALED_BYTES:
                break
            tier = _tier(size)
            if tier > highest:
                highest, of_highest = tier, 0
            of_highest += tier == highest
            if of_highest >= _FAN:
                best = count
        return best


def _tier(size: int) -> int:
    return max(0, math.ceil(math.log(size / _SMALLEST_TIER_BYTES, _FAN)))
