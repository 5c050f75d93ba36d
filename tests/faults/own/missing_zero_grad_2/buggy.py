"""Weights updated by hand; their gradients are never set back."""
import torch

torch.manual_seed(0)
x = torch.randn(400, 3)
y = x @ torch.tensor([2.0, -1.0, 0.5]) + 0.3
w = torch.zeros(3, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for step in range(300):
    loss = ((x @ w + b - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        b -= 0.1 * b.grad
    if step % 50 == 49:
        print(f"step {step + 1} loss {loss.item():.5f}")
