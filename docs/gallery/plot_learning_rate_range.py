"""Which learning rate should I start from? The loss while the rate grows, on a copy of the network."""

import tempfile

from picture import show_or_write

import pellucid

with tempfile.TemporaryDirectory() as folder:
    run = pellucid.fit("digits", runs_dir=folder, rate_test=True, epochs=1)
    curve = run.result("learning_rate_range")
print(curve)
curve.plot()
show_or_write()
