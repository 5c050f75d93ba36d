"""Shows the current figure, or writes it where the script was asked to."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt


def show_or_write() -> None:
    """End of every gallery script: a window, or a file if a name was given."""
    if len(sys.argv) > 1:
        plt.savefig(sys.argv[1], dpi=120, bbox_inches="tight")
    else:
        plt.show()
