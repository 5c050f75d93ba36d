"""Experiments with published answers."""
