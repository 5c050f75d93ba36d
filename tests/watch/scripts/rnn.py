"""A recurrent classifier of sequences of several lengths."""

import torch
from digest import say
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(30, 8, padding_idx=0)
        self.cell = nn.LSTM(8, 12, num_layers=2, batch_first=True, dropout=0.1, bidirectional=True)
        self.gru = nn.GRUCell(24, 10)
        self.out = nn.Linear(10, 2)

    def forward(self, words, lengths):
        packed = pack_padded_sequence(self.table(words), lengths, batch_first=True, enforce_sorted=False)
        _, (state, _) = self.cell(packed)
        return self.out(self.gru(torch.cat([state[-1], state[-2]], 1)))


torch.manual_seed(7)
words, lengths = torch.randint(1, 30, (96, 9)), torch.randint(2, 10, (96,))
target = (words[:, 0] > 15).long()
net = Reader()
optimizer = torch.optim.Adagrad(net.parameters(), lr=0.1)
losses = []
for _ in range(4):
    for rows in torch.randperm(96).split(16):
        loss = nn.functional.cross_entropy(net(words[rows], lengths[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(net.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
say(losses, net)
