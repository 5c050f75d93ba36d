"""Small transformer encoder from scratch with a fine-tuning rate."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randint(0, 12, (900, 10))
y = (x == 3).any(1).long()


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(12, 24)
        self.enc = nn.TransformerEncoderLayer(24, 2, 48, batch_first=True, dropout=0.0)
        self.out = nn.Linear(24, 2)

    def forward(self, x):
        return self.out(self.enc(self.emb(x)).amax(1))


net = Tagger()
opt = torch.optim.AdamW(net.parameters(), lr=2e-3)
for epoch in range(8):
    for b in torch.randperm(700).split(28):
        loss = nn.functional.cross_entropy(net(x[b]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        acc = (net(x[700:]).argmax(1) == y[700:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} acc {acc:.3f}")
