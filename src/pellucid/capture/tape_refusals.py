"""Models that no pass can show, refused in words before anything else fails on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pellucid.capture.tape_values import Value
from pellucid.errors import SettingsError

__all__ = ["refuse_lazy", "refuse_without_numbers"]


def refuse_without_numbers(values: Sequence[Value]) -> None:
    """Every parameter, buffer and input has numbers.

    Raises:
        SettingsError: One is on the meta device, or lazy and not yet made.
    """
    for value in values:
        if value.tensor is not None and value.tensor.is_meta:
            raise SettingsError(
                f"{value.origin} {value.name} is on the meta device: it has a shape, and no numbers to trace",
                place=value.name,
                remedy="make the model on a real device: model.to_empty(device='cpu'), then load or draw its weights",
            )


def refuse_lazy(output: Any) -> None:
    """The forward pass has run when it returns.

    Raises:
        SettingsError: It returned a generator.
    """
    if isinstance(output, Iterator):
        raise SettingsError(
            f"forward returned a {type(output).__name__}: nothing of it has run yet",
            place="the model's output",
            remedy="return a list or a tuple",
        )
