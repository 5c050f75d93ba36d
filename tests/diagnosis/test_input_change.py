"""The lines that standardise inputs: added where the source says which tensors they are, and nowhere else."""

import dataclasses

import numpy as np
import pytest

from pellucid.diagnosis.evidence import Evidence
from pellucid.diagnosis.input_change import standardised_inputs
from pellucid.results.watched_script import CodeLine, SourceFile
from tests.diagnosis.rules import made_runs as made

LOOP = "for b in torch.randperm(90).split(9):\n    loss = f(net(Xa[b]), ya[b])\n    loss.backward()\n"
TWO = "Xa, Xb, ya, yb = split(X, y)\nXa, Xb = tensor(Xa), tensor(Xb)\nnet = Net()\n" + LOOP + "print(net(Xb))\n"
ONE = "X = read()\nnet = Net()\nfor i in range(0, 90, 9):\n    net(X[i:i + 9]).backward()\nprint(net(X[90:]))\n"


def run_of(text: str, inputs: np.ndarray | None = None) -> Evidence:
    lines = text.splitlines()
    where = next((number for number, line in enumerate(lines, 1) if "backward" in line), 0)
    loss = made.loss(backward=CodeLine("train.py", where, "", "<module>"))
    seen = made.examples() if inputs is None else made.examples(inputs=inputs)
    return made.run(made.script(sources=(SourceFile("train.py", text),), losses=(loss,), examples=(seen,)))


def test_two_tensors_are_scaled_by_the_figures_of_the_one_that_is_trained_on():
    (change,) = standardised_inputs(run_of(TWO))
    assert (change.line, change.before) == (3, ())
    assert change.after == (
        "input_mean, input_std = Xa.mean(0), Xa.std(0)",
        "Xa = (Xa - input_mean) / input_std",
        "Xb = (Xb - input_mean) / input_std",
    )


def test_one_tensor_is_scaled_by_the_rows_before_those_only_evaluated():
    (change,) = standardised_inputs(run_of(ONE))
    assert change.after[0] == "input_mean, input_std = X[:90].mean(0), X[:90].std(0)"
    assert change.line == 2


def test_inputs_with_a_constant_column_are_scaled_as_a_whole():
    still = made.examples().inputs * np.array([1, 1, 0, 1, 1, 1], np.float32)
    (change,) = standardised_inputs(run_of(ONE, still))
    assert change.after[0] == "input_mean, input_std = X[:90].mean(), X[:90].std()"


@pytest.mark.parametrize(
    "text",
    [
        ONE.replace("net(X[90:])", "net(X)"),  # which rows train?
        ONE.replace("X[i:i + 9]", "prepare(X)"),  # what reaches the network?
        TWO.replace(
            "net = Net()", "pairs = pack(Xa)\nXb = tensor(Xb)\nnet = Net()"
        ),  # the old tensor is packed already
        TWO.replace("Xa, Xb", "self.a, self.b"),
    ],
)
def test_where_there_is_a_doubt_nothing_is_changed(text):
    assert standardised_inputs(run_of(text)) == ()


def test_tensors_of_data_sets_are_scaled_before_they_are_packed():
    text = (
        "train_x, test_x = read()\nnet = Net()\n"
        "train = TensorDataset(train_x, train_y)\ntest = TensorDataset(test_x, test_y)\n"
        "for xb, yb in DataLoader(train):\n    f(net(xb), yb).backward()\n"
    )
    (change,) = standardised_inputs(run_of(text))
    assert change.line == 2
    assert change.after[2] == "test_x = (test_x - input_mean) / input_std"


def test_images_are_scaled_as_a_whole():
    seen = dataclasses.replace(made.examples(), shape=(2, 3))
    evidence = run_of(ONE)
    evidence.script = dataclasses.replace(evidence.script, examples=(seen,))
    assert "X[:90].mean()," in standardised_inputs(evidence)[0].after[0]
