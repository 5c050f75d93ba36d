"""Where an image set's pixels come from: an array in memory, or encoded files that are decoded when they are wanted.

Pixels stay ``uint8`` in ``(batch, channels, height, width)`` throughout; only the rows asked for are ever decoded.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from pellucid.errors import DataError, SourceNotFoundError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ArrayPixels", "EncodedPixels", "PixelForm", "Pixels", "Survey", "as_pixels", "resize_pixels"]

_T = TypeVar("_T")
_THREADS = 4
_BLOCK = 64
"""Images a thread takes at once, so that small ones are not outweighed by handing them over."""

_GREY_MODES = {"1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


@dataclass(frozen=True)
class PixelForm:
    """The one form that every image of a data set is brought to."""

    channels: int  # 1 = grey, 3 = red, green, blue
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)``."""
        return self.channels, self.height, self.width

    def __str__(self) -> str:
        return f"{self.height} × {self.width}, {self.channels} channel{'s' if self.channels > 1 else ''}"


@dataclass(frozen=True)
class Survey:
    """What sizes there are, before anything is decoded."""

    sizes: Counter[tuple[int, int]]  # (height, width) -> images
    grey: bool  # whether no image has colour channels


class Pixels(Protocol):
    """Rows of images that can be had in one form."""

    def __len__(self) -> int: ...

    def survey(self, rows: np.ndarray) -> Survey:
        """Look at the sizes and channels of some rows."""
        ...

    def load(self, rows: np.ndarray, form: PixelForm) -> np.ndarray:
        """``(rows, channels, height, width)`` uint8 of some rows, resized and converted as need be."""
        ...


@dataclass(frozen=True)
class ArrayPixels:
    """Images that stand in memory as ``(n, channels, height, width)`` uint8."""

    images: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def survey(self, rows: np.ndarray) -> Survey:
        """One size, and grey if there is one channel."""
        _, channels, height, width = self.images.shape
        return Survey(Counter({(height, width): len(rows)}), channels == 1)

    def load(self, rows: np.ndarray, form: PixelForm) -> np.ndarray:
        """The rows, converted only where the form differs from their own."""
        whole = len(rows) == len(self.images) and bool((rows == np.arange(len(rows))).all())
        return resize_pixels(self.images if whole else self.images[rows], form)


@dataclass(frozen=True)
class EncodedPixels:
    """Images as files or as the bytes of files: PNG, JPEG and whatever else Pillow reads."""

    items: Sequence[Path | bytes]
    name: Callable[[int], str]  # what an error calls a row

    def __len__(self) -> int:
        return len(self.items)

    def survey(self, rows: np.ndarray) -> Survey:
        """Read every header; what is no image at all is found here."""

        def look(row: int) -> tuple[tuple[int, int], bool]:
            with self._open(row) as image:
                width, height = image.size
                return ((width, height) if _is_turned(image) else (height, width)), _is_grey(image)

        seen = self._each(look, rows)
        return Survey(Counter(size for size, _ in seen), all(grey for _, grey in seen))

    def load(self, rows: np.ndarray, form: PixelForm) -> np.ndarray:
        """Decode in a pool of threads."""
        loaded = np.empty((len(rows), *form.shape), dtype=np.uint8)

        def decode(place: int) -> None:
            loaded[place] = self._decode(int(rows[place]), form)

        self._each(decode, np.arange(len(rows)))
        return loaded

    def _each(self, work: Callable[[int], _T], rows: np.ndarray) -> list[_T]:
        """Do something for each row in threads, in order."""
        blocks = [rows[start : start + _BLOCK].tolist() for start in range(0, len(rows), _BLOCK)]
        with ThreadPoolExecutor(_THREADS) as pool:
            done = pool.map(lambda block: [work(row) for row in block], blocks)
            try:
                return [result for block in done for result in block]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # one bad image is enough: leave the others undecoded
                raise

    def _open(self, row: int) -> Image:
        """The image of a row, its header read."""
        from PIL import Image

        item = self.items[row]
        try:
            return Image.open(io.BytesIO(item) if isinstance(item, bytes) else item)
        except FileNotFoundError as error:
            raise SourceNotFoundError("the image is no longer there", place=self.name(row)) from error
        except Image.DecompressionBombError as error:
            raise _refused(self.name(row), f"the image is too large ({error})", "make it smaller") from error
        except (OSError, SyntaxError, ValueError, struct.error) as error:
            size = len(item) if isinstance(item, bytes) else item.stat().st_size
            problem = "the file is empty" if size == 0 else "this is not an image that can be read"
            raise _refused(self.name(row), problem, "remove it, or replace it by a PNG or JPEG") from error

    def _decode(self, row: int, form: PixelForm) -> np.ndarray:
        with self._open(row) as image:
            try:
                return _to_form(image, form)
            except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error) as error:
                raise _refused(
                    self.name(row), f"the image is truncated or damaged ({error})", "replace or remove it"
                ) from error


def _refused(place: str, message: str, remedy: str) -> DataError:
    return DataError(message, place=place, remedy=remedy)


def _is_grey(image: Image) -> bool:
    palette = image.palette
    if image.mode == "P" and palette is not None:
        colours = np.frombuffer(bytes(palette.palette), np.uint8)
        width = len(palette.mode)
        return bool(
            width >= 3 and (np.ptp(colours[: len(colours) // width * width].reshape(-1, width)[:, :3], 1) == 0).all()
        )
    return image.mode in _GREY_MODES


def _is_turned(image: Image) -> bool:
    """Whether a camera's note says that the picture stands on its side."""
    return bool(image.info.get("exif")) and image.getexif().get(0x0112, 1) >= 5


def _to_form(image: Image, form: PixelForm) -> np.ndarray:
    """``(channels, height, width)`` uint8 of an opened image."""
    from PIL import Image, ImageOps

    mode, size = ("L" if form.channels == 1 else "RGB"), (form.width, form.height)
    if image.size != size and image.mode in ("L", "RGB", "YCbCr"):
        # A JPEG can be decoded at a half, a quarter or an eighth of its size, far quicker than in full.
        image.draft(image.mode, (max(size) * 2, max(size) * 2))
    if image.info.get("exif"):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode != mode:
        image = image.convert("RGB") if image.mode == "P" else image
        image = image.convert(mode)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if form.channels == 1 else pixels.transpose(2, 0, 1)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """16-bit or float grey values brought to 0…255."""
    if values.dtype.kind == "f":
        return np.clip(values * (255 if values.max(initial=0) <= 1 else 1), 0, 255).round().astype(np.uint8)
    return (np.clip(values, 0, 65535) >> 8 if values.max(initial=0) > 255 else np.clip(values, 0, 255)).astype(np.uint8)


def resize_pixels(images: np.ndarray, form: PixelForm) -> np.ndarray:
    """Bring ``(n, channels, height, width)`` uint8 images to a form; the same array if they have it already.

    Grey becomes colour by repeating the channel, colour becomes grey by the luma weights of ITU-R BT.601, an alpha
    channel is dropped; sizes change bilinearly.
    """
    if images.shape[1] in (2, 4):
        images = images[:, :-1]
    if images.shape[1] == 3 and form.channels == 1:
        luma = np.array([19595, 38470, 7471], dtype=np.uint32)[:, None, None]  # of 65536, as Pillow rounds them
        images = np.stack([((image * luma).sum(0) + 0x8000 >> 16) for image in images])[:, None].astype(np.uint8)
    elif images.shape[1] == 1 and form.channels == 3:
        images = np.repeat(images, 3, axis=1)
    if images.shape[2:] == (form.height, form.width):
        return images
    from PIL import Image

    resized = np.empty((len(images), *form.shape), dtype=np.uint8)
    for row, image in enumerate(images):
        for channel, plane in enumerate(image):
            small = Image.fromarray(plane).resize((form.width, form.height), Image.Resampling.BILINEAR)
            resized[row, channel] = np.asarray(small)
    return resized


def as_pixels(array: np.ndarray, *, place: str, factor: int | None = None) -> tuple[np.ndarray, int]:
    """Turn an array of images of any number type into ``(n, channels, height, width)`` uint8.

    Args:
        array: ``(n, height, width)``, ``(n, channels, height, width)`` or ``(n, height, width, channels)``.
        place: What an error names.
        factor: 255 if the numbers run from 0 to 1, 1 if from 0 to 255; ``None`` = seen from them.

    Returns:
        The images, and the factor that was used.

    Raises:
        DataError: The shape is not one of images, or a value is missing, infinite or out of range.
    """
    values: Any = array
    if values.ndim == 3:
        values = values[:, None]
    elif values.ndim == 4 and values.shape[1] not in (1, 3) and values.shape[3] in (1, 2, 3, 4):
        values = values.transpose(0, 3, 1, 2)
    if values.ndim != 4 or values.shape[1] not in (1, 2, 3, 4) or 0 in values.shape:
        raise DataError(
            f"an array of shape {tuple(array.shape)} is not a set of images",
            place=place,
            remedy="store images as (n, height, width), (n, height, width, channels) or (n, channels, height, width)",
        )
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values), 1
    if values.dtype.kind not in "biuf":
        raise DataError(f"images cannot be made of {values.dtype} values", place=place, remedy="store them as uint8")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):  # a missing value is neither
        bad = int(np.argwhere(~((values >= 0) & (values <= 255)))[0][0])
        raise DataError(
            f"pixel values run from {low:g} to {high:g}, not from 0 to 1 or from 0 to 255",
            place=f"{place}, image {bad}",
            remedy="rescale them to 0…255 and store them as uint8",
        )
    if factor is None:
        factor = 255 if values.dtype.kind in "bf" and high <= 1 else 1
    scaled = values.astype(np.float32) * factor if values.dtype.kind in "bf" else values
    return np.ascontiguousarray(np.clip(np.round(scaled), 0, 255).astype(np.uint8)), factor
