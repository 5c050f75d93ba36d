"""Each operation written out: its formula, its value, its derivative, and the terms behind any one number."""
