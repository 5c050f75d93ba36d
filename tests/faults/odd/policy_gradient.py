"""A bandit policy by REINFORCE: the loss is negative and means little."""
import torch
from torch import nn

torch.manual_seed(0)
policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3))
opt = torch.optim.Adam(policy.parameters(), lr=5e-3)
W = torch.randn(4, 3)
baseline = 0.0
for step in range(600):
    state = torch.randn(64, 4)
    dist = torch.distributions.Categorical(logits=policy(state))
    action = dist.sample()
    reward = (state @ W)[torch.arange(64), action]
    baseline = 0.95 * baseline + 0.05 * reward.mean().item()
    loss = -(dist.log_prob(action) * (reward - baseline)).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 100 == 99:
        print(f"step {step + 1} reward {reward.mean().item():.3f}")
