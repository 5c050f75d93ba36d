"""What stands in an IDX file, the format of MNIST, plain or gzipped.

An IDX file is two zero bytes, a byte for the number type, a byte for the number of axes, one big-endian 32-bit length
per axis, then the numbers, big-endian (LeCun, Cortes and Burges, "The MNIST database", section "The IDX file format").
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import DataError, SourceNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["IdxPair", "find_idx_pairs", "is_idx_images", "read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IMAGES = re.compile(r"^(?P<prefix>.*?)images(?P<joint>[-.])idx[34]-u?byte(?:\.gz)?$", re.IGNORECASE)
_PARTS = (("train", "train"), ("t10k", "test"), ("test", "test"), ("valid", "validation"), ("val", "validation"))
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class IdxPair:
    """An IDX file of images and, where it is there, the one with their labels."""

    images: Path
    labels: Path | None
    part: str | None  # "train", "validation" or "test" by the file's name; None = it does not say


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file.

    Args:
        path: The file; whether it is gzipped is seen from its first bytes.

    Returns:
        The array in the machine's byte order, of the type and shape that the file states; read-only.

    Raises:
        SourceNotFoundError: There is no such file.
        DataError: It is not IDX, or it holds fewer or more bytes than its header states.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES or content[3] == 0:
        raise DataError(
            "this is not an IDX file: its first four bytes state no number type and axes",
            place=str(path),
            remedy="give the images file of an MNIST-style pair, as published",
        )
    kind, axes = np.dtype(_TYPES[content[2]]), content[3]
    header = 4 + 4 * axes
    if len(content) < header:
        raise _truncated(path, header, len(content))
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", axes, 4))
    expected = header + kind.itemsize * int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise _truncated(path, expected, len(content))
    array = np.frombuffer(content, kind, offset=header).reshape(shape)
    return array if kind.itemsize == 1 else array.astype(kind.newbyteorder("="))


def _content(path: Path) -> bytes:
    """The file's bytes, unzipped."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise SourceNotFoundError("there is no such file", place=str(path), remedy="check the path") from error
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror})", place=str(path)) from error
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"the gzip file is truncated or damaged: {_intact_bytes(content)} bytes could be unzipped"
            f" from its {len(content)}",
            place=str(path),
            remedy="download it again",
        ) from error


def _intact_bytes(content: bytes) -> int:
    """How many bytes a damaged gzip file still gives."""
    unzip, count = zlib.decompressobj(wbits=31), 0
    try:
        for start in range(0, len(content), 1 << 16):
            count += len(unzip.decompress(content[start : start + (1 << 16)]))
    except zlib.error:
        return count
    return count


def _truncated(path: Path, expected: int, actual: int) -> DataError:
    state = "truncated" if actual < expected else "longer than its header states"
    return DataError(
        f"the IDX file is {state}: {expected} bytes expected, {actual} found",
        place=str(path),
        remedy="download it again",
    )


def is_idx_images(path: Path) -> bool:
    """Whether the file's name is that of an IDX file of images, like ``train-images-idx3-ubyte.gz``."""
    return _IMAGES.match(path.name) is not None


def find_idx_pairs(path: Path) -> tuple[IdxPair, ...]:
    """Find MNIST-style pairs of image and label files.

    Args:
        path: A folder, or one images file. A training file brings its test and validation siblings along.

    Returns:
        The pairs, those for training first, then validation, then test; empty if there are none.
    """
    if path.is_dir():
        found = [entry for entry in sorted(path.iterdir()) if entry.is_file() and is_idx_images(entry)]
    elif is_idx_images(path):
        found = [path]
        if _part(path) == "train":
            family = _family(path)
            found += [
                p.images for p in find_idx_pairs(path.parent) if p.part != "train" and _family(p.images) == family
            ]
    else:
        found = []
    unzipped = {entry.name for entry in found if entry.suffix != ".gz"}
    pairs = [
        IdxPair(entry, _labels_of(entry), _part(entry))
        for entry in found
        if entry.suffix != ".gz" or entry.name.removesuffix(".gz") not in unzipped
    ]
    order = ("train", "validation", "test", None)
    return tuple(sorted(pairs, key=lambda pair: order.index(pair.part)))


def _part(path: Path) -> str | None:
    name = path.name.lower().partition("images")[0]
    return next((part for word, part in _PARTS if word in name), None)


def _family(path: Path) -> str:
    """The file's name without what says which part it is: ``emnist-letters-`` of ``emnist-letters-test-images…``."""
    return re.sub(r"train|t10k|test|valid(ation)?|val", "", path.name.lower().partition("images")[0])


def _labels_of(images: Path) -> Path | None:
    match = _IMAGES.match(images.name)
    if match is None:
        return None
    stem = f"{match['prefix']}labels{match['joint']}idx1-ubyte"
    return next((images.with_name(name) for name in (stem, stem + ".gz") if images.with_name(name).exists()), None)
