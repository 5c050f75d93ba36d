"""Numerics on tensors and arrays: no I/O, no models."""
