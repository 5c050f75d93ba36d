"""Refuses an interpreter that is too old, before anything is installed with it."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # this file runs under whatever Python there is
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"Pellucid needs Python 3.11 or newer, and this is {found}.\nTo do: make PYTHON=python3.12 …")
