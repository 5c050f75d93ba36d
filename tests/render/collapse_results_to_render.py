"""Results of collapse made by hand, so that renderings can be read against what stands here."""

import numpy as np

from pellucid.results.collapse_quantities import CollapseQuantity
from pellucid.results.neural_collapse import NeuralCollapse
from pellucid.results.regression_collapse import RegressionCollapse

NAN = float("nan")


def neural_collapse() -> NeuralCollapse:
    """Three classes, of which one has no example."""
    return NeuralCollapse(
        layer="head",
        split="test",
        examples=7,
        classes=3,
        features=4,
        class_names=("cat", "[red]dog[/red]", "owl"),
        empty_classes=(2,),
        single_classes=(1,),
        reference="simplex ETF",
        accuracy=6 / 7,
        nearest_centre_accuracy=1.0,
        resamples=200,
        quantities=(
            CollapseQuantity(
                "nc1", "variability", "within-class variability", "Tr(Σ_W Σ_B†) / C", 0.0125, 0.0, 3e-16,
                "Papyan, Han, Donoho 2020", "the paper's, with /C", 0.011, 0.0142,
            ),
            CollapseQuantity(
                "nc1_notebook", "variability", "within-class variability", "Tr(Σ_W Σ_B†)", 0.025, 0.0, 6e-16,
                "the authors' notebook", "the notebook's, without /C", 0.022, 0.0284,
            ),
            CollapseQuantity(
                "equinorm_centres", "centres", "equal lengths of the centres", "std‖μ̇‖ / mean‖μ̇‖", 0.0, 0.0, 1e-15,
                "Papyan, Han, Donoho 2020", "population std", 0.0, 0.0,
            ),
            CollapseQuantity(
                "nc3", "duality", "self-duality", "‖W/‖W‖ − Ṁ/‖Ṁ‖‖", 0.75, 0.0, 1e-15, "Papyan, Han, Donoho 2020", "",
            ),
            CollapseQuantity(
                "nc4", "decision", "classifier differs from the nearest centre",
                "share of argmax(Wh + b) ≠ argmin‖h − μ‖", 1 / 7, 0.0, NAN, "Papyan, Han, Donoho 2020", "",
            ),
        ),
        counts=np.array([6, 1, 0]),
        within=np.array([0.5, 0.0, NAN]),
        centre_norms=np.array([1.5, 1.5, 0.0]),
        classifier_norms=np.array([1.0, 2.0, 3.0]),
        cosines=np.array([[1.0, -1.0], [-1.0, 1.0]]),
        strengths=np.array([4.5]),
        strengths_within=np.array([0.05]),
        inside=0.125,
    )  # fmt: skip


def regression_collapse() -> RegressionCollapse:
    """Two targets, four features."""
    source = "Andriopoulos et al. 2024"
    return RegressionCollapse(
        layer="head",
        split="train",
        examples=50,
        features=4,
        targets=2,
        target_names=("x", "y"),
        quantities=(
            CollapseQuantity("nrc1", "features", "features outside", "mean ‖h̃ − proj(h̃ | n PCs)‖²", 0.125, 0.0, 1e-15,
                             source, "NRC1; components about the mean"),
            CollapseQuantity("nrc2", "duality", "features outside the weights", "mean ‖h̃ − proj(h̃ | Wᵀ)‖²", 0.25, 0.0,
                             1e-15, source, "NRC2"),
            CollapseQuantity("nrc3", "duality", "weights against the targets", "‖WWᵀ/‖·‖ − (Σ^½ − γ^½I)/‖·‖‖²", 0.5,
                             0.0, NAN, source, "NRC3; least over γ in [0, λ_min]"),
        ),
        error=0.0625,
        gamma=0.5,
        gammas=np.array([0.0, 0.5, 1.0]),
        nrc3_curve=np.array([0.75, 0.5, 0.625]),
        spectrum=np.array([0.5, 0.375, 0.125, 0.0]),
        gram=np.eye(2),
        ideal_gram=np.eye(2),
    )  # fmt: skip
