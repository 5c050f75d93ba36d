"""torch's fused transformer layers, which it takes in evaluation mode without gradients, are shown step by step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pellucid


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("layers", [0, 2])
def test_an_encoder_in_evaluation_is_unrolled(layers, frozen, masked):
    torch.manual_seed(0)
    model: nn.Module = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    if layers:
        model = nn.TransformerEncoder(model, layers)
    model.eval().requires_grad_(not frozen)
    x = torch.randn(2, 5, 16)
    keywords = {"src_key_padding_mask": torch.tensor([[False] * 5, [False] * 3 + [True] * 2])} if masked else {}
    with torch.no_grad():
        plain = model(x, **keywords)
        trace = pellucid.trace(model, x, keywords=keywords)
    ops = [step.op for step in trace.tape.steps]
    assert ops.count("scaled_dot_product_attention") == max(layers, 1)
    assert ops.count("layer_norm") == 2 * max(layers, 1)
    check = trace.check(differences=0)
    assert check.agrees
    assert check.opaque == ()
    found = trace.tape.read([s for s in trace.tape.steps if s.op == "layer_norm"][-1].outputs[0])
    found = found if found.shape == x.shape else found.transpose(0, 1)
    kept = ~keywords["src_key_padding_mask"] if masked else torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(found[kept], plain[kept], rtol=1e-4, atol=1e-5)
    assert torch.backends.mha.get_fastpath_enabled()
