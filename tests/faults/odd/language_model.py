"""Next characters with logits permuted for cross-entropy, hidden state carried on and detached."""
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
text = "the quick brown fox jumps over the lazy dog and runs away again " * 60
letters = sorted(set(text))
data = torch.tensor([letters.index(c) for c in text])
rows = data[: len(data) // 8 * 8].view(8, -1)


class Model(nn.Module):
    def __init__(self, v, d=48):
        super().__init__()
        self.emb, self.rnn, self.out = nn.Embedding(v, 16), nn.LSTM(16, d, batch_first=True), nn.Linear(d, v)

    def forward(self, x, state):
        h, state = self.rnn(self.emb(x), state)
        return self.out(h), state


net = Model(len(letters))
opt = torch.optim.Adam(net.parameters(), lr=5e-3)
for epoch in range(12):
    state = None
    for i in range(0, rows.shape[1] - 17, 16):
        logits, state = net(rows[:, i : i + 16], state)
        state = tuple(s.detach() for s in state)
        loss = F.cross_entropy(logits.permute(0, 2, 1), rows[:, i + 1 : i + 17])
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
    print(f"epoch {epoch} loss {loss.item():.3f}")
