"""Every script of the gallery runs as it stands and draws something."""

import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from PIL import Image

GALLERY = Path(__file__).resolve().parents[2] / "docs" / "gallery"
SCRIPTS = sorted(path.name for path in GALLERY.glob("plot_*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_draws(script, tmp_path, monkeypatch):
    picture = tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", [script, str(picture)])
    monkeypatch.syspath_prepend(str(GALLERY))
    runpy.run_path(str(GALLERY / script), run_name="__main__")
    plt.close("all")
    with Image.open(picture) as drawn:
        colours = drawn.convert("RGB").getcolors(maxcolors=1 << 24)
    assert colours is not None
    assert len(colours) > 20


def test_the_list_names_every_script():
    listed = (GALLERY / "README.md").read_text(encoding="utf-8")
    assert all(script in listed for script in SCRIPTS)
