"""The metric against the lens, and both over several processes."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pellucid.core.class_moments import Centres, ClassMeans, ClassScatter
from pellucid.core.collapse_measures import measure_collapse
from pellucid.errors import DataError, SettingsError
from pellucid.integrations.torchmetrics import NeuralCollapse
from pellucid.lenses.neural_collapse import measure_neural_collapse

CLASSES, WIDTH = 5, 12


def draw():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (203,), generator=generator)
    centres = torch.randn(CLASSES, WIDTH, generator=generator) + 10
    features = centres[labels] + 0.01 * torch.randn(203, WIDTH, generator=generator)
    layer = nn.Linear(WIDTH, CLASSES)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(CLASSES, WIDTH, generator=generator))
        layer.bias.copy_(torch.randn(CLASSES, generator=generator))
    return features, labels, layer


def gather(metric, features, labels, rows):
    for _ in range(2):
        for part in rows.split(17):
            metric.update(features[part], labels[part])
        if not int(metric.phase):
            metric.fix_centres()
    return metric


def test_the_metric_gives_what_the_lens_gives():
    features, labels, layer = draw()
    metric = gather(NeuralCollapse(CLASSES, WIDTH, layer), features, labels, torch.arange(203))
    found = measure_neural_collapse(features=features, labels=labels, weight=layer.weight, bias=layer.bias)
    values = metric.compute()
    for one in found.quantities:
        assert float(values[one.name]) == pytest.approx(one.value, rel=1e-11, abs=1e-14), one.name
    result = metric.result(split="train")
    assert [one.name for one in result.quantities] == [one.name for one in found.quantities]
    assert not list(metric.parameters())


def test_it_goes_on_from_a_checkpoint_and_starts_anew_after_a_reset():
    features, labels, layer = draw()
    whole = gather(NeuralCollapse(CLASSES, WIDTH, layer), features, labels, torch.arange(203))
    first = NeuralCollapse(CLASSES, WIDTH, layer)
    first.update(features, labels)
    first.fix_centres()
    first.update(features[:100], labels[:100])
    second = NeuralCollapse(CLASSES, WIDTH, layer)
    second.load_state_dict(first.state_dict())
    second.update(features[100:], labels[100:])
    assert float(second.compute()["nc1"]) == pytest.approx(float(whole.compute()["nc1"]), rel=1e-12)
    second.reset()
    assert not int(second.phase)
    assert float(gather(second, features, labels, torch.arange(203)).compute()["nc1"]) == pytest.approx(
        float(whole.compute()["nc1"]), rel=1e-12
    )


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_bad_use_is_refused():
    features, labels, _ = draw()
    metric = NeuralCollapse(CLASSES, WIDTH)
    with pytest.raises(SettingsError, match="have not been fixed"):
        metric.compute()
    with pytest.raises(DataError, match="label 7 is no class"):
        metric.update(features[:1], torch.tensor([7]))
    metric(features, labels)
    with pytest.raises(SettingsError, match="have not been fixed"):
        metric.compute()


def work(rank, processes, folder):
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", processes)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    features, labels, layer = draw()
    # Uneven and interleaved shards, one of them without the last class.
    owner = torch.where(labels == CLASSES - 1, 0, (torch.arange(203) * 7 + labels) % processes)
    rows = (owner == rank).nonzero().flatten()
    metric = gather(NeuralCollapse(CLASSES, WIDTH, layer), features, labels, rows)
    means = ClassMeans(CLASSES, WIDTH)
    means.update(features[rows], labels[rows])
    means.reduce()
    scatter = ClassScatter(Centres.of(means), layer.weight, layer.bias)
    scatter.update(features[rows], labels[rows])
    scatter.reduce()
    core = measure_collapse(scatter, layer.weight.detach(), layer.bias.detach())
    torch.save(
        {
            "metric": metric.compute(),
            "result": torch.tensor([one.value for one in metric.result().quantities], dtype=torch.float64),
            "core": {name: torch.tensor(value, dtype=torch.float64) for name, value in core.items()},
            "sums": {**means.state_dict(), **scatter.state_dict()},
        },
        Path(folder) / f"{rank}.pt",
    )
    torch.distributed.destroy_process_group()


def bits(tensor):
    return tensor.contiguous().view(torch.uint8) if tensor.ndim else tensor[None].view(torch.uint8)


@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_give_the_same_bits_and_what_one_gives(processes, tmp_path):
    torch.multiprocessing.spawn(work, args=(processes, str(tmp_path)), nprocs=processes)
    features, labels, layer = draw()
    alone = measure_neural_collapse(features=features, labels=labels, weight=layer.weight, bias=layer.bias)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(processes)]
    for one in found:
        for part in ("metric", "core", "sums"):
            assert one[part].keys() == found[0][part].keys()
            for name, value in one[part].items():
                assert torch.equal(bits(value), bits(found[0][part][name])), (part, name)
        assert torch.equal(bits(one["result"]), bits(found[0]["result"]))
    for quantity in alone.quantities:
        for part in ("metric", "core"):
            value = float(found[0][part][quantity.name])
            assert value == pytest.approx(quantity.value, rel=1e-12, abs=1e-12), (part, quantity.name)
