"""Embedded data sets: scikit-learn's own unchanged, the made ones true to their shapes and their seeds."""

import numpy as np
import pytest
import sklearn.datasets

from pellucid.data.embedded import EMBEDDED, EmbeddedImages, embedded_frame
from pellucid.data.fingerprint import fingerprint
from pellucid.errors import SourceNotFoundError


def test_the_promised_names_are_there():
    promised = "digits iris wine breast_cancer diabetes moons spirals circles xor checkerboard names"
    assert set(EMBEDDED) == set(promised.split())


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_scikit_learns_tables_are_unchanged(name):
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    frame = embedded_frame(name)
    target = EMBEDDED[name].target
    np.testing.assert_array_equal(frame.drop(columns=target).to_numpy(), bunch.data)
    names = getattr(bunch, "target_names", None)
    expected = bunch.target if names is None else np.array(names)[bunch.target]
    np.testing.assert_array_equal(frame[target].to_numpy(), expected)


def test_digits_are_grey_images_scaled_to_bytes():
    made = EMBEDDED["digits"].make(0)
    assert isinstance(made, EmbeddedImages)
    assert made.images.shape == (1797, 1, 8, 8)
    assert made.images.dtype == np.uint8
    np.testing.assert_allclose(made.images[:, 0] / 255 * 16, sklearn.datasets.load_digits().images, atol=0.04)
    frame = embedded_frame("digits")
    assert frame.shape == (1797, 65)
    np.testing.assert_array_equal(frame["pixel_3_5"], made.images[:, 0, 3, 5])


@pytest.mark.parametrize("name", ["moons", "spirals", "circles", "xor", "checkerboard", "names"])
def test_made_sets_follow_their_seed(name):
    assert embedded_frame(name, 5).equals(embedded_frame(name, 5))
    assert not embedded_frame(name, 5).equals(embedded_frame(name, 6))


def test_points_lie_where_their_class_says():
    xor = embedded_frame("xor", 1)
    off = (xor["x1"] * xor["x2"] < 0) != (xor["class"] == "b")
    assert off.mean() < 0.06  # points near an axis may cross it by the noise
    circles = embedded_frame("circles", 1)
    radius = np.hypot(circles["x1"], circles["x2"]).groupby(circles["class"]).median()
    assert radius["b"] == pytest.approx(0.5, abs=0.03)
    assert radius["a"] == pytest.approx(1.0, abs=0.03)
    board = embedded_frame("checkerboard", 1)
    square = np.floor((board[["x1", "x2"]] + 1) / 2 * 4).sum(axis=1) % 2
    assert ((square == 1) == (board["class"] == "b")).all()
    spirals = embedded_frame("spirals", 1)
    arm = spirals[spirals["class"] == "a"]
    turned = np.arctan2(arm["x2"], arm["x1"]) - 3.5 * np.pi * np.hypot(arm["x1"], arm["x2"])
    assert np.cos(turned).median() > 0.95


def test_names_are_distinct_and_balanced():
    names = embedded_frame("names")
    assert names["name"].is_unique
    assert names["language"].value_counts().tolist() == [300] * 5
    assert (names["first_letter"] == names["name"].str[0]).all()


def test_an_unknown_name_lists_the_known():
    with pytest.raises(SourceNotFoundError) as caught:
        embedded_frame("irises")
    assert "iris" in caught.value.remedy


def test_fingerprints_follow_names_and_bytes(tmp_path):
    import hashlib

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in ("a", "b"):
        (tmp_path / folder / "x.txt").write_bytes(b"12")
        (tmp_path / folder / "y.txt").write_bytes(b"3")
    assert fingerprint(tmp_path / "a/x.txt") == hashlib.sha256(b"12").hexdigest()
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    (tmp_path / "b/x.txt").write_bytes(b"1")
    (tmp_path / "b/y.txt").write_bytes(b"23")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")
    (tmp_path / "a/x.txt").rename(tmp_path / "a/z.txt")
    assert len({fingerprint(tmp_path / "a"), fingerprint(tmp_path / "b")}) == 2
    with pytest.raises(SourceNotFoundError):
        fingerprint(tmp_path / "gone")
