"""A plain recurrent net adds up a sequence; recurrent weights start too large."""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(600, 40, 1) - 0.5
y = x.sum(1)
rnn, head = nn.RNN(1, 32, batch_first=True, nonlinearity="relu"), nn.Linear(32, 1)
gain = 2.2
nn.init.orthogonal_(rnn.weight_hh_l0, gain)
params = [*rnn.parameters(), *head.parameters()]
opt = torch.optim.SGD(params, lr=0.01)
for epoch in range(10):
    for b in torch.randperm(500).split(25):
        loss = nn.functional.mse_loss(head(rnn(x[b])[0][:, -1]), y[b])
        opt.zero_grad()
        loss.backward()
        opt.step()
    with torch.no_grad():
        test = nn.functional.mse_loss(head(rnn(x[500:])[0][:, -1]), y[500:]).item()
    print(f"epoch {epoch} loss {loss.item():.4g} test {test:.4g}")
