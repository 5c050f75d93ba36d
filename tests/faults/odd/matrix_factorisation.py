"""Two embeddings and their product: no activation anywhere."""

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)
U, I = 150, 120
u0, v0 = torch.randn(U, 4), torch.randn(I, 4)
pairs = torch.stack([torch.randint(0, U, (6000,)), torch.randint(0, I, (6000,))], 1)
r = (u0[pairs[:, 0]] * v0[pairs[:, 1]]).sum(1) / 2 + 0.1 * torch.randn(6000)


class MF(nn.Module):
    def __init__(self, k=6):
        super().__init__()
        self.u = nn.Embedding(U, k)
        self.v = nn.Embedding(I, k)
        nn.init.normal_(self.u.weight, 0, 0.3)
        nn.init.normal_(self.v.weight, 0, 0.3)

    def forward(self, p):
        return (self.u(p[:, 0]) * self.v(p[:, 1])).sum(1)


net = MF()
opt = torch.optim.Adam(net.parameters(), lr=1e-2, weight_decay=1e-5)
for epoch in range(25):
    for b in torch.randperm(5000).split(100):
        opt.zero_grad()
        loss = F.mse_loss(net(pairs[b]), r[b])
        loss.backward()
        opt.step()
    if epoch % 5 == 4:
        with torch.no_grad():
            print(
                f"epoch {epoch} loss {loss.item():.4f} test rmse {F.mse_loss(net(pairs[5000:]), r[5000:]).sqrt().item():.4f}"
            )
