"""Rules on parts of the network: who owns and updates them, whether gradients reach them, in which mode they run."""

from __future__ import annotations

import dataclasses
from importlib import import_module

import pytest

from pellucid.diagnosis.evidence import Evidence
from pellucid.results.diagnosis import Finding
from pellucid.results.watched_script import CodeLine, ScriptModel, SourceFile
from tests.diagnosis import made_by_hand as hand
from tests.diagnosis.rules import made_runs as made


def found(code: str, evidence: Evidence) -> Finding | None:
    return import_module(f"pellucid.diagnosis.rules.{code}").RULE.find(evidence)


def sure(code: str, evidence: Evidence) -> Finding:
    finding = found(code, evidence)
    assert finding is not None
    return finding


def with_parts(*changes: dict, body: dict | None = None, **model: object) -> ScriptModel:
    """The usual model, the parameters of ``hidden`` and ``out`` changed."""
    usual = made.model()
    parameters = (
        tuple(dataclasses.replace(one, **change) for one, change in zip(usual.parameters, changes, strict=False))
        or usual.parameters
    )
    modules = tuple(dataclasses.replace(one, **(body or {})) if one.name == "hidden" else one for one in usual.modules)
    return dataclasses.replace(usual, parameters=parameters, modules=modules, **model)


def run_of(model: ScriptModel, text: str = made.SOURCE, **script: object) -> Evidence:
    sources = (SourceFile("train.py", text),)
    return made.run(made.script(models=(model,), sources=sources, **script))


# -- params_not_in_optimizer -----------------------------------------------------------------------------------------


def test_a_fresh_layer_that_no_optimiser_holds_is_a_fault():
    text = made.SOURCE.replace("net.parameters()", "net.out.parameters()")
    finding = sure("params_not_in_optimizer", run_of(with_parts({"optimizer": -1, "moved": 0.0}, {}), text))
    assert (finding.severity, finding.where.layer) == ("fault", "hidden")
    assert finding.title == "hidden gets gradients and no optimiser updates it"
    assert "SGD(net.parameters()" in finding.changes[0].after[0]
    assert finding.evidence[0].value == 32 * 6


def test_a_pretrained_body_beside_a_head_that_learns_is_a_warning():
    kept = {"optimizer": -1, "moved": 0.0, "initial_uniform": False, "initial_std": 0.03}
    assert sure("params_not_in_optimizer", run_of(with_parts(kept, {}))).severity == "warning"


def test_two_layers_are_spoken_of_in_the_plural():
    left = {"optimizer": -1, "moved": 0.0}
    finding = sure("params_not_in_optimizer", run_of(with_parts(left, left)))
    assert finding.title == "hidden, out get gradients and no optimiser updates them"


def test_an_input_that_wants_a_gradient_is_no_weight():
    given = made.parameter("x", (32, 6), optimizer=-1, moved=0.0, module="?")
    model = dataclasses.replace(made.model(), parameters=(*made.model().parameters, given))
    asked = hand.call(0, "linear", (hand.facts(1, 32, 6, origin="parameter"),), (hand.facts(2, 32, 32),))
    assert found("params_not_in_optimizer", run_of(model, calls=(asked,))) is None
    assert found("params_not_in_optimizer", run_of(model)) is not None


# -- params_not_registered -------------------------------------------------------------------------------------------

LISTED = (
    "import torch.nn as nn\nclass Net(nn.Module):\n    def __init__(self):\n        self.hidden = [nn.Linear(6, 32)]\n"
)


def test_layers_in_a_plain_list_are_moved_to_a_module_list():
    stranger = with_parts({"optimizer": -1}, {}, body={"registered": False, "parameters": 224})
    finding = sure("params_not_registered", run_of(stranger, LISTED))
    assert (finding.severity, finding.where.place.line) == ("fault", 4)
    assert finding.changes[0].after == ("        self.hidden = nn.ModuleList([nn.Linear(6, 32)])",)


def test_unregistered_layers_that_an_optimiser_holds_are_trained_all_the_same():
    stranger = with_parts({"optimizer": 0}, {}, body={"registered": False, "parameters": 224})
    assert found("params_not_registered", run_of(stranger, LISTED)) is None


def test_a_tensor_with_a_gradient_becomes_a_parameter():
    text = "class Net:\n    def __init__(self):\n        self.scale = torch.ones(6, requires_grad=True)\n"
    loose = made.parameter("net.scale", (6,), module="?", optimizer=-1, moved=0.0)
    model = dataclasses.replace(made.model(), parameters=(*made.model().parameters, loose))
    model = dataclasses.replace(model, modules=(made.module("hidden", "Linear", parameters=224), *model.modules[1:]))
    finding = sure("params_not_registered", run_of(model, text))
    assert finding.changes[0].after == ("        self.scale = torch.nn.Parameter(torch.ones(6))",)
    moved = dataclasses.replace(loose, moved=0.3)
    assert found("params_not_registered", run_of(dataclasses.replace(model, parameters=(moved,)), text)) is None


# -- frozen_layers ---------------------------------------------------------------------------------------------------

FROZEN = "for p in net.hidden.parameters():\n    p.requires_grad = False\nnet.out.weight.requires_grad_(False)\n"


def test_a_frozen_last_layer_is_a_fault_whatever_comes_of_it():
    finding = sure("frozen_layers", run_of(with_parts({}, {"trainable": False, "got_gradient": False}), FROZEN))
    assert (finding.severity, finding.where.layer) == ("fault", "out")
    assert finding.changes[0].after == ("net.out.weight.requires_grad_(True)",)


def test_frozen_random_features_that_suffice_are_a_warning():
    model = with_parts({"trainable": False, "got_gradient": False}, {})
    finding = sure("frozen_layers", run_of(model, FROZEN))
    assert (finding.severity, finding.changes[0].after) == ("warning", ("    p.requires_grad = True",))


def test_a_frozen_trunk_that_was_trained_before_is_left_alone():
    model = with_parts({"trainable": False, "got_gradient": False, "initial_uniform": False}, {})
    assert found("frozen_layers", run_of(model, FROZEN)) is None


def test_a_network_without_one_trainable_weight_is_told_by_its_error():
    model = with_parts({"trainable": False}, {"trainable": False})
    failed = {"ended": "failed", "error": "RuntimeError: element 0 of tensors does not require grad"}
    assert sure("frozen_layers", run_of(model, FROZEN, **failed)).certainty > 0.9
    assert found("detached_graph", run_of(model, FROZEN, **failed)) is None


# -- detached_graph --------------------------------------------------------------------------------------------------

CUT = "for epoch in range(9):\n    code = body(x).detach()\n    loss = criterion(head(code), y)\n"


def test_a_detach_on_the_way_to_the_loss_is_taken_out():
    cut = hand.call(
        1, "detach", (hand.facts(2, 32, 32, requires_grad=True),), (hand.facts(3, 32, 32, requires_grad=False),),
        place=CodeLine("train.py", 2, "", "<module>"),
    )  # fmt: skip
    model = with_parts({"got_gradient": False, "moved": 0.0}, {})
    finding = sure("detached_graph", run_of(model, CUT, calls=(cut,)))
    assert (finding.severity, finding.where.layer) == ("fault", "hidden")
    assert finding.changes[0].after == ("    code = body(x)",)
    assert found("detached_graph", run_of(made.model(), CUT, calls=(cut,))) is None


def test_a_loss_without_any_graph_is_told_by_its_error():
    failed = {"ended": "failed", "error": "RuntimeError: element 0 of tensors does not require grad"}
    finding = sure("detached_graph", run_of(made.model(), "loss = torch.tensor(criterion(p, y).item())\n", **failed))
    assert finding.certainty > 0.9
    assert {"hidden", "out"} <= set(finding.title.partition(":")[0].split(", "))


def test_weights_that_never_ran_are_not_cut_off():
    model = with_parts({"got_gradient": False, "used": False}, {})
    assert found("detached_graph", run_of(model, CUT)) is None


# -- train_eval_mode -------------------------------------------------------------------------------------------------

EVALUATED = (
    made.SOURCE + "    with torch.no_grad():\n        accuracy = (net(test_x).argmax(1) == test_y).float().mean()\n"
)


def moody(kind: str, settings: str = "", **mode: float) -> ScriptModel:
    usual = made.model()
    layer = made.module("moody", kind, settings=settings, **mode)
    return dataclasses.replace(usual, modules=(*usual.modules, layer))


def test_batch_norm_in_training_mode_during_evaluation_is_a_fault_with_both_calls():
    asked = hand.call(
        0, "linear", (hand.facts(1, 32, 6, origin="input"),), (), phase="evaluation", module="",
        place=CodeLine("train.py", 10, "", "<module>"),
    )  # fmt: skip
    finding = sure("train_eval_mode", run_of(moody("BatchNorm1d", evaluated_mode=1.0), EVALUATED, calls=(asked,)))
    assert finding.severity == "fault"
    assert [one.after[0].strip() for one in finding.changes] == ["net.train()", "net.eval()"]
    assert [one.line for one in finding.changes] == [5, 9]


@pytest.mark.parametrize(
    ("kind", "settings", "mode"),
    [
        ("Dropout", "p=0.5, inplace=False", {}),
        ("Dropout", "p=0.0, inplace=False", {"evaluated_mode": 1.0}),
        ("BatchNorm1d", "track_running_stats=False", {"evaluated_mode": 1.0}),
        ("LSTM", "6, 32, batch_first=True", {"evaluated_mode": 1.0}),
        ("LayerNorm", "", {"evaluated_mode": 1.0}),
    ],
)
def test_layers_of_no_mood_or_in_the_right_mode_are_left_alone_in_evaluation(kind, settings, mode):
    finding = found("train_eval_mode", run_of(moody(kind, settings, **mode)))
    assert finding is None


@pytest.mark.parametrize(("kind", "settings"), [("Dropout", "p=0.5"), ("LSTM", "6, 32, dropout=0.3"), ("RReLU", "")])
def test_layers_that_differ_by_mode_are_named_in_evaluation(kind, settings):
    finding = sure("train_eval_mode", run_of(moody(kind, settings, evaluated_mode=1.0)))
    assert finding.title == f"{kind} is in training mode during evaluation"


def test_a_mode_that_is_wrong_in_few_evaluations_is_a_warning():
    assert sure("train_eval_mode", run_of(moody("Dropout", "p=0.5", evaluated_mode=0.2))).severity == "warning"


def test_training_in_evaluation_mode_is_a_fault_with_the_line_at_the_loops_head():
    finding = sure("train_eval_mode", run_of(moody("Dropout", "p=0.5", trained_mode=0.1)))
    assert (finding.severity, finding.title) == ("fault", "Dropout is in evaluation mode during training")
    assert finding.changes[0].after == ("        net.train()",)


def test_frozen_batch_norm_beside_layers_that_train_is_meant():
    assert found("train_eval_mode", run_of(moody("BatchNorm2d", trained_mode=0.0))) is None


def test_dropout_of_the_functional_kind_stays_on_in_evaluation():
    text = "class Net(nn.Module):\n    def forward(self, x):\n        return F.dropout(self.a(x), 0.3)\n"
    place = CodeLine("train.py", 3, "", "forward")
    on = hand.call(0, "dropout", (), (), phase="evaluation", training=False, settings={"p": 0.3}, place=place)
    finding = sure("train_eval_mode", run_of(made.model(), text, calls=(on,)))
    assert finding.changes[0].after == ("        return F.dropout(self.a(x), 0.3, training=self.training)",)
    off = dataclasses.replace(on, settings={"p": 0.3, "training": False})
    assert found("train_eval_mode", run_of(made.model(), text, calls=(off,))) is None


def test_dropout_without_a_mode_is_read_from_the_source_too():
    text = "class Net(nn.Module):\n    def forward(self, x):\n        return F.dropout(self.a(x), 0.3)\n"
    used = hand.call(0, "dropout", (), (), settings={"p": 0.3}, place=CodeLine("train.py", 3, "", "forward"))
    assert sure("train_eval_mode", run_of(made.model(), text, calls=(used,))).title == "Dropout stays on in evaluation"
    told = text.replace("0.3)", "0.3, self.training)")
    assert found("train_eval_mode", run_of(made.model(), told, calls=(used,))) is None
    module = text.replace("F.dropout(self.a(x), 0.3)", "self.dropout(self.a(x))")
    assert found("train_eval_mode", run_of(made.model(), module, calls=(used,))) is None
    off = dataclasses.replace(used, phase="evaluation", training=False, settings={"p": 0.3, "training": False})
    assert found("train_eval_mode", run_of(made.model(), text, calls=(used, off))) is None
