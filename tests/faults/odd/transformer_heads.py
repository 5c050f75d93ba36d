"""Attention written out with views and transposes, batch norm of tokens, log-softmax and NLL."""
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
x = torch.randint(1, 12, (1500, 10))
y = (x == 3).sum(1).clamp(max=3)


class Attention(nn.Module):
    def __init__(self, d=32, heads=4):
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(d, 3 * d), nn.Linear(d, d), heads

    def forward(self, h):
        b, t, d = h.shape
        q, k, v = self.qkv(h).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        w = (q @ k.transpose(-2, -1) / (d // self.heads) ** 0.5).softmax(-1)
        return self.out((w @ v).transpose(1, 2).reshape(b, t, d))


class Net(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.emb, self.pos = nn.Embedding(12, d), nn.Parameter(0.02 * torch.randn(10, d))
        self.att, self.n1, self.n2 = Attention(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.ff = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Dropout(0.1), nn.Linear(2 * d, d))
        self.head = nn.Linear(d, 4)

    def forward(self, x):
        h = self.emb(x) + self.pos
        h = h + self.att(self.n1(h))
        h = h + self.ff(self.n2(h))
        return F.log_softmax(self.head(h.mean(1)), dim=-1)


net = Net()
opt = torch.optim.AdamW(net.parameters(), lr=3e-3)
for epoch in range(8):
    net.train()
    for b in torch.randperm(1200).split(40):
        loss = F.nll_loss(net(x[b]), y[b])
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
    net.eval()
    with torch.no_grad():
        print(f"epoch {epoch} loss {loss.item():.3f} acc {(net(x[1200:]).argmax(1) == y[1200:]).float().mean().item():.3f}")
