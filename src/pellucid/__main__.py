"""``python -m pellucid`` is ``pellucid``."""

from __future__ import annotations

import sys

from pellucid.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
