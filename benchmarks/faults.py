"""How many faults the diagnosis finds, and how many it invents, on real training faults as small scripts.

    python benchmarks/faults.py FAULTS [--runs DIR] [--only NAME …] [--fresh] [--document docs/diagnosis_faults.md]

FAULTS holds ``cases/<id>/{buggy,fixed}.py`` with ``label.json``, and ``healthy/*.py``; or, as ``tests/faults`` does,
``own/<code>_<number>/{buggy,fixed}.py`` and ``odd/*.py``. Each script runs once under
``pellucid run --headless``, two at a time; the runs are kept in DIR and diagnosed anew each time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pellucid.diagnosis import diagnose
from pellucid.results.diagnosis import Diagnosis
from pellucid.store.run import open_run

AT_ONCE = 2
LONGEST_S = 180
BY_HAND = "\n## Scripts held out\n"
"""Where the part of the document begins that is written by hand, and kept."""


@dataclass(frozen=True)
class Script:
    """One script: a case's buggy or fixed form, or a healthy one, which accepts no fault at all."""

    name: str
    path: Path
    accept: tuple[str, ...]

    @property
    def is_buggy(self) -> bool:
        """Whether it holds a fault."""
        return bool(self.accept)


def find_scripts(faults: Path) -> list[Script]:
    found: list[Script] = []
    for label in sorted(faults.glob("cases/*/label.json")):
        accept = tuple(json.loads(label.read_text(encoding="utf-8"))["accept"])
        folder = label.parent
        found.append(Script(f"{folder.name}/buggy", folder / "buggy.py", accept))
        found.append(Script(f"{folder.name}/fixed", folder / "fixed.py", ()))
    for path in sorted(faults.glob("healthy/*.py")):
        found.append(Script(f"healthy/{path.stem}", path, ()))
    return found


def find_own_scripts(folder: Path) -> list[Script]:
    """Our own scripts: ``own/<code>_<number>/{buggy,fixed}.py``, named after the fault, and sound ones in ``odd``."""
    found: list[Script] = []
    for path in sorted(folder.glob("own/*/buggy.py")):
        name = path.parent.name
        found.append(Script(f"{name}/buggy", path, (name.rpartition("_")[0],)))
        if (path.parent / "fixed.py").is_file():
            found.append(Script(f"{name}/fixed", path.parent / "fixed.py", ()))
    return found + [Script(f"odd/{path.stem}", path, ()) for path in sorted(folder.glob("odd/*.py"))]


def run_script(script: Script, runs: Path, *, fresh: bool, data: Path | None = None) -> Path:
    """The run of a script, made unless it is kept from before."""
    kept = runs / script.name.replace("/", "--")
    told = kept / "path"
    if told.is_file() and not fresh and Path(told.read_text(encoding="utf-8")).is_dir():
        return Path(told.read_text(encoding="utf-8"))
    kept.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    if data is not None:
        environment.setdefault("MNIST_DIR", str(data))
    command = [sys.executable, "-m", "pellucid", "run", "--headless", "--runs-dir", str(kept), str(script.path)]
    shown = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LONGEST_S, check=False, cwd=kept
    )
    last = shown.stdout.strip().splitlines()[-1:]
    if not last or not Path(last[0]).is_dir():
        raise RuntimeError(f"{script.name} left no run:\n{shown.stdout[-500:]}\n{shown.stderr[-1500:]}")
    told.write_text(last[0], encoding="utf-8")
    return Path(last[0])


def judge(script: Script, folder: Path) -> Diagnosis:
    return diagnose(open_run(folder))


def place_of(script: Script, told: Diagnosis) -> int:
    """Where the first accepted code stands, counted from 1; 0 for nowhere."""
    codes = list(dict.fromkeys(finding.code for finding in told.findings))
    return next((place for place, code in enumerate(codes, 1) if code in script.accept), 0)


def one_line(script: Script, told: Diagnosis) -> str:
    shown = ", ".join(f"{f.severity[0].upper()} {f.code} {f.certainty:.2f}" for f in told.findings[:5])
    if not script.is_buggy:
        return f"{'FAULT ' if told.verdict == 'faulty' else 'fine  '}{script.name:<42}{shown}"
    place = place_of(script, told)
    mark = "first " if place == 1 else "top 3 " if 0 < place <= 3 else "MISSED"
    return f"{mark}{script.name:<42}{shown}   [{', '.join(script.accept)}]"


def document(scripts: list[Script], told: dict[str, Diagnosis]) -> str:
    """The table of the documentation."""
    buggy = [script for script in scripts if script.is_buggy]
    sound = [script for script in scripts if not script.is_buggy]
    places = [place_of(script, told[script.name]) for script in buggy]
    false = [script for script in sound if told[script.name].verdict == "faulty"]
    first, three = sum(place == 1 for place in places), sum(0 < place <= 3 for place in places)
    share = len(false) / max(1, len(sound))
    lines = [
        "# What the diagnosis finds",
        "",
        "Made by `benchmarks/faults.py`. Each script is a real fault, re-expressed from a report; `fixed` is the same",
        "script with the fault mended. An accepted code is one that a person would call right.",
        "",
        f"* an accepted code first: {first} of {len(buggy)} ({first / max(1, len(buggy)):.0%})",
        f"* among the first three: {three} of {len(buggy)} ({three / max(1, len(buggy)):.0%})",
        f"* a fault told of a fixed or healthy script: {len(false)} of {len(sound)} ({share:.1%})",
        "",
        "| case | accepted | place | findings (certainty) | fixed: findings |",
        "|---|---|---|---|---|",
    ]
    for script, place in zip(buggy, places, strict=True):
        fixed = told.get(script.name.replace("/buggy", "/fixed"))
        lines.append(
            f"| {script.name.removesuffix('/buggy')} | {', '.join(script.accept)} | {place or '–'} "
            f"| {_codes(told[script.name])} | {_codes(fixed) if fixed is not None else ''} |"
        )
    lines += ["", "| healthy script | findings |", "|---|---|"]
    lines += [f"| {s.name.removeprefix('healthy/')} | {_codes(told[s.name])} |" for s in sound if "healthy/" in s.name]
    return "\n".join(lines) + "\n"


def _codes(told: Diagnosis) -> str:
    shown = [f for f in told.findings if f.severity != "note"][:4]
    if not shown:
        return "none"
    return ", ".join(f"{f.severity} `{f.code}` ({f.certainty:.2f})" for f in shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("fault_runs"))
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--data", type=Path, default=None, help="folder of MNIST, unless $MNIST_DIR says it")
    parser.add_argument("--document", type=Path, default=None)
    given = parser.parse_args()
    runs = given.runs.resolve()
    scripts = find_scripts(given.faults.resolve()) + find_own_scripts(given.faults.resolve())
    scripts = [s for s in scripts if not given.only or any(only in s.name for only in given.only)]
    told: dict[str, Diagnosis] = {}

    def work(script: Script) -> None:
        try:
            told[script.name] = judge(script, run_script(script, runs, fresh=given.fresh, data=given.data))
            print(one_line(script, told[script.name]), flush=True)
            for said in told[script.name].unchecked:
                if "failed" in said:
                    print(f"      {said}", flush=True)
        except Exception as error:
            print(f"ERROR {script.name}: {type(error).__name__}: {error}", flush=True)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, scripts))
    scripts = [script for script in scripts if script.name in told]
    places = [place_of(script, told[script.name]) for script in scripts if script.is_buggy]
    sound = [script for script in scripts if not script.is_buggy]
    false = sum(told[script.name].verdict == "faulty" for script in sound)
    if places:
        three = sum(0 < place <= 3 for place in places)
        print(f"first {sum(p == 1 for p in places)}/{len(places)}, first three {three}/{len(places)}", end="; ")
    print(f"false faults {false}/{len(sound)}")
    if given.document is not None:
        before = given.document.read_text(encoding="utf-8") if given.document.is_file() else ""
        kept = BY_HAND + before.partition(BY_HAND)[2] if BY_HAND in before else ""
        given.document.write_text(document(scripts, told) + kept, encoding="utf-8")


if __name__ == "__main__":
    main()
