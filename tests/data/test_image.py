"""Images of every form against pictures made by Pillow and bytes written by hand."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pellucid.data.image import ImagePreparation, prepare_image_arrays, prepare_images
from pellucid.data.image_files import is_image_source, open_image_source
from pellucid.data.pixels import ArrayPixels, EncodedPixels, PixelForm, as_pixels, resize_pixels
from pellucid.data.settings import DataSettings
from pellucid.errors import DataError, RunCorruptedError, SettingsError, SourceNotFoundError

SHARED = Path(os.environ.get("PELLUCID_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def picture(seed: int, height: int = 6, width: int = 8, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def class_folders(folder: Path, each: int = 5, names: tuple[str, ...] = ("cat", "dog"), **shape) -> Path:
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            (folder / name / f"{index:03}.png").write_bytes(encoded(picture(1000 * number + index, **shape)))
    return folder


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def mnist_folder(folder: Path, train: int = 40, test: int = 10, zipped: bool = True) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (train + test, 5, 5), dtype=np.uint8)
    labels = np.arange(train + test) % 4 + 3
    for prefix, rows in (("train", slice(0, train)), ("t10k", slice(train, None))):
        for kind, axes, values in (("images", 3, images), ("labels", 1, labels)):
            content = idx_bytes(values[rows])
            name = f"{prefix}-{kind}-idx{axes}-ubyte" + (".gz" if zipped else "")
            (folder / name).write_bytes(gzip.compress(content) if zipped else content)
    return images, labels


def together(prepared) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets in the order of the source rows."""
    order = np.argsort(np.concatenate([split.rows for split in prepared.splits.values()]))
    inputs = np.concatenate([split.inputs.numpy() for split in prepared.splits.values()])
    targets = np.concatenate([split.targets.numpy() for split in prepared.splits.values()])
    return inputs[order], targets[order]


def test_class_folders_become_bytes_with_named_classes(tmp_path):
    prepared = prepare_images(class_folders(tmp_path, each=10), seed=1)
    inputs, targets = together(prepared)
    expected = np.stack([picture(1000 * number + index) for number in range(2) for index in range(10)])
    assert prepared.classes == ("cat", "dog")
    assert prepared.input_shape == (3, 6, 8)
    assert prepared.splits["train"].inputs.dtype == torch.uint8
    np.testing.assert_array_equal(inputs, expected.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(targets, np.repeat([0, 1], 10))
    assert {name: len(split) for name, split in prepared.splits.items()} == prepared.report.split_sizes
    train = prepared.splits["train"].inputs.numpy() / 255
    assert prepared.pixel_scale is not None
    np.testing.assert_allclose(prepared.pixel_scale[0], train.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(prepared.pixel_scale[1], train.std(axis=(0, 2, 3)), rtol=1e-12)


def test_the_report_shows_examples_and_finds_duplicates(tmp_path):
    class_folders(tmp_path, each=20)
    for index in range(20):
        (tmp_path / "cat" / f"copy{index}.png").write_bytes((tmp_path / "cat" / f"{index:03}.png").read_bytes())
    report = prepare_images(tmp_path, seed=3).report
    assert report.duplicate_rows == 20
    assert report.duplicates_across_splits > 0
    assert any("stand in the training split too" in warning for warning in report.warnings)
    assert report.sample_images is not None
    assert report.sample_images.shape == (16, 6, 8, 3)
    assert len(report.sample_labels) == 16
    assert report.facts["image size"] == "6 × 8, 3 channels"
    assert sum(report.class_counts["train"]) == report.split_sizes["train"]
    assert [(column.role, column.kind) for column in report.columns] == [("image", "image"), ("target", "category")]
    shown = {(image.tobytes(), label) for image, label in zip(report.sample_images, report.sample_labels, strict=True)}
    for number, name in enumerate(("cat", "dog")):
        for index in range(20):
            shown.discard((picture(1000 * number + index).tobytes(), name))
    assert not shown


def test_ready_splits_are_honoured_and_a_missing_one_is_taken_from_training(tmp_path):
    for part, each in (("train", 12), ("Validation", 4), ("test", 5)):
        class_folders(tmp_path / "all" / part, each=each)
    sizes = prepare_images(tmp_path / "all").report
    assert sizes.split_sizes == {"train": 24, "validation": 8, "test": 10}
    assert sizes.split_method == "as the source is split"
    for part, each in (("train", 20), ("test", 5)):
        class_folders(tmp_path / "two" / part, each=each)
    two = prepare_images(tmp_path / "two")
    assert two.report.split_sizes == {"train": 34, "validation": 6, "test": 10}
    assert "validation taken from train" in two.report.split_method
    assert two.splits["test"].rows.min() >= 40  # training rows come first


def test_mixed_sizes_become_the_commonest(tmp_path):
    class_folders(tmp_path)
    large = picture(9, 12, 16)
    (tmp_path / "cat" / "big.png").write_bytes(encoded(large))
    prepared = prepare_images(tmp_path)
    assert prepared.input_shape == (3, 6, 8)
    assert any("1 of 11 images are resized to 6 × 8" in note for note in prepared.notes)
    inputs, _ = together(prepared)
    expected = np.asarray(Image.fromarray(large).resize((8, 6), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    np.testing.assert_array_equal(inputs[5], expected)  # 000 … 004, then big
    assert prepare_images(tmp_path, DataSettings(image_size=4)).input_shape == (3, 4, 4)


def test_sizes_that_all_differ_become_the_middle_one(tmp_path):
    class_folders(tmp_path, each=5)
    sides = [(20, 41), (24, 40), (25, 44), (31, 30), (33, 52), (28, 46), (22, 39), (90, 90), (26, 42), (27, 43)]
    for number, (path, (height, width)) in enumerate(zip(sorted(tmp_path.rglob("*.png")), sides, strict=True)):
        path.write_bytes(encoded(picture(number, height, width)))
    prepared = prepare_images(tmp_path)
    assert prepared.input_shape == (3, 26, 42)
    assert any("9 of 10 images are resized to 26 × 42" in note for note in prepared.notes)


@pytest.mark.parametrize(("name", "target"), [("labels", None), ("answers", "answers")])
def test_npz_labels_are_found_again_in_new_files(tmp_path, name, target):
    pixels = np.stack([picture(number, 4, 4, 1) for number in range(20)])
    np.savez(tmp_path / "a.npz", images=pixels, **{name: np.arange(20) % 2})
    prepared = prepare_images(tmp_path / "a.npz", DataSettings(target=target))
    prepared.preparation.save(tmp_path / "kept")
    found = ImagePreparation.load(tmp_path / "kept").read(tmp_path / "a.npz").targets
    assert found is not None
    assert found.tolist() == [0, 1] * 10
    np.savez(tmp_path / "bare.npz", images=pixels)
    assert prepared.preparation.read(tmp_path / "bare.npz").targets is None


def test_grey_stays_grey_unless_colour_is_asked_for(tmp_path):
    class_folders(tmp_path, channels=1)
    assert prepare_images(tmp_path).input_shape == (1, 6, 8)
    inputs, _ = together(prepare_images(tmp_path, DataSettings(color="rgb")))
    np.testing.assert_array_equal(inputs[0], np.stack([picture(0, channels=1)] * 3))
    (tmp_path / "cat" / "z.png").write_bytes(encoded(picture(1)))
    assert prepare_images(tmp_path).input_shape == (3, 6, 8)
    inputs, _ = together(prepare_images(tmp_path, DataSettings(color="grey")))
    np.testing.assert_array_equal(inputs[5, 0], np.asarray(Image.fromarray(picture(1)).convert("L")))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16", "CMYK"])
def test_every_mode_of_pillow_becomes_bytes(mode):
    if mode == "I;16":
        image = Image.fromarray(picture(0, channels=1).astype(np.uint16) * 257)
    else:
        image = Image.fromarray(picture(0)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    pixels = EncodedPixels([buffer.getvalue()], str)
    survey = pixels.survey(np.arange(1))
    assert survey.sizes == {(6, 8): 1}
    assert survey.grey == (mode in ("1", "LA", "I;16"))
    grey = pixels.load(np.arange(1), PixelForm(1, 6, 8))
    expected = picture(0, channels=1) if mode == "I;16" else np.asarray(image.convert("RGB").convert("L"))
    assert grey.dtype == np.uint8
    assert int(np.abs(grey[0, 0].astype(int) - expected).max()) <= 1


def test_a_photograph_on_its_side_is_turned(tmp_path):
    image = Image.fromarray(picture(0))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    pixels = EncodedPixels([tmp_path / "a.png"], str)
    assert pixels.survey(np.arange(1)).sizes == {(8, 6): 1}
    turned = pixels.load(np.arange(1), PixelForm(3, 8, 6))
    np.testing.assert_array_equal(turned[0].transpose(1, 2, 0), np.rot90(picture(0), -1))


def test_what_is_no_image_is_named(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "dog" / "notes.txt").write_text("walk him")
    with pytest.raises(DataError, match="not an image") as caught:
        prepare_images(tmp_path)
    assert caught.value.place.endswith("dog/notes.txt")
    (tmp_path / "dog" / "notes.txt").unlink()
    (tmp_path / "dog" / "zero.png").write_bytes(b"")
    with pytest.raises(DataError, match="file is empty"):
        prepare_images(tmp_path)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "TIFF"])
def test_a_truncated_image_is_named(tmp_path, form):
    class_folders(tmp_path, height=60, width=80)
    whole = encoded(picture(5, 60, 80), form)
    (tmp_path / "dog" / f"cut.{form.lower()}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"truncated or damaged|not an image") as caught:
        prepare_images(tmp_path)
    assert caught.value.place.endswith(f"dog/cut.{form.lower()}")


def test_clutter_is_passed_over_and_strays_are_told(tmp_path):
    class_folders(tmp_path)
    for name in (".DS_Store", "cat/Thumbs.db", "README.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / "bird").mkdir()
    notes = " ".join(prepare_images(tmp_path).notes)
    assert "README.md" in notes
    assert "The folder bird is empty" in notes
    (tmp_path / "stray.png").write_bytes(encoded(picture(0)))
    with pytest.raises(DataError, match="has no class"):
        prepare_images(tmp_path)


def test_folders_that_cannot_be_learned_from(tmp_path):
    with pytest.raises(SourceNotFoundError):
        prepare_images(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="folder is empty"):
        prepare_images(tmp_path / "empty")
    with pytest.raises(DataError, match="only one class"):
        prepare_images(class_folders(tmp_path / "one", names=("cat",)))
    with pytest.raises(DataError, match="no classes to learn"):
        prepare_images(tmp_path / "one" / "cat")
    with pytest.raises(DataError, match="too few"):
        prepare_images(class_folders(tmp_path / "few", each=1))
    with pytest.raises(SettingsError, match="classes only"):
        prepare_images(class_folders(tmp_path / "many"), DataSettings(task="regression"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("by_file", [True, False])
def test_idx_pairs_keep_their_test_part(tmp_path, zipped, by_file):
    images, labels = mnist_folder(tmp_path, zipped=zipped)
    name = "train-images-idx3-ubyte" + (".gz" if zipped else "")
    prepared = prepare_images(tmp_path / name if by_file else tmp_path)
    assert prepared.classes == ("3", "4", "5", "6")
    assert prepared.report.split_sizes == {"train": 34, "validation": 6, "test": 10}
    np.testing.assert_array_equal(prepared.splits["test"].inputs[:, 0], images[40:])
    np.testing.assert_array_equal(prepared.splits["test"].rows, np.arange(40, 50))
    inputs, targets = together(prepared)
    np.testing.assert_array_equal(inputs[:, 0], images)
    np.testing.assert_array_equal(targets + 3, labels)
    read = prepared.preparation.read(tmp_path)
    np.testing.assert_array_equal(read.inputs[:, 0], images)
    assert read.targets is not None
    np.testing.assert_array_equal(read.targets, labels - 3)


def test_idx_faults_are_named(tmp_path):
    mnist_folder(tmp_path, zipped=False)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(39)))
    with pytest.raises(DataError, match="40 images but labels of shape"):
        prepare_images(tmp_path)
    labels.unlink()
    with pytest.raises(DataError, match="labels of these images are missing"):
        prepare_images(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-7])
    with pytest.raises(DataError, match="truncated: 1016 bytes expected, 1009 found"):
        prepare_images(tmp_path)


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (("images", "labels"), "nhwc"),
        (("x", "y"), "nchw"),
        (("x_train", "y_train", "x_test", "y_test"), "nhwc"),
        (("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"), "nhw"),
    ],
)
def test_npz_arrays_by_their_usual_names(tmp_path, names, layout):
    generator = np.random.default_rng(0)
    rows = 24
    pixels = generator.integers(0, 256, (rows, 3, 5, 7), dtype=np.uint8)
    shaped = {"nhwc": pixels.transpose(0, 2, 3, 1), "nchw": pixels, "nhw": pixels[:, 0]}[layout]
    labels = np.arange(rows) % 2
    parts = len(names) // 2
    each = rows // parts
    arrays = {name: (shaped, labels)[i % 2][i // 2 * each : (i // 2 + 1) * each] for i, name in enumerate(names)}
    np.savez(tmp_path / "a.npz", **arrays)
    prepared = prepare_images(tmp_path / "a.npz")
    order = np.arange(rows) if parts < 3 else np.concatenate([np.arange(8), np.arange(8, 16), np.arange(16, 24)])
    inputs, targets = together(prepared)
    np.testing.assert_array_equal(inputs, (pixels if layout != "nhw" else pixels[:, :1])[order])
    np.testing.assert_array_equal(targets, labels[order])
    if parts > 1:
        np.testing.assert_array_equal(prepared.splits["test"].rows, np.arange(rows - each, rows))


def test_npz_of_unit_floats_one_hot_labels_and_names(tmp_path):
    levels = np.arange(12 * 16).reshape(12, 4, 4) / 191
    np.savez(tmp_path / "a.npz", images=levels, labels=np.eye(3)[np.arange(12) % 3])
    prepared = prepare_images(tmp_path / "a.npz")
    inputs, targets = together(prepared)
    np.testing.assert_array_equal(inputs[:, 0], np.round(levels.astype(np.float32) * 255))
    np.testing.assert_array_equal(targets, np.arange(12) % 3)
    np.savez(tmp_path / "new.npz", images=levels[:2] / 1000)  # dark, yet on the same scale
    assert int(prepared.preparation.read(tmp_path / "new.npz").inputs.max()) == 0
    np.savez(tmp_path / "b.npz", x=(levels * 255).astype(np.uint8), y=np.array(["b", "a"] * 6))
    assert prepare_images(tmp_path / "b.npz").classes == ("a", "b")


def test_npz_faults_are_named(tmp_path):
    path = tmp_path / "a.npz"
    pixels = np.zeros((8, 4, 4), np.uint8)
    np.savez(path, images=pixels, labels=np.array([{}] * 8, dtype=object))
    with pytest.raises(DataError, match="never unpickled"):
        prepare_images(path)
    np.savez(path, images=pixels, labels=np.zeros(7))
    with pytest.raises(DataError, match="shape"):
        prepare_images(path)
    np.savez(path, weights=pixels)
    with pytest.raises(DataError, match="named like images: weights"):
        prepare_images(path)
    np.savez(path, images=pixels, labels=np.arange(8) / 2)
    with pytest.raises(DataError, match="not a whole number"):
        prepare_images(path)
    np.savez(path, images=np.full((8, 4, 4), np.nan), labels=np.arange(8) % 2)
    with pytest.raises(DataError, match="pixel values run from nan"):
        prepare_images(path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match="truncated or damaged"):
        prepare_images(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="file is empty"):
        prepare_images(path)


def parquet(path: Path, rows: range, nested: bool = True, names: tuple[str, ...] = (), labelled: bool = True) -> Path:
    items = [encoded(picture(row)) for row in rows]
    images = pa.array([{"bytes": item, "path": None} for item in items]) if nested else pa.array(items, pa.binary())
    columns = {"id": pa.array(list(rows)), "img": images}
    if labelled:
        columns["label"] = pa.array([row % 2 for row in rows])
    table = pa.table(columns)
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path, row_group_size=7)
    return path


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("image", [None, "img"])
def test_parquet_image_columns(tmp_path, nested, image):
    path = parquet(tmp_path / "a.parquet", range(20), nested)
    prepared = prepare_images(path, DataSettings(image=image))
    inputs, targets = together(prepared)
    np.testing.assert_array_equal(inputs, np.stack([picture(row) for row in range(20)]).transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(targets, np.arange(20) % 2)
    assert prepared.classes == ("0", "1")
    bare = parquet(tmp_path / "bare.parquet", range(3), nested, labelled=False)
    read = prepared.preparation.read(bare)
    assert read.targets is None
    assert read.identifiers["row"].tolist() == [0, 1, 2]


def test_parquet_folders_honour_parts_and_stated_names(tmp_path):
    for name, rows in (
        ("test", range(100, 108)),
        ("train-00000-of-00002", range(12)),
        ("train-00001-of-00002", range(12, 30)),
    ):
        parquet(tmp_path / "set" / f"{name}.parquet", rows, names=("odd", "even"))
    prepared = prepare_images(tmp_path / "set", DataSettings(target="label"))
    assert prepared.classes == ("odd", "even")
    np.testing.assert_array_equal(
        prepared.splits["test"].inputs, np.stack([picture(row) for row in range(100, 108)]).transpose(0, 3, 1, 2)
    )
    np.testing.assert_array_equal(prepared.splits["test"].rows, np.arange(30, 38))


def test_parquet_faults_are_named(tmp_path):
    path = parquet(tmp_path / "a.parquet", range(20))
    with pytest.raises(DataError, match="no image column 'photo'"):
        prepare_images(path, DataSettings(image="photo"))
    with pytest.raises(DataError, match="no column 'kind'"):
        prepare_images(path, DataSettings(target="kind"))
    broken = [encoded(picture(row)) for row in range(20)]
    broken[13] = b"\x89PNG but not really"
    pq.write_table(pa.table({"image": broken, "label": [row % 2 for row in range(20)]}), path)
    with pytest.raises(DataError, match="not an image") as caught:
        prepare_images(path)
    assert caught.value.place == f"{path}, column 'image', row 13"
    broken[13] = None
    pq.write_table(pa.table({"image": broken, "label": [row % 2 for row in range(20)]}), path)
    with pytest.raises(DataError, match="holds no image") as caught:
        prepare_images(path)
    assert caught.value.place.endswith("row 13")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="truncated or damaged"):
        prepare_images(path)


def test_rows_without_a_class_are_left_out(tmp_path):
    labels = [None if row == 3 else "ab"[row % 2] for row in range(20)]
    pq.write_table(
        pa.table({"image": [encoded(picture(row)) for row in range(20)], "label": labels}), tmp_path / "a.parquet"
    )
    prepared = prepare_images(tmp_path / "a.parquet")
    assert prepared.report.rows == 19
    assert prepared.report.rows_without_target == 1
    assert 3 not in np.concatenate([split.rows for split in prepared.splits.values()])
    read = prepared.preparation.read(tmp_path / "a.parquet")
    assert read.targets is not None
    assert read.targets[3] == -100
    assert len(read.inputs) == 20


def test_a_limit_keeps_the_shares_of_classes_and_parts(tmp_path):
    mnist_folder(tmp_path, train=80, test=20)
    prepared = prepare_images(tmp_path, DataSettings(limit=50))
    assert prepared.report.split_sizes == {"train": 34, "validation": 6, "test": 10}
    counts = sum(prepared.report.class_counts.values())
    assert counts.min() >= 12
    assert counts.sum() == 50
    again = prepare_images(tmp_path, DataSettings(limit=50))
    np.testing.assert_array_equal(prepared.splits["train"].rows, again.splits["train"].rows)
    with pytest.raises(SettingsError, match="limit of 0"):
        prepare_images(tmp_path, DataSettings(limit=0))


def test_what_is_saved_reads_the_same(tmp_path):
    class_folders(tmp_path / "set", each=8)
    prepared = prepare_images(tmp_path / "set", DataSettings(image_size=5))
    prepared.preparation.save(tmp_path / "kept")
    loaded = ImagePreparation.load(tmp_path / "kept")
    first, second = prepared.preparation.read(tmp_path / "set"), loaded.read(tmp_path / "set")
    assert torch.equal(first.inputs, second.inputs)
    for split in prepared.splits.values():
        assert torch.equal(split.inputs, second.inputs[torch.from_numpy(split.rows)])
        assert second.targets is not None
        assert torch.equal(split.targets, second.targets[torch.from_numpy(split.rows)])
    assert second.identifiers["file"].tolist()[:2] == ["cat/000.png", "cat/001.png"]
    rows = np.array([9, 2])
    np.testing.assert_array_equal(loaded.preview(rows)["images"], second.inputs[rows].permute(0, 2, 3, 1))
    (tmp_path / "set").rename(tmp_path / "moved")
    assert loaded.preview(rows) == {}


def test_new_images_loose_alone_or_of_unknown_classes(tmp_path):
    preparation = prepare_images(class_folders(tmp_path / "set")).preparation
    loose = preparation.read(tmp_path / "set" / "dog")
    assert loose.targets is None
    assert loose.identifiers["file"].tolist() == [f"{index:03}.png" for index in range(5)]
    alone = preparation.read(tmp_path / "set" / "dog" / "002.png")
    assert torch.equal(alone.inputs[0], loose.inputs[2])
    unknown = preparation.read(class_folders(tmp_path / "new", names=("bird", "dog")))
    assert unknown.targets is not None
    assert unknown.targets.tolist() == [-100] * 5 + [1] * 5


def test_arrays_are_kept_with_their_classes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    names = np.array(["zero", "one", "two"])
    prepared = prepare_image_arrays(images, np.arange(30) % 3, names, "digits", DataSettings(), 0)
    assert prepared.classes == ("zero", "one", "two")
    assert prepared.report.source == "digits"
    by_name = prepare_image_arrays(images, names[np.arange(30) % 3], None, "digits")
    assert by_name.classes == ("one", "two", "zero")
    prepared.preparation.save(tmp_path)
    loaded = ImagePreparation.load(tmp_path)
    np.testing.assert_array_equal(loaded.preview(np.array([4]))["images"][0, :, :, 0], images[4])
    read = loaded.read("digits")
    np.testing.assert_array_equal(read.inputs[:, 0], images)
    assert read.targets is not None
    np.testing.assert_array_equal(read.targets, np.arange(30) % 3)
    with pytest.raises(DataError, match="30 images but 29 labels"):
        prepare_image_arrays(images, np.arange(29), None, "digits")


def test_folds_cover_every_image_once(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    settings = DataSettings(folds=3)
    folds = [prepare_image_arrays(images, np.arange(30) % 3, None, "x", settings, fold=fold) for fold in range(3)]
    tested = np.concatenate([fold.splits["test"].rows for fold in folds])
    np.testing.assert_array_equal(np.sort(tested), np.arange(30))


def test_a_damaged_preparation_is_refused(tmp_path):
    prepare_images(class_folders(tmp_path / "set")).preparation.save(tmp_path)
    document = json.loads((tmp_path / "preparation.json").read_text())
    del document["form"]
    (tmp_path / "preparation.json").write_text(json.dumps(document))
    with pytest.raises(RunCorruptedError, match="image preparation cannot be read"):
        ImagePreparation.load(tmp_path)


def test_resizing_and_colour_of_arrays_equal_pillow():
    pixels = picture(0, 9, 11)
    form = PixelForm(1, 5, 4)
    ours = resize_pixels(pixels.transpose(2, 0, 1)[None], form)
    theirs = Image.fromarray(pixels).convert("L").resize((4, 5), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(ours[0, 0], np.asarray(theirs))
    assert ArrayPixels(ours).load(np.arange(1), form) is ours


def test_photographs_that_would_not_fit_into_memory_are_made_smaller(tmp_path, monkeypatch):
    class_folders(tmp_path, height=40, width=80)
    monkeypatch.setattr("pellucid.data.image._MOST_BYTES", 10 * 3 * 20 * 40)
    prepared = prepare_images(tmp_path)
    assert prepared.input_shape == (3, 20, 40)
    assert any("made smaller to fit into memory" in note for note in prepared.notes)
    with pytest.raises(SettingsError, match="0 pixels a side"):
        prepare_images(tmp_path, DataSettings(image_size=0))


def test_a_large_jpeg_is_brought_down_as_pillow_would(tmp_path):
    ramp = np.add.outer(np.arange(256), np.arange(512)) // 3 % 256
    Image.fromarray(ramp.astype(np.uint8)).resize((512, 256)).save(tmp_path / "a.jpg", quality=95)
    small = EncodedPixels([tmp_path / "a.jpg"], str).load(np.arange(1), PixelForm(1, 16, 32))
    whole = Image.open(tmp_path / "a.jpg").resize((32, 16), Image.Resampling.BOX)
    assert float(np.abs(small[0, 0].astype(float) - np.asarray(whole)).mean()) < 6


def test_an_image_too_large_to_open_is_named(tmp_path, monkeypatch):
    class_folders(tmp_path)
    (tmp_path / "cat" / "huge.png").write_bytes(encoded(picture(1, 60, 60)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="too large") as caught:
        prepare_images(tmp_path)
    assert caught.value.place.endswith("cat/huge.png")


def test_a_class_number_without_a_name_is_refused(tmp_path):
    path = parquet(tmp_path / "a.parquet", range(20), names=("only one",))
    with pytest.raises(DataError, match="class 1 has no name among the 1 stated"):
        prepare_images(path)


@pytest.mark.parametrize("shape", [(4,), (4, 4), (2, 5, 6, 7), (0, 4, 4), (2, 3, 4, 5, 6)])
def test_arrays_that_are_no_images_are_refused(shape):
    with pytest.raises(DataError, match="not a set of images"):
        as_pixels(np.zeros(shape), place="x")


def test_sources_are_recognised(tmp_path):
    mnist_folder(tmp_path)
    assert is_image_source(tmp_path)
    assert is_image_source(tmp_path / "t10k-images-idx3-ubyte.gz")
    assert is_image_source(class_folders(tmp_path / "set"))
    assert is_image_source(parquet(tmp_path / "p" / "a.parquet", range(4)).parent)
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "t.parquet")
    assert not is_image_source(tmp_path / "t.parquet")
    assert not is_image_source(tmp_path / "table.csv")
    assert len(open_image_source(tmp_path / "t10k-images-idx3-ubyte.gz")) == 10


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "mnist").exists(), reason="the real MNIST is not here")
def test_the_real_mnist():
    prepared = prepare_images(SHARED / "mnist")
    assert prepared.report.split_sizes == {"train": 51_000, "validation": 9_000, "test": 10_000}
    assert prepared.classes == tuple("0123456789")
    # The counts published with the test set.
    published = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert prepared.report.class_counts["test"].tolist() == published
    assert prepared.pixel_scale is not None
    assert prepared.pixel_scale[0][0] == pytest.approx(0.1307, abs=5e-4)
    assert prepared.pixel_scale[1][0] == pytest.approx(0.3081, abs=5e-4)


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "cifar10").exists(), reason="the real CIFAR-10 is not here")
def test_a_slice_of_the_real_cifar10():
    prepared = prepare_images(SHARED / "cifar10", DataSettings(limit=3000))
    assert prepared.input_shape == (3, 32, 32)
    assert prepared.report.split_sizes == {"train": 2125, "validation": 375, "test": 500}
    assert prepared.report.class_counts["test"].tolist() == [50] * 10
