"""Builds MLP, CNN and RNN models, trains and evaluates them."""
