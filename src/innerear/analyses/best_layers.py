"""Find the layer that distinguishes labels best, and confirm it on templates that did not choose it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from innerear.gram.reading import GramSource
from innerear.statistics.design import Design
from innerear.statistics.design.resampling import jackknife
from innerear.statistics.finding import Finding
from innerear.statistics.label_distance import flipped_fold_products
from innerear.statistics.significance import CONFIDENCE
from innerear.statistics.table import INTERVAL, blank, columns, record, record_flip_null

RANK, HELD_OUT = "rank of the layer", "held-out distance of the chosen layer"


def best_layers(layers: Mapping[int, GramSource], design: Design, *, model: str) -> pd.DataFrame:
    """Rank layers by the cross-validated distance of the whole clip, and confirm the best one.

    Parameters
    ----------
    layers : layer → its open file of arrays from `discriminability.of_layer`.

    Returns
    -------
    Common columns. Each branch and layer has its rank (1 is best) with the interval of its ranks over
    bootstraps. Each branch has the distance of the layer that was *chosen on the other templates*, measured
    on the template held out, averaged over templates (layer −1; `chosen` counts the choices). Choosing
    the best of many layers does not inflate it. Its nulls choose anew under every relabeling and every sign
    flip of templates, and so does the jackknife over templates that its interval is of; `p_corrected` and
    `p_flip_corrected` are max-T over branches.
    """
    numbers = sorted(layers)
    branches = layers[numbers[0]].labels("branch")
    products = np.array([layers[n].read("fold_products") for n in numbers], float)  # [L, C, 1 + m, F, F]
    boots = np.array([layers[n].read("bootstraps") for n in numbers], float)  # [L, C, m]
    ranks = _ranks(products[:, :, 0], boots, numbers, branches)
    confirmed, held_out = _confirmed(products, numbers, design)
    held_out = held_out.assign(layer=-1, branch=branches)
    ranks["interval"] = f"{CONFIDENCE:.0%} of {boots.shape[-1]} bootstraps of {design.resampled_units}"
    table = blank(
        pd.concat([ranks, held_out.assign(statistic=HELD_OUT)], ignore_index=True),
        design,
        model=model,
        window="whole",
        null="none: an estimate, confirmed below",
    )
    record(
        table,
        np.arange(len(ranks), len(table)),
        design,
        confirmed[0],
        confirmed[1:],
        family="branches",
        why_not="confirming needs three folds that hold every label",
    )
    if products.shape[-1] > 2 and not design.why_no_flips():
        contrasts = np.array([layers[n].read("contrasts") for n in numbers], float)  # [L, C, T, T]
        lead, flat = contrasts.shape[:2], contrasts.reshape(-1, *contrasts.shape[2:])
        flipped = np.moveaxis(flipped_fold_products(flat, design), -1, 0)  # [L * C, m', F, F]
        flipped = flipped.reshape(*lead, *flipped.shape[1:])
        record_flip_null(
            table, np.arange(len(ranks), len(table)), design, _held_out(flipped)[0].mean(axis=0).T
        )
    return table.reindex(columns=columns("branch", "window", "statistic", *INTERVAL, "interval", "chosen"))


def _ranks(observed: np.ndarray, boots: np.ndarray, numbers: list[int], branches: list[str]) -> pd.DataFrame:
    """Rank the layers of each branch by their distance, from [L, C, F, F], with intervals from [L, C, m]."""
    off = ~np.eye(observed.shape[-1], dtype=bool)
    distances = observed[..., off].mean(axis=-1) if off.any() else np.full(observed.shape[:2], np.nan)
    ranks = 1.0 + (distances[None] > distances[:, None]).sum(axis=1)  # [L, C]
    usable = np.isfinite(boots).all(axis=(0, 1))
    low, high = np.full((2, *ranks.shape), np.nan)
    if usable.any():
        resampled = 1 + (boots[None] > boots[:, None]).sum(axis=1)[..., usable]  # [L, C, m]
        tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
        low, high = np.quantile(resampled, tails, axis=-1, method="nearest")
    known = (np.isfinite(distances) & usable.any()).T.ravel()
    table = pd.DataFrame(
        {
            "layer": np.tile(numbers, len(branches)),
            "branch": np.repeat(branches, len(numbers)),
            "statistic": RANK,
            "chosen": np.tile([str(number) for number in numbers], len(branches)),
        }
    )
    for name, values in (("estimate", ranks), ("ci_lo", low), ("ci_hi", high)):
        table[name] = np.where(known, values.T.ravel(), np.nan)
    return table


def _confirmed(products: np.ndarray, numbers: list[int], design: Design) -> tuple[np.ndarray, pd.DataFrame]:
    """Of [L, C, 1 + m, F, F]: held-out distances [1 + m, C] of the layer best elsewhere; a row a branch."""
    n_branches, n_folds = products.shape[1], products.shape[-1]
    if n_folds < 3:
        none = np.full((products.shape[2], n_branches), np.nan)
        return none, pd.DataFrame({"estimate": none[0], "chosen": [""] * n_branches})
    values, choices = _held_out(products)
    distances = values.mean(axis=0).T
    # Folds of several templates do not say how many templates agree.
    by_template = n_folds == design.n_templates
    agreeing = np.where(by_template & np.isfinite(distances[0]), (values[:, :, 0] > 0).sum(axis=0), np.nan)
    units = "templates" if by_template else "folds"
    low, high, interval = jackknife(distances[0], _left_out(products[:, :, :1]), units)
    columns = {"estimate": distances[0], "ci_lo": low, "ci_hi": high, "interval": interval, "k": agreeing}
    columns["chosen"] = [_counted([numbers[layer] for layer in of_branch]) for of_branch in choices.T]
    return distances, pd.DataFrame(columns)


def _held_out(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of [L, C, 1 + m, F, F]: each fold's distances [F, C, 1 + m] in the layer best elsewhere; choices."""
    n_folds = products.shape[-1]
    values, choices = [], []
    for fold in range(n_folds):
        others = np.flatnonzero(np.arange(n_folds) != fold)
        among = products[..., others[:, None], others]
        n_pairs = len(others) * (len(others) - 1)
        off = ~np.eye(len(others), dtype=bool)
        score = among[..., off].sum(axis=-1) / n_pairs  # [L, C, 1 + m]
        choice = np.nan_to_num(score, nan=-np.inf).argmax(axis=0)[None]
        held_out = products[..., fold, others].mean(axis=-1)  # [L, C, 1 + m]
        values.append(np.take_along_axis(held_out, choice, axis=0)[0])
        choices.append(choice[0, :, 0])
    return np.array(values), np.array(choices)


def _left_out(products: np.ndarray) -> np.ndarray:
    """Held-out distances [F, C] without each fold, of [L, C, 1, F, F]; none of fewer than 4 folds."""
    n_folds, found = products.shape[-1], []
    for fold in range(n_folds if n_folds > 3 else 0):
        others = np.flatnonzero(np.arange(n_folds) != fold)
        found.append(_held_out(products[..., others[:, None], others])[0].mean(axis=0)[:, 0])
    return np.reshape(found, (-1, products.shape[1]))


def _counted(layers: Sequence[int]) -> str:
    """Say how often each layer was chosen, such as ``3 (2 of 5 times), 5 (3 of 5 times)``."""
    numbers, times = np.unique(layers, return_counts=True)
    return ", ".join(f"{n} ({k} of {len(layers)} times)" for n, k in zip(numbers, times, strict=True))


FINDINGS = (
    Finding(
        "Does the layer that is best on some templates distinguish {contrasts} on another?",
        "Yes, in uncond, by a squared distance of {effect}: in layer {chosen}, each time chosen without the "
        "template that it is measured on.",
        {"statistic": HELD_OUT, "branch": "uncond"},
        "layer_ranks",
        table="best_layers",
        unit="distance",
        meaning="squared distance of two labels' means on the held-out template, cross-validated; 0 "
        "without an effect",
        formula="mean of (aₛ − bₛ) · (aₜ − bₜ) over labels a ≠ b and templates t ≠ s, s left out when "
        "the layer was chosen, ÷ the clips' variance",
    ),
)
