"""The closed list of what can be wrong with a training script: causes, and symptoms of causes."""

from __future__ import annotations

from typing import Literal

__all__ = ["CODES", "Kind"]

Kind = Literal["cause", "symptom"]

CODES: dict[str, Kind] = {
    "unnormalised_inputs": "cause",
    "double_normalisation": "cause",
    "unscaled_targets": "cause",
    "output_activation_mismatch": "cause",
    "softmax_before_ce": "cause",
    "wrong_loss": "cause",
    "wrong_output_size": "cause",
    "missing_activation": "cause",
    "missing_zero_grad": "cause",
    "lr_too_high": "cause",
    "lr_too_low": "cause",
    "symmetric_init": "cause",
    "bad_init": "cause",
    "params_not_in_optimizer": "cause",
    "params_not_registered": "cause",
    "frozen_layers": "cause",
    "detached_graph": "cause",
    "loss_sign_flipped": "cause",
    "loss_reduction_sum": "cause",
    "shape_broadcast": "cause",
    "wrong_dim": "cause",
    "wrong_reshape": "cause",
    "train_eval_mode": "cause",
    "no_shuffle": "cause",
    "label_corruption": "cause",
    "class_imbalance": "cause",
    "data_leakage": "cause",
    "train_test_mismatch": "cause",
    "nan_in_data": "cause",
    "nan_origin": "cause",
    "over_regularised": "cause",
    "undersized_network": "cause",
    "batch_size": "cause",
    "optimizer_settings": "cause",
    "scheduler_misuse": "cause",
    "wrong_augmentation": "cause",
    "wrong_metric": "cause",
    "vanishing_gradient": "symptom",
    "exploding_gradient": "symptom",
    "dead_relu": "symptom",
    "saturated_activation": "symptom",
    "overfitting": "symptom",
    "undertrained": "symptom",
}
"""Every code a finding may carry, and whether it is a cause or a symptom."""
