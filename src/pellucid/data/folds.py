"""Cross-validation: the same source prepared once for every fold, each time fitted on that fold's training rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid.data.load import prepare
from pellucid.data.settings import DataSettings
from pellucid.errors import SettingsError

if TYPE_CHECKING:
    from pellucid.data.prepared import Prepared

__all__ = ["prepare_folds"]


def prepare_folds(source: str | Path, settings: DataSettings | None = None, *, seed: int = 0) -> Iterator[Prepared]:
    """Prepare a source for k-fold cross-validation, fold by fold.

    Every row is a test row in exactly one fold (rows of one group in the same one); with ``shuffle`` off the folds
    chain forward in time instead. The rest of the rows train and validate by their shares in ``settings.split``.

    Args:
        source: A file, a folder, or the name of an embedded data set.
        settings: ``settings.folds`` says how many folds, at least 2.
        seed: The same seed gives the same folds.

    Raises:
        SettingsError: fewer than 2 folds were asked for.
        DataError: the data cannot be used, or has too few rows for so many folds.
    """
    settings = settings or DataSettings()
    if settings.folds < 2:
        raise SettingsError(
            f"{settings.folds} folds are no cross-validation", place="folds", remedy="ask for 2 folds or more"
        )
    return (prepare(source, settings, seed=seed, fold=fold) for fold in range(settings.folds))
