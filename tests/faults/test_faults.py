"""Real training faults, run under the watch and diagnosed: the bars that the project set itself.

The scripts lie in ``$PELLUCID_FAULTS``, or in ``../shared/faults`` beside the checkout; without them there is nothing
to run. Our own scripts run where that variable is set. Each script runs once a session; ``$PELLUCID_FAULT_RUNS`` names
a folder that keeps the runs longer.
"""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from benchmarks.faults import Script, find_own_scripts, find_scripts, judge, place_of, run_script

from pellucid.results.diagnosis import Diagnosis

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("PELLUCID_FAULTS", ROOT.parent / "shared" / "faults"))
DATA = Path(os.environ.get("MNIST_DIR", ROOT.parent / "shared" / "data" / "mnist"))
FIRST, AMONG_THREE, FALSE = 0.75, 0.92, 0.03

pytestmark = [pytest.mark.slow, pytest.mark.shared, pytest.mark.timeout(7200)]

Told = dict[str, tuple[Script, Diagnosis]]


def diagnose_all(scripts: list[Script], runs: Path) -> Told:
    """Every script run, two at a time, and diagnosed; of several test processes one runs them, for all."""
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / "lock").open("w") as lock, ThreadPoolExecutor(2) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folders = list(pool.map(lambda script: run_script(script, runs, fresh=False, data=DATA), scripts))
    return {script.name: (script, judge(script, folder)) for script, folder in zip(scripts, folders, strict=True)}


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("PELLUCID_FAULT_RUNS")
    if kept:
        return Path(kept)
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "fault_runs"


@pytest.fixture(scope="session")
def told(runs: Path) -> Told:
    if not (FOLDER / "cases").is_dir():
        pytest.skip(f"the faults are not in {FOLDER}; set $PELLUCID_FAULTS")
    return diagnose_all(find_scripts(FOLDER), runs / "cases")


@pytest.fixture(scope="session")
def own(runs: Path) -> Told:
    if "PELLUCID_FAULTS" not in os.environ:
        pytest.skip("our own faults run where $PELLUCID_FAULTS is set")
    return diagnose_all(find_own_scripts(Path(__file__).parent), runs / "own")


def test_an_accepted_code_comes_first_or_among_three(told: Told) -> None:
    places = [place_of(script, diagnosis) for script, diagnosis in told.values() if script.is_buggy]
    assert sum(place == 1 for place in places) >= FIRST * len(places)
    assert sum(0 < place <= 3 for place in places) >= AMONG_THREE * len(places)


def test_fixed_and_healthy_scripts_are_called_healthy(told: Told) -> None:
    sound = [(script, diagnosis) for script, diagnosis in told.values() if not script.is_buggy]
    false = [script.name for script, diagnosis in sound if diagnosis.verdict == "faulty"]
    assert len(false) <= FALSE * len(sound), false


def test_every_fault_says_where_why_and_what_to_do(told: Told) -> None:
    for _, diagnosis in told.values():
        for finding in diagnosis.findings:
            assert finding.title
            assert finding.why
            assert finding.fix
            assert finding.disproof
            assert finding.evidence
            assert 0 <= finding.certainty <= 1


def test_no_rule_failed(told: Told) -> None:
    assert not [said for _, diagnosis in told.values() for said in diagnosis.unchecked if "its rule failed" in said]


def test_faults_of_our_own_are_found_too(own: Told) -> None:
    places = [place_of(script, diagnosis) for script, diagnosis in own.values() if script.is_buggy]
    assert sum(place == 1 for place in places) >= FIRST * len(places)
    assert sum(0 < place <= 3 for place in places) >= AMONG_THREE * len(places)


def test_odd_sound_scripts_are_called_healthy(own: Told) -> None:
    sound = [(script, diagnosis) for script, diagnosis in own.values() if not script.is_buggy]
    false = [script.name for script, diagnosis in sound if diagnosis.verdict == "faulty"]
    assert len(false) <= FALSE * len(sound), false
