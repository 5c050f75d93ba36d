"""The scikit-learn parts that turn columns into features, with two of our own: winsorising and the parts of a date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer

    from pellucid.data.columns import Column
    from pellucid.data.settings import DataSettings

__all__ = ["MISSING_NAME", "DateParts", "Winsorizer", "build_transformer", "name_features"]

MISSING_NAME = "(missing)"
"""The category that stands for a missing one."""

_DATE_PARTS = ("year", "month", "day", "weekday", "hour", "elapsed days")


class Winsorizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Pull values far outside the bulk of a column back to its fences.

    With the quantiles ``a`` at ``tail``, ``m`` at one half and ``b`` at ``1 - tail``, the fences are
    ``m - reach * (m - a)`` and ``m + reach * (b - m)``: robust, and wider on the side to which a column is skewed.
    At the defaults a normal column is cut at 4.9 standard deviations. A side on which the tail quantile equals
    the median (a column of mostly one value) has no fence, nor has a column of two values.

    Args:
        tail: The share of values in each tail, in (0, 0.5).
        reach: How many times the distance from median to tail quantile is still believed.

    Attributes:
        low_: ``(features,)`` lower fences, minus infinity for none.
        high_: ``(features,)`` upper fences.
    """

    def __init__(self, tail: float = 0.05, reach: float = 3.0) -> None:
        self.tail = tail
        self.reach = reach

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Find the fences; missing values are passed over."""
        columns = getattr(X, "columns", None)
        if columns is not None:
            self.feature_names_in_ = np.array([str(column) for column in columns], dtype=object)
        values = np.asarray(X, dtype=np.float64)
        self.n_features_in_ = values.shape[1]
        self.low_ = np.full(self.n_features_in_, -np.inf)
        self.high_ = np.full(self.n_features_in_, np.inf)
        for number in range(self.n_features_in_):
            column = values[~np.isnan(values[:, number]), number]
            if len(column) and np.any((column != column.min()) & (column != column.max())):
                below, middle, above = np.quantile(column, [self.tail, 0.5, 1 - self.tail])
                if below < middle:
                    self.low_[number] = middle - self.reach * (middle - below)
                if above > middle:
                    self.high_[number] = middle + self.reach * (above - middle)
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Values clipped to the fences; missing ones stay missing."""
        check_is_fitted(self, "low_")
        return np.clip(np.asarray(X, dtype=np.float64), self.low_, self.high_)

    def count(self, X: Any) -> np.ndarray:  # noqa: N803
        """``(features,)`` how many values of each column lie outside the fences."""
        values = np.asarray(X, dtype=np.float64)
        return ((values < self.low_) | (values > self.high_)).sum(axis=0)


class DateParts(TransformerMixin, BaseEstimator):
    """Days since 1970 become year, month, day, weekday, hour and the days elapsed since the first training date.

    Only parts that vary in the training dates are kept, so that dates of one year have no year.

    Attributes:
        origin_: ``(features,)`` the earliest training date of each column, in days since 1970.
        kept_: The kept parts of each column.
    """

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803
        """Find the earliest date of each column and the parts that vary."""
        columns = getattr(X, "columns", None)
        if columns is not None:
            self.feature_names_in_ = np.array([str(column) for column in columns], dtype=object)
        values = np.asarray(X, dtype=np.float64)
        self.n_features_in_ = values.shape[1]
        self.origin_ = [_smallest(column) for column in values.T]
        self.kept_ = []
        for days, origin in zip(values.T, self.origin_, strict=True):
            parts = _date_parts(days[~np.isnan(days)], origin)
            kept = [name for name, part in zip(_DATE_PARTS, parts, strict=True) if len(np.unique(part)) > 1]
            self.kept_.append(kept or ["elapsed days"])
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """``(rows, parts)`` the kept parts of every column; those of a missing date are missing."""
        check_is_fitted(self, "kept_")
        values = np.asarray(X, dtype=np.float64)
        parts = []
        for days, origin, kept in zip(values.T, self.origin_, self.kept_, strict=True):
            named = dict(zip(_DATE_PARTS, _date_parts(days, origin), strict=True))
            parts += [named[name] for name in kept]
        return np.stack(parts, axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """``"bought: month"`` and so on."""
        names = self.feature_names_in_ if input_features is None else input_features
        return np.array(
            [f"{name}: {part}" for name, kept in zip(names, self.kept_, strict=True) for part in kept], dtype=object
        )


def build_transformer(columns: list[Column], settings: DataSettings, rows: int) -> ColumnTransformer:
    """The unfitted transformer of the feature columns.

    Args:
        columns: Number, boolean, date and category columns; the frame holds them as ``parse_column`` gives them.
        settings: How to treat missing values, outliers, scales and categories.
        rows: How many training rows there are, from which follows how rare a rare category is.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator
    from sklearn.pipeline import Pipeline

    by_kind = {kind: [column.name for column in columns if column.kind == kind] for kind in _KINDS}
    filled = settings.missing if settings.missing in ("mean", "most_frequent") else "median"
    number = [("winsorize", Winsorizer())] if settings.outliers == "winsorize" else []
    parts: list[tuple[str, Any, list[str]]] = [
        ("number", Pipeline([*number, ("impute", _imputer(filled)), *_scaler(settings)]), by_kind["number"]),
        ("boolean", Pipeline([("impute", _imputer("most_frequent")), *_scaler(settings)]), by_kind["boolean"]),
        ("date", Pipeline([("parts", DateParts()), ("impute", _imputer(filled)), *_scaler(settings)]), by_kind["date"]),
        ("category", Pipeline(_category_steps(settings, rows)), by_kind["category"]),
    ]
    if settings.missing_indicator:
        gapped = [*by_kind["number"], *by_kind["boolean"], *by_kind["date"]]
        parts.append(("missing", MissingIndicator(features="missing-only", error_on_new=False), gapped))
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=0.0)


def name_features(transformer: ColumnTransformer) -> tuple[str, ...]:
    """What a person calls each feature: ``age``, ``sex_male``, ``bought: month``, ``age is missing``."""
    names = []
    for name in transformer.get_feature_names_out():
        part, _, feature = str(name).partition("__")
        if part == "missing":
            feature = f"{feature.removeprefix('missingindicator_')} is missing"
        elif part == "category" and feature.endswith(_RARE):
            feature = f"{feature.removesuffix(_RARE)}_(rare)"
        names.append(feature)
    return tuple(names)


_KINDS = ("number", "boolean", "date", "category")
_RARE = "_infrequent_sklearn"


def _imputer(strategy: str) -> Any:
    """Fills missing values; a column without any value in training becomes zeros."""
    from sklearn.impute import SimpleImputer

    return SimpleImputer(strategy=strategy, keep_empty_features=True)


def _scaler(settings: DataSettings) -> list[tuple[str, Any]]:
    """The scaling step, none if numbers stay as they are."""
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    made = {"minmax": MinMaxScaler, "robust": RobustScaler, "none": None}.get(settings.scaling, StandardScaler)
    return [] if made is None else [("scale", made())]


def _category_steps(settings: DataSettings, rows: int) -> list[tuple[str, Any]]:
    """Missing categories filled, rare ones grouped, unseen ones taken for rare ones (or for none of those known)."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    absent: Any = None  # what parse_column gives for a missing name; scikit-learn's types know numbers only
    imputer = SimpleImputer(
        strategy="most_frequent" if settings.missing == "most_frequent" else "constant",
        fill_value=MISSING_NAME,
        missing_values=absent,
        keep_empty_features=True,
    )
    rarest = min(20, max(2, rows // 100))
    if settings.categories == "ordinal":
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=rarest, max_categories=64
        )
        return [("impute", imputer), ("encode", encoder), *_scaler(settings)]
    encoder = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=rarest, max_categories=64, sparse_output=False
    )
    return [("impute", imputer), ("encode", encoder)]


def _smallest(days: np.ndarray) -> float:
    """The earliest date, 0 if all are missing."""
    present = days[~np.isnan(days)]
    return float(present.min()) if len(present) else 0.0


def _date_parts(days: np.ndarray, origin: float) -> list[np.ndarray]:
    """Year, month, day, weekday (Monday 0), hour and elapsed days, NaN where the date is missing."""
    missing = np.isnan(days)
    whole = np.floor(np.where(missing, 0.0, days))
    dates = whole.astype("int64").astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    parts: list[np.ndarray] = [
        dates.astype("datetime64[Y]").astype("int64") + 1970.0,
        months.astype("int64") % 12 + 1.0,
        (dates - months).astype("int64") + 1.0,
        (whole + 3) % 7,  # the first of January 1970 was a Thursday
        np.round((np.where(missing, 0.0, days) - whole) * 24 * 3600) / 3600,
        np.where(missing, 0.0, days) - origin,
    ]
    return [np.where(missing, np.nan, part) for part in parts]
