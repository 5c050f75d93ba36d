"""Rules over a run's records that say why a network does not learn. Torch-free.

``rules/`` holds one file a code; ``evidence.py`` is all that a rule may look at; ``judge.py`` weighs what they find.
"""

from __future__ import annotations

from pellucid.diagnosis.judge import diagnose

__all__ = ["diagnose"]
