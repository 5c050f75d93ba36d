"""Weights that are tensors, changed by hand."""

import torch
from digest import say

torch.manual_seed(10)
x, y = torch.randn(80, 4), torch.randn(80, 1)
first = (torch.randn(4, 16) * 0.5).requires_grad_()
second = (torch.randn(16, 1) * 0.25).requires_grad_()
losses = []
for _ in range(30):
    loss = ((torch.tanh(x @ first) @ second - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        for weight in (first, second):
            weight.sub_(0.1 * weight.grad)
            weight.grad.zero_()
    losses.append(loss.item())
say(losses, tensors=(first, second))
