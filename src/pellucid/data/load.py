"""From a person's data, whatever its kind, to tensors by split; and fitted preparations back from disk."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pellucid.data.embedded import EMBEDDED, Embedded, EmbeddedImages, find_embedded
from pellucid.data.persistence import DOCUMENT, read_document
from pellucid.data.settings import DataSettings
from pellucid.data.text_reading import is_text_source
from pellucid.errors import RunCorruptedError, SourceNotFoundError

if TYPE_CHECKING:
    from pellucid.data.prepared import Preparation, Prepared

__all__ = ["load_preparation", "prepare"]


def prepare(
    source: str | Path, settings: DataSettings | None = None, *, seed: int = 0, fold: int | None = None
) -> Prepared:
    """Read a source of any kind, split it, and preprocess it by what its training split says.

    ``settings.series`` makes it a series; ``settings.text``, next-token prediction, a ``.txt`` file whose target is
    ``first_letter`` and folders of ``.txt`` files make it text; another folder, an IDX or NPZ file and a Parquet file
    with image bytes are images; everything else is a table. A path that exists goes before an embedded set's name.

    Args:
        source: A file, a folder, or the name of an embedded data set such as ``"digits"``.
        settings: What the person decided; everything has a default.
        seed: Of the split and of every other draw.
        fold: Which of ``settings.folds`` folds is the test split, from 0; None splits by ``settings.split``.

    Raises:
        SourceNotFoundError: there is no such file, folder or embedded set.
        DataError: the data cannot be used; the message names file, row and column.
        SettingsError: a setting has a value that does not exist.

    >>> prepared = prepare("iris")
    >>> prepared.classes, prepared.input_shape
    (('setosa', 'versicolor', 'virginica'), (4,))
    """
    settings = (settings or DataSettings()).validate()
    path = Path(source)
    embedded = find_embedded(source)
    if not path.exists():
        if embedded is None:
            raise _unknown_source(str(source))
        return _prepare_embedded(embedded, settings, seed, fold)
    if settings.series:
        from pellucid.data.series import prepare_series

        return prepare_series(path, settings, seed, fold=fold)
    if is_text_source(path, settings):
        from pellucid.data.text import prepare_text

        return prepare_text(path, settings, seed, fold=fold)
    if _holds_images(path, settings):
        from pellucid.data.image import prepare_images

        return prepare_images(path, settings, seed, fold=fold)
    from pellucid.data.table import prepare_table

    return prepare_table(path, settings, seed, fold=fold)


def load_preparation(folder: str | Path) -> Preparation:
    """Read the fitted preparation of a run, whatever kind of data it prepares.

    Raises:
        RunCorruptedError: it is missing, damaged, hostile, or of an unknown kind.
    """
    folder = Path(folder)
    modality = read_document(folder).get("modality")
    if modality == "table":
        from pellucid.data.table import TablePreparation

        return TablePreparation.load(folder)
    if modality == "image":
        from pellucid.data.image_preparation import ImagePreparation

        return ImagePreparation.load(folder)
    if modality == "text":
        from pellucid.data.text import TextPreparation

        return TextPreparation.load(folder)
    if modality == "series":
        from pellucid.data.series import SeriesPreparation

        return SeriesPreparation.load(folder)
    raise RunCorruptedError(
        f"there is no preparation of {modality!r} data", place=str(folder / DOCUMENT), remedy="fit again"
    )


def _prepare_embedded(embedded: Embedded, settings: DataSettings, seed: int, fold: int | None) -> Prepared:
    """An embedded set as what it is, or as a table where feature columns are named."""
    if settings.series:
        from pellucid.data.series import prepare_series

        return prepare_series(embedded.name, settings, seed, fold=fold)
    if embedded.modality == "text" or settings.text is not None:
        from pellucid.data.text import prepare_text

        return prepare_text(embedded.name, _with_defaults(embedded, settings), seed, fold=fold)
    if embedded.modality == "image" and not settings.features:
        from pellucid.data.image import prepare_image_arrays

        made: Any = embedded.make(seed)
        assert isinstance(made, EmbeddedImages)
        return prepare_image_arrays(
            made.images, made.labels, None, embedded.name, settings, seed, label_name=embedded.target, fold=fold
        )
    from pellucid.data.table import prepare_table

    return prepare_table(embedded.name, settings, seed, fold=fold)


def _with_defaults(embedded: Embedded, settings: DataSettings) -> DataSettings:
    """The settings, with what suits the embedded set wherever the person decided nothing."""
    untouched = DataSettings()
    suited = {
        name: value
        for name, value in (embedded.defaults | {"target": embedded.target}).items()
        if getattr(settings, name) == getattr(untouched, name)
    }
    return replace(settings, **suited)


def _holds_images(path: Path, settings: DataSettings) -> bool:
    """Whether a source is read as images; a folder always is, so that its fault is named as an image folder's."""
    from pellucid.data.image_files import is_image_source

    return settings.image is not None or path.is_dir() or is_image_source(path)


def _unknown_source(source: str) -> SourceNotFoundError:
    """The error for a source that is nowhere, with the closest embedded name."""
    import difflib

    # A path may have been made of the name, and one slash of an address's two.
    close = difflib.get_close_matches(Path(source).name, EMBEDDED, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    if re.search(r"(?:^|/)(?:https?|ftp|s3|gs):/", source):
        meant = "download the file first, for addresses are not read; "
    return SourceNotFoundError(
        "there is no such file, folder or embedded data set",
        place=source,
        remedy=f"{meant}check the path; the embedded sets are {', '.join(EMBEDDED)}",
    )
