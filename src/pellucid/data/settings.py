"""What a person may decide about their data; everything has a default chosen from the data itself."""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields
from typing import Literal, Self

from pellucid.errors import SettingsError

__all__ = ["DataSettings"]


@dataclass(frozen=True)
class DataSettings:
    """Which columns mean what, how to split, and how to preprocess."""

    target: str | None = None
    task: Literal["auto", "classification", "regression"] = "auto"
    features: tuple[str, ...] = ()  # () = every column but the target
    drop: tuple[str, ...] = ()
    image: str | None = None  # the Parquet column that holds image bytes; None = found by looking
    text: str | None = None  # the column to read as text
    series: tuple[str, ...] = ()  # the columns to forecast from; the first is forecast
    time: str | None = None  # the column that orders a series
    window: int = 48
    horizon: int = 12
    stride: int = 1  # between the starts of two windows
    group: str | None = None  # rows with the same value stay in one split
    split: tuple[float, float, float] = (0.7, 0.15, 0.15)  # train, validation, test
    shuffle: bool = True
    folds: int = 0  # k of a k-fold cross-validation, 0 = none
    missing: Literal["auto", "median", "mean", "most_frequent", "drop"] = "auto"
    missing_indicator: bool = True
    outliers: Literal["none", "winsorize"] = "winsorize"
    scaling: Literal["auto", "standard", "minmax", "robust", "none"] = "auto"
    categories: Literal["auto", "one_hot", "ordinal"] = "auto"
    tokens: Literal["auto", "word", "character"] = "auto"
    vocabulary: int = 10_000  # most frequent tokens kept
    length: int | None = None  # tokens an example; None = the 98th percentile of the training texts
    text_task: Literal["label", "next_token"] = "label"  # next_token: many-to-many, predicts each following token
    image_size: int | None = None  # None = as they come; if they differ, the size of most, or their median
    color: Literal["auto", "grey", "rgb"] = "auto"
    augment: tuple[str, ...] = ()  # names from pellucid.data.augment, "shift:0.1" gives a strength
    limit: int | None = None  # use at most so many rows, drawn at random (in order for a series)

    def validate(self) -> Self:
        """Return these settings if every value is one that exists.

        Raises:
            SettingsError: a choice is unknown, or a number is out of range.
        """
        hints = typing.get_type_hints(type(self))
        for each in fields(self):
            value, choices = getattr(self, each.name), typing.get_args(hints[each.name])
            if typing.get_origin(hints[each.name]) is Literal and value not in choices:
                raise SettingsError(
                    f"{value!r} is not a choice", place=each.name, remedy=f"choose one of {', '.join(choices)}"
                )
        least = {"window": 1, "horizon": 1, "stride": 1, "folds": 0, "vocabulary": 1, "length": 1, "image_size": 1}
        for name, lowest in (least | {"limit": 1}).items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise SettingsError(f"{value} is too small", place=name, remedy=f"take {lowest} or more")
        return self
