"""Rules over a run's records that say why a network does not learn. Torch-free."""
