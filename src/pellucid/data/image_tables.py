"""Images and classes that stand in the columns of a Parquet file or the arrays of an NPZ file."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow

__all__ = ["ImageColumn", "find_image_column", "read_image_npz", "read_image_parquet"]

_LABELS = ("label", "labels", "class", "target", "y", "fine_label", "category")
_IMAGES = ("image", "images", "x", "data", "img")
_PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class ImageColumn:
    """A Parquet file's images, still encoded, and their classes."""

    image: str  # the column's name
    target: str | None
    items: list[bytes]
    labels: Any  # (n,) object array of the cells, or None
    class_names: tuple[str, ...]  # where the file states names for the numbers 0, 1, …


def find_image_column(path: Path, image: str | None = None) -> str | None:
    """The column of a Parquet file that holds encoded images: of bytes, or of a struct with a field ``bytes``.

    Raises:
        DataError: The file is not Parquet, or is damaged.
    """
    columns = _image_columns(_schema(path))
    if image is not None:
        return next((name for name in columns if name in (image, image.removesuffix(".bytes"))), None)
    preferred = [name for name in columns if name.partition(".")[0].lower() in _IMAGES]
    return next(iter(preferred or columns), None)


def _schema(path: Path) -> pyarrow.Schema:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"the Parquet file is truncated or damaged ({str(error).splitlines()[0]})",
        place=str(path),
        remedy="download or write it again",
    )


def _is_binary(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    return types.is_binary(kind) or types.is_large_binary(kind)


def _image_columns(schema: pyarrow.Schema) -> list[str]:
    from pyarrow import types

    return [
        field.name
        for field in schema
        if _is_binary(field.type)
        or (types.is_struct(field.type) and any(c.name == "bytes" and _is_binary(c.type) for c in field.type))
    ]


def read_image_parquet(
    path: Path, image: str | None = None, target: str | None = None, *, need_target: bool = True
) -> ImageColumn:
    """Read the image column and the class column of a Parquet file, and nothing else of it.

    Args:
        path: The file.
        image: The image column's name, with or without ``.bytes``; ``None`` = found by looking.
        target: The class column's name; ``None`` = ``label`` and the like, if there is one.
        need_target: Whether a ``target`` that is not there is an error.

    Raises:
        DataError: The file is damaged, holds no such column, or a row holds no image.
    """
    import pyarrow
    import pyarrow.parquet

    schema = _schema(path)
    column = find_image_column(path, image)
    if column is None:
        raise DataError(
            f"there is no image column {image!r}" if image else "no column holds image bytes",
            place=str(path),
            remedy=f"name one of its columns: {', '.join(schema.names)}",
        )
    if target is not None and not need_target and target not in schema.names:
        target = None
    elif target is not None and target not in schema.names:
        raise DataError(
            f"there is no column {target!r}", place=str(path), remedy=f"name one of: {', '.join(schema.names)}"
        )
    if target is None:
        target = next((name for name in _LABELS if name in schema.names and name != column), None)
    nested = not _is_binary(schema.field(column).type)
    try:
        # ParquetFile and not read_table, which would rename the nested column.
        wanted = [f"{column}.bytes" if nested else column, *([target] if target else [])]
        table = pyarrow.parquet.ParquetFile(path).read(columns=wanted)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    cells = table.column(column)
    if nested:
        cells = (
            pyarrow.chunked_array([chunk.field("bytes") for chunk in cells.chunks], pyarrow.binary())
            if len(cells)
            else cells
        )
    items = cells.to_pylist()
    if not items:
        raise DataError("the table has no rows", place=str(path), remedy="give a file with images")
    if None in items:
        raise DataError(
            "a row holds no image", place=f"{path}, column {column!r}, row {items.index(None)}", remedy="remove it"
        )
    labels = table.column(target).to_pandas().to_numpy(dtype=object) if target else None
    return ImageColumn(column, target, items, labels, _stated_names(schema, target))


def _stated_names(schema: pyarrow.Schema, target: str | None) -> tuple[str, ...]:
    """Class names that the Hugging Face libraries leave in a file's metadata."""
    try:
        stated = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(str(name) for name in stated["info"]["features"][target]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def read_image_npz(path: Path, target: str | None = None) -> list[tuple[str | None, np.ndarray, np.ndarray | None]]:
    """Read the image and label arrays of an NPZ file; nothing in it is ever unpickled.

    Names like ``images`` and ``labels``, ``x`` and ``y``, ``x_train`` and ``y_train``, ``train_images`` and
    ``train_labels`` are known.

    Returns:
        For each part its name (``None`` if the file is not split), its images and its labels (or ``None``).

    Raises:
        DataError: The file is damaged, holds Python objects, or no array of images.
    """
    try:
        archive = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged_npz(path, error) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(
            "this is a single array, not an NPZ file", place=str(path), remedy="save images and labels with numpy.savez"
        )
    with archive:
        roles = {name: _role(name, target) for name in archive.files}
        images = {part: name for name, (kind, part) in roles.items() if kind == "image"}
        labels = {part: name for name, (kind, part) in roles.items() if kind == "label"}
        if not images:
            raise DataError(
                f"none of the arrays is named like images: {', '.join(archive.files) or 'there are none'}",
                place=str(path),
                remedy="name the arrays images and labels, or x_train, y_train, x_test, y_test",
            )
        if len(images) > 1:
            images.pop(None, None)
        order = sorted(images, key=("train", "validation", "test", None).index)
        return [_npz_part(archive, path, part, images[part], labels.get(part)) for part in order]


def _damaged_npz(path: Path, error: Exception) -> DataError:
    if not zipfile.is_zipfile(path):
        return DataError(
            "the NPZ file is truncated or damaged (it is no ZIP archive)",
            place=str(path),
            remedy="write it again with numpy.savez",
        )
    if "allow_pickle" in str(error):
        return DataError(
            "an array holds Python objects, which are never unpickled",
            place=str(path),
            remedy="save numbers only: images as uint8, labels as whole numbers or fixed-width text",
        )
    return DataError(f"the NPZ file is truncated or damaged ({error})", place=str(path), remedy="write it again")


def _role(name: str, target: str | None) -> tuple[str, str | None]:
    """What an array is, and of which part."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    part = next((_PARTS[word] for word in words if word in _PARTS), None)
    rest = [word for word in words if word not in _PARTS]
    if name == target or (target is None and any(word in _LABELS for word in rest)):
        return "label", part
    return ("image", part) if any(word in _IMAGES for word in rest) else ("", part)


def _npz_part(
    archive: Any, path: Path, part: str | None, images: str, labels: str | None
) -> tuple[str | None, np.ndarray, np.ndarray | None]:
    try:
        pixels = archive[images]
        classes = None if labels is None else archive[labels]
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged_npz(path, error) from error
    if classes is None:
        return part, pixels, None
    if classes.ndim == 2 and classes.shape[1] == 1:
        classes = classes[:, 0]
    elif classes.ndim == 2 and ((classes == 0) | (classes == 1)).all() and (classes.sum(axis=1) == 1).all():
        classes = classes.argmax(axis=1)
    if classes.ndim != 1 or len(classes) != len(pixels):
        raise DataError(
            f"{images!r} has shape {pixels.shape} but {labels!r} has shape {classes.shape}",
            place=str(path),
            remedy="give each image one label",
        )
    return part, pixels, classes
