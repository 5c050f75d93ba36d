"""Why did my network say this, and why does this weight move? Every number of one pass as the terms behind it."""

import torch
from picture import show_or_write
from torch import nn
from torch.nn import functional

import pellucid

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
flowers = torch.tensor([[5.1, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4], [6.3, 3.3, 6.0, 2.5]]) / 4 - 1
species = torch.tensor([0, 1, 2])

trace = pellucid.trace(model, flowers, target=species, loss=functional.cross_entropy, optimizer=optimizer)
print(trace)
print(trace["0"].neuron(3, example=0).explain())
print(trace.loss.explain())
print(trace.gradient("2.weight", (1, 3)).explain())
print(trace.update("2.weight", (1, 3)).explain())
print(trace.what_if("2.weight", (1, 3), value=0.5))
print(trace.check())

trace["0"].neuron(3, example=0).explain().plot()
show_or_write()
