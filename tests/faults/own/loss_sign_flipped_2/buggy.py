"""Linear regression by hand that goes up the gradient."""
import torch

torch.manual_seed(0)
x = torch.randn(300, 4)
y = x @ torch.tensor([1.0, -2.0, 0.5, 3.0])
w = torch.zeros(4, requires_grad=True)
rate = 0.01
for step in range(200):
    loss = (x @ w - y).pow(2).mean()
    loss.backward()
    with torch.no_grad():
        w += rate * w.grad
        w.grad = None
    if step % 20 == 19:
        print(f"step {step + 1} loss {loss.item():.4f}")
