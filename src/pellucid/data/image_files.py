"""Opening an image set of any form: a folder of image files, IDX, NPZ, Parquet, or one image."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pellucid.data.idx import IdxPair, find_idx_pairs, is_idx_images, read_idx
from pellucid.data.image_folder import IMAGE_SUFFIXES, read_image_folder, visible_children
from pellucid.data.image_source import PARTS, ImageSource, class_codes
from pellucid.data.image_tables import find_image_column, read_image_npz, read_image_parquet
from pellucid.data.pixels import ArrayPixels, EncodedPixels, as_pixels
from pellucid.errors import DataError, SourceNotFoundError

__all__ = ["is_image_source", "open_image_source"]

_PARQUET = (".parquet", ".pq")


def is_image_source(path: Path) -> bool:
    """Whether a path holds images: a folder of them, IDX, NPZ, an image file, or Parquet with an image column."""
    if path.is_dir():
        if find_idx_pairs(path) or any(child.suffix.lower() in IMAGE_SUFFIXES for child in path.iterdir()):
            return True
        shards = _parquet_shards(path)
        if shards:
            return find_image_column(shards[0]) is not None
        return any(child.is_dir() for child in visible_children(path))
    name = path.name.lower()
    if name.endswith(_PARQUET):
        return find_image_column(path) is not None
    return is_idx_images(path) or path.suffix.lower() == ".npz" or path.suffix.lower() in IMAGE_SUFFIXES


def open_image_source(
    path: Path,
    *,
    image: str | None = None,
    target: str | None = None,
    factor: int | None = None,
    need_target: bool = True,
) -> ImageSource:
    """Open an image set of any of the forms that Pellucid reads.

    Args:
        path: A folder (of classes, of ready splits, of loose images, of IDX or Parquet files) or one file.
        image: The Parquet column that holds images, ``None`` = found by looking.
        target: The Parquet column or NPZ array that holds classes, ``None`` = found by its usual names.
        factor: How floats become bytes, ``None`` = seen from them.
        need_target: Whether a ``target`` that is not there is an error.

    Raises:
        SourceNotFoundError: There is nothing at ``path``.
        DataError: It holds no images, or a file in it is damaged.
    """
    if not path.exists():
        raise SourceNotFoundError("there is no such file or folder", place=str(path), remedy="check the path")
    pairs = find_idx_pairs(path)
    if pairs:
        return _from_idx(path, pairs, factor)
    if path.is_dir():
        shards = _parquet_shards(path)
        return _from_parquet(path, shards, image, target, need_target) if shards else read_image_folder(path)
    if path.stat().st_size == 0:
        raise DataError("the file is empty", place=str(path), remedy="give a file that holds images")
    if path.name.lower().endswith(_PARQUET):
        return _from_parquet(path, [path], image, target, need_target)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, target, factor)
    return ImageSource(str(path), EncodedPixels([path], lambda _: str(path)), None, (), files=[path.name])


def _from_idx(path: Path, pairs: tuple[IdxPair, ...], factor: int | None) -> ImageSource:
    """One or more pairs of IDX files, joined in the order train, validation, test."""
    images, labels, parts = [], [], []
    for pair in pairs:
        pixels, factor = as_pixels(read_idx(pair.images), place=str(pair.images), factor=factor)
        images.append(pixels)
        parts += [pair.part or "train"] * len(pixels)
        if pair.labels is not None:
            labels.append(_idx_labels(pair, pair.labels, len(pixels)))
    shapes = {found.shape[1:] for found in images}
    if len(shapes) > 1:
        raise DataError(f"the IDX files hold images of different sizes: {sorted(shapes)}", place=str(path))
    if labels and len(labels) < len(pairs):
        bare = next(pair.images for pair in pairs if pair.labels is None)
        raise DataError(
            "the labels of these images are missing", place=str(bare), remedy="put its labels file beside it"
        )
    codes, names = class_codes(np.concatenate(labels), place=str(path)) if labels else (None, ())
    stated = len({pair.part for pair in pairs}) > 1
    return ImageSource(
        str(path),
        ArrayPixels(images[0] if len(images) == 1 else np.concatenate(images)),
        codes,
        names,
        np.array(parts) if stated else None,
        factor=factor or 1,
        notes=(f"IDX files: {', '.join(pair.images.name for pair in pairs)}",),
    )


def _idx_labels(pair: IdxPair, path: Path, count: int) -> np.ndarray:
    values = read_idx(path)
    if values.ndim != 1 or len(values) != count:
        raise DataError(
            f"there are {count} images but labels of shape {values.shape}",
            place=f"{pair.images} and {path}",
            remedy="use the labels file that was published with the images",
        )
    return values.astype(np.int64)


def _from_npz(path: Path, target: str | None, factor: int | None) -> ImageSource:
    """Arrays of an NPZ file, split or not."""
    sets = read_image_npz(path, target)
    images, parts = [], []
    for part, values, _ in sets:
        pixels, factor = as_pixels(values, place=f"{path}, {part or 'images'}", factor=factor)
        images.append(pixels)
        parts += [part] * len(pixels)
    if len({found.shape[1:] for found in images}) > 1:
        raise DataError("the arrays hold images of different sizes", place=str(path), remedy="store one size")
    labels = [values for _, _, values in sets if values is not None]
    if labels and len(labels) < len(sets):
        raise DataError("some of the image arrays have labels and some have none", place=str(path))
    codes, names = class_codes(np.concatenate(labels), place=str(path)) if labels else (None, ())
    return ImageSource(
        str(path),
        ArrayPixels(np.concatenate(images) if len(images) > 1 else images[0]),
        codes,
        names,
        np.array(parts) if len(sets) > 1 else None,
        factor=factor or 1,
        label_name=target or "class",
    )


def _parquet_shards(folder: Path) -> list[Path]:
    """A folder's Parquet files, in the order train, validation, test, others."""
    order = ("train", "validation", "test", None)
    shards = [child for child in visible_children(folder) if child.is_file() and child.name.lower().endswith(_PARQUET)]
    return sorted(shards, key=lambda shard: (order.index(_part_of(shard)), shard.name))


def _part_of(path: Path) -> str | None:
    return PARTS.get(re.split(r"[^a-z]", path.name.lower())[0])


def _from_parquet(
    path: Path, shards: list[Path], image: str | None, target: str | None, need_target: bool
) -> ImageSource:
    """Image bytes and classes of one or more Parquet files."""
    read = [read_image_parquet(shard, image, target, need_target=need_target) for shard in shards]
    starts = np.cumsum([0, *(len(table.items) for table in read)])
    labels = [table.labels for table in read if table.labels is not None]
    if labels and len(labels) < len(read):
        bare = next(shard for shard, table in zip(shards, read, strict=True) if table.labels is None)
        raise DataError("this file has no column of classes, but others of the folder have", place=str(bare))

    def name(row: int) -> str:
        shard = int(np.searchsorted(starts, row, side="right")) - 1
        return f"{shards[shard]}, column {read[shard].image!r}, row {row - starts[shard]}"

    codes, names = (None, ())
    if labels:
        codes, names = class_codes(np.concatenate(labels), place=str(path), names=read[0].class_names)
    parts = [_part_of(shard) for shard in shards]
    stated = len(set(parts)) > 1 and None not in parts
    rows = [[part] * len(table.items) for part, table in zip(parts, read, strict=True)]
    return ImageSource(
        str(path),
        EncodedPixels([item for table in read for item in table.items], name),
        codes,
        names,
        np.array([part for group in rows for part in group]) if stated else None,
        label_name=read[0].target or "class",
        image_name=read[0].image,
    )
