"""The local linear map of a network at one input: what it stretches, turns, keeps and forgets there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pellucid.results.base import Result

__all__ = ["InputJacobian", "JacobianEigenbasis"]


@dataclass(frozen=True, eq=False)
class JacobianEigenbasis:
    """The eigenvectors of a map from a space to itself: of its symmetric part, (J + Jᵀ)/2.

    A denoiser that is near its optimum has a nearly symmetric Jacobian, and shrinks the input along these vectors.
    """

    values: np.ndarray  # (vectors,) of the symmetric part, largest absolute value first
    vectors: np.ndarray  # (vectors, inputs) of length 1
    input_parts: np.ndarray  # (vectors,) ⟨vector, x⟩
    output_parts: np.ndarray  # (vectors,) ⟨vector, f(x)⟩
    residual: float  # largest ‖(J + Jᵀ)/2 v − λ v‖
    complete: bool  # all eigenvectors, not only the strongest
    asymmetry: float  # ‖J − Jᵀ‖ ÷ ‖J + Jᵀ‖ (Frobenius): 0 if symmetric; estimated where the norm is
    real: np.ndarray  # (inputs,) real parts of J's own eigenvalues; empty unless complete
    imaginary: np.ndarray  # (inputs,) their imaginary parts
    dimensions: float  # Σ λ of the symmetric part = trace of J: how many dimensions it keeps; estimated unless complete
    dimensions_error: float  # standard error of that estimate; 0 if exact


@dataclass(frozen=True, eq=False)
class InputJacobian(Result):
    """f(x + δ) ≈ f(x) + J δ at one input; for a piecewise linear network exactly so until the next kink."""

    schema: ClassVar[str] = "input_jacobian/1"

    model: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input: np.ndarray  # x, in its shape, float64
    output: np.ndarray  # f(x), in its shape, float64
    linear_part: np.ndarray  # J x, in the output's shape
    bias_part: np.ndarray  # f(x) − J x, in the output's shape: what the biases (and curvature) contribute
    bias_share: float  # ‖f(x) − J x‖ ÷ (‖J x‖ + ‖f(x) − J x‖), 0–1; 0 for a network without biases and with ReLU
    matrix: np.ndarray  # J, (outputs, inputs), if it has at most 1,048,576 entries; else (0, 0)
    singular_values: np.ndarray  # largest first; all of them if ``complete``
    left: np.ndarray  # (values, outputs): what the directions become; at most 64 are kept
    right: np.ndarray  # (values, inputs): the directions
    complete: bool
    residual: float  # largest ‖J v − σ u‖ and ‖Jᵀ u − σ v‖ over the kept triples
    frobenius_norm: float
    frobenius_error: float  # standard error of the estimate; 0 if computed from the whole matrix
    entropy_rank: float  # exp(−Σ p log p), p = σ ÷ Σσ (Roy and Vetterli 2007); nan unless complete
    stable_rank: float  # ‖J‖² (Frobenius) ÷ σ₁² (Rudelson and Vershynin 2007); 0 for J = 0
    rank: int  # singular values above the rounding of the largest; −1 unless complete
    precision: str  # "float64", or what the network itself insisted on computing its output in
    products: int  # products with J and Jᵀ that were computed
    eigenbasis: JacobianEigenbasis | None  # where output and input have one shape
    output_names: tuple[str, ...]
    feature_names: tuple[str, ...]
