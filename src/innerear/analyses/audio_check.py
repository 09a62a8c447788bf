"""Does the audio itself differ between emotions? Asked of the sound alone, before the states are.

Where it does not, whatever distinguishes the states is the text, and not music that the model made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import gammaln
from scipy.stats import false_discovery_control

from innerear.acoustics.features import FEATURES
from innerear.errors import InputError
from innerear.statistics.clip_targets import Targets, clip_targets
from innerear.statistics.design import Bootstraps, Design
from innerear.statistics.significance import percentile_interval, record

ALPHA = 0.05
ALL = "all features"
#: for ratings, in place of Hedges' g
SLOPE = "Pearson r"
_COMMON = (
    *("model", "statistic", "estimate", "ci_lo", "ci_hi", "p", "p_corrected"),
    *("n_prompts", "n_perm", "min_p", "null", "family"),
)


@dataclass(frozen=True)
class Manipulation:
    """What `manipulation` returns; all tables have the common columns.

    Attributes
    ----------
    effects : per feature a row ``ANOVA F``, and per feature and pair of labels a row ``Hedges g``.
    classification : per set of features the balanced accuracy, and per label of the whole set its recall.
    verdict : one row, whose column ``verdict`` is a sentence.
    """

    effects: pd.DataFrame
    classification: pd.DataFrame
    verdict: pd.DataFrame


def manipulation(
    clips: pd.DataFrame,
    design: Design,
    *,
    model: str,
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> Manipulation:
    """Test whether clip features differ between labels.

    Parameters
    ----------
    clips : long table of `sample_id`, `feature`, `unit`, `value` (NaN where not measured) and `reason`.
    design : labels, folds, permutations, bootstraps.
    model : for the tables' columns.
    n_permutations, n_bootstraps : rows of the design's tables to use.

    Returns
    -------
    See `Manipulation`. *ANOVA F* is of the prompt means, labels against what is left after labels and
    templates; labels are permuted among the prompts of a template, and `p_corrected` is Benjamini and
    Hochberg's over features. *Hedges g* of two labels is the difference of their mean prompt means in
    units of the pooled standard deviation of prompt means, corrected for few prompts; two-sided,
    with only these two labels exchanged, so that with few templates no small p is possible (`min_p`);
    corrected over features × pairs. *Balanced accuracy* is of the nearest centroid of standardised
    features, both fitted on some templates and judged on another; `p_corrected` is max-T over the
    sets of features. Intervals resample templates, then seeds; those of
    g are of the difference, in units of the observed spread. For ratings F is of the slope, *Pearson r* of
    prompt means with ratings (templates taken out of both) stands in place of g, and nothing is
    classified. A feature that a whole prompt lacks, or that more than 10 % of samples lack, is not used,
    with the reason in `null`.

    Raises
    ------
    InputError: as `clip_targets`.
    """
    targets = clip_targets(clips, design)
    effects = pd.concat(
        [
            _anova(targets, design, n_permutations),
            *(_slopes if design.numeric else _contrasts)(targets, design, n_permutations, n_bootstraps),
        ],
        ignore_index=True,
    )
    for statistic, family in (
        ("ANOVA F", "features"),
        ("Hedges g", "features × pairs of labels"),
        (SLOPE, "features"),
    ):
        rows = np.flatnonzero((effects["statistic"] == statistic) & effects["p"].notna())
        if len(rows):
            effects.loc[rows, "p_corrected"] = false_discovery_control(effects["p"].to_numpy(float)[rows])
            effects.loc[rows, "family"] = f"{family} (Benjamini-Hochberg)"
    classification = _classification(targets, design, n_permutations, n_bootstraps)
    columns = {"model": model, "n_prompts": design.n_prompts}
    effects = effects.assign(**columns).reindex(columns=["feature", "unit", "label_1", "label_2", *_COMMON])
    classification = classification.assign(**columns).reindex(columns=["features", "label", *_COMMON])
    return Manipulation(effects, classification, _verdict(effects, classification, design))


def prompt_means(values: np.ndarray, design: Design) -> np.ndarray:
    """Mean over each prompt's seeds of values [N, F], as [P, F]."""
    return values[design.rows].mean(axis=1)


def anova_f(means: np.ndarray, design: Design, labels: np.ndarray) -> np.ndarray:
    """F of the labels, templates taken out where they are blocks.

    Parameters
    ----------
    means : [P, F] prompt means.
    labels : [m, P] number of each prompt's label, or its rating, in m relabelings.

    Returns
    -------
    [m, F]; with m + 1 rows of labels the observed and the null at once. Between-label and residual
    sums of squares each by their degrees of freedom, in a randomised block design.
    """
    blocks = _indicator(design.block_of, design.n_blocks)  # [P, blocks]
    residual = means - blocks @ np.linalg.lstsq(blocks, means, rcond=None)[0]
    columns = labels[..., None]  # [m, P, 1]
    if not design.numeric:
        columns = (columns == np.arange(int(labels.max()) + 1)).astype(float)  # [m, P, labels]
    # Within blocks, since a block need not hold every label as often as another.
    inside = columns - np.einsum("pb,mbl->mpl", blocks, _block_means(columns, blocks))
    basis = np.linalg.pinv(inside)  # [m, labels, P]
    fitted = inside @ (basis @ residual)  # [m, P, F]
    between, total = (fitted**2).sum(axis=1), (residual**2).sum(axis=0)
    of_labels = 1 if design.numeric else columns.shape[-1] - 1
    df = of_labels, len(means) - design.n_blocks - of_labels
    if df[1] < 1:
        return np.full((len(labels), means.shape[1]), np.nan)
    within = np.maximum(total - between, np.finfo(float).eps * np.maximum(total, 1e-300))
    return between / df[0] / (within / df[1])


def hedges_g(means: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Hedges' g of the prompt means of two labels.

    Parameters
    ----------
    means : [P, F].
    first, second : bool [m, P], which prompts have either label, in m relabelings.

    Returns
    -------
    [m, F]: difference of means times `_unit`.
    """
    return _difference(means, first, second) * _unit(means, first, second)


def _difference(means: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Weighted mean of one label's prompts minus the other's, [m, F]; weights [m, P], NaN where all are 0."""
    centres = []
    for weight in (first, second):
        count = weight.sum(axis=1)[:, None]
        sums = _weighted_sum(weight.astype(float), means)
        centres.append(np.divide(sums, count, out=np.full(sums.shape, np.nan), where=count > 0))
    return centres[0] - centres[1]


def _weighted_sum(weight: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Sum means [P, F] or [m, P, F] with weights [m, P], as [m, F]."""
    return weight @ means if means.ndim == 2 else (weight[:, None] @ means)[:, 0]


def _unit(means: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """J ÷ pooled standard deviation, [m, F]; NaN with fewer than 4 prompts, or if they do not vary.

    J = Γ(df/2) / (√(df/2) Γ((df−1)/2)) corrects for few prompts (Hedges 1981).
    """
    squares = np.zeros((len(first), means.shape[1]))
    for inside in (first, second):
        n = np.maximum(inside.sum(axis=1), 1)[:, None]
        sums, of_squares = inside @ means, inside @ means**2
        squares += of_squares - sums**2 / n
    df = (first.sum(axis=1) + second.sum(axis=1) - 2)[:, None].astype(float)
    usable = (df > 1) & (squares > 1e-9)
    df = np.where(df > 1, df, 2)
    correction = np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    return np.where(usable, correction / np.sqrt(np.where(usable, squares, 1) / df), np.nan)


def nearest_centroid(values: np.ndarray, labels: np.ndarray, design: Design) -> np.ndarray:
    """Classify held-out samples by the nearest centroid of standardised features.

    Parameters
    ----------
    values : [N, F] without gaps.
    labels : int [m, N], in m relabelings.

    Returns
    -------
    int [m, N] predicted labels. Scale and centroids are those of the training templates.

    Raises
    ------
    InputError: as `Design.folds`.
    """
    predicted = np.empty_like(labels)
    n_labels = int(labels.max()) + 1
    for fold in design.folds():
        train = values[fold.train]
        spread = train.std(axis=0)
        scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
        train, test = ((values[rows] - train.mean(axis=0)) * scale for rows in (fold.train, fold.test))
        one_hot = (labels[:, fold.train, None] == np.arange(n_labels)).astype(float)  # [m, train, labels]
        sizes = np.maximum(one_hot.sum(axis=1), 1)[..., None]
        centroids = np.einsum("mnl,nf->mlf", one_hot, train, optimize=True) / sizes
        # |x − c|² without |x|², which is the same for all centroids.
        distance = (centroids**2).sum(axis=-1)[:, None] - 2 * np.einsum(
            "nf,mlf->mnl", test, centroids, optimize=True
        )
        predicted[:, fold.test] = distance.argmin(axis=-1)
    return predicted


def _recall(predicted: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Share of each label's samples that are recognised, [m, labels]; with weights [m, N] of the samples."""
    one_hot = labels[..., None] == np.arange(int(labels.max()) + 1)  # [m, N, labels]
    weight = one_hot if weights is None else one_hot * weights[..., None]
    hits = (weight * (predicted == labels)[..., None]).sum(axis=1)
    n = weight.sum(axis=1)
    return np.divide(hits, n, out=np.full(n.shape, np.nan), where=n > 0)


def _indicator(codes: np.ndarray, n: int) -> np.ndarray:
    return (codes[:, None] == np.arange(n)).astype(float)


def _block_means(columns: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Mean of [m, P, labels] over each block, [m, blocks, labels]."""
    return np.einsum("pb,mpl->mbl", blocks, columns) / blocks.sum(axis=0)[:, None]


def _relabelings(design: Design, m: int) -> np.ndarray:
    """Numbers of all samples' labels, or ratings, observed in row 0 and permuted in m more, [1 + m, N]."""
    codes = np.unique(design.labels, return_inverse=True)[1]
    values = design.targets[design.prompt_of, 0] if design.numeric else codes
    return np.concatenate([values[None], values[design.permutations(m)]])


def _rows(n: int, statistic: str, **columns) -> pd.DataFrame:
    """Rows without results."""
    gaps = dict.fromkeys(("estimate", "ci_lo", "ci_hi", "p", "p_corrected", "score", "min_p"), np.nan)
    return pd.DataFrame(
        {**columns, "statistic": statistic, **gaps, "n_perm": 0, "null": "", "family": ""}, index=range(n)
    )


def _feature_rows(targets: Targets, statistic: str, **columns) -> pd.DataFrame:
    table = _rows(len(targets.names), statistic, feature=targets.names, unit=targets.units, **columns)
    table["null"] = [f"none: {reason}" if reason else "" for reason in targets.reasons]
    return table


def _anova(targets: Targets, design: Design, m: int) -> pd.DataFrame:
    table = _feature_rows(targets, "ANOVA F", label_1="", label_2="")
    usable = np.flatnonzero(targets.usable)
    labels = _relabelings(design, m)[:, design.rows[:, 0]]  # [1 + m, P]
    if not len(usable) or not np.ptp(labels[0]):
        return table
    found = anova_f(prompt_means(targets.values[:, usable].astype(float), design), design, labels)
    table.loc[usable, "estimate"] = found[0]
    _record(table, usable, design, found[0], found[1:])
    return table


def _contrasts(targets: Targets, design: Design, m: int, n_bootstraps: int) -> list[pd.DataFrame]:
    """Hedges' g of all pairs of labels, a table per pair."""
    usable = np.flatnonzero(targets.usable)
    values = targets.values[:, usable].astype(float)
    boots = design.bootstraps(n_bootstraps)
    resampled, weights = _resampled_means(values, design, boots)
    tables = []
    for pair in combinations(dict.fromkeys(design.prompt_labels.tolist()), 2):
        table = _feature_rows(targets, "Hedges g", label_1=pair[0], label_2=pair[1])
        first, second = (design.prompt_labels == label for label in pair)  # bool [P]
        if len(usable):
            means = prompt_means(values, design)
            observed = hedges_g(means, first[None], second[None])[0]
            # A resample of few templates repeats them, and its own spread would be too small a unit.
            drawn = _difference(resampled, weights * first, weights * second)
            drawn *= _unit(means, first[None], second[None])
            low, high, _ = percentile_interval(observed, drawn, design.resampled)
            table.loc[usable, "estimate"] = observed
            table.loc[usable, ["ci_lo", "ci_hi"]] = np.stack([low, high], axis=1)
            alone = design.subset(np.flatnonzero(np.isin(design.labels, pair)))
            null = _pair_null(values[np.isin(design.labels, pair)], alone, pair, m)
            _record(table, usable, alone, np.abs(observed), np.abs(null))
        tables.append(table)
    return tables


def _slopes(targets: Targets, design: Design, m: int, n_bootstraps: int) -> list[pd.DataFrame]:
    """Correlate prompt means with the rating, both less the mean of their template where they are blocks."""
    table = _feature_rows(targets, SLOPE, label_1="", label_2="")
    usable = np.flatnonzero(targets.usable)
    ratings = _relabelings(design, m)[:, design.rows[:, 0]]  # [1 + m, P]
    if not len(usable) or not np.ptp(ratings[0]):
        return [table]
    blocks = _indicator(design.block_of, design.n_blocks)
    centring = np.eye(design.n_prompts) - blocks @ np.linalg.pinv(blocks)
    values = targets.values[:, usable].astype(float)
    found = _pearson(ratings @ centring, centring @ prompt_means(values, design), np.ones((1, len(blocks))))
    drawn, weights = _resampled_means(values, design, design.bootstraps(n_bootstraps))
    drawn = _pearson(ratings[:1] @ centring, centring @ drawn, weights)
    low, high, _ = percentile_interval(found[0], drawn, design.resampled)
    table.loc[usable, "estimate"] = found[0]
    table.loc[usable, ["ci_lo", "ci_hi"]] = np.stack([low, high], axis=1)
    _record(table, usable, design, np.abs(found[0]), np.abs(found[1:]))
    return [table]


def _pearson(ratings: np.ndarray, means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlate ratings [m, P] with means [P, F] or [m, P, F], weighing prompts by [m, P]: [m, F]."""
    share = weights / weights.sum(axis=1, keepdims=True)
    x = ratings - (share * ratings).sum(axis=1, keepdims=True)
    y = means - share[:, None] @ means  # [m, P, F]
    product = ((share * x)[:, None] @ y)[:, 0]
    size = np.sqrt((share * x**2).sum(axis=1)[:, None] * (share[:, None] @ y**2)[:, 0])
    return np.divide(product, size, out=np.full(product.shape, np.nan), where=size > 1e-12)


def _resampled_means(values: np.ndarray, design: Design, boots: Bootstraps) -> tuple[np.ndarray, np.ndarray]:
    """Prompt means [m, P, F] over resampled seeds, and how often each resample holds each prompt [m, P]."""
    seeds = boots.seeds / boots.seeds.sum(axis=1, keepdims=True)  # [m, R]
    means = np.einsum("mr,prf->mpf", seeds, values[design.rows], optimize=True)
    return means, boots.units[:, boots.unit_of[design.rows[:, 0]]]


def _pair_null(values: np.ndarray, design: Design, pair: tuple[str, str], m: int) -> np.ndarray:
    """Hedges' g [m, F] with two labels exchanged."""
    moved = design.labels[design.permutations(m)][:, design.rows[:, 0]]  # [m, P]
    return hedges_g(prompt_means(values, design), moved == pair[0], moved == pair[1])


def _record(
    table: pd.DataFrame, rows: np.ndarray, design: Design, observed: np.ndarray, null: np.ndarray
) -> None:
    m = len(null)
    why = design.why_not(m) or "too few prompts to tell labels from chance"
    record(
        table,
        rows,
        design.test(observed, null),
        min_p=design.smallest_p(m),
        null=design.null_text(m, "labels"),
        family="",
        why_not=[why] * len(rows),
    )


def _sets(targets: Targets) -> dict[str, np.ndarray]:
    """Name the sets of usable features: all, and each group by itself."""
    usable = np.flatnonzero(targets.usable)
    sets = {ALL: usable}
    groups = [FEATURES[name].group if name in FEATURES else "" for name in targets.names]
    for group in dict.fromkeys(groups):
        members = np.array([f for f in usable if groups[f] == group], int)
        if group and 0 < len(members) < len(usable):
            sets[group] = members
    return sets


def _classification(targets: Targets, design: Design, m: int, n_bootstraps: int) -> pd.DataFrame:
    names = np.unique(design.labels)
    sets = _sets(targets)
    accuracy = _rows(len(sets), "balanced accuracy", features=list(sets), label="")
    recall = _rows(len(names), "recall", features=ALL, label=names)
    recall["null"] = "none: described only"
    why = _why_not_classified(targets, design)
    if why:
        accuracy["null"] = recall["null"] = f"none: {why}"
        return pd.concat([accuracy, recall], ignore_index=True)
    labels = _relabelings(design, m)
    counts = design.bootstraps(n_bootstraps).samples()  # [bootstraps, N]
    orders = design.exchanges(m)
    used = m if design.blocked else len(orders)
    found = np.empty((used + 1, len(sets)))
    for number, members in enumerate(sets.values()):
        values = targets.values[:, members].astype(float)
        if design.blocked:
            predicted = nearest_centroid(values, labels, design)
            shares = _recall(predicted, labels)
        else:  # folds follow the labels, so that both stay and the measurements move
            moved = [nearest_centroid(values[order], labels[:1], design) for order in orders]
            predicted = np.concatenate([nearest_centroid(values, labels[:1], design), *moved])
            shares = _recall(predicted, np.broadcast_to(labels[0], predicted.shape))
        found[:, number] = shares.mean(axis=1)
        drawn = _recall(predicted[:1], labels[:1], counts)
        low, high, _ = percentile_interval(found[0, [number]], drawn.mean(axis=1)[:, None], design.resampled)
        accuracy.loc[number, ["estimate", "ci_lo", "ci_hi"]] = [found[0, number], low[0], high[0]]
        if number == 0:
            low, high, _ = percentile_interval(shares[0], drawn, design.resampled)
            recall[["estimate", "ci_lo", "ci_hi"]] = np.stack([shares[0], low, high], axis=1)
    # Accuracies are on one scale, so that the largest is compared as it is.
    record(
        accuracy,
        np.arange(len(sets)),
        design.test(found[0], found[1:], standardise=False),
        min_p=design.smallest_p(used),
        null=design.null_text(m, "labels", used),
        family="sets of features",
        why_not=[design.why_not(m)] * len(sets),
    )
    return pd.concat([accuracy, recall], ignore_index=True)


def _why_not_classified(targets: Targets, design: Design) -> str:
    if not targets.usable.any():
        return "no feature can be used"
    if design.numeric:
        return f"{design.label} is a rating, which has no classes"
    if len(set(design.prompt_labels)) < 2:
        return f"all prompts have one {design.label}"
    try:
        design.folds()
    except InputError as error:
        return str(error)
    return ""


def _verdict(effects: pd.DataFrame, classification: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Say in a sentence what the tables of all features show."""
    whole = classification.iloc[[0]]
    anova = effects.iloc[np.flatnonzero(effects["statistic"] == "ANOVA F")]
    n_used = int(np.isfinite(anova["estimate"].to_numpy(float)).sum())
    n_differ = int((anova["p_corrected"].to_numpy(float) <= ALPHA).sum())
    by_feature = f"{n_differ} of {n_used} features differ at a false discovery rate of {ALPHA:.0%}"
    if design.numeric:
        return _verdict_on_rating(anova, by_feature, design)
    p, smallest, accuracy = whole[["p", "min_p", "estimate"]].to_numpy(float)[0]
    chance = 1 / len(set(design.prompt_labels))
    by_sound = (
        f"held-out clips are classified from sound alone with a balanced accuracy of {accuracy:.2f} "
        f"(chance {chance:.2f}, p = {p:.2g})"
    )
    label = design.label
    if np.isnan(p):
        said = f"Whether the audio differs between {label}s cannot be tested: " + str(
            whole["null"].iloc[0]
        ).removeprefix("none: ")
    elif smallest > ALPHA:
        said = (
            f"The study is too small to tell whether the audio differs between {label}s: no p below "
            f"{smallest:.2g} is possible, and {by_sound}."
        )
    elif p <= ALPHA:
        said = f"The audio differs between {label}s: {by_sound}, and {by_feature}."
    elif n_differ:
        said = (
            f"The audio differs between {label}s in some respects only: {by_feature}, but as a whole it does "
            f"not tell: {by_sound}."
        )
    else:
        said = (
            f"The audio was not shown to differ between {label}s: {by_sound}, and {by_feature}. What follows "
            "is about the text alone."
        )
    return whole.drop(columns=["features", "label"]).assign(verdict=said).reset_index(drop=True)


def _verdict_on_rating(anova: pd.DataFrame, by_feature: str, design: Design) -> pd.DataFrame:
    """Say in a sentence whether the sound goes with a rating: the row is of the feature of the least p."""
    p = anova["p_corrected"].to_numpy(float)
    whole = anova.iloc[[int(np.nanargmin(p)) if np.isfinite(p).any() else 0]]
    label = design.label
    if not np.isfinite(p).any():
        reason = str(whole["null"].iloc[0]).removeprefix("none: ")
        said = f"Whether the audio goes with {label} cannot be tested: {reason}"
    elif np.nanmin(p) <= ALPHA:
        said = f"The audio goes with {label}, most clearly its {whole['feature'].iloc[0]}: {by_feature}."
    else:
        said = (
            f"The audio was not shown to go with {label}: {by_feature}. What follows is about the text alone."
        )
    common = whole.reindex(columns=list(_COMMON))
    return common.assign(verdict=said).reset_index(drop=True)


def differs(effects: pd.DataFrame) -> Sequence[str]:
    """Return the features whose prompt means differ between labels, corrected over features."""
    rows = (effects["statistic"] == "ANOVA F") & (effects["p_corrected"] <= ALPHA)
    return effects["feature"][rows].tolist()
