"""Two networks against each other, with two optimisers and a gradient penalty."""

import torch
from digest import say
from torch import nn

torch.manual_seed(5)
generator = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 2))
critic = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 16)), nn.LeakyReLU(0.2), nn.Linear(16, 1))
of_generator = torch.optim.RMSprop(generator.parameters(), lr=1e-3)
of_critic = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
losses = []
for _ in range(20):
    for _ in range(2):
        real = torch.randn(32, 2) * 0.5 + 1
        fake = generator(torch.randn(32, 4)).detach()
        middle = (real + fake).div(2).requires_grad_()
        (slope,) = torch.autograd.grad(critic(middle).sum(), middle, create_graph=True)
        loss = critic(fake).mean() - critic(real).mean() + ((slope.norm(dim=1) - 1) ** 2).mean()
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        losses.append(loss.item())
    loss = -critic(generator(torch.randn(32, 4))).mean()
    of_generator.zero_grad()
    loss.backward()
    of_generator.step()
    losses.append(loss.item())
say(losses, generator, critic)
