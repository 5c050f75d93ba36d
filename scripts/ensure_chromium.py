"""Finds a Chromium for the browser tests, or installs Debian's where that is possible; prints its path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """The browser named by ``$PELLUCID_CHROMIUM``, or the first one on PATH."""
    named = os.environ.get("PELLUCID_CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


def install() -> None:
    """Install Debian's package, as root or through sudo without a password."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "chromium"]):
        subprocess.run([*prefix, "apt-get", "--quiet", "--quiet", *command], check=True, env=environment)


def main() -> int:
    """Say where the browser is; exit 1 with what to do if there is none and none can be installed."""
    if find() is None and shutil.which("apt-get"):
        print("Installing Chromium for the browser tests …", flush=True)
        try:
            install()
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            print(f"It could not be installed: {error}", file=sys.stderr)
    path = find()
    if path is None:
        print(
            "The browser tests need Chromium or Chrome.\n"
            "To do: install one, or set PELLUCID_CHROMIUM to the path of its program.",
            file=sys.stderr,
        )
        return 1
    print(f"Browser tests use {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
