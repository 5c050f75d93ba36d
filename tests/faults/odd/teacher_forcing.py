import torch
from torch import nn
torch.manual_seed(0)
V, L = 12, 6
src = torch.randint(2, V, (1200, L)); tgt = src.flip(1)
class S2S(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(V, 32)
        self.enc, self.dec = nn.GRU(32, 64, batch_first=True), nn.GRU(32, 64, batch_first=True)
        self.out = nn.Linear(64, V)
    def forward(self, s, t):
        _, h = self.enc(self.emb(s))
        start = torch.ones(len(s), 1, dtype=torch.long)
        o, _ = self.dec(self.emb(torch.cat([start, t[:, :-1]], 1)), h)
        return self.out(o)
net = S2S()
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(12):
    for b in torch.randperm(1000).split(50):
        out = net(src[b], tgt[b])
        loss = nn.functional.cross_entropy(out.reshape(-1, V), tgt[b].reshape(-1))
        opt.zero_grad(); loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
    with torch.no_grad():
        acc = (net(src[1000:], tgt[1000:]).argmax(-1) == tgt[1000:]).float().mean().item()
    print(f"epoch {epoch} loss {loss.item():.4f} token acc {acc:.3f}")
