"""The measures of neural collapse by name: what each is, what it is in full collapse, and who defined it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOGUE", "Measure"]

_PAPYAN = "Papyan, Han, Donoho 2020"
_NOTEBOOK = "the authors' notebook to Papyan, Han, Donoho 2020"
_ZHU = "Zhu et al. 2021"
_GALANTI = "Galanti, György, Hutter 2021"
_WU = "Wu, Papyan 2024"


@dataclass(frozen=True)
class Measure:
    """One measure as it is published."""

    group: str
    label: str
    formula: str
    source: str
    collapsed: float = 0.0
    note: str = ""


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
            stem, f"equal angles of the {what}", f"std of cos({symbol}, {symbol}')", _PAPYAN
        ),
        f"maximal_angle_{stem}": Measure(
            stem, f"maximal angles of the {what}", f"mean |cos({symbol}, {symbol}') + 1/(C−1)|", _PAPYAN
        ),
        f"nc2_zhu_{stem}": Measure(
            stem, f"{what} against the simplex", "‖VVᵀ/‖VVᵀ‖ − (I − 11ᵀ/C)/√(C−1)‖", _ZHU, note="V holds them as rows"
        ),
        f"hyperspherical_{stem}": Measure(
            stem, f"even spread of the {what} on the sphere", "std/|mean| of log(1/‖û − û'‖)", _WU, note="GNC2"
        ),
    }


CATALOGUE: dict[str, Measure] = {
    "nc1": Measure("variability", "within-class variability", "Tr(Σ_W Σ_B†) / C", _PAPYAN, note="the paper's, with /C"),
    "nc1_notebook": Measure(
        "variability", "within-class variability", "Tr(Σ_W Σ_B†)", _NOTEBOOK, note="the notebook's, without /C"
    ),
    "trace_ratio": Measure("variability", "ratio of scatters", "Tr Σ_W / Tr Σ_B", "Tirer, Bruna 2022"),
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
        "Fisher 1936",
        collapsed=float("inf"),
        note="P projects on the span of the centres",
    ),
    "noise_inside": Measure(
        "variability",
        "share of the noise inside the centres' span",
        "Tr(P Σ_W) / Tr Σ_W",
        _PAPYAN,
        collapsed=float("nan"),
        note="the rest cannot confuse classes; no value is the collapsed one",
    ),
    **_configuration("centres", "μ̇", "centres"),
    **_configuration("classifier", "w", "classifier's rows"),
    "nc3": Measure("duality", "self-duality", "‖W/‖W‖ − Ṁ/‖Ṁ‖‖", _PAPYAN, note="Frobenius norm, the paper's"),
    "nc3_squared": Measure("duality", "self-duality, squared", "‖W/‖W‖ − Ṁ/‖Ṁ‖‖²", _NOTEBOOK, note="what is plotted"),
    "nc3_cosine": Measure("duality", "cosine of row and centre", "mean cos(w, μ̇)", "Kothapalli 2023", collapsed=1.0),
    "unc3": Measure("duality", "uniform duality", "std/mean of cos(w, μ̇)", _WU, note="UNC3"),
    "nc3_zhu": Measure("duality", "duality by the simplex", "‖WṀᵀ/‖WṀᵀ‖ − (I − 11ᵀ/C)/√(C−1)‖", _ZHU),
    "bias_zhu": Measure("duality", "bias cancels the global mean", "‖b + W μ_G‖", _ZHU, note="their NC4"),
    "nc4": Measure(
        "decision", "classifier differs from the nearest centre", "share of argmax(Wh + b) ≠ argmin‖h − μ‖", _PAPYAN
    ),
}
"""By the names that ``core.collapse_measures`` uses, in the order in which they are shown."""
