"""The plane of a run's examples that a text such as ``features:3,7`` names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pellucid.errors import DataError, SettingsError

if TYPE_CHECKING:
    from pellucid.core.slices import Slice
    from pellucid.training.run_examples import RunExamples

__all__ = ["read_plane"]


def read_plane(text: str, examples: RunExamples) -> Slice:
    """The plane that a text such as ``features:3,7`` names, with the examples in it.

    Raises:
        SettingsError: it names none.
        DataError: the examples cannot be sliced so.
    """
    from pellucid.lenses import slicing

    kind, _, rest = text.partition(":")
    classes = examples.targets.numpy() if examples.classes is not None and examples.targets.dim() == 1 else None
    if kind == "latent" and rest:
        layer, _, units = rest.partition(":")
        pair = _numbers(units, 2, text) if units else (None, None)
        return slicing.slice_latent(examples.model, examples.inputs, layer, *pair, y=classes)
    if not examples.inputs.is_floating_point():
        raise DataError(
            "tokens have no values between them, so the input has no plane",
            place="--plane",
            remedy="slice a layer instead, with --plane latent:LAYER",
        )
    inputs = examples.inputs.double().numpy()
    if kind == "pca" and not rest:
        return slicing.slice_principal(inputs, y=classes)
    if kind == "features":
        first, second = _features(rest, examples, text)
        found = slicing.slice_features(inputs, first, second, y=classes)
        return replace(found, labels=_feature_labels(found, (first, second), examples))
    if kind == "examples":
        a, b, c = places = _numbers(rest, 3, text)
        if max(places) >= len(inputs):
            raise SettingsError(
                f"the split has no example {max(places)}", place=text, remedy=f"name 0 to {len(inputs) - 1}"
            )
        own = () if classes is None else tuple(int(classes[place]) for place in places)
        return slicing.slice_examples(inputs[a], inputs[b], inputs[c], X=inputs, y=classes, classes=own)
    raise SettingsError(
        f"{text!r} names no plane",
        place="--plane",
        remedy="write pca, features:i,j, examples:a,b,c, latent:LAYER or latent:LAYER:i,j",
    )


def _numbers(text: str, count: int, whole: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != count or not all(part.isdecimal() for part in parts):
        raise SettingsError(
            f"{text!r} is not {count} numbers", place=whole, remedy="write them with commas, counted from 0"
        )
    return tuple(int(part) for part in parts)


def _features(text: str, examples: RunExamples, whole: str) -> tuple[int, int]:
    """Two features by number or, of a table, by name."""
    names = examples.feature_names or ()
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 2 and all(part in names for part in parts):
        return names.index(parts[0]), names.index(parts[1])
    try:
        first, second = _numbers(text, 2, whole)
    except SettingsError as error:
        shown = ", ".join(names[:12])
        raise SettingsError(
            error.message, place=whole, remedy=error.remedy + (f", or name two of {shown}" if shown else "")
        ) from error
    return first, second


def _feature_labels(plane: Slice, pair: tuple[int, int], examples: RunExamples) -> tuple[str, str]:
    names = examples.feature_names
    if names is None or max(pair) >= len(names):
        return plane.labels
    return names[pair[0]], names[pair[1]]
