"""Features in units of their noise: in distances, dimensions with little noise count more."""

import numpy as np
from scipy.linalg import helmert

from innerear.statistics.design import Design


def noise_normalised_kernel(features: np.ndarray, design: Design) -> np.ndarray:
    """Return inner products [P, P] of prompt means of features [N, D], whitened by their noise.

    The noise is what tells the seeds of a prompt apart; with one seed, the prompts of a template. Its
    covariance S is shrunk towards its diagonal, (1 − λ) S + λ diag S, with λ from its own uncertainty
    (Schäfer & Strimmer 2005), since it has more entries than there are samples. Labels are not looked at, so
    that it stays the same under permutations and flips. Dimensions without noise are left out.
    """
    rows, centred = design.rows, np.asarray(features, float) - np.mean(features, axis=0)
    noise = _noise(centred, design)
    scale = np.sqrt((noise**2).mean(axis=0))
    varies = scale > 1e-6 * np.abs(features).max(axis=0, initial=0)
    noise, centred = noise[:, varies] / scale[varies], centred[:, varies] / scale[varies]
    means = centred[rows].mean(axis=1)  # [P, D]
    if not varies.any():
        return np.zeros((len(rows), len(rows)))
    shrinkage = _shrinkage(noise)
    kernel, across, within = means @ means.T, means @ noise.T, noise @ noise.T
    if shrinkage < 1:
        # (a I + b NᵀN)⁻¹ by the formula of Woodbury, with matrices of samples in place of dimensions
        ridge = len(noise) * shrinkage / (1 - shrinkage)
        kernel = kernel - across @ np.linalg.solve(within + ridge * np.eye(len(within)), across.T)
    return kernel / shrinkage


def _noise(features: np.ndarray, design: Design) -> np.ndarray:
    """Independent contrasts [n, D] between the seeds of each prompt, or the prompts of each template."""
    groups = (
        design.rows if design.rows.shape[1] > 1 else [design.rows[members, 0] for members in design.members()]
    )
    return np.concatenate([helmert(len(group)) @ features[group] for group in groups if len(group) > 1])


def _shrinkage(noise: np.ndarray) -> float:
    """λ in (0, 1] of noise [n, D] of unit variance: Σ Var r_ij ÷ Σ r_ij² over dimensions i ≠ j."""
    n, squared = len(noise), noise**2
    every = ((noise @ noise.T) ** 2).sum() / n**2 - noise.shape[1]  # Σ r_ij², i ≠ j
    products = (squared.sum(axis=1) ** 2).sum() - (squared**2).sum()  # Σ_k Σ_ij (x_ki x_kj)², i ≠ j
    variance = (products - n * every) / (n * (n - 1))
    return float(np.clip(variance / every, 1e-3, 1)) if every > 0 else 1.0
