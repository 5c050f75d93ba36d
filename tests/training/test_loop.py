"""The loop gives the weights that a hand-written loop gives, stops when it should, and notices what is broken."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, r2_score
from torch import nn
from torch.nn import functional

from pellucid.errors import SettingsError, TrainingError
from pellucid.training.batches import Batches, batch_bounds, epoch_order, stream_seed
from pellucid.training.spec import LossSpec, OptimizerSpec, ScheduleSpec
from tests.training.training_toys import CPU, ListRecorder, examples, network, same_weights, settings, trainer


def bare_loop(model, optimizer, epochs, batch_size, seed=0, *, penalty=None, clip=None, loss=functional.cross_entropy):
    """What a person would write."""
    inputs, targets = examples(50, "regression" if loss is functional.mse_loss else "classification")
    losses = []
    for epoch in range(epochs):
        model.train()
        order = epoch_order(seed, epoch, len(inputs))
        for index in order.split(batch_size):
            optimizer.zero_grad()
            value = loss(model(inputs[index]), targets[index])
            if penalty is not None:
                value = value + penalty(model)
            value.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            losses.append(value.item())
    return losses


def test_same_weights_as_a_bare_loop_with_momentum():
    mine = trainer(settings(optimizer=OptimizerSpec(name="sgd", learning_rate=0.05, momentum=0.9)))
    recorder = ListRecorder()
    mine.run(recorder)
    other = network()
    losses = bare_loop(other, torch.optim.SGD(other.parameters(), lr=0.05, momentum=0.9, fused=True), 3, 8)
    assert same_weights(mine.model, other)
    assert recorder.losses == losses
    assert recorder.epochs == [0, 1, 2]


def test_same_weights_as_a_bare_loop_with_dropout_and_batch_norm_and_the_global_stream():
    mine = trainer(settings(optimizer=OptimizerSpec(name="adam", learning_rate=0.01)), dropout=0.5, batch_norm=True)
    torch.manual_seed(7)
    mine.run(ListRecorder())
    other = network(dropout=0.5, batch_norm=True)
    torch.manual_seed(7)
    bare_loop(other, torch.optim.Adam(other.parameters(), lr=0.01, fused=True), 3, 8)
    assert same_weights(mine.model, other)


def test_penalties_and_clipping_as_in_a_bare_loop():
    mine = trainer(settings(l1=0.01, l2=0.02, clip=0.3))
    recorder = ListRecorder()
    mine.run(recorder)

    def penalty(model):
        weights = [p for p in model.parameters() if p.ndim > 1]
        return sum((0.01 * w.abs().sum() + 0.02 * w.square().sum() for w in weights), torch.zeros(()))

    other = network()
    losses = bare_loop(other, torch.optim.SGD(other.parameters(), lr=0.1), 3, 8, penalty=penalty, clip=0.3)
    np.testing.assert_allclose(recorder.losses, losses, rtol=1e-5)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(mine.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert all(values["gradient_norm"] > 0 for values in recorder.values)


def test_lbfgs_as_called_by_hand():
    mine = trainer(settings(optimizer=OptimizerSpec(name="lbfgs", learning_rate=1.0), epochs=4))
    recorder = ListRecorder()
    mine.run(recorder)
    other = network()
    inputs, targets = examples()
    optimizer = torch.optim.LBFGS(other.parameters(), lr=1.0, history_size=10, line_search_fn="strong_wolfe")
    for epoch in range(4):
        order = epoch_order(0, epoch, 50)

        def closure(order=order):
            optimizer.zero_grad()
            value = functional.cross_entropy(other(inputs[order]), targets[order])
            value.backward()
            return value

        optimizer.step(closure)
    assert same_weights(mine.model, other)
    assert len(recorder.losses) == 4
    assert recorder.losses[-1] < recorder.losses[0]


def test_gradient_descent_takes_all_examples_at_once():
    mine = trainer(settings(optimizer=OptimizerSpec(name="gradient_descent", learning_rate=0.1), epochs=5))
    mine.run(ListRecorder())
    assert mine.place.step == 5


def test_epoch_figures_equal_scikit_learn():
    mine = trainer(settings())
    recorder = ListRecorder()
    mine.run(recorder)
    inputs, targets = examples(40, seed=1)
    probabilities = mine.model(inputs).double().softmax(1).detach().numpy()
    split, figures = recorder.metrics[-1]
    assert split == "validation"
    assert figures["accuracy"] == pytest.approx(accuracy_score(targets, probabilities.argmax(1)))
    assert figures["loss"] == pytest.approx(log_loss(targets, probabilities, labels=[0, 1, 2]), rel=1e-5)


def test_training_loss_of_an_epoch_is_the_mean_over_examples():
    mine = trainer(settings(epochs=1))
    recorder = ListRecorder()
    mine.run(recorder)
    sizes = [8] * 6 + [2]
    assert recorder.metrics[0][1]["loss"] == pytest.approx(np.average(recorder.losses, weights=sizes), rel=1e-6)


def test_regression_figures_equal_scikit_learn():
    mine = trainer(settings(), task="regression")
    recorder = ListRecorder()
    mine.run(recorder)
    inputs, targets = examples(40, "regression", seed=1)
    expected = r2_score(targets, mine.model(inputs).detach())
    assert recorder.metrics[-1][1]["r2"] == pytest.approx(expected, rel=1e-5)


def test_training_accuracy_counts_what_the_batches_gave():
    mine = trainer(settings(optimizer=OptimizerSpec(name="sgd", learning_rate=1e-12), epochs=1))
    recorder = ListRecorder()
    mine.run(recorder)
    inputs, targets = examples()
    assert recorder.metrics[0][1]["accuracy"] == pytest.approx(
        accuracy_score(targets, mine.model(inputs).argmax(1)), abs=1e-12
    )


def test_early_stopping_takes_the_best_weights_back():
    chosen = settings(optimizer=OptimizerSpec(name="sgd", learning_rate=0.5), epochs=200, patience=3)
    mine = trainer(chosen, count=20)
    recorder = ListRecorder()
    outcome = mine.run(recorder)
    losses = [figures["loss"] for split, figures in recorder.metrics if split == "validation"]
    assert outcome.early
    assert outcome.best_epoch == int(np.argmin(losses)) + 1
    assert outcome.epochs == outcome.best_epoch + 3
    assert mine.evaluate(mine.validation)["loss"] == pytest.approx(min(losses), rel=1e-6)
    assert recorder.events[-1][0] == "early_stopping"


def test_plateau_lowers_the_rate():
    schedule = ScheduleSpec(name="plateau", patience=0, factor=0.1)
    mine = trainer(settings(optimizer=OptimizerSpec(name="sgd", learning_rate=2.0), schedule=schedule, epochs=30))
    mine.run(ListRecorder())
    assert mine.optimizer.param_groups[0]["lr"] < 2.0


def test_one_cycle_ends_at_its_final_share_after_the_last_step():
    schedule = ScheduleSpec(name="one_cycle", final=0.01)
    mine = trainer(settings(optimizer=OptimizerSpec(name="sgd", learning_rate=0.1), schedule=schedule, epochs=4))
    mine.run(ListRecorder())
    assert mine.optimizer.param_groups[0]["lr"] == pytest.approx(0.001, rel=1e-6)


def test_a_loss_that_is_not_finite_ends_the_run_and_names_step_and_layer():
    mine = trainer(
        settings(optimizer=OptimizerSpec(name="sgd", learning_rate=1e38), loss=LossSpec(name="mse")), task="regression"
    )
    with pytest.raises(TrainingError) as caught:
        mine.run(ListRecorder())
    assert "not finite since step" in caught.value.message
    assert "layer" in caught.value.place
    assert "--lr 1e+37" in caught.value.remedy
    assert not mine.finite


def test_a_broken_layer_is_named():
    mine = trainer(settings())
    with torch.no_grad():
        mine.model[2].weight[0, 0] = float("nan")
    with pytest.raises(TrainingError) as caught:
        mine.run(ListRecorder())
    assert "layer 2" in caught.value.place
    assert "step 0" in caught.value.place


def test_stopping_between_two_steps():
    mine = trainer(settings())
    recorder = ListRecorder()
    outcome = mine.run(recorder, should_stop=lambda: len(recorder.losses) == 10)
    assert outcome.stopped
    assert (outcome.epochs, outcome.steps) == (1, 10)


def test_batch_normalization_never_sees_a_single_example():
    mine = trainer(settings(batch_size=7), count=50, batch_norm=True)
    assert mine.bounds[-1] == (42, 49)
    mine.run(ListRecorder())
    assert batch_bounds(50, 7, network())[-1] == (49, 50)
    with pytest.raises(SettingsError):
        batch_bounds(1, 7, network(batch_norm=True))


def test_order_depends_on_seed_and_epoch_only_and_is_a_permutation():
    orders = {(seed, epoch): epoch_order(seed, epoch, 100) for seed in range(3) for epoch in range(3)}
    assert all(sorted(order.tolist()) == list(range(100)) for order in orders.values())
    assert len({tuple(order.tolist()) for order in orders.values()}) == 9
    torch.manual_seed(99)
    assert torch.equal(epoch_order(1, 2, 100), orders[1, 2])


def test_stream_seeds_differ_and_are_valid():
    seeds = {stream_seed(seed, purpose, epoch) for seed in range(20) for purpose in range(3) for epoch in range(50)}
    assert len(seeds) == 3000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_bytes_become_standardised_floats():
    pixels = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    mean, std = np.array([0.1, 0.5, 0.4]), np.array([0.2, 0.3, 0.0])
    batches = Batches.from_tensors(pixels, torch.zeros(5), (mean, std), CPU)
    taken, _ = batches.take(torch.tensor([3, 1]))
    divisor = torch.tensor([0.2, 0.3, 1.0]).reshape(-1, 1, 1)
    expected = (pixels[[3, 1]].float() / 255 - torch.tensor(mean, dtype=torch.float32).reshape(-1, 1, 1)) / divisor
    torch.testing.assert_close(taken, expected)
    torch.testing.assert_close(torch.cat([inputs for inputs, _ in batches.chunks(2)])[[3, 1]], expected)
    plain = Batches.from_tensors(pixels, torch.zeros(5), None, CPU)
    torch.testing.assert_close(plain.take(torch.tensor([0]))[0], pixels[:1].float() / 255)


def test_the_bfloat16_forward_pass_is_used():
    half, full = trainer(settings(precision="bfloat16")), trainer(settings())
    seen = []
    half.model[0].register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    half.run(ListRecorder())
    full.run(ListRecorder())
    assert seen[0] == torch.bfloat16
    assert not same_weights(half.model, full.model)
    weights = copy.deepcopy(full.model).state_dict()
    for name, value in half.model.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0.1, atol=0.05)
