"""One file a code: how it is found, and why its thresholds are what they are."""
