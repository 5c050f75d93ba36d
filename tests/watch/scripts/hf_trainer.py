"""A language model under the Trainer of transformers."""

import logging
import tempfile

import torch
from digest import say
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

logging.disable(logging.WARNING)
torch.manual_seed(14)


class Numbers(Dataset):
    rows = torch.randint(40, (48, 12))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


net = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=2, n_head=2))
with tempfile.TemporaryDirectory() as folder:
    settings = TrainingArguments(
        folder,
        num_train_epochs=2,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
        logging_steps=2,
        report_to=[],
        use_cpu=True,
        seed=3,
        disable_tqdm=True,
        eval_strategy="epoch",
        save_strategy="no",
    )
    trainer = Trainer(net, settings, train_dataset=Numbers(), eval_dataset=Numbers())
    trainer.train()
losses = [entry[name] for entry in trainer.state.log_history for name in ("loss", "eval_loss") if name in entry]
say(losses, net)
