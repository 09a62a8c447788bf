"""Does the audio itself differ between emotions? Asked of the sound alone, without the states.

A difference that is not shown may still be there, and reach the states by way of the music.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import gammaln

from innerear.analyses.audio_check.classification import ACCURACY, classification
from innerear.analyses.audio_check.verdict import verdict
from innerear.statistics.anova import Anova, f_without_each
from innerear.statistics.claims import benjamini_hochberg
from innerear.statistics.clip_targets import Targets, clip_targets, prompt_means
from innerear.statistics.design import Design
from innerear.statistics.design.resampling import jackknife
from innerear.statistics.design.template_contrasts import label_contrasts, of_features
from innerear.statistics.finding import OMEGA_SQUARED, Finding
from innerear.statistics.significance import with_interval
from innerear.statistics.table import INTERVAL, TEST, blank, record, record_flips
from innerear.study.questions import QUESTIONS

ANOVA, HEDGES = "share explained (ANOVA ω²)", "Hedges g"
#: for ratings, in place of Hedges' g
SLOPE = "Pearson r"
#: statistic → what its p is corrected over
_FAMILIES = {ANOVA: "features", HEDGES: "features × pairs of labels", SLOPE: "features"}
_COMMON = ["model", "statistic", *INTERVAL, *(name for name in TEST if "score" not in name)]


@dataclass(frozen=True)
class AudioCheck:
    """The tables of `audio_check`; all have the common columns.

    `effects` has rows of `ANOVA` per feature and ``Hedges g`` per feature and pair of labels;
    `classification` the balanced accuracy of each set of features and, of the whole set, the recall of each
    label; `verdict` one row, whose column ``verdict`` is a sentence.
    """

    effects: pd.DataFrame
    classification: pd.DataFrame
    verdict: pd.DataFrame


def audio_check(clips: pd.DataFrame, design: Design, *, model: str) -> AudioCheck:
    """Test whether clip features (as `clip_targets` takes them) differ between labels.

    The unit is the prompt's mean over seeds.

    - *share explained (ANOVA ω²)* : what labels explain of the variance within templates, tested by F. Labels
      are permuted among the prompts of a template; `p_corrected` is Benjamini and Hochberg's over features.
    - *Hedges g* of two labels, see `hedges_g`. Two-sided; only these two labels are exchanged, so with few
      templates no small p is possible (`min_p`). Corrected over features × pairs.
    - *balanced accuracy* : nearest centroid of standardised features, fitted on some templates and judged on
      another; `p_corrected` is max-T over the sets of features.

    `p_flip` is of sign flips of templates: do they agree on how the labels differ in this feature, these two
    labels, or these features together? For ratings, on the sign of the covariance.

    Intervals resample templates, then seeds; those of g are of the difference in units of the observed
    spread, and those of ω² are a jackknife over templates. For ratings it is the slope's, *Pearson r* with
    the ratings (templates taken out of both) replaces g, and nothing is classified. A feature that cannot be
    used (see `clip_targets`) has a reason in `null`.

    Raises
    ------
    InputError: as `clip_targets`.
    """
    targets = clip_targets(clips, design)
    contrasts = _slopes if design.numeric else _pairs
    effects = pd.concat([_anova(targets, design), *contrasts(targets, design)], ignore_index=True)
    for statistic, family in _FAMILIES.items():
        rows = np.flatnonzero((effects["statistic"] == statistic) & effects["p"].notna())
        if len(rows):
            for name in ("p", "p_flip"):
                p = effects[name].to_numpy(float)[rows]
                effects.loc[rows, f"{name}_corrected"] = benjamini_hochberg(p)
            effects.loc[rows, "family"] = f"{family} (Benjamini-Hochberg)"
    effects, classified = (
        table.assign(model=model).reindex(columns=[*own, *_COMMON])
        for table, own in (
            (effects, ["feature", "unit", "label_1", "label_2", "interval"]),
            (classification(targets, design), ["features", "label"]),
        )
    )
    anova = effects.iloc[np.flatnonzero(effects["statistic"] == ANOVA)]
    row, said = verdict(anova, classified, design)
    told = row.reindex(columns=_COMMON).assign(verdict=said).reset_index(drop=True)
    return AudioCheck(effects, classified, told)


def hedges_g(means: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Hedges' g [m, F] of two labels' prompt means [P, F]: difference ÷ pooled standard deviation, corrected.

    `first` and `second` are bool [m, P], which prompts have either label, in m relabelings. NaN with fewer
    than 4 prompts, or if they do not vary.

    Examples
    --------
    >>> means, first = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([[False, False, True, True]])
    >>> hedges_g(means, first, ~first).round(4)
    array([[1.5958]])
    """
    return _difference(means, first, second) * _unit(means, first, second)


def _difference(means: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Difference of two labels' weighted [m, P] means of [P, F] or [m, P, F]: [m, F]; NaN without weight."""
    centres = []
    for weight in (first, second):
        count = weight.sum(axis=1)[:, None]
        sums = weight @ means if means.ndim == 2 else (weight[:, None] @ means)[:, 0]
        centres.append(np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0))
    return centres[0] - centres[1]


def _unit(means: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """J ÷ pooled standard deviation, [m, F]; NaN with fewer than 4 prompts, or if they do not vary.

    J = Γ(df/2) / (√(df/2) Γ((df−1)/2)) corrects for few prompts (Hedges 1981).
    """
    squares = np.zeros((len(first), means.shape[1]))
    for inside in (first, second):
        n = np.maximum(inside.sum(axis=1), 1)[:, None]
        squares += inside @ means**2 - (inside @ means) ** 2 / n
    df = (first.sum(axis=1) + second.sum(axis=1) - 2)[:, None].astype(float)
    usable = (df > 1) & (squares > 1e-9)
    df = np.where(df > 1, df, 2)
    correction = np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    return np.where(usable, correction / np.sqrt(np.where(usable, squares, 1) / df), np.nan)


def _pearson(ratings: np.ndarray, means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlate ratings [m, P] with means [P, F] or [m, P, F], weighing prompts by [m, P]: [m, F]."""
    share = weights / weights.sum(axis=1, keepdims=True)
    x = ratings - (share * ratings).sum(axis=1, keepdims=True)
    y = means - share[:, None] @ means  # [m, P, F]
    product = ((share * x)[:, None] @ y)[:, 0]
    size = np.sqrt((share * x**2).sum(axis=1)[:, None] * (share[:, None] @ y**2)[:, 0])
    return np.divide(product, size, out=np.full(product.shape, np.nan), where=size > 1e-12)


def _feature_rows(
    targets: Targets, design: Design, statistic: str, first: str = "", second: str = ""
) -> pd.DataFrame:
    """A row per feature, without results."""
    rows = {"feature": targets.names, "unit": targets.units, "null": targets.nulls}
    return blank(rows, design, statistic=statistic, label_1=first, label_2=second, interval="")


def _write(
    table: pd.DataFrame,
    usable: np.ndarray,
    design: Design,
    found: tuple[np.ndarray, np.ndarray],
    drawn: np.ndarray | None = None,
    *,
    means: np.ndarray,
    size: Callable[[np.ndarray], np.ndarray] = np.asarray,
    why_not: str = "too few prompts to tell labels from chance",
) -> None:
    """Write estimates, intervals and tests into the rows of usable features.

    `found` are observed [F] and permuted [m, F], `drawn` [·, F] in bootstraps; the test is of their `size`:
    `np.abs` makes it two-sided. Signs of templates are flipped of the contrasts of `means` [P, F].
    """
    observed, null = found
    table.loc[usable, "estimate"] = observed
    if drawn is not None:
        _write_interval(table, usable, **with_interval(observed, drawn, design.resampled))
    record(table, usable, design, size(observed), size(null), family="", moved="labels", why_not=why_not)
    record_flips(table, usable, design, of_features(label_contrasts(design), means), standardise=False)


def _anova(targets: Targets, design: Design) -> pd.DataFrame:
    table = _feature_rows(targets, design, ANOVA)
    usable, values = targets.used
    anova, means = Anova(design), prompt_means(values, design)
    _write(table, usable, design, (anova.f(means), anova.null(means)), means=means, why_not=anova.why_not)
    estimate = anova.share(anova.f(means))
    less = f_without_each(values, design.without_each_template())
    low, high, interval = jackknife(estimate, np.array([part.share(f) for part, f in less]))
    _write_interval(table, usable, estimate=estimate, ci_lo=low, ci_hi=high, interval=interval)
    return table


def _write_interval(table: pd.DataFrame, usable: np.ndarray, **found: np.ndarray | str) -> None:
    for name, values in found.items():
        table.loc[usable, name] = values


def _pairs(targets: Targets, design: Design) -> list[pd.DataFrame]:
    """Hedges' g of all pairs of labels, a table per pair."""
    usable, values = targets.used
    resampled, weights = _resampled_means(values, design)
    means, tables = prompt_means(values, design), []
    for pair in combinations(dict.fromkeys(design.prompt_labels.tolist()), 2):
        first, second = (design.prompt_labels == label for label in pair)  # bool [P]
        # A resample of few templates repeats them, and its own spread would be too small a unit.
        drawn = _difference(resampled, weights * first, weights * second)
        drawn *= _unit(means, first[None], second[None])
        inside = np.isin(design.labels, pair)
        alone = design.subset(np.flatnonzero(inside))
        moved = alone.labels[alone.permutations()][:, alone.rows[:, 0]]  # [m, P]
        of_pair = prompt_means(values[inside], alone)
        null = hedges_g(of_pair, moved == pair[0], moved == pair[1])
        observed = hedges_g(means, first[None], second[None])[0]
        tables.append(_feature_rows(targets, design, HEDGES, *pair))
        _write(tables[-1], usable, alone, (observed, null), drawn, means=of_pair, size=np.abs)
    return tables


def _slopes(targets: Targets, design: Design) -> list[pd.DataFrame]:
    """Correlate prompt means with the rating, both less the mean of their template where they are blocks."""
    table = _feature_rows(targets, design, SLOPE)
    usable, values = targets.used
    ratings, remove = design.targets[:, 0], Anova(design).remove
    if np.ptp(ratings):
        moved = np.stack([ratings, *ratings[design.prompt_permutations()]]) @ remove  # [1 + m, P]
        means = prompt_means(values, design)
        found = _pearson(moved, remove @ means, np.ones((1, design.n_prompts)))
        resampled, weights = _resampled_means(values, design)
        drawn = _pearson(moved[:1], remove @ resampled, weights)
        _write(table, usable, design, (found[0], found[1:]), drawn, means=means, size=np.abs)
    return [table]


def _resampled_means(values: np.ndarray, design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Prompt means [m, P, F] over resampled seeds, and how often each resample holds each prompt [m, P]."""
    boots = design.bootstraps()
    seeds = boots.seeds / boots.seeds.sum(axis=1, keepdims=True)  # [m, R]
    means = np.einsum("mr,prf->mpf", seeds, values[design.rows], optimize=True)
    return means, boots.units[:, boots.unit_of[design.rows[:, 0]]]


FINDINGS = (
    Finding(
        QUESTIONS["sound"],
        "Yes: a judge of the sound, trained on other sentences, names the {contrast}: {effect}.",
        {"statistic": ACCURACY},
        "audio_check",
        "audio_verdict",
        key="sound",
        unit="right",
        chance="labels",
        meaning="share of each {contrast}'s clips that are named right, averaged",
        unshown="A difference that was not shown is no licence to read the other answers as effects of the "
        "text alone.",
        formula="mean recall of the nearest centroid of standardised features, fitted on other templates",
    ),
    # Of ratings, which no judge names, this is the primary one, in the words of its key.
    Finding(
        "Does any feature of the sound differ between {contrasts}?",
        "Yes: the {contrast} explains {effect} of prompts in {feature}, over all features.",
        {"statistic": ANOVA},
        "audio_check",
        key="sound",
        meaning="share of a feature's variance over prompts, within templates, that the {contrast} "
        "explains (ω²); 0 without an effect",
        aside="p is corrected over features.",
        formula=OMEGA_SQUARED,
    ),
)
