"""Models of the transformers library, from small configurations with random weights; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

from tests.capture.zoo import Case

__all__ = ["BUILDERS"]

_WORDS = 99


def _picture(size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size)


def _labelled(model: Any, **inputs: Any) -> Case:
    """A model that computes its own loss."""
    return Case(model, (), "loss", keywords=inputs)


def _text(model: Any, length: int = 10) -> Case:
    ids = torch.randint(3, _WORDS, (2, length))
    return _labelled(model, input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids)


def _distance(output: Any, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.mse_loss(output.last_hidden_state, target)


def _resnet() -> Case:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 1, 1], layer_type="bottleneck", num_labels=5
    )
    model = transformers.ResNetForImageClassification(config)
    return _labelled(model, pixel_values=_picture(64), labels=torch.tensor([1, 4]))


def _convnext() -> Case:
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], num_labels=5)
    model = transformers.ConvNextForImageClassification(config)
    return _labelled(model, pixel_values=_picture(64), labels=torch.tensor([1, 4]))


def _vit() -> Case:
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=8,
        num_labels=5,
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config)
    return _labelled(model, pixel_values=_picture(32), labels=torch.tensor([1, 4]))


def _bert() -> Case:
    config = transformers.BertConfig(
        vocab_size=_WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    return _text(transformers.BertForMaskedLM(config))


def _gpt2() -> Case:
    config = transformers.GPT2Config(vocab_size=_WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=32)
    return _text(transformers.GPT2LMHeadModel(config))


def _t5() -> Case:
    config = transformers.T5Config(
        vocab_size=_WORDS, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    return _text(transformers.T5ForConditionalGeneration(config))


def _llama() -> Case:
    config = transformers.LlamaConfig(
        vocab_size=_WORDS, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    return _text(transformers.LlamaForCausalLM(config))


def _mixtral() -> Case:
    config = transformers.MixtralConfig(
        vocab_size=_WORDS, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, output_router_logits=True,
    )  # fmt: skip
    return _text(transformers.MixtralForCausalLM(config))


def _whisper() -> Case:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, num_mel_bins=20,
        max_source_positions=24,
    )  # fmt: skip
    sound, target = torch.randn(2, 20, 48), torch.randn(2, 24, 32)
    return Case(WhisperEncoder(config), (sound,), _distance, target)


def _mamba() -> Case:
    config = transformers.MambaConfig(vocab_size=_WORDS, hidden_size=24, state_size=6, num_hidden_layers=2)
    ids = torch.randint(3, _WORDS, (2, 8))
    return _labelled(transformers.MambaForCausalLM(config), input_ids=ids, labels=ids)


BUILDERS: dict[str, Callable[[], Case]] = {
    "ResNet": _resnet,
    "ConvNeXt": _convnext,
    "ViT": _vit,
    "BERT": _bert,
    "GPT-2": _gpt2,
    "T5": _t5,
    "Llama": _llama,
    "Mixtral": _mixtral,
    "Whisper encoder": _whisper,
    "Mamba": _mamba,
}
"""Fresh cases by name."""
