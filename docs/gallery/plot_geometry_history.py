"""What became of my network's geometry after its training errors were gone?"""

import tempfile

from picture import show_or_write

import pellucid

with tempfile.TemporaryDirectory() as runs:
    run = pellucid.fit(
        "digits",
        network="mlp",
        widths=(64, 64),
        normalization="batch",
        dropout=0.0,
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=2e-3,
        schedule="cosine",
        epochs=40,
        lenses=("collapse", "calibration", "layers"),
        runs_dir=runs,
    )
    history = pellucid.measure_geometry_history(run)

print(history)
print(history.table().query("lens == 'collapse' and split == 'test'")[["at_zero_error", "last"]].head(8))

history.plot()
show_or_write()
