"""Which sparse features go with the label and with the sound, on prompts that no dictionary was trained on.

Features stand beside what needs no dictionary (single dimensions, rotated ones, principal components) and
beside the features of the model with random weights. A share of features that differ says nothing without
these.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import fdtri
from scipy.stats import false_discovery_control, rankdata

from innerear.analyses.feature_probes import probe_rows
from innerear.gram.reading import GramSource
from innerear.statistics.anova import Anova
from innerear.statistics.design import Design
from innerear.statistics.finding import Finding
from innerear.statistics.significance import ALPHA
from innerear.statistics.table import INTERVAL, LayerResult, Maxima, blank, columns, record

MAP_COLUMNS = ("statistic", "kind")
FAMILY = "layers × branches × {kind}"
FEATURES, TWIN, DIMENSIONS = "features", "features of the random twin", "dimensions"
BY_FEATURE = "prompt-mean ANOVA, ω²"
BEYOND_CHANCE = "share past F's 5 % point"
AGAINST = "share past F's 5 % point, features − {kind}"
SOUND, SOUND_BEYOND = "largest rank correlation with sound", "the same, beyond prompt and seed"
NAMED = "named features"
#: a feature must fire in so many prompts to be compared with the sound
FEWEST_PROMPTS = 5
_SHUFFLES = 40  # of the study's streams of random numbers
_NOTHING_HELD_OUT = (
    "none: dictionaries were trained on all prompts; add templates, or take finished dictionaries"
)
COLUMNS = columns(
    *("branch", "kind", "measure", "feature", "k_features", "sound", "statistic", *INTERVAL, "interval"),
    *("f", "q", "agree", "of_templates", "stable", "twin_cosine", "beyond_twin", "named", "note"),
)


@dataclass(frozen=True)
class _Cells:
    """Clip values [N, F] of one kind, branch and measure."""

    kind: str
    branch: str
    measure: str
    values: np.ndarray


def of_layer(gram: GramSource, design: Design, clips: GramSource, acoustics: pd.DataFrame) -> LayerResult:
    """Test the features of one layer, reduced to clips, on held-out prompts.

    Parameters
    ----------
    gram : of the layer, for its single dimensions.
    clips : means and firing rates of each clip, from rule ``encode``.
    acoustics : clip features of the sound: sample_id, feature, value.

    Notes
    -----
    Rows by `statistic`:

    - *prompt-mean ANOVA, ω²*: each feature (kind ``features``: mean activation and firing rate in cond,
    uncond and
      delta), each dimension, and each feature of the random twin. `p_corrected` is max-T over the features,
      branches and layers of a kind, `q` Benjamini & Hochberg's within layer, branch and measure. `agree`
      counts the templates whose contrasts point where the others' mean does.
    - *share past F's 5 % point*, and the same of features less that of dimensions and of the twin, with a
    jackknife
      over templates.
    - *accuracy of k …*: sparse probes, see `innerear.analyses.feature_probes`.
    - *largest rank correlation with sound*: for each acoustic measure over the features of uncond that fire
    in at
      least `FEWEST_PROMPTS` prompts. *Beyond prompt and seed*: of what prompt and seed leave; clips are
      permuted within prompts.
    """
    held = np.flatnonzero(~clips.read("training"))
    why_not = "" if len(held) else _NOTHING_HELD_OUT
    rows = held if len(held) else np.arange(design.n_samples)
    own = design.subset(rows)
    cells = _cells(gram, clips, rows)
    anova, maxima = Anova(own), list[Maxima]()
    tables = []
    for kind in dict.fromkeys(one.kind for one in cells):
        of_kind = [one for one in cells if one.kind == kind]
        table, found = _by_feature(of_kind, anova, clips if kind == FEATURES else None, why_not)
        tables.append(table)
        maxima += found
    tables += [_shares(cells, own, why_not)]
    for more in (
        _sound(cells, clips, acoustics, own, rows, why_not),
        probe_rows(_for_probes(cells), own, why_not),
    ):
        tables.append(more[0])
        maxima += more[1]
    remarks = [f"estimates without p: {why_not.removeprefix('none: ')}"] if why_not else []
    table = pd.concat([one for one in tables if len(one)], ignore_index=True)
    return LayerResult(table, maxima=maxima, remarks=remarks)


def _cells(gram: GramSource, clips: GramSource, rows: np.ndarray) -> list[_Cells]:
    """Return the clip values of all kinds, of some of the samples."""
    found = []
    for branch in ("cond", "uncond", "delta"):
        for name, measure in (("mean", "mean activation"), ("rate", "firing rate")):
            if f"{name}_{branch}" in clips:
                values = clips.read(f"{name}_{branch}")[rows].astype(float)
                found.append(_Cells(FEATURES, branch, measure, values))
    if "mean_random_init" in clips:
        values = clips.read("mean_random_init")[rows].astype(float)
        found.append(_Cells(TWIN, "uncond", "mean activation", values))
    for branch in gram.labels("branch"):
        values = gram.read("window_mean", branch=branch, window="whole")[rows].astype(float)
        found.append(_Cells(DIMENSIONS, branch, "mean", values))
    return found


def _by_feature(
    cells: list[_Cells], anova: Anova, clips: GramSource | None, why_not: str
) -> tuple[pd.DataFrame, list[Maxima]]:
    """Test each feature of one kind."""
    design, parts, null = anova.design, [], []
    for one in cells:
        means = one.values[design.rows].mean(axis=1)  # [P, F]
        f, n = anova.f(means), means.shape[1]
        effect = anova.between * (f - 1)
        part = {
            "branch": one.branch,
            "kind": one.kind,
            "measure": one.measure,
            "feature": np.arange(n),
            "f": f,
            "estimate": effect / (effect + design.n_prompts),
            "agree": _agreeing(means, anova) if design.blocked else np.full(n, np.nan),
            "of_templates": design.n_blocks if design.blocked else np.nan,
        }
        if clips is not None and one.branch == "uncond":
            part |= {"stable": clips.read("stable"), "twin_cosine": clips.read("twin_cosine")}
        parts.append(pd.DataFrame(part))
        null.append(anova.null(means))
    table = blank(pd.concat(parts, ignore_index=True), design, statistic=BY_FEATURE)
    observed = np.array(table["f"], float)
    constant = [why_not or ("" if np.isfinite(f) else "none: equal in all clips") for f in observed]
    if why_not:
        observed = np.full(len(observed), np.nan)
    family = f"{cells[0].kind} × branches of this layer"
    reasons = [reason.removeprefix("none: ") for reason in constant]
    maxima = record(
        table, np.arange(len(table)), design, observed, np.hstack(null), family=family, why_not=reasons
    )
    for own in table.groupby(["branch", "measure"]).indices.values():
        table.loc[own, "q"] = _q(np.array(table["p"], float)[own])
    return table, maxima


def _q(p: np.ndarray) -> np.ndarray:
    """Benjamini & Hochberg's q; NaN stays."""
    q, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q


def _agreeing(means: np.ndarray, anova: Anova) -> np.ndarray:
    """Count the templates whose contrasts between labels point where those of the others do, [F]."""
    design = anova.design
    centred, labels = anova.remove @ means, anova.remove @ design.targets
    contrasts = np.stack([labels[one].T @ centred[one] for one in design.members()])  # [T, Q, F]
    others = contrasts.sum(axis=0) - contrasts
    return (np.einsum("tqf,tqf->tf", contrasts, others) > 0).sum(axis=0)


def _shares(cells: list[_Cells], design: Design, why_not: str) -> pd.DataFrame:
    """Return shares of what differs by kind, and of features less the controls, with their intervals."""
    compared = [one for one in cells if one.measure != "firing rate"]
    whole = _share_past(compared, design)
    parts = []
    for block in range(design.n_blocks if design.blocked and design.n_blocks > 2 else 0):
        kept = np.flatnonzero(design.block_of[design.prompt_of] != block)
        fewer = [_Cells(one.kind, one.branch, one.measure, one.values[kept]) for one in compared]
        parts.append(_share_past(fewer, design.subset(kept)))
    boots = np.array(parts).reshape(len(parts), len(compared))
    rows = []

    def add(one: _Cells, statistic: str, estimate: float, of_parts: np.ndarray, note: str = "") -> None:
        low, high, interval = _jackknife(estimate, of_parts)
        row = {"branch": one.branch, "kind": one.kind, "measure": one.measure, "statistic": statistic}
        row |= {"estimate": estimate, "ci_lo": low, "ci_hi": high, "interval": interval, "note": note}
        rows.append(row)

    for i, one in enumerate(compared):
        add(one, BEYOND_CHANCE, whole[i], boots[:, i])
        for j, other in enumerate(compared):
            same = other.branch == one.branch and one.kind == FEATURES
            if same and other.kind in (TWIN, DIMENSIONS):
                gap = boots[:, i] - boots[:, j]
                add(one, AGAINST.format(kind=other.kind), whole[i] - whole[j], gap)
    null = why_not or "none: a share of tests, described with an interval"
    return blank(pd.DataFrame(rows), design, null=null)


def _share_past(cells: list[_Cells], design: Design) -> np.ndarray:
    """Return the share of the values that vary whose F is past its 5 % point, of each of the cells."""
    anova = Anova(design)
    if anova.why_not:
        return np.full(len(cells), np.nan)
    limit = fdtri(anova.between, anova.within, 1 - ALPHA)
    shares = []
    for one in cells:
        f = anova.f(one.values[design.rows].mean(axis=1))
        shares.append((f > limit).sum() / max(np.isfinite(f).sum(), 1))
    return np.array(shares)


def _jackknife(estimate: float, parts: np.ndarray) -> tuple[float, float, str]:
    """Return the interval of an estimate from its values without one template each."""
    n = len(parts)
    if n < 3:
        return np.nan, np.nan, "none: fewer than 3 templates to leave out"
    error = np.sqrt((n - 1) / n * ((parts - parts.mean()) ** 2).sum())
    return estimate - 1.96 * error, estimate + 1.96 * error, f"95% by a jackknife over {n} templates"


def _for_probes(cells: list[_Cells]) -> dict[str, np.ndarray]:
    """Return clip values in uncond by kind."""
    return {one.kind: one.values for one in cells if one.branch == "uncond" and one.measure != "firing rate"}


def _sound(
    cells: list[_Cells],
    clips: GramSource,
    acoustics: pd.DataFrame,
    design: Design,
    rows: np.ndarray,
    why_not: str,
) -> tuple[pd.DataFrame, list[Maxima]]:
    """Correlate ranks of features with ranks of acoustic measures, in all and beyond prompt and seed."""
    wide = acoustics.pivot(index="sample_id", columns="feature", values="value")
    wide = wide.reindex(design.samples["sample_id"]).dropna(axis=1)
    wide = wide.loc[:, wide.nunique() > 1]
    found = [one for one in cells if (one.kind, one.branch) == (FEATURES, "uncond")]
    mean, rate = (one.values for one in found)
    fires = (rate[design.rows].mean(axis=1) > 0).sum(axis=0) >= min(FEWEST_PROMPTS, design.n_prompts)
    numbers = np.flatnonzero(fires & (mean.std(axis=0) > 0))
    if not len(numbers) or wide.empty:
        return pd.DataFrame(), []
    x, y = rankdata(mean[:, numbers], axis=0), rankdata(wide.to_numpy(float), axis=0)
    rest, shuffles = _beyond(design), _within_prompts(design)
    total = np.eye(len(x)) - 1 / len(x)
    nothing = "" if len(design.seeds) > 1 else "one clip a prompt: nothing is left beyond the prompt"
    tables, maxima = [], []
    for statistic, remove, orders, of_null in (
        (SOUND, total, design.permutations(), f"{design.label}s"),
        (SOUND_BEYOND, rest, shuffles, "clips"),
    ):
        reason = why_not.removeprefix("none: ") or (nothing if statistic == SOUND_BEYOND else "")
        correlations = _correlations(x, y, remove)  # [F, A]
        best = np.abs(correlations).argmax(axis=0)
        signed = correlations[best, np.arange(y.shape[1])]
        values = {"sound": wide.columns, "feature": numbers[best], "estimate": signed}
        fixed = {"branch": "uncond", "kind": FEATURES, "measure": "mean activation", "statistic": statistic}
        table = blank(pd.DataFrame(values | fixed), design)
        if reason:
            table["null"] = f"none: {reason}"
            tables.append(table)
            continue
        null = np.stack([np.abs(_correlations(x[order], y, remove)).max(axis=0) for order in orders])
        family = "features × acoustic measures of this layer"
        maxima += record(
            table,
            np.arange(len(table)),
            design,
            np.abs(signed),
            null,
            family=family,
            moved=of_null,
            standardise=False,
        )
        if statistic == SOUND_BEYOND:
            table["null"] = "clips permuted within prompts"
        tables.append(table)
    return pd.concat(tables, ignore_index=True), maxima


def _correlations(x: np.ndarray, y: np.ndarray, remove: np.ndarray) -> np.ndarray:
    """Return correlations [F, A] of what a projector [N, N] leaves of x [N, F] and y [N, A]; else 0."""
    left, right = remove @ x, remove @ y
    sizes = np.outer(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=0))
    return np.divide(left.T @ right, sizes, out=np.zeros_like(sizes), where=sizes > 1e-9)


def _beyond(design: Design) -> np.ndarray:
    """Return the projector [N, N] that takes out prompts, and seeds within templates."""
    prompts = np.equal.outer(design.prompt_of, np.arange(design.n_prompts))
    group = design.block_of[design.prompt_of] * len(design.seeds) + design.seed_of
    both = np.hstack([prompts, np.equal.outer(group, np.unique(group))]).astype(float)
    vectors, sizes, _ = np.linalg.svd(both, full_matrices=False)
    basis = vectors[:, sizes > 1e-9 * sizes[0]]
    return np.eye(design.n_samples) - basis @ basis.T


def _within_prompts(design: Design) -> np.ndarray:
    """Draw permutations [m, N] of the clips of each prompt by itself."""
    rng = np.random.default_rng(design.stream(_SHUFFLES))
    order = np.empty((design.n_permutations, design.n_samples), np.intp)
    for clips in design.rows:
        order[:, clips] = rng.permuted(np.tile(clips, (len(order), 1)), axis=1)
    return order


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Say which features are named, once p is corrected over layers, and count them by layer.

    A feature of uncond is named when all seeds find it, its p by max-T is at most `ALPHA`, all held-out
    templates agree in its direction, and no feature of the random twin in its layer differs as much.
    """
    rows = (table["statistic"] == BY_FEATURE) & (table["measure"] != "firing rate")
    mine = rows & (table["kind"] == FEATURES) & (table["branch"] == "uncond")
    of_twin = np.array(rows & (table["kind"] == TWIN), bool)
    f, layers = np.array(table["f"], float), np.array(table["layer"], int)
    # Without a twin nothing is beyond it.
    highest = {n: np.max(f[of_twin & (layers == n)], initial=-np.inf) for n in np.unique(layers)}
    strongest = np.array([highest[n] if of_twin.any() else np.inf for n in layers])
    beyond = table["f"] > strongest
    conditions = {
        "found by all seeds": table["stable"].astype("boolean").fillna(False).astype(bool),
        "past max-T": table["p_corrected"] <= ALPHA,
        "agree in all templates": table["agree"] == table["of_templates"],
        "beyond the twin": beyond,
    }
    table = table.assign(
        beyond_twin=beyond.where(mine), named=np.logical_and.reduce([*conditions.values(), mine])
    )
    counts = []
    for _, own in table[mine].groupby("layer"):
        met = ", ".join(f"{met.reindex(own.index).sum()} {what}" for what, met in conditions.items())
        first = own.iloc[0].to_dict()
        count = {name: first[name] for name in ("model", "layer", "branch", "kind", "n_prompts")}
        count |= {"statistic": NAMED, "estimate": own["named"].sum(), "note": f"of {len(own)}: {met}"}
        counts.append(count | {"null": "none: a count of features, each of which is tested"})
    return pd.concat([table, pd.DataFrame(counts)], ignore_index=True).reindex(columns=table.columns)


FINDINGS = (
    Finding(
        "Do sparse features differ between {contrasts}, on templates that no dictionary was trained on?",
        "Yes: most surely feature {feature:.0f} of {branch}, layer {layer} (ω² {estimate:.2f}).",
        {"statistic": BY_FEATURE, "kind": FEATURES, "branch": "uncond"},
        "features",
        aside="Single dimensions, and features of random weights, may differ as well: see the figure.",
    ),
    Finding(
        "Are there features that all seeds find, that hold in all templates, and that the random twin lacks?",
        "{estimate:.0f} at most, in layer {layer} ({note}).",
        {"statistic": NAMED},
        "features",
        tested=False,
    ),
    Finding(
        "Do features follow the sound beyond prompt and seed?",
        "Yes: most surely {sound} and feature {feature:.0f} in layer {layer} (correlation {estimate:.2f}).",
        {"statistic": SOUND_BEYOND},
        "features",
    ),
)
