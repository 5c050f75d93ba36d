"""What may stay unloaded stays unloaded: seen from fresh interpreters."""

import subprocess
import sys

import pytest

TORCH_FREE = {
    "the package": "import pellucid",
    "results": "import pellucid.results.data_report, pellucid.results.classification_evaluation",
    "store": "import pellucid.store.run, pellucid.store.writer, pellucid.store.listing",
    "render": "import pellucid.render; pellucid.render.load('data_report'); pellucid.render.load('network_outline')",
    "server": "import pellucid.server.app, pellucid.server.serve, pellucid.server.report",
    "command line": "import pellucid.cli.main",
}


@pytest.mark.parametrize("room", TORCH_FREE)
def test_no_torch(room):
    code = f"import sys; {TORCH_FREE[room]}; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_the_package_alone_loads_nothing_heavy():
    code = "import sys; import pellucid; print(sorted({'numpy', 'pandas', 'pyarrow', 'rich'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_watch_can_be_called_whoever_imported_it_first():
    code = """
import pellucid.watch.recorder
import pellucid
from pellucid import watch
print(callable(pellucid.watch), callable(watch))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["True", "True"]
