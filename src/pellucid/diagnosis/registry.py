"""Every rule of the room: each module in ``rules/`` holds one, under its code's name."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from pellucid.diagnosis import rules
from pellucid.diagnosis.rule import Rule

__all__ = ["all_rules"]


@cache
def all_rules() -> tuple[Rule, ...]:
    """The rules, by code."""
    names = sorted(name for _, name, _ in pkgutil.iter_modules(rules.__path__) if not name.startswith("_"))
    return tuple(import_module(f"{rules.__name__}.{name}").RULE for name in names)
