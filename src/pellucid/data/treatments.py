"""What the fitted transformer did to a column, told in sentences with its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.data.preprocessing import MISSING_NAME, DateParts, Winsorizer

if TYPE_CHECKING:
    import pandas
    from sklearn.compose import ColumnTransformer

__all__ = ["describe_treatments"]


def describe_treatments(transformer: ColumnTransformer, training: pandas.DataFrame) -> dict[str, tuple[str, ...]]:
    """By column, in order, what is done to its values on their way to the network.

    Args:
        transformer: Fitted on the training rows.
        training: The parsed training rows, to count what was winsorised or missing.
    """
    indicated = _indicated(transformer)
    sentences: dict[str, tuple[str, ...]] = {}
    for part, pipeline, names in transformer.transformers_:
        if part in ("missing", "remainder"):
            continue
        steps = dict(pipeline.steps)
        block = training[list(names)]
        outside = steps["winsorize"].count(block.to_numpy()) if "winsorize" in steps else None
        describe = _category if part == "category" else _date if part == "date" else _number
        for position, name in enumerate(names):
            clipped = (
                [] if outside is None else _winsorized(steps["winsorize"], position, outside[position], len(block))
            )
            sentences[name] = (*clipped, *describe(steps, block, position, name in indicated))
    return sentences


def _indicated(transformer: ColumnTransformer) -> set[str]:
    """The columns that got a feature saying whether they are missing."""
    for part, indicator, names in transformer.transformers_:
        if part == "missing":
            return {names[number] for number in indicator.features_}
    return set()


def _number(steps: dict[str, Any], block: pandas.DataFrame, position: int, indicated: bool) -> list[str]:
    """Sentences for a number or boolean."""
    missing = int(block.iloc[:, position].isna().sum())
    return _filled(steps["impute"], position, missing, indicated) + _scaled(steps.get("scale"), position)


def _winsorized(winsorizer: Winsorizer, position: int, amount: int, rows: int) -> list[str]:
    """How many training values were pulled back to the fences, nothing if none were."""
    if not amount:
        return []
    low, high = winsorizer.low_[position], winsorizer.high_[position]
    bounds = f"[{_figure(low)}, {_figure(high)}]".replace("[-inf", "(−∞").replace("inf]", "∞)")
    return [f"winsorised to {bounds}: {amount} of {rows} training values"]


def _date(steps: dict[str, Any], block: pandas.DataFrame, position: int, indicated: bool) -> list[str]:
    """Sentences for a date."""
    parts: DateParts = steps["parts"]
    said = [f"expanded into {', '.join(parts.kept_[position])}"]
    missing = int(block.iloc[:, position].isna().sum())
    if missing or indicated:
        said.append(f"missing → {steps['impute'].strategy} of each part{' (+ indicator)' if indicated else ''}")
    return [*said, *(["scaled, each part by itself"] if "scale" in steps else [])]


def _category(steps: dict[str, Any], block: pandas.DataFrame, position: int, _indicated: bool) -> list[str]:
    """Sentences for a category."""
    imputer, encoder = steps["impute"], steps["encode"]
    said = []
    if block.iloc[:, position].isna().any():
        filled = imputer.statistics_[position]
        said.append("missing → a category of its own" if filled == MISSING_NAME else f"missing → {filled!r}")
    rare = encoder.infrequent_categories_[position]
    known = len(encoder.categories_[position])
    if rare is not None and len(rare):
        said.append(f"{len(rare)} rare categories grouped into one")
    grouped = known - (len(rare) - 1 if rare is not None and len(rare) else 0)
    if hasattr(encoder, "sparse_output"):
        unseen = "the rare ones" if rare is not None and len(rare) else "none of them"
        said.append(f"one-hot: {grouped} {'feature' if grouped == 1 else 'features'}; unseen values count as {unseen}")
        return said
    said.append(f"ordinal: {grouped} codes in alphabetical order; unseen values −1")
    return said + _scaled(steps.get("scale"), position)


def _filled(imputer: Any, position: int, missing: int, indicated: bool) -> list[str]:
    """How missing numbers were filled, nothing if none were missing in training."""
    if not missing and not indicated:
        return []
    name = imputer.strategy.replace("_", " ")
    return [f"missing → {name} {_figure(imputer.statistics_[position])}{' (+ indicator)' if indicated else ''}"]


def _scaled(scaler: Any, position: int) -> list[str]:
    """How a feature was scaled."""
    if scaler is None:
        return []
    if hasattr(scaler, "mean_"):
        mean, std = scaler.mean_[position], np.sqrt(scaler.var_[position])
        return [f"standardised: mean {_figure(mean)}, std {_figure(std)}"]
    if hasattr(scaler, "data_min_"):
        return [f"scaled to 0…1 from {_figure(scaler.data_min_[position])}…{_figure(scaler.data_max_[position])}"]
    centre, spread = scaler.center_[position], scaler.scale_[position]
    return [f"scaled robustly: median {_figure(centre)}, interquartile range {_figure(spread)}"]


def _figure(value: float) -> str:
    """A number to four significant digits."""
    return f"{float(value):.4g}"
