"""Texts as they come, each with its label: a column of a table, the lines of a text file, or files in class folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import DataError, SourceNotFoundError

if TYPE_CHECKING:
    import pandas

    from pellucid.data.settings import DataSettings

__all__ = ["FIRST_LETTER", "TextReading", "is_text_source", "read_texts"]

FIRST_LETTER = "first_letter"
"""A target that every text has: its first letter, to be told from the rest."""

_LINES = "line"
_FILES = "text"


@dataclass(frozen=True)
class TextReading:
    """Texts with what stands beside them.

    Attributes:
        place: The path or name.
        texts: ``(n,)`` the texts, ``""`` where there is none.
        labels: ``(n,)`` the target's cells, or ``None``.
        text_name: The column of the texts.
        target_name: The column of the labels.
        parts: ``(n,)`` ``"train"``, ``"validation"``, ``"test"`` where the source is split already.
        groups: ``(n,)`` what must stay in one split.
        files: A file name for each text, if texts are files.
    """

    place: str
    texts: list[str]
    labels: pandas.Series | None
    text_name: str
    target_name: str | None
    parts: np.ndarray | None = None
    groups: np.ndarray | None = None
    files: tuple[str, ...] = ()


def is_text_source(path: Path, settings: DataSettings) -> bool:
    """Whether a source is to be read as text: by the settings, or as a folder of ``.txt`` files."""
    if settings.text is not None or settings.text_task == "next_token":
        return True
    if path.is_dir():
        first = _first_file(path)
        return first is not None and first.suffix.lower() == ".txt"
    return _is_lines(path) and settings.target == FIRST_LETTER


def _first_file(folder: Path) -> Path | None:
    """The first file of the first class folder; a note that lies beside the folders comes last."""
    children = [child for child in sorted(folder.iterdir()) if not child.name.startswith(".")]
    for child in (child for child in children if child.is_dir()):
        found = _first_file(child)
        if found is not None:
            return found
    return next((child for child in children if child.is_file()), None)


def _is_lines(path: Path) -> bool:
    return path.name.lower().endswith((".txt", ".txt.gz"))


def read_texts(
    source: str | Path | pandas.DataFrame,
    *,
    text: str | None,
    target: str | None,
    group: str | None = None,
    seed: int = 0,
    need_target: bool = True,
) -> TextReading:
    """Read every text of a source, in its order.

    Args:
        source: A table with a text column, a ``.txt`` file of one text a line, a folder of ``.txt`` files (in class
            folders, perhaps within ``train`` and ``test``), an embedded set's name, or a DataFrame.
        text: The text column; ``None`` for lines and files.
        target: The column of labels; ``"first_letter"`` takes each text's first letter off and makes it the label.
        group: The column of what must stay in one split.
        seed: From which an embedded set is made.
        need_target: Whether a target that is not there is an error.

    Raises:
        SourceNotFoundError: There is no such file.
        DataError: It cannot be read, or a column is not there.
    """
    path = Path(source) if isinstance(source, str | Path) else None
    if path is not None and path.is_dir():
        reading = _read_files(path)
    elif path is not None and _is_lines(path) and text in (None, _LINES):
        reading = _read_lines(path)
    else:
        reading = _read_table(source, text, target, group, seed=seed, need_target=need_target)
    return _take_first_letter(reading) if target == FIRST_LETTER else reading


def _read_table(
    source: str | Path | pandas.DataFrame,
    text: str | None,
    target: str | None,
    group: str | None,
    *,
    seed: int,
    need_target: bool,
) -> TextReading:
    from pellucid.data.cells import as_names
    from pellucid.data.table_reading import IN_MEMORY, read_source
    from pellucid.data.target import choose_target, missing_column

    place = str(source) if isinstance(source, str | Path) else IN_MEMORY
    frame = read_source(source, seed=seed, as_text=[name for name in (text,) if name])
    names = list(frame.columns)
    if text is None:
        raise DataError("no text column was named", place=place, remedy=f"name one with --text: {', '.join(names)}")
    absent = [name for name in (text, group) if name is not None and name not in names]
    if absent:
        raise missing_column(absent, names, place=place)
    if need_target and target != FIRST_LETTER:
        target, _ = choose_target([name for name in names if name != text], target, place=place)
    labels = frame[target] if target in names else None
    groups = None if group is None else as_names(frame[group]).fillna("").to_numpy()
    return TextReading(place, _as_texts(frame[text]), labels, text, target, groups=groups)


def _as_texts(cells: Iterable[object]) -> list[str]:
    import pandas

    return ["" if cell is None or (not isinstance(cell, str) and pandas.isna(cell)) else str(cell) for cell in cells]  # type: ignore[call-overload]


def _read_lines(path: Path) -> TextReading:
    from pellucid.data.frames import read_text

    if not path.exists():
        raise SourceNotFoundError("there is no such file", place=str(path), remedy="check the spelling and the folder")
    texts = read_text(path).splitlines()
    if not any(text.strip() for text in texts):
        raise DataError("the file is empty", place=str(path), remedy="give a file with one text a line")
    return TextReading(str(path), texts, None, _LINES, None)


def _read_files(path: Path) -> TextReading:
    import pandas

    from pellucid.data.frames import read_text
    from pellucid.data.image_folder import find_class_files

    found, _ = find_class_files(path)
    strange = next((file for _, _, file in found if not _is_lines(file)), None)
    if strange is not None:
        raise DataError("this is not a .txt file", place=str(strange), remedy="remove it from the folder of texts")
    texts = [read_text(file) for _, _, file in found]
    labels = None if found[0][1] is None else pandas.Series([group for _, group, _ in found], dtype=object)
    parts = None if found[0][0] is None else np.array([part for part, _, _ in found])
    files = tuple(file.relative_to(path).as_posix() for _, _, file in found)
    return TextReading(str(path), texts, labels, _FILES, "folder", parts, files=files)


def _take_first_letter(reading: TextReading) -> TextReading:
    import pandas

    stripped = [text.strip() for text in reading.texts]
    letters = pandas.Series([text[:1] or None for text in stripped], dtype=object)
    rest = [text[1:] for text in stripped]
    return TextReading(
        reading.place, rest, letters, reading.text_name, FIRST_LETTER, reading.parts, reading.groups, reading.files
    )
