"""Which linear map is my network at this input? A denoiser of images keeps what lies along its own eigenvectors."""

import torch
from picture import show_or_write
from sklearn.datasets import load_digits
from torch import nn

import pellucid

torch.manual_seed(0)
images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16
denoiser = nn.Sequential(
    nn.Conv2d(1, 24, 3, padding=1, bias=False),
    nn.ReLU(),
    nn.Conv2d(24, 24, 3, padding=1, bias=False),
    nn.ReLU(),
    nn.Conv2d(24, 1, 3, padding=1, bias=False),
)
optimizer = torch.optim.Adam(denoiser.parameters(), lr=3e-3)
for _ in range(80):
    clean = images[torch.randint(len(images), (128,))]
    noisy = clean + 0.3 * torch.randn_like(clean)
    optimizer.zero_grad()
    nn.functional.mse_loss(denoiser(noisy), clean).backward()
    optimizer.step()

jacobian = pellucid.measure_input_jacobian(denoiser, images[:1] + 0.3 * torch.randn(1, 1, 8, 8))
print(jacobian)
print(jacobian.to_frame(kind="eigenvalues").head())

jacobian.plot(kind="eigenvector", direction=0)
show_or_write()
