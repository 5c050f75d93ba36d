"""Texts from tables, lines and folders, against vocabularies and splits made by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pellucid.data.load import load_preparation, prepare
from pellucid.data.settings import DataSettings
from pellucid.data.text import TextPreparation, prepare_text, prepare_texts
from pellucid.data.text_reading import is_text_source
from pellucid.data.tokenizers import PADDING, UNKNOWN
from pellucid.errors import DataError, RunCorruptedError, SettingsError, SourceNotFoundError

SHARED = Path(os.environ.get("PELLUCID_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
REVIEWS = DataSettings(text="review", target="label")


def reviews(folder: Path, rows: int = 40, name: str = "reviews.csv") -> pd.DataFrame:
    """Every review holds one word of its own, so that most words outside training are unknown."""
    frame = pd.DataFrame(
        {
            "id": range(rows),
            "review": [f"A {('dull', 'fine')[row % 2]} film, number{row}!" for row in range(rows)],
            "label": [("bad", "good")[row % 2] for row in range(rows)],
        }
    )
    frame.to_csv(folder / name, index=False)
    return frame


def test_the_vocabulary_knows_training_words_only(tmp_path):
    reviews(tmp_path)
    prepared = prepare_text(tmp_path / "reviews.csv", REVIEWS)
    preparation = prepared.preparation
    assert isinstance(preparation, TextPreparation)
    vocabulary = set(preparation.tokenizer.tokens)
    trained = set(prepared.splits["train"].rows.tolist())
    for row in range(40):
        assert (f"number{row}" in vocabulary) == (row in trained)
    assert prepared.vocabulary_size == 2 + 6 + len(trained)  # a, dull, fine, film, comma, exclamation mark
    for name in ("validation", "test"):
        inputs = prepared.splits[name].inputs.numpy()
        assert ((inputs == UNKNOWN).sum(axis=1) == 1).all()
    assert not (prepared.splits["train"].inputs == UNKNOWN).any()
    assert prepared.classes == ("bad", "good")
    for split in prepared.splits.values():
        np.testing.assert_array_equal(split.targets, split.rows % 2)
    assert prepared.input_shape == (6,)  # a, dull, film, comma, number, exclamation mark


def test_the_report_says_what_was_done(tmp_path):
    frame = reviews(tmp_path)
    frame.loc[3, "review"] = " "
    frame.loc[[4, 5], "label"] = None
    frame.loc[7, "review"] = "A fine film " + "really " * 50
    frame.loc[[9, 11, 13, 15], "review"] = frame.loc[17, "review"]
    frame.to_csv(tmp_path / "reviews.csv", index=False)
    prepared = prepare_text(tmp_path / "reviews.csv", DataSettings(text="review", target="label", length=6), 1)
    report = prepared.report
    assert (report.rows, report.rows_without_target) == (37, 2)
    assert report.facts["truncated"] == "1 of 37 texts"
    assert report.facts["empty"] == "1 rows without any text"
    assert report.duplicate_rows == 4
    same = {name: int(np.isin(split.rows, [9, 11, 13, 15, 17]).sum()) for name, split in prepared.splits.items()}
    assert same["train"] not in (0, 5)
    assert report.duplicates_across_splits == 5 - same["train"]
    assert [(column.name, column.role, column.missing) for column in report.columns] == [
        ("review", "text", 1),
        ("label", "target", 2),
    ]
    assert len(report.sample_texts) == len(report.sample_labels) == 16
    assert all(
        ("dull" in text) == (label == "bad")
        for text, label in zip(report.sample_texts, report.sample_labels, strict=True)
    )
    assert sum(counts.sum() for counts in report.class_counts.values()) == 37
    said = " ".join(prepared.notes)
    assert "1 rows without any text are left out" in said
    assert "1 of 37 texts are longer and cut" in said
    used = np.concatenate([split.rows for split in prepared.splits.values()])
    assert not set(used.tolist()) & {3, 4, 5}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_every_kind_of_table(tmp_path, suffix):
    frame = reviews(tmp_path)
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    first, second = prepare_text(path, REVIEWS), prepare_text(tmp_path / "reviews.csv", REVIEWS)
    for name, split in first.splits.items():
        assert torch.equal(split.inputs, second.splits[name].inputs)


def test_what_is_saved_reads_the_same(tmp_path):
    reviews(tmp_path)
    prepared = prepare(tmp_path / "reviews.csv", REVIEWS, seed=2)
    prepared.preparation.save(tmp_path / "kept")
    loaded = load_preparation(tmp_path / "kept")
    assert isinstance(loaded, TextPreparation)
    read = loaded.read(tmp_path / "reviews.csv")
    for split in prepared.splits.values():
        assert torch.equal(split.inputs, read.inputs[torch.from_numpy(split.rows)])
        assert read.targets is not None
        assert torch.equal(split.targets, read.targets[torch.from_numpy(split.rows)])
    assert loaded.preview(np.array([3, 0])) == {"texts": ["A fine film, number3!", "A dull film, number0!"]}
    new = pd.DataFrame({"review": ["A fine film", None, "zzz"], "label": ["good", "bad", "odd"]})
    new.to_csv(tmp_path / "new.csv", index=False)
    again = loaded.read(tmp_path / "new.csv")
    assert again.inputs[1].tolist() == [UNKNOWN] + [PADDING] * 5
    assert again.targets is not None
    assert again.targets.tolist() == [1, 0, -100]
    assert again.identifiers["row"].tolist() == [0, 1, 2]
    new.drop(columns="label").to_csv(tmp_path / "new.csv", index=False)
    assert loaded.read(tmp_path / "new.csv").targets is None
    (tmp_path / "reviews.csv").unlink()
    assert loaded.preview(np.array([3])) == {}


def test_names_by_their_first_letter(tmp_path):
    names = [a + b + c for a in "abc" for b in "xyz" for c in ("lo", "mi", "nu", "r")]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n\n")
    prepared = prepare(tmp_path / "names.txt", DataSettings(target="first_letter"))
    assert prepared.classes == ("a", "b", "c")
    tokenizer = prepared.preparation.tokenizer
    assert tokenizer.kind == "character"
    for split in prepared.splits.values():
        for inputs, target, row in zip(split.inputs, split.targets, split.rows, strict=True):
            decoded = "".join(tokenizer.tokens[number] for number in inputs if number != PADDING)
            assert "abc"[target] + decoded == names[row]
    prepared.preparation.save(tmp_path)
    read = TextPreparation.load(tmp_path).read(tmp_path / "names.txt")
    split = prepared.splits["test"]
    assert torch.equal(read.inputs[torch.from_numpy(split.rows)], split.inputs)
    assert len(read.inputs) == 37  # the blank line too
    assert "rows without" in " ".join(prepared.notes)


def test_the_next_character_of_each_line(tmp_path):
    lines = ["".join(np.random.default_rng(row).choice(list("abcd"), 5)) for row in range(40)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    prepared = prepare(tmp_path / "lines.txt", DataSettings(text_task="next_token"))
    assert prepared.classes == ("<pad>", "<unk>", "<end>", *prepared.preparation.tokenizer.tokens[3:])
    assert sorted(prepared.classes[3:]) == ["a", "b", "c", "d"]
    assert prepared.outputs == prepared.vocabulary_size == 7
    split = prepared.splits["validation"]
    for inputs, targets, row in zip(split.inputs, split.targets, split.rows, strict=True):
        assert "".join(prepared.classes[number] for number in inputs) == "<end>" + lines[row]
        assert "".join(prepared.classes[number] for number in targets) == lines[row] + "<end>"
    assert prepared.report.class_counts["validation"].sum() == 6 * len(split)
    with pytest.raises(SettingsError, match="not a quantity"):
        prepare_text(tmp_path / "lines.txt", DataSettings(text_task="next_token", task="regression"))


def test_folders_of_text_files(tmp_path):
    for part in ("train", "test"):
        for name in ("neg", "pos"):
            (tmp_path / part / name).mkdir(parents=True)
            for row in range(10 if part == "train" else 3):
                (tmp_path / part / name / f"{row}.txt").write_text(f"a {name} text of many words, {part} {row}")
    prepared = prepare(tmp_path, DataSettings())
    assert prepared.modality == "text"
    assert prepared.classes == ("neg", "pos")
    assert prepared.report.split_sizes == {"train": 17, "validation": 3, "test": 6}
    read = prepared.preparation.read(tmp_path)
    assert read.identifiers["file"][0] == "train/neg/0.txt"
    assert read.identifiers["file"][20] == "test/neg/0.txt"
    (tmp_path / "train" / "neg" / "x.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"not a \.txt file"):
        prepare_text(tmp_path)


def test_a_quantity_is_predicted_by_regression(tmp_path):
    frame = reviews(tmp_path)
    frame["stars"] = np.linspace(1, 5, 40)
    frame.to_csv(tmp_path / "a.csv", index=False)
    prepared = prepare_text(tmp_path / "a.csv", DataSettings(text="review", target="stars"))
    assert prepared.task == "regression"
    assert prepared.target_scale is not None
    train = prepared.splits["train"]
    stars = frame["stars"].to_numpy()[train.rows]
    np.testing.assert_allclose(train.targets[:, 0], (stars - stars.mean()) / stars.std(), rtol=1e-5)
    prepared.preparation.save(tmp_path)
    read = TextPreparation.load(tmp_path).read(tmp_path / "a.csv")
    assert read.targets is not None
    assert torch.equal(read.targets[torch.from_numpy(train.rows)], train.targets)


def test_texts_in_memory_are_kept(tmp_path):
    texts = [f"{'ab'[row % 2]}{row}" for row in range(30)]
    prepared = prepare_texts(texts, np.arange(30) % 2, ["first", "second"], "letters", DataSettings(), 0)
    assert prepared.classes == ("first", "second")
    prepared.preparation.save(tmp_path)
    loaded = TextPreparation.load(tmp_path)
    assert loaded.preview(np.array([1, 4])) == {"texts": ["b1", "a4"]}
    read = loaded.read("letters")
    split = prepared.splits["train"]
    assert read.targets is not None
    assert torch.equal(read.inputs[torch.from_numpy(split.rows)], split.inputs)
    assert torch.equal(read.targets[torch.from_numpy(split.rows)], split.targets)
    with pytest.raises(DataError, match="30 texts but 2 labels"):
        prepare_texts(texts, [0, 1], None, "letters")


def test_groups_stay_together_and_folds_cover_all(tmp_path):
    frame = reviews(tmp_path)
    frame["author"] = np.arange(40) // 4
    frame.to_csv(tmp_path / "a.csv", index=False)
    settings = DataSettings(text="review", target="label", group="author")
    prepared = prepare_text(tmp_path / "a.csv", settings)
    authors = [set((split.rows // 4).tolist()) for split in prepared.splits.values()]
    assert not authors[0] & authors[1] | authors[0] & authors[2] | authors[1] & authors[2]
    settings = DataSettings(text="review", target="label", folds=4)
    tested = np.concatenate([prepare_text(tmp_path / "a.csv", settings, fold=f).splits["test"].rows for f in range(4)])
    np.testing.assert_array_equal(np.sort(tested), np.arange(40))


def test_a_limit_and_a_seed(tmp_path):
    reviews(tmp_path, 200)
    settings = DataSettings(text="review", target="label", limit=40)
    one, two = (prepare_text(tmp_path / "reviews.csv", settings, 5) for _ in range(2))
    assert one.report.rows == 40
    assert sum(one.report.class_counts.values()).tolist() == [20, 20]
    for name, split in one.splits.items():
        np.testing.assert_array_equal(split.rows, two.splits[name].rows)
        assert torch.equal(split.inputs, two.splits[name].inputs)


def test_faults_are_named(tmp_path):
    frame = reviews(tmp_path)
    path = tmp_path / "reviews.csv"
    with pytest.raises(SourceNotFoundError):
        prepare_text(tmp_path / "absent.csv", REVIEWS)
    with pytest.raises(DataError, match="no column 'reveiw'") as caught:
        prepare_text(path, DataSettings(text="reveiw", target="label"))
    assert "'review'" in caught.value.remedy
    with pytest.raises(DataError, match="no column 'lable'"):
        prepare_text(path, DataSettings(text="review", target="lable"))
    frame.assign(label="good").to_csv(path, index=False)
    with pytest.raises(DataError, match="same in every row"):
        prepare_text(path, REVIEWS)
    frame.assign(review=None).to_csv(path, index=False)
    with pytest.raises(DataError, match="no text in any row"):
        prepare_text(path, REVIEWS)
    (tmp_path / "a.txt").write_bytes(b"\n\n")
    with pytest.raises(DataError, match="file is empty"):
        prepare_text(tmp_path / "a.txt", DataSettings(target="first_letter"))
    (tmp_path / "a.txt").write_bytes("Jürgen\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        prepare_text(tmp_path / "a.txt", DataSettings(target="first_letter"))
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match="no labels to learn"):
        prepare_text(tmp_path / "a.txt")


def test_a_damaged_preparation_is_refused(tmp_path):
    reviews(tmp_path)
    prepare_text(tmp_path / "reviews.csv", REVIEWS).preparation.save(tmp_path)
    document = json.loads((tmp_path / "preparation.json").read_text())
    document["tokenizer"] = {"kind": "word"}
    (tmp_path / "preparation.json").write_text(json.dumps(document))
    with pytest.raises(RunCorruptedError, match="vocabulary cannot be read"):
        TextPreparation.load(tmp_path)
    del document["target"]
    (tmp_path / "preparation.json").write_text(json.dumps(document))
    with pytest.raises(RunCorruptedError, match="text preparation cannot be read"):
        TextPreparation.load(tmp_path)


def test_sources_are_recognised(tmp_path):
    assert is_text_source(tmp_path / "a.csv", REVIEWS)
    assert not is_text_source(tmp_path / "a.csv", DataSettings(target="label"))
    assert is_text_source(tmp_path / "names.txt", DataSettings(target="first_letter"))
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    (tmp_path / "README.txt").write_text("pictures")
    assert not is_text_source(tmp_path, DataSettings())


def test_the_embedded_names():
    prepared = prepare("names", seed=1)
    assert prepared.classes == ("elvish", "island", "northern", "orcish", "steppe")
    read = prepared.preparation.read("names")
    split = prepared.splits["test"]
    assert torch.equal(read.inputs[torch.from_numpy(split.rows)], split.inputs)
    assert len(prepared.preparation.preview(split.rows[:3])["texts"]) == 3


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "text").exists(), reason="the real names are not here")
def test_the_real_names():
    lines = (SHARED / "text" / "names.txt").read_text().split()
    prepared = prepare(SHARED / "text" / "names.txt", DataSettings(target="first_letter"))
    assert prepared.classes == tuple("abcdefghijklmnopqrstuvwxyz")
    counts = pd.Series(lines).str[0].value_counts().sort_index()
    assert sum(prepared.report.class_counts.values()).tolist() == counts.tolist()
