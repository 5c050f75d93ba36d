"""A Lightning module under its trainer."""

import logging
import warnings

import lightning
import torch
from digest import say
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)


class Fit(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 2))
        self.losses = []

    def training_step(self, batch, number):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, number):
        self.losses.append(nn.functional.cross_entropy(self.net(batch[0]), batch[1]).item())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


lightning.seed_everything(16)
data = TensorDataset(torch.randn(64, 4), torch.randint(2, (64,)))
model = Fit()
trainer = lightning.Trainer(
    max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
)
trainer.fit(model, DataLoader(data, batch_size=16, shuffle=True), DataLoader(data, batch_size=32))
say(model.losses, model)
