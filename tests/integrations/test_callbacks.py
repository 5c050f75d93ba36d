"""Trainings that other libraries run, watched by their own callbacks: recorded, and bit for bit what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from pellucid.store.run import open_run


def _data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(48, 6, generator=generator)
    return TensorDataset(x, (x[:, 0] > 0).long())


def _latest(folder: Path) -> Any:
    return open_run("latest", folder)


def test_lightning(tmp_path: Path) -> None:
    pl = pytest.importorskip("lightning.pytorch")
    from pellucid.integrations.lightning import WatchCallback

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))

        def training_step(self, batch: Any, index: int) -> Tensor:
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    def train(*callbacks: Any) -> nn.Module:
        pl.seed_everything(1, verbose=False)
        module = Module()
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=list(callbacks),
        )
        trainer.fit(module, DataLoader(_data(), batch_size=8, shuffle=True), DataLoader(_data(), batch_size=16))
        return module

    plain, watched = train(), train(WatchCallback(tmp_path, name="bolt"))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), watched.parameters(), strict=True))
    run = _latest(tmp_path)
    assert run.status == "finished"
    assert run.table("steps")["epoch"].to_pylist() == [0] * 6 + [1] * 6
    assert np.isfinite(run.table("steps")["loss"].to_numpy()).all()
    assert {(row["split"], row["metric"]) for row in run.table("metrics").to_pylist()} >= {("validation", "loss")}


def test_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from pellucid.integrations.transformers import WatchCallback

    class Rows(torch.utils.data.Dataset[dict[str, Tensor]]):
        def __len__(self) -> int:
            return 32

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            tokens = torch.arange(index, index + 8) % 16
            return {"input_ids": tokens, "labels": tokens}

    def train(*callbacks: Any) -> nn.Module:
        transformers.set_seed(0)
        config = transformers.GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=1, n_head=2)
        model = transformers.GPT2LMHeadModel(config)
        arguments = transformers.TrainingArguments(
            str(tmp_path / "out"),
            max_steps=5,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            report_to=[],
            save_strategy="no",
            logging_steps=2,
            use_cpu=True,
            disable_tqdm=True,
        )
        transformers.Trainer(model, arguments, train_dataset=Rows(), callbacks=list(callbacks)).train()
        return model

    plain, watched = train(), train(WatchCallback(tmp_path / "runs", name="tuned"))
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), watched.parameters(), strict=True))
    run = _latest(tmp_path / "runs")
    assert run.status == "finished"
    assert run.row_count("steps") == 5
    assert np.isfinite(run.table("steps")["loss"].to_numpy()).all()
    assert "loss" in run.table("metrics")["metric"].to_pylist()


def test_accelerate(tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate")
    from pellucid.integrations.accelerate import WatchTracker

    model = nn.Linear(6, 2)
    tracker = WatchTracker(model, tmp_path, name="sped")
    accelerator = accelerate.Accelerator(cpu=True, log_with=tracker)
    model, optimizer, loader = accelerator.prepare(
        model, torch.optim.SGD(model.parameters(), lr=0.1), DataLoader(_data(), batch_size=12)
    )
    accelerator.init_trackers("project", config={"depth": 1})
    losses = []
    for x, y in loader:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        accelerator.log({"loss": loss, "examples": len(x)})
        losses.append(loss.item())
    accelerator.end_training()
    run = _latest(tmp_path)
    assert run.status == "finished"
    assert np.allclose(run.table("steps")["loss"].to_pylist(), losses)
    assert "depth = 1" in " ".join(run.table("events")["message"].to_pylist())
