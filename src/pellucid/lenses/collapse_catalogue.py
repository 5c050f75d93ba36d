"""The measures of neural collapse by name: what each is, what it is in full collapse, and who defined it."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["CATALOGUE", "Measure"]

_PAPYAN = "Papyan, Han, Donoho 2020"
_NOTEBOOK = "the authors' notebook to Papyan, Han, Donoho 2020"
_ZHU = "Zhu et al. 2021"
_GALANTI = "Galanti, György, Hutter 2021"
_WU = "Wu, Papyan 2024"
_KOTHAPALLI = "Kothapalli 2023"
_JIANG = "Jiang et al. 2023"
_SELI = "Thrampoulidis et al. 2022"
_FANG = "Fang et al. 2021"
_HAN = "Han, Papyan, Donoho 2022"
_NECO = "Ben Ammar et al. 2024"
_MINORITY = "classes of at most half the largest one's examples; 1 is minority collapse"


@dataclass(frozen=True)
class Measure:
    """One measure as it is published."""

    group: str
    label: str
    formula: str
    source: str
    collapsed: float = 0.0
    note: str = ""
    simplex: bool = False  # its limit is a simplex, which more than d + 1 classes cannot form


def _configuration(stem: str, symbol: str, what: str) -> dict[str, Measure]:
    """NC2, the same measures for the centres and for the classifier."""
    return {
        f"equinorm_{stem}": Measure(
            stem, f"equal lengths of the {what}", f"std‖{symbol}‖ / mean‖{symbol}‖", _PAPYAN, note="population std"
        ),
        f"equinorm_{stem}_notebook": Measure(
            stem, f"equal lengths of the {what}", f"std‖{symbol}‖ / mean‖{symbol}‖", _NOTEBOOK, note="unbiased std"
        ),
        f"equiangular_{stem}": Measure(
            stem, f"equal angles of the {what}", f"std of cos({symbol}, {symbol}')", _PAPYAN, simplex=True
        ),
        f"maximal_angle_{stem}": Measure(
            stem,
            f"maximal angles of the {what}",
            f"mean |cos({symbol}, {symbol}') + 1/(C−1)|",
            _PAPYAN,
            simplex=True,
        ),
        f"nc2_zhu_{stem}": Measure(
            stem,
            f"{what} against the simplex",
            "‖VVᵀ/‖VVᵀ‖ − (I − 11ᵀ/C)/√(C−1)‖",
            _ZHU if stem == "classifier" else _KOTHAPALLI,
            note="V holds them as rows",
            simplex=True,
        ),
        f"hyperspherical_{stem}": Measure(
            stem,
            f"even spread of the {what} on the sphere",
            "std/|mean| of log(1/‖û − û'‖)",
            _WU,
            note="GNC2",
        ),
        f"largest_cosine_{stem}": Measure(
            stem, f"closest pair of the {what}", f"largest cos({symbol}, {symbol}')", "Rankin 1955"
        ),
        f"reference_gap_{stem}": Measure(
            stem, f"closest pair of the {what}, above the reference", "largest cos − the reference's", _JIANG
        ),
    }


CATALOGUE: dict[str, Measure] = {
    "nc1": Measure("variability", "within-class variability", "Tr(Σ_W Σ_B†) / C", _PAPYAN, note="the paper's, with /C"),
    "nc1_notebook": Measure(
        "variability", "within-class variability", "Tr(Σ_W Σ_B†)", _NOTEBOOK, note="the notebook's, without /C"
    ),
    "trace_ratio": Measure("variability", "ratio of scatters", "Tr Σ_W / Tr Σ_B", "Tirer, Huang, Niles-Weed 2023"),
    "cdnv": Measure(
        "variability",
        "class-distance normalised variance",
        "mean over pairs of (v + v') / (2‖μ − μ'‖²)",
        _GALANTI,
    ),
    "cdnv_largest": Measure(
        "variability", "the worst pair's", "largest (v + v') / (2‖μ − μ'‖²)", _GALANTI, note="largest over pairs"
    ),
    "signal_to_noise": Measure(
        "variability",
        "signal to noise inside the centres' span",
        "Tr Σ_B / Tr(P Σ_W)",
        "Fisher 1936, as traces",
        collapsed=float("inf"),
        note="P projects on the span of the centres",
    ),
    "noise_inside": Measure(
        "variability",
        "share of the noise inside the centres' span",
        "Tr(P Σ_W) / Tr Σ_W",
        "Pellucid",
        collapsed=float("nan"),
        note="the rest cannot confuse classes",
    ),
    "vci": Measure(
        "variability",
        "variability collapse index",
        "1 − Tr(Σ_T† Σ_B) / rank Σ_B",
        "Xu, Liu 2023",
        note="Σ_T = Σ_W + Σ_B",
    ),
    **_configuration("centres", "μ̇", "centres"),
    **_configuration("classifier", "w", "classifier's rows"),
    "nc3": Measure("duality", "self-duality", "‖W/‖W‖ − Ṁ/‖Ṁ‖‖", _PAPYAN, note="Frobenius norm, the paper's"),
    "nc3_squared": Measure("duality", "self-duality, squared", "‖W/‖W‖ − Ṁ/‖Ṁ‖‖²", _NOTEBOOK, note="what is plotted"),
    "nc3_cosine": Measure("duality", "cosine of row and centre", "mean cos(w, μ̇)", _WU, collapsed=1.0),
    "unc3": Measure("duality", "uniform duality", "std/|mean| of cos(w, μ̇)", _WU, note="UNC3"),
    "nc3_zhu": Measure("duality", "duality by the simplex", "‖WṀᵀ/‖WṀᵀ‖ − (I − 11ᵀ/C)/√(C−1)‖", _ZHU, simplex=True),
    "bias_zhu": Measure("duality", "bias cancels the global mean", "‖b + W μ_G‖", _ZHU, note="their NC4"),
    "nc4": Measure(
        "decision", "classifier differs from the nearest centre", "share of argmax(Wh + b) ≠ argmin‖h − μ‖", _PAPYAN
    ),
    "seli_centres": Measure(
        "imbalance",
        "centres against the geometry of unequal classes",
        "‖ṀṀᵀ/‖·‖ − VΛ⁻¹Vᵀ/‖·‖‖",
        _SELI,
        note="SELI; (I − 11ᵀ/C)Y = VΛUᵀ",
    ),
    "seli_classifier": Measure(
        "imbalance",
        "classifier's rows against the geometry of unequal classes",
        "‖WWᵀ/‖·‖ − VΛVᵀ/‖·‖‖",
        _SELI,
        note="SELI; (I − 11ᵀ/C)Y = VΛUᵀ",
    ),
    "minority_cosine_centres": Measure(
        "imbalance", "closeness of the small classes' centres", "mean cos(μ̇, μ̇')", _FANG, math.nan, _MINORITY
    ),
    "minority_cosine_classifier": Measure(
        "imbalance", "closeness of the small classes' rows", "mean cos(w, w')", _FANG, math.nan, _MINORITY
    ),
    "mse_loss": Measure(
        "squared error", "squared error of one-hot targets", "½ mean‖Wh + b − e_y‖² + ½λ‖(W, b)‖²", _HAN
    ),
    "mse_nc1": Measure("squared error", "its part from variability", "½ Tr W_LS(Σ_W + λI)W_LSᵀ", _HAN, note="L_NC1"),
    "mse_nc23": Measure(
        "squared error", "its part from the centres", "½ mean‖W_LS μ̃ − e_y‖²", _HAN, note="L_NC2/3; W_LS: least squares"
    ),
    "mse_perp": Measure(
        "squared error", "its part off the central path", "½ Tr D(M + λI)Dᵀ, D = (W, b) − W_LS", _HAN, note="L⊥"
    ),
    "nc5": Measure("outliers", "classes against outliers", "mean |cos(μ, μ_out)|", _NECO, note="NC5; from the origin"),
    "neco_auroc": Measure(
        "outliers",
        "outliers told by their share in the centres' span",
        "AUROC of ‖P(h − g)‖/‖h − g‖",
        _NECO,
        collapsed=1.0,
        note="NECO, P on the centres' span",
    ),
}
"""By the names that ``core.collapse_measures`` uses, in the order in which they are shown."""
