"""How much do the figures depend on the split? Five folds, each held out once."""

import tempfile

from picture import show_or_write

import pellucid

with tempfile.TemporaryDirectory() as folder:
    run = pellucid.fit("iris", runs_dir=folder, folds=5, epochs=30)
    folds = run.result("cross_validation")
print(folds)
folds.plot()
show_or_write()
