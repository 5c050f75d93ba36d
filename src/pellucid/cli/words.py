"""Option values that hold several things: ``64,32``, ``0.7,0.15,0.15``, ``age,name``."""

from __future__ import annotations

from pellucid.errors import SettingsError

__all__ = ["names_in", "number_in", "numbers_in", "whole_numbers_in"]


def names_in(text: str | None) -> tuple[str, ...] | None:
    """Names between commas.

    >>> names_in("age, fare")
    ('age', 'fare')
    """
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def numbers_in(text: str, option: str) -> tuple[float, ...]:
    """Numbers between commas.

    Raises:
        SettingsError: one of them is none.
    """
    return tuple(number_in(name, option) for name in names_in(text) or ())


def whole_numbers_in(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers between commas.

    Raises:
        SettingsError: one of them is none.
    """
    try:
        return tuple(int(name) for name in names_in(text) or ())
    except ValueError:
        raise SettingsError(f"{text!r} are no whole numbers", place=option, remedy="write them as 64,32") from None


def number_in(text: str, option: str) -> float:
    """A number.

    Raises:
        SettingsError: it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{text!r} is no number", place=option, remedy="write it as 0.001 or 1e-3") from None
