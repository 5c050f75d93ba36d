"""What all tests share: shapes and types checked at run time, real data where it is present, a quiet matplotlib."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Every call into the numeric rooms is checked against its annotations while the tests run.
install_import_hook(["pellucid.core", "pellucid.capture", "pellucid.lenses"], "beartype.beartype")

os.environ.setdefault("MPLBACKEND", "Agg")
# Nothing that a test starts may use or change the person's own state.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="pellucid-tests-")

# A busy machine makes no example wrong. In continuous integration the examples are the same each time, so that a run
# says something of the change and not of the draw; everywhere else they are new ones.
settings.register_profile("everywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "everywhere")


def shared_data_folder() -> Path | None:
    """The real data sets, from ``$PELLUCID_SHARED_DATA`` or beside the checkout; None where there are none."""
    named = os.environ.get("PELLUCID_SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = shared_data_folder()
    if folder is None:
        pytest.skip("the real data sets are not here")
    return folder
