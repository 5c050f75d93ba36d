"""The fitted preprocessing of images: what size and channels they are brought to, and which classes there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pellucid.data.image_files import open_image_source
from pellucid.data.image_source import ImageSource
from pellucid.data.persistence import read_document, write_document
from pellucid.data.pixels import ArrayPixels, PixelForm
from pellucid.data.prepared import RawRows
from pellucid.data.target import NO_CLASS
from pellucid.errors import PellucidError, RunCorruptedError

__all__ = ["ImagePreparation", "share_pixels"]

_KEPT = "images.safetensors"


@dataclass(frozen=True, eq=False)
class ImagePreparation:
    """How images of any size and kind become the network's.

    Attributes:
        source: The absolute path trained on, or a name where there is none.
        classes: Class names in the order of their numbers.
        form: Channels and size.
        factor: What float images were multiplied with to become bytes.
        image_name: The Parquet column of the images.
        label_name: The Parquet column or NPZ array of the classes.
        kept: The images themselves and their classes, where they came from no file and are not too many.
    """

    source: str
    classes: tuple[str, ...]
    form: PixelForm
    factor: int = 1
    image_name: str = "image"
    label_name: str = "class"
    kept: tuple[np.ndarray, np.ndarray] | None = None
    modality: Literal["image"] = "image"

    def read(self, path: str | Path) -> RawRows:
        """Read images for prediction: a folder (loose or by class), one image, IDX, NPZ or Parquet.

        Classes that training did not know are -100 in the targets; without any classes there are no targets.

        Raises:
            DataError: There is no image, or a file cannot be decoded.
        """
        import pandas
        import torch

        source = self._open(path)
        pixels = source.pixels.load(np.arange(len(source)), self.form)
        identifiers = pandas.DataFrame({"row": np.arange(len(source))})
        if len(source.files):
            identifiers["file"] = list(source.files)
        targets = None if source.labels is None else torch.from_numpy(self._translate(source))
        return RawRows(torch.from_numpy(share_pixels(pixels)), targets, identifiers)

    def _translate(self, source: ImageSource) -> np.ndarray:
        """Class numbers of a source as this preparation's."""
        known = {name: number for number, name in enumerate(self.classes)}
        table = np.array([known.get(name, NO_CLASS) for name in source.classes] + [NO_CLASS], dtype=np.int64)
        labels = np.full(0, NO_CLASS) if source.labels is None else source.labels
        return table[np.where(labels < 0, len(source.classes), labels)]

    def _open(self, path: str | Path) -> ImageSource:
        if self.kept is not None and str(path) == self.source:
            return ImageSource(self.source, ArrayPixels(self.kept[0]), self.kept[1], self.classes)
        # The stand-in name is no array's or column's own: the classes are found again by their usual names.
        target = None if self.label_name == "class" else self.label_name
        return open_image_source(
            Path(path), image=self.image_name, target=target, factor=self.factor, need_target=False
        )

    def preview(self, rows: np.ndarray) -> dict[str, Any]:
        """``{"images": (rows, height, width, channels) uint8}`` of source rows; ``{}`` if the source is gone."""
        rows = np.asarray(rows, dtype=np.int64)
        try:
            source = self._open(self.source)
            if len(rows) and int(rows.max()) >= len(source):
                return {}  # the source has changed since
            return {"images": np.ascontiguousarray(source.pixels.load(rows, self.form).transpose(0, 2, 3, 1))}
        except (PellucidError, OSError):
            return {}

    def save(self, folder: Path) -> None:
        """Write ``preparation.json``, and the images where no file holds them."""
        from safetensors.numpy import save_file

        document = {
            "source": self.source,
            "classes": list(self.classes),
            "form": list(self.form.shape),
            "factor": self.factor,
            "image_name": self.image_name,
            "label_name": self.label_name,
        }
        write_document(Path(folder), document, modality="image")
        if self.kept is not None:
            images, labels = self.kept
            tensors = {"images": np.ascontiguousarray(images), "labels": np.ascontiguousarray(labels)}
            save_file(tensors, Path(folder) / _KEPT)

    @classmethod
    def load(cls, folder: Path) -> ImagePreparation:
        """Read what ``save`` wrote.

        Raises:
            RunCorruptedError: A file is missing, damaged or of another kind of data.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        document, kept = read_document(Path(folder), modality="image"), Path(folder) / _KEPT
        try:
            tensors = load_file(kept) if kept.exists() else None
            channels, height, width = (int(number) for number in document["form"])
            return cls(
                str(document["source"]),
                tuple(str(name) for name in document["classes"]),
                PixelForm(channels, height, width),
                int(document["factor"]),
                str(document["image_name"]),
                str(document["label_name"]),
                None if tensors is None else (tensors["images"], tensors["labels"]),
            )
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise RunCorruptedError(
                f"the image preparation cannot be read ({error})", place=str(folder), remedy="train again"
            ) from error


def share_pixels(array: np.ndarray) -> np.ndarray:
    """The array itself, or a copy of one that PyTorch could not share."""
    return array if array.flags.writeable and array.flags.c_contiguous else array.copy()
