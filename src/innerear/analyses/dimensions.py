"""Single dimensions of a layer: how many differ between emotions, which, and whether the basis is special.

Prompt means are the observations. A random rotation holds the same information. A share of dimensions that
differ therefore says something about single units only in comparison with the same share after rotations.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from innerear.gram.reading import GramSource
from innerear.statistics.anova import Anova, f_without_each
from innerear.statistics.claims import benjamini_hochberg
from innerear.statistics.design import Design
from innerear.statistics.design.flips import flipped_sums
from innerear.statistics.design.resampling import jackknife
from innerear.statistics.design.template_contrasts import label_contrasts, of_features
from innerear.statistics.finding import Finding
from innerear.statistics.label_distance import permuted_sums
from innerear.statistics.noise import noise_normalised_kernel
from innerear.statistics.pieces import pieces
from innerear.statistics.significance import ALPHA, CONFIDENCE, against_null, write_test
from innerear.statistics.table import (
    INTERVAL,
    LayerResult,
    Maxima,
    blank,
    columns,
    record_flip_null,
    record_flips,
)

MAP_COLUMNS = ("statistic",)
FAMILY = "layers × branches"
#: how many of the strongest dimensions count as selected in a bootstrap
TOP = 10
BY_DIMENSION = "prompt-mean ANOVA, ω²"
BEYOND, SELECTED = "share past F's 5 % point", "share with BH q ≤ .05"
ROTATED = "share past F's 5 % point, own basis − random rotations"
CROSSNOBIS = "noise-normalised squared distance"
# A dimension that varies less than this share of its size is rounding.
_NOTHING = 1e-6
# A dimension is past the point of its own flips if it lies this many of their standard deviations above 0.
_FLIP_POINT = 1.645
_EQUAL = "all samples are equal (deterministic)"
# Random bases in which the share is also counted without each template, for the interval: this many, or
# fewer with this many dimensions in all. An ANOVA for each template and basis takes longer than the rest.
_TURNS, _TURNED = 20, 2_000
_ROTATIONS = 4  # a stream of random numbers of their own, apart from those of `Design`


def of_layer(gram: GramSource, design: Design, layer: int) -> LayerResult:
    """Test every dimension of one layer, averaged over the clip, for a difference between labels.

    One row per branch and dimension, three per branch on their shares, and one of all dimensions together.
    Beside each p stands `p_flip`, of sign flips of templates: do they agree on how labels differ? Statistics:

    - *prompt-mean ANOVA, ω²*, a row per dimension: F of prompt means (`Anova`), and its effect size as
      `estimate`. The null permutes labels within templates. `q` is Benjamini & Hochberg's over the dimensions
      of this layer and branch, `p_corrected` max-T over dimensions × branches (and layers, in the map).
      `selection_frequency` is the share of bootstraps (templates or prompts, then seeds) in which the
      dimension is among the `TOP` of its layer and branch.
    - *share with BH q ≤ .05*: the fraction that differ. An estimate: its dimensions are what is tested.
    - *share past F's 5 % point*: dimensions whose F exceeds the tabled 5 % point, against the same share
      under permutation: do more dimensions differ than chance allows? .05 in expectation if none does.
    - *… own basis − random rotations*: that share less its mean over rotations of the z-scored features,
      as many as permutations and different in each layer and branch, two-sided against the rotations. Small
      p: the model's own basis is special.
    - *noise-normalised squared distance* (crossnobis): between two labels, one template's difference times
      another's, in units of the noise between seeds (`noise_normalised_kernel`); 0 in expectation without
      effect.

    Intervals are a jackknife over templates; in random bases it is of at most `_TURNS` of them. Dimensions
    that are equal for all samples are left out (NaN, with the reason).
    """
    branches = gram.labels("branch")
    scored = np.stack([_scored(gram.read("window_mean", branch=one, window="whole")) for one in branches])
    anova = Anova(design)
    means = scored[:, design.rows].mean(axis=2)  # [C, P, D]
    f = anova.f(means)  # [C, D]
    null = np.stack([anova.null(one) for one in means], axis=1)  # [m, C, D]
    selected = np.stack([selection_frequency(one, anova) for one in scored])
    fewer = design.of_prompts().without_each_template()
    rotated, rotated_left = _rotated_shares(means, anova, fewer, [design.seed, _ROTATIONS, layer])  # [m, C]
    families, share = _Families(anova), anova.share_past(f)
    less = f_without_each(means, fewer)
    share_left = np.reshape([part.share_past(one) for part, one in less], (-1, len(f)))  # [T, C]
    by_dimension = {
        "branch": np.repeat(branches, f.shape[1]),
        "dimension": np.tile(np.arange(f.shape[1]), len(f)),
        "f": f.ravel(),
        **_interval(anova.share(f).ravel(), np.array([part.share(one).ravel() for part, one in less])),
        "selection_frequency": np.where(np.isfinite(f), selected, np.nan).ravel(),
    }
    family, flat = "dimensions × branches of this layer", null.reshape(len(null), f.size)
    contrasts = label_contrasts(design)
    agreement = np.stack([of_features(contrasts, one) for one in means])  # [C, D, T, T]
    agreement[~np.isfinite(f)] = np.nan
    together = agreement.reshape(f.size, *agreement.shape[2:])
    single = families.rows(BY_DIMENSION, by_dimension, f.ravel(), flat, family=family, agreement=together)
    single["q"] = np.concatenate(
        [benjamini_hochberg(p) for p in single["p"].to_numpy(float).reshape(f.shape)]
    )
    columns, away, rotated_away = _against_rotations(share, rotated)
    tables = [
        single,
        families.rows(
            BEYOND,
            {"branch": branches} | _interval(share, share_left),
            share,
            anova.share_past(null),
            flipped=agreement,
        ),
        families.rows(
            ROTATED,
            {"branch": branches} | columns | _interval(columns["estimate"], share_left - rotated_left),
            away,
            rotated_away,
            rotated=True,
        ),
    ]
    tables += [families.crossnobis(gram, branches, contrasts), _selected_share(single, branches, design)]
    table = pd.concat(tables, ignore_index=True).assign(window="whole")
    remarks = [f"no p: {families.why_not}"] if families.why_not else []
    return LayerResult(table, maxima=families.maxima, remarks=remarks)


COLUMNS = columns(
    *("branch", "window", "dimension", "statistic", *INTERVAL, "interval"),
    *("f", "q", "selection_frequency", "rotated", "rotated_lo", "rotated_hi"),
)


def finish(table: pd.DataFrame) -> pd.DataFrame:
    """Say in the map's `family` that single dimensions are corrected over dimensions too."""
    many = (table["statistic"] == BY_DIMENSION) & (table["family"] != "")
    return table.assign(family=table["family"].where(~many, f"{FAMILY} × dimensions"))


def _interval(estimate: NDArray, left: NDArray) -> dict[str, object]:
    """Return columns of estimates [cells] and their jackknife, of those without each template [T, cells]."""
    low, high, text = jackknife(estimate, left)
    return {"estimate": estimate, "ci_lo": low, "ci_hi": high, "interval": text}


def _scored(means: np.ndarray) -> np.ndarray:
    """Z-score each dimension of features [N, D] over the samples; zero where it is constant."""
    means = np.asarray(means, float)
    spread = means.std(axis=0)
    varies = spread > _NOTHING * np.abs(means).max(axis=0)
    return np.divide(means - means.mean(axis=0), spread, out=np.zeros_like(means), where=varies)


def selection_frequency(features: np.ndarray, anova: Anova) -> np.ndarray:
    """Return the share [D] of bootstraps in which a dimension is among the `TOP`, by variance explained.

    `features` [N, D] are z-scored; NaN is returned where they are zero for all samples.
    """
    design = anova.design
    bootstraps = design.bootstraps()
    m = len(bootstraps)
    draws, draw_of = np.unique(bootstraps.seeds, axis=0, return_inverse=True)  # few are distinct
    counts = bootstraps.units[:, bootstraps.unit_of[design.rows[:, 0]]]  # [m, P]
    by_seed = np.einsum("qp,prd->rqd", anova.remove, features[design.rows])  # [R, P, D]
    columns = (anova.remove @ design.targets if design.numeric else design.targets).T  # [k, P]
    chosen = np.zeros(features.shape[1])
    for number, seeds in enumerate(draws / draws.sum(axis=1, keepdims=True)):
        means, own = np.tensordot(seeds, by_seed, axes=1), counts[draw_of == number]  # [P, D], [own, P]
        for some in pieces(len(own), columns.size + len(columns) * means.shape[1], at_most=2**22):
            explained = _explained(means, own[some], columns, numeric=design.numeric)
            top = np.argpartition(-explained, min(TOP, len(chosen)) - 1, axis=1)[:, :TOP]
            chosen += np.bincount(top.ravel(), minlength=len(chosen))
    return np.where(features.any(axis=0), chosen / max(m, 1), np.nan)


def _explained(means: np.ndarray, counts: np.ndarray, columns: np.ndarray, *, numeric: bool) -> np.ndarray:
    """Share of variance that labels explain, [m, D], of prompt means [P, D] that count [m, P] times.

    `columns` [k, P] are indicators of labels, or ratings; -1 where nothing varies.
    """
    size = counts.sum(axis=1, keepdims=True)
    grand = (counts @ means) ** 2 / size
    labels = columns - (counts @ columns.T / size)[..., None] if numeric else columns
    weights = counts[:, None] * labels  # [m, k, P]
    sums = (weights.reshape(-1, len(means)) @ means).reshape(len(counts), len(columns), -1)
    n = (weights * labels).sum(axis=-1, keepdims=True)
    between = np.divide(sums**2, n, out=np.zeros_like(sums), where=n > _NOTHING).sum(axis=1)
    between -= 0 if numeric else grand
    total = counts @ means**2 - grand
    return np.divide(between, total, out=np.full_like(total, -1), where=total > 0)


def _rotated_shares(
    means: np.ndarray, anova: Anova, fewer: list[tuple[np.ndarray, Design]], seed: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """`Anova.share_past` [m, C] of prompt means [C, P, D] in m random bases.

    And its mean over the first of them, `_TURNS` at most, without each template, [T, C].
    """
    m, rng = anova.design.n_permutations, np.random.default_rng(seed)
    shares, left = np.full((m, len(means)), np.nan), np.full((len(fewer), len(means)), np.nan)
    n_turned = min(_TURNS, -(-_TURNED // means.shape[-1]))
    # Of triangular matrices: twice as fast as solving with one.
    (multiply,), (invert,) = get_blas_funcs(("trmm",), dtype=float), get_lapack_funcs(("trtri",), dtype=float)
    for branch, of_branch in enumerate(anova.remove @ means):
        u, s, _ = np.linalg.svd(of_branch, full_matrices=False)
        real = s > _NOTHING * s.max(initial=0)
        s, spanned = s[real], u[:, real] * s[real]  # [r], [P, r]
        along, turned = anova.directions @ spanned, []  # [between, r]
        for k in range(m if len(s) else 0):
            # A rotation moves the means within the space that they span: only its part in there is drawn.
            drawn = rng.normal(size=(of_branch.shape[1], len(s)))
            inverse, _ = invert(np.linalg.cholesky(drawn.T @ drawn), lower=1)
            frame = multiply(1.0, inverse, drawn.T, lower=1, overwrite_b=1)  # orthonormal, [r, D]
            f = anova.ratio(((along @ frame) ** 2).sum(axis=0), s**2 @ frame**2)
            shares[k, branch] = anova.share_past(f)
            if k < n_turned and fewer:
                turned.append(spanned @ frame)
        if turned:
            less = f_without_each(np.stack(turned), fewer)
            left[:, branch] = [part.share_past(one).mean() for part, one in less]
    return shares, left


class _Families:
    """Tests of one layer's families of rows; keeps their null maxima."""

    def __init__(self, anova: Anova) -> None:
        self.design, self.maxima = anova.design, list[Maxima]()
        self.why_not = anova.why_not or self.design.why_not()

    def rows(
        self,
        statistic: str,
        rows: dict,
        observed: np.ndarray,
        null: np.ndarray,
        *,
        family: str = "branches of this layer",
        rotated: bool = False,
        standardise: bool = False,
        agreement: np.ndarray | None = None,
        flipped: np.ndarray | None = None,
    ) -> pd.DataFrame:
        """Table rows, observed values [cells] tested against permutations or rotations [m, cells].

        And by flips of `agreement` [cells, T, T], or as the share of the dimensions of `flipped`, [cells,
        D, T, T].
        """
        design, smallest = self.design, self.design.smallest_p()
        moved = design.null_text(design.n_permutations, f"{design.label}s")
        if rotated:
            smallest = 1 / (1 + len(null)) if len(null) else np.nan
            moved = "the basis of the z-scored features rotated at random"
        table = blank(rows, design, statistic=statistic)
        result = against_null(observed, null, smallest=smallest, standardise=standardise)
        why_not = [self.why_not or ("" if one else _EQUAL) for one in table["estimate"].notna()]
        common = {"min_p": smallest, "null": moved, "family": family, "why_not": why_not}
        write_test(table, np.arange(len(table)), result, **common)
        if np.isfinite(result.p).any():
            self.maxima.append(({"statistic": statistic}, result.null_max))
        every = np.arange(len(table))
        if agreement is not None:
            self.maxima += record_flips(table, every, design, agreement, standardise=standardise)
        if flipped is not None and not design.why_no_flips():
            shares = np.stack([_flipped_share(one, design) for one in flipped], axis=1)
            self.maxima += record_flip_null(table, every, design, shares, standardise=False)
        return table

    def crossnobis(self, gram: GramSource, branches: list[str], contrasts: np.ndarray) -> pd.DataFrame:
        """Rows of the noise-normalised distance of each branch."""
        design, n = self.design, self.design.n_blocks
        rows = {"branch": branches, "estimate": np.nan}
        if not design.blocked:
            why = self.why_not or "it multiplies templates with each other, and there are none"
            return blank(rows, design, statistic=CROSSNOBIS, null=f"none: {why}")
        features = [gram.read("window_mean", branch=one, window="whole") for one in branches]
        kernels = np.stack([noise_normalised_kernel(one, design) for one in features])  # [C, P, P]
        # In units of two standard deviations where the label is a rating, which `Distance` is not.
        agreement = np.einsum("tqp,cpr,uqr->ctu", contrasts, kernels, contrasts, optimize=True)
        agreement[~kernels.any(axis=(1, 2))] = np.nan
        whole = contrasts.sum(axis=0)  # [Q, P]; Σ over pairs of two templates is all less each with itself
        own = np.einsum("tqp,tqr->pr", contrasts, contrasts, optimize=True)
        weights = (whole.T @ whole - own) / (n * (n - 1))
        null = permuted_sums(weights, kernels, design.prompt_permutations())
        null[:, ~kernels.any(axis=(1, 2))] = np.nan
        off = agreement * (1 - np.eye(n))
        total, of_each = off.sum(axis=(1, 2)), off.sum(axis=1) + off.sum(axis=2)  # [C], [C, T]
        without = (total[:, None] - of_each) / max((n - 1) * (n - 2), 1)
        rows |= _interval(total / (n * (n - 1)), without.T)
        # Layers differ in how much noise they have, and so in the scale of this distance.
        return self.rows(CROSSNOBIS, rows, rows["estimate"], null, agreement=agreement, standardise=True)


def _flipped_share(agreement: np.ndarray, design: Design) -> np.ndarray:
    """Share [m] of dimensions, of products of templates [D, T, T], past the 5 % point of their own flips."""
    agreement = agreement[np.isfinite(agreement).all(axis=(1, 2))]
    if not len(agreement):
        return np.full(len(design.flips()), np.nan)
    off = agreement * (1 - np.eye(agreement.shape[1]))
    spread = np.sqrt(2 * (off**2).sum(axis=(1, 2)))  # of Σ s_t s_u G_tu over flips
    return (flipped_sums(agreement, design.flips()) > _FLIP_POINT * spread).mean(axis=1)


def _against_rotations(share: np.ndarray, rotated: np.ndarray) -> tuple[dict, np.ndarray, np.ndarray]:
    """Columns that compare the share [C] with those in random bases [m, C], and how far both are away."""
    middle, low, high = np.full((3, len(share)), np.nan)
    if len(rotated):
        middle = rotated.mean(axis=0)
        low, high = np.quantile(rotated, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    centre = np.concatenate([share[None], rotated]).mean(axis=0)
    columns = {"estimate": share - middle, "rotated": middle, "rotated_lo": low, "rotated_hi": high}
    return columns, np.abs(share - centre), np.abs(rotated - centre)


def _selected_share(rows: pd.DataFrame, branches: list[str], design: Design) -> pd.DataFrame:
    """Rows of the share of dimensions that differ, from the rows of the dimensions."""
    q = rows["q"].to_numpy(float).reshape(len(branches), -1)
    n = np.isfinite(q).sum(axis=1)
    share = np.divide((q <= ALPHA).sum(axis=1), n, out=np.full(n.shape, np.nan), where=n > 0)
    first = rows["null"].to_numpy(str).reshape(len(branches), -1)[:, 0]
    why = "none: a count of dimensions, each of which is tested"
    null = np.where(n > 0, why, first)
    own = {"branch": branches, "statistic": SELECTED, "estimate": share, "interval": why, "null": null}
    return blank(own, design)


FINDINGS = (
    Finding(
        "Do more single dimensions differ between {contrasts} than chance allows, in uncond?",
        "Yes, at {n_found} of {n_layers} layers more do than chance allows: {effect} in layer {layer} "
        "({range} over layers).",
        {"branch": "uncond", "statistic": BEYOND},
        "dimensions",
        unit="dimensions",
        chance=0.05,
        meaning="share of the layer's dimensions that pass; 5 % without an effect",
        formula="dimensions whose F passes F's 5 % point ÷ dimensions that vary",
    ),
    Finding(
        "Is the model's own basis special, or would any rotation do?",
        "It is special, at {n_found} of {n_layers} layers: {effect} more (or fewer) differ than in random "
        "rotations, in layer {layer} of {branch}.",
        {"statistic": ROTATED},
        "dimensions",
        unit="more dimensions",
        signed=True,
        meaning="share of dimensions that pass F's 5 % point, less the same in random rotations; 0 "
        "without an effect",
        aside="The p compares with random bases; it does not generalise beyond these prompts.",
        formula="the share of dimensions past F's 5 % point − the mean of the same over random rotations",
    ),
)
