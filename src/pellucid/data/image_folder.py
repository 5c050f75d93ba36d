"""Which images and classes a folder of image files holds: class folders, ready splits of them, or loose files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pellucid.data.image_source import PARTS, ImageSource, class_codes
from pellucid.data.pixels import EncodedPixels
from pellucid.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "Found", "find_class_files", "read_image_folder", "visible_children"]

IMAGE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"),
    *(".ico", ".tga", ".jp2", ".avif"),
}
"""Endings by which a folder is recognised as one of images; files are read whatever they are called."""

_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}

Found = list[tuple[str | None, str | None, Path]]
"""The part, the class and the path of each file."""


_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".csv.gz", ".tsv.gz", ".xlsx", ".xls")


def visible_children(folder: Path) -> list[Path]:
    """What stands in a folder, in order, without what systems leave behind."""
    return [
        child
        for child in sorted(folder.iterdir())
        if not child.name.startswith(".") and child.name.lower() not in _CLUTTER
    ]


def _files_below(folder: Path) -> list[Path]:
    files: list[Path] = []
    for child in visible_children(folder):
        files += _files_below(child) if child.is_dir() else [child]
    return files


def read_image_folder(path: Path) -> ImageSource:
    """Open a folder of image files: by class, by part and class, or loose."""
    found, notes = find_class_files(path)
    files = [file for _, _, file in found]
    tables = [file for file in files if file.name.lower().endswith(_TABLES)]
    if tables and not any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        raise DataError(
            "the folder holds no images but tables", place=str(path), remedy=f"name one of its files: {tables[0].name}"
        )
    codes, names = (None, ()) if found[0][1] is None else class_codes([group for _, group, _ in found], place=str(path))
    parts = None if found[0][0] is None else np.array([part for part, _, _ in found])
    relative = [file.relative_to(path).as_posix() for file in files]
    pixels = EncodedPixels(files, lambda row: str(files[row]))
    return ImageSource(str(path), pixels, codes, names, parts, files=relative, label_name="folder", notes=notes)


def find_class_files(path: Path) -> tuple[Found, tuple[str, ...]]:
    """Find the files of class folders, of ready splits of class folders, or loose ones.

    Returns:
        The part, the class and the path of each file, training first, in the order of their names (the part is ``None``
        where the folder is not split, the class where it has no folders); and what is to be said about the folder.

    Raises:
        DataError: The folder is empty, or an image stands beside the class folders.
    """
    children = visible_children(path)
    folders = [child for child in children if child.is_dir()]
    loose = [child for child in children if not child.is_dir()]
    if not children:
        raise DataError("the folder is empty", place=str(path), remedy="put a folder for each class in it")
    if not folders:
        return [(None, None, file) for file in loose], ()
    stray = [file for file in loose if file.suffix.lower() in IMAGE_SUFFIXES]
    if stray:
        raise DataError(
            "an image stands beside the class folders, so it has no class",
            place=str(stray[0]),
            remedy="move it into the folder of its class",
        )
    notes = (f"left out beside the class folders: {', '.join(file.name for file in loose)}",) if loose else ()
    named = {child: PARTS.get(child.name.lower()) for child in folders}
    if all(named.values()) and "train" in named.values():
        order = ("train", "validation", "test")
        found: Found = [
            (named[part], group.name, file)
            for part in sorted(folders, key=lambda child: order.index(named[child] or "train"))
            for group in _class_folders(part)
            for file in _files_below(group)
        ]
        return _some(path, found), notes
    empty = tuple(f"the folder {group.name} is empty and left out" for group in folders if not _files_below(group))
    found = [(None, group.name, file) for group in folders for file in _files_below(group)]
    return _some(path, found), notes + empty


def _class_folders(part: Path) -> list[Path]:
    groups = [child for child in visible_children(part) if child.is_dir()]
    if not groups:
        raise DataError(
            f"the folder {part.name!r} holds no class folders",
            place=str(part),
            remedy="put a folder for each class in it",
        )
    return groups


def _some(path: Path, found: Found) -> Found:
    """What was found, if it is anything."""
    if not found:
        raise DataError("no folder below holds a file", place=str(path), remedy="put files into the class folders")
    return found
