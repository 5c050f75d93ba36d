"""The tables of a run: their columns, types and units. What is written here is the contract of writer, reader and app.

A run's tables live in ``segments/<table>/*.parquet``. Rows are in the order in which they were recorded.
"""

# pyarrow ships no types, so that what it returns is unknown to pyright.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import pyarrow as pa

__all__ = ["HISTOGRAM_BINS", "TABLES", "TABLES_VERSION"]

TABLES_VERSION = 1

HISTOGRAM_BINS = 64

_LABEL = pa.dictionary(pa.int16(), pa.string())

TABLES: dict[str, pa.Schema] = {
    # One row an optimiser step.
    "steps": pa.schema(
        [
            ("step", pa.int64()),  # 0, 1, 2 … over the whole run
            ("epoch", pa.int32()),
            ("time_s", pa.float64()),  # since the run began, time while stopped left out
            ("loss", pa.float64()),  # mean over the batch, as trained on (penalties included)
            ("learning_rate", pa.float64()),  # of the first parameter group
            ("step_time_s", pa.float32()),  # from the end of the previous step
            (
                "gradient_norm",
                pa.float32(),
            ),  # global L2 norm as the optimiser saw it; as logged, where the loop logs it
            ("batch_size", pa.int32()),
        ]
    ),
    # One row a layer, at the steps that were sampled.
    "layers": pa.schema(
        [
            ("step", pa.int64()),
            ("layer", _LABEL),  # the module's qualified name
            ("examples", pa.int32()),  # that the activation figures are over; of a large batch a share
            ("activation_mean", pa.float32()),
            ("activation_std", pa.float32()),
            ("activation_min", pa.float32()),
            ("activation_max", pa.float32()),
            ("activation_zero", pa.float32()),  # fraction exactly 0
            ("activation_saturated", pa.float32()),  # fraction at a bound of the activation; null where it has none
            ("dead_units", pa.float32()),  # fraction of units 0 for the whole batch
            ("gradient_norm", pa.float32()),  # L2 over the layer's own parameters; null where it has none
            ("weight_norm", pa.float32()),
            ("update_ratio", pa.float32()),  # ‖Δw‖ / ‖w‖ of this step
        ]
    ),
    # One row a layer and kind, at the steps that were sampled for distributions.
    "histograms": pa.schema(
        [
            ("step", pa.int64()),
            ("layer", _LABEL),
            ("kind", _LABEL),  # activation | gradient | weight
            ("low", pa.float32()),  # left edge of the first bin
            ("high", pa.float32()),  # right edge of the last bin
            ("counts", pa.list_(pa.int32(), HISTOGRAM_BINS)),
            ("elements", pa.int64()),  # of the tensor; counts add up to less where only an even share was counted
        ]
    ),
    # One row an epoch, split and metric.
    "metrics": pa.schema(
        [
            ("step", pa.int64()),
            ("epoch", pa.int32()),
            ("time_s", pa.float64()),
            ("split", _LABEL),  # train | validation | test | '' for values logged by the user
            ("metric", _LABEL),  # loss | accuracy | r2 | …
            ("value", pa.float64()),
        ]
    ),
    # What a watched script's tensors and parts looked like, at the steps that were sampled; see watch/observed.py.
    "observations": pa.schema(
        [
            ("step", pa.int64()),  # updates before it
            ("phase", _LABEL),  # train | evaluation
            ("subject", _LABEL),  # input | target | prediction | loss | output:<layer> | parameter:<name> | model …
            ("quantity", _LABEL),
            ("value", pa.float64()),
        ]
    ),
    # One row a geometric quantity, at the epochs at which the lenses of a fit looked; training errors at every epoch.
    "geometry": pa.schema(
        [
            ("step", pa.int64()),  # the last one done, as in metrics
            ("epoch", pa.int32()),  # whole epochs done: 0 is the untrained network
            ("split", _LABEL),  # train | validation | test; '' for what belongs to the weights
            ("lens", _LABEL),  # collapse | layers | calibration | margins | robustness | errors | weights
            ("layer", _LABEL),  # whose input it is of; '' for what belongs to the whole network
            ("quantity", _LABEL),
            ("value", pa.float64()),
        ]
    ),
    # What happened: started, resumed, early stopping, a warning, an error inside the watch …
    "events": pa.schema(
        [
            ("step", pa.int64()),
            ("time_s", pa.float64()),
            ("kind", _LABEL),
            ("message", pa.string()),
        ]
    ),
}
