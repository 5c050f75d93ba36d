"""What is drawn and tabulated of the geometry along training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from pellucid.errors import SettingsError
from tests.render.history_results_to_render import EPOCHS, geometry_history


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    yield
    from matplotlib import pyplot

    pyplot.close("all")


def test_the_frame_says_what_the_terminal_phase_did() -> None:
    frame = geometry_history(3).to_frame()
    nc1 = frame.query("split == 'train'").loc["nc1"]
    assert (nc1["first"], nc1["last"], nc1["falls"], nc1["rises"], nc1["runs"]) == (2.0, 0.125, 3, 0, 3)
    assert nc1["at_zero_error"] == pytest.approx(0.5 * 1.15)
    assert frame.query("layer == 'fc'").loc["separation", "last"] == 0.5
    long = geometry_history().to_frame(kind="series")
    assert long[(long.split == "test") & (long.quantity == "nc1")].value.tolist() == [2.0, 1.5, 1.0, 0.75, 0.5]
    with pytest.raises(SettingsError, match="no kind"):
        geometry_history().to_frame(kind="pie")


def test_the_text_says_which_way_and_in_how_many_runs() -> None:
    text = str(geometry_history(3))
    assert "fell in 3 of 3" in text
    assert "20 labels changed on purpose" in text
    (run,) = geometry_history().runs
    never = replace(geometry_history(), runs=(replace(run, zero_error=-1, at_zero=-1),))
    assert "but not to stay" in " ".join(str(never).split())
    assert never.terminal_phase is None
    none = replace(never, runs=(replace(run, first_zero=-1, zero_error=-1),))
    assert "never came to 0" in " ".join(str(none).split())


def test_lines_shade_the_terminal_phase_and_mark_early_stopping() -> None:
    result = geometry_history(2)
    ax = result.plot()
    assert ax.get_xscale() == ax.get_yscale() == "log"
    lines = {(line.get_linestyle(), tuple(line.get_ydata())) for line in ax.lines if len(line.get_xdata()) == 5}
    assert lines == {("-", (2.0, 1.0, 0.5, 0.25, 0.125)), ("--", (2.0, 1.5, 1.0, 0.75, 0.5))}
    assert ax.lines[0].get_xdata().tolist() == [0.5, 1, 2, 4, 8]
    (shade,) = [patch for patch in ax.patches if patch.get_label().startswith("terminal")]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (2, 8)
    assert [line.get_xdata()[0] for line in ax.lines if line.get_label() == "lowest held-out loss"] == [4]
    assert len(ax.collections) == 2  # a band around each mean
    assert not geometry_history().plot().collections


def test_the_heat_map_holds_layers_by_epochs() -> None:
    ax = geometry_history().plot(kind="layers")
    (image,) = ax.images
    np.testing.assert_allclose(image.get_array(), np.log10([[8] * 5, [8, 4, 2, 1, 0.5]]))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [str(epoch) for epoch in EPOCHS]
    with pytest.raises(SettingsError, match="not measured"):
        geometry_history().plot(kind="layers", split="test")
    with pytest.raises(SettingsError, match="no kind 'margins'"):
        geometry_history().plot(kind="margins")
