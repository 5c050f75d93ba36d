"""What an image set is before anything is decoded: pixels to be had, and each row's class, part and file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.data.target import NO_CLASS
from pellucid.errors import DataError

if TYPE_CHECKING:
    from pellucid.data.pixels import Pixels

__all__ = ["PARTS", "ImageSource", "class_codes"]

PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What people call the three parts of a data set, in lower case."""


@dataclass(frozen=True)
class ImageSource:
    """An image set as found, nothing decoded that need not be.

    Attributes:
        place: The path, for messages.
        pixels: Where the pixels come from.
        labels: ``(n,)`` class numbers into ``classes``, -100 where a row has none; ``None`` = no labels at all.
        classes: Class names.
        parts: ``(n,)`` ``"train"``, ``"validation"`` or ``"test"`` where the source is split already, else ``None``.
        files: ``(n,)`` a file name for each row, relative to the source; empty if rows are no files.
        factor: 255 if floats from 0 to 1 were made bytes, else 1.
        label_name: What the class is called in the source.
        image_name: What the image is called in the source.
        notes: What was inferred, in sentences.
    """

    place: str
    pixels: Pixels
    labels: np.ndarray | None
    classes: tuple[str, ...]
    parts: np.ndarray | None = None
    files: Sequence[str] = ()
    factor: int = 1
    label_name: str = "class"
    image_name: str = "image"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)


def class_codes(values: Any, *, place: str = "", names: Sequence[str] = ()) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number classes in the order of their names, whole numbers in their own order.

    Args:
        values: ``(n,)`` class names or whole numbers; ``None`` and NaN where there is none.
        place: What an error names.
        names: Names of the whole numbers 0, 1, …, where the source states them.

    Returns:
        ``(n,)`` int64 numbers, -100 where there is none, and the names.

    Raises:
        DataError: The values are fractions, or numbers that have no name.
    """
    import pandas

    series = pandas.Series(values)
    if series.dtype == bool:
        series = series.astype(str)
    present = series.dropna().infer_objects()
    if pandas.api.types.is_numeric_dtype(present.dtype):
        whole = present.astype("float64")
        if not (whole == whole.round()).all():
            fraction = whole[whole != whole.round()]
            raise DataError(
                f"the class {fraction.iloc[0]!r} is not a whole number: images can be sorted into classes only",
                place=f"{place}, row {fraction.index[0]}",
                remedy="give class names or whole numbers",
            )
        series = series.astype("Int64")
        present = present.astype("int64")
        if names and len(present) and (present.min() < 0 or present.max() >= len(names)):
            raise DataError(f"class {present.max()} has no name among the {len(names)} stated", place=place)
        distinct = list(range(len(names))) if names else sorted(int(value) for value in present.unique())
        titles = tuple(names) or tuple(str(value) for value in distinct)
        table: dict[Any, int] = {value: number for number, value in enumerate(distinct)}
    else:
        series = series.where(series.isna(), series.astype(str))
        titles = tuple(sorted(series.dropna().unique()))
        table = {value: number for number, value in enumerate(titles)}
    codes = series.map(table).fillna(NO_CLASS).to_numpy(dtype=np.int64)
    return codes, titles
