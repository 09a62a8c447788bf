"""One sentence on whether the sound differs between labels."""

import numpy as np
import pandas as pd

from innerear.statistics.design import Design
from innerear.statistics.significance import ALPHA

_NO_LICENCE = "That does not make what follows an effect of the text alone."


def verdict(anova: pd.DataFrame, classification: pd.DataFrame, design: Design) -> tuple[pd.DataFrame, str]:
    """Say in a sentence what the rows of ANOVAs and the classification show; with the row that it is of."""
    n_used = int(np.isfinite(anova["estimate"].to_numpy(float)).sum())
    n_differ = int((anova["p_corrected"].to_numpy(float) <= ALPHA).sum())
    by_feature = f"{n_differ} of {n_used} features differ at a false discovery rate of {ALPHA:.0%}"
    if design.numeric:
        return _on_rating(anova, by_feature, design.label)
    row = classification.iloc[[0]]
    return row, _on_labels(row.to_dict("records")[0], by_feature, n_differ, design)


def _on_labels(whole: dict, by_feature: str, n_differ: int, design: Design) -> str:
    """Say whether the sound differs between labels, from the accuracy of all features together."""
    p, smallest, label = whole["p"], whole["min_p"], design.label
    by_sound = (
        "held-out clips are classified from sound alone with a balanced accuracy of "
        f"{whole['estimate']:.2f} (chance {1 / len(set(design.prompt_labels)):.2f}, p = {p:.2g})"
    )
    if np.isnan(p):
        reason = str(whole["null"]).removeprefix("none: ")
        return f"Whether the audio differs between {label}s cannot be tested: {reason}"
    if smallest > ALPHA:
        small = f"The study is too small to tell whether the audio differs between {label}s"
        return f"{small}: no p below {smallest:.2g} is possible, and {by_sound}."
    if p <= ALPHA:
        return f"The audio differs between {label}s: {by_sound}, and {by_feature}."
    if n_differ:
        some = f"The audio differs between {label}s in some respects only: {by_feature}"
        return f"{some}, but as a whole it does not tell: {by_sound}."
    none = f"The audio was not shown to differ between {label}s: {by_sound}, and {by_feature}."
    return f"{none} {_NO_LICENCE}"


def _on_rating(anova: pd.DataFrame, by_feature: str, label: str) -> tuple[pd.DataFrame, str]:
    """Say whether the sound goes with a rating; with the row of the feature of the least p."""
    p = anova["p_corrected"].to_numpy(float)
    row = anova.iloc[[int(np.nanargmin(p)) if np.isfinite(p).any() else 0]]
    if not np.isfinite(p).any():
        reason = str(row["null"].iloc[0]).removeprefix("none: ")
        return row, f"Whether the audio goes with {label} cannot be tested: {reason}"
    if np.nanmin(p) <= ALPHA:
        feature = row["feature"].iloc[0]
        return row, f"The audio goes with {label}, most clearly its {feature}: {by_feature}."
    return row, f"The audio was not shown to go with {label}: {by_feature}. {_NO_LICENCE}"
