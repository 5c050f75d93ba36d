"""An encoder run under no_grad that is to be trained too."""
import torch
from torch import nn

torch.manual_seed(0)
tokens = torch.randint(0, 30, (1200, 10))
weight = torch.randn(30)
y = (weight[tokens].sum(1) > 0).float()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 4)
        self.rnn = nn.LSTM(4, 8, batch_first=True)
        self.out = nn.Linear(8, 1)

    def encode(self, t):
        h, _ = self.rnn(self.embed(t))
        return h[:, -1]

    def forward(self, t):
        with torch.enable_grad():
            h = self.encode(t)
        return self.out(h).squeeze(1)


model = Model()
opt = torch.optim.Adam(model.parameters(), lr=1e-2)
for epoch in range(12):
    for b in torch.randperm(1000).split(50):
        loss = nn.functional.binary_cross_entropy_with_logits(model(tokens[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    acc = ((model(tokens[1000:]) > 0) == (y[1000:] > 0)).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.3f} acc {acc:.3f}")
