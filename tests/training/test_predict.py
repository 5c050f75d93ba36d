"""What ``predict`` gives: rows in order, probabilities, units, and every figure of the report once more."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score

from pellucid.cli.main import main
from pellucid.data.load import prepare
from pellucid.errors import DataError, RunNotFoundError, SettingsError
from pellucid.results.base import Result
from pellucid.training.fit import fit
from pellucid.training.predict import evaluate_frame, predict
from pellucid.training.trained import load_network, read_card


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A table with gaps, categories and an identifier."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "name": [f"person {number}" for number in range(160)],
            "age": rng.integers(1, 80, 160).astype(float),
            "sex": rng.choice(["male", "female"], 160),
            "fare": rng.lognormal(2, 1, 160),
        }
    )
    frame["survived"] = np.where((frame["sex"] == "female") ^ (rng.random(160) < 0.15), "yes", "no")
    frame.loc[rng.choice(160, 25, replace=False), "age"] = np.nan
    folder = tmp_path_factory.mktemp("people")
    frame.to_csv(folder / "people.csv", index=False)
    run = fit(folder / "people.csv", runs_dir=folder / "runs", target="survived", epochs=8)
    return run, frame, folder


def same_figures(first: Result, second: Result) -> None:
    """Every number of the two evaluations is equal, but for what only the source's preview knows."""
    for entry in dataclasses.fields(first):
        mine, other = getattr(first, entry.name), getattr(second, entry.name)
        if entry.name == "worst":
            np.testing.assert_array_equal(mine.rows, other.rows)
            np.testing.assert_allclose(mine.loss, other.loss, rtol=1e-12)
        elif entry.name in ("roc", "precision_recall"):
            np.testing.assert_allclose([curve.area for curve in mine], [curve.area for curve in other], rtol=1e-12)
        elif isinstance(mine, np.ndarray | float):
            np.testing.assert_allclose(mine, other, rtol=1e-12, err_msg=entry.name)
        elif entry.name not in ("averages",):
            assert mine == other, entry.name


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_figure_of_a_classification_again(people, split):
    run, _, _ = people
    frame = predict(run, split=split)
    reported = run.result(f"evaluation_{split}")
    again = evaluate_frame(frame, read_card(run), split)
    assert again is not None
    same_figures(again, reported)
    probabilities = frame[["probability_no", "probability_yes"]].to_numpy()
    assert reported.accuracy == accuracy_score(frame["target"], frame["prediction"])
    assert reported.log_loss == pytest.approx(log_loss(frame["target"], probabilities), rel=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_every_figure_of_a_regression_again(tmp_path):
    run = fit("diabetes", runs_dir=tmp_path, epochs=5)
    frame = predict(run, split="test")
    reported = run.result("evaluation_test")
    assert reported.r2 == pytest.approx(r2_score(frame["target"], frame["prediction"]), rel=1e-12)
    assert reported.mae == pytest.approx(mean_absolute_error(frame["target"], frame["prediction"]), rel=1e-12)
    assert frame["target"].between(25, 346).all()  # in the target's own unit
    again = evaluate_frame(frame, read_card(run), "test")
    assert again is not None
    assert again.rmse == reported.rmse


def test_raw_rows_keep_their_order_and_names(people):
    run, frame, folder = people
    shuffled = frame.sample(frac=1, random_state=1).drop(columns="survived")
    shuffled.to_csv(folder / "new.csv", index=False)
    found = predict(run, folder / "new.csv")
    assert found["name"].tolist() == shuffled["name"].tolist()
    assert found["row"].tolist() == list(range(160))
    assert "target" not in found
    assert evaluate_frame(found, read_card(run)) is None
    whole = predict(run).set_index("row")
    assert set(whole["split"]) == {"train", "validation", "test"}
    np.testing.assert_allclose(
        found["probability_yes"].to_numpy(), whole.loc[shuffled.index, "probability_yes"].to_numpy(), rtol=1e-5
    )


def test_probabilities_are_those_of_the_network(people):
    run, _, _ = people
    model, _ = load_network(run)
    part = prepare(run.manifest.source, dataclasses.replace(_data(run))).splits["test"]
    expected = model(part.inputs).double().softmax(1).detach().numpy()
    order = np.argsort(part.rows)
    frame = predict(run, split="test")
    np.testing.assert_allclose(frame[["probability_no", "probability_yes"]].to_numpy(), expected[order], rtol=1e-5)


def _data(run):
    from pellucid.training.trained import settings_of

    return settings_of(run).data


def test_unknown_and_missing_targets_leave_the_figures_alone(people):
    run, frame, folder = people
    changed = frame.copy()
    changed["survived"] = changed["survived"].astype(object)
    changed.loc[:9, "survived"] = None
    changed.loc[10:19, "survived"] = "perhaps"
    changed.to_csv(folder / "partly.csv", index=False)
    found = predict(run, folder / "partly.csv")
    assert found["target"][:20].isna().all()
    again = evaluate_frame(found, read_card(run))
    assert again is not None
    assert again.examples == 140


def test_a_series_in_its_own_unit(tmp_path):
    time = np.arange(400)
    rng = np.random.default_rng(0)
    series = 100 + 10 * np.sin(time / 6) + rng.normal(0, 0.5, 400)
    pd.DataFrame({"value": series}).to_csv(tmp_path / "sine.csv", index=False)
    run = fit(tmp_path / "sine.csv", runs_dir=tmp_path / "runs", series=("value",), window=24, horizon=3, epochs=3)
    frame = predict(run, split="test")
    assert [name for name in frame if name.startswith("prediction")] == ["prediction_1", "prediction_2", "prediction_3"]
    reported = run.result("evaluation_test")
    targets = frame[["target_1", "target_2", "target_3"]].to_numpy()
    assert reported.mae == pytest.approx(
        mean_absolute_error(targets, frame[["prediction_1", "prediction_2", "prediction_3"]]), rel=1e-12
    )
    # float32 targets come back to about 1e-6 of their size; ``row`` is the window's last known value
    np.testing.assert_allclose(targets[:, 0], series[frame["row"] + 1], rtol=1e-5)
    repeated = np.repeat(series[frame["row"]][:, None], 3, axis=1)
    assert reported.baseline_mae == pytest.approx(mean_absolute_error(targets, repeated), rel=1e-4)


def test_many_to_many_text_has_a_line_for_each_step(tmp_path):
    run = fit(
        "names", runs_dir=tmp_path, text_task="next_token", network={"kind": "rnn", "hidden": 8}, epochs=1, limit=200
    )
    frame = predict(run, split="test")
    assert {"row", "step", "target", "prediction"} <= set(frame)
    reported = run.result("evaluation_test")
    assert len(frame) == reported.examples
    assert reported.accuracy == accuracy_score(frame["target"], frame["prediction"])


def test_what_cannot_be_predicted(people, tmp_path):
    run, _, folder = people
    with pytest.raises(SettingsError, match="belongs to the training data"):
        predict(run, folder / "people.csv", split="test")
    with pytest.raises(SettingsError, match="no split"):
        predict(run, split="exam")
    with pytest.raises(DataError):
        predict(run, tmp_path / "nowhere.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="age"):
        predict(run, tmp_path / "other.csv")
    with pytest.raises(RunNotFoundError):
        predict(tmp_path)


def test_the_callers_random_state_stays(people):
    run, _, _ = people
    torch.manual_seed(4)
    before = torch.get_rng_state()
    predict(run, split="test")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_the_command_writes_what_the_call_gives(people, tmp_path, capsys, ending):
    run, _, folder = people
    path = tmp_path / f"out.{ending}"
    assert main(["predict", str(run.path), str(folder / "people.csv"), "-o", str(path)]) == 0
    said = capsys.readouterr().out
    assert "160 rows" in said
    assert "accuracy" in said
    read = {
        "csv": pd.read_csv,
        "tsv": lambda path: pd.read_csv(path, sep="\t"),
        "parquet": pd.read_parquet,
        "jsonl": lambda path: pd.read_json(path, lines=True),
    }[ending](path)
    expected = predict(run, folder / "people.csv")
    assert read["prediction"].tolist() == expected["prediction"].tolist()
    np.testing.assert_allclose(read["probability_yes"], expected["probability_yes"], rtol=1e-8)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_data_frame_is_predicted_like_its_file(people):
    run, frame, folder = people
    from_file = predict(run, folder / "people.csv")
    pd.testing.assert_frame_equal(predict(run, frame), from_file)
    with pytest.raises(DataError, match="a list cannot be predicted"):
        predict(run, [1, 2, 3])  # pyright: ignore[reportArgumentType]


def test_columns_of_the_data_that_are_named_like_the_output_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"target": [f"p{row}" for row in range(60)], "x": rng.normal(size=60), "y": [0, 1] * 30})
    frame.to_csv(tmp_path / "a.csv", index=False)
    run = fit(tmp_path / "a.csv", runs_dir=tmp_path / "runs", target="y", epochs=1)
    out = predict(run, tmp_path / "a.csv")
    assert out["source_target"].tolist() == frame["target"].tolist()
    assert out["target"].astype(int).tolist() == frame["y"].tolist()


def test_a_quantity_is_learned_from_texts_and_its_figures_again(tmp_path):
    rng = np.random.default_rng(0)
    words = rng.choice(["good", "bad", "fine"], (120, 3))
    frame = pd.DataFrame({"text": [" ".join(row) for row in words], "stars": (words == "good").sum(axis=1) + 0.25})
    frame["stars"] += rng.normal(size=120) / 10
    frame.to_csv(tmp_path / "a.csv", index=False)
    run = fit(tmp_path / "a.csv", runs_dir=tmp_path / "runs", text="text", target="stars", epochs=2)
    out = predict(run, split="test")
    assert r2_score(out["target"], out["prediction"]) == pytest.approx(run.result("evaluation_test").r2, abs=1e-9)


def test_the_command_says_json(people, tmp_path, capsys):
    run, _, _ = people
    path = tmp_path / "out.csv"
    assert main(["predict", str(run.path), "--split", "test", "-o", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == run.result("evaluation_test").examples
    assert said["metrics"]["accuracy"] == run.result("evaluation_test").accuracy


def test_without_a_file_the_rows_go_to_standard_output(people, capsys):
    run, _, _ = people
    assert main(["predict", str(run.path), "--split", "test"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].startswith("row,")
    assert "accuracy" in shown.err


def test_wrong_outputs_are_refused(people, tmp_path, capsys):
    run, _, _ = people
    assert main(["predict", str(run.path), "--split", "test", "-o", str(tmp_path / "out.docx")]) == 1
    assert "out.docx" in capsys.readouterr().err
    assert main(["predict", str(run.path), "--split", "test", "--json"]) == 1
    assert "-o" in capsys.readouterr().err
