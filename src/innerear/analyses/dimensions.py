"""Single dimensions of a layer: how many differ between emotions, which, and whether the basis is special.

Prompt means are the observations. A random rotation holds the same information, so a share of dimensions
that differ says something about single units only beside the same share after rotations.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import fdtri
from scipy.stats import false_discovery_control

from innerear.gram.reading import GramSource
from innerear.statistics.design import Design
from innerear.statistics.significance import Significance, against_null, correct_over, null_table, record

MAP_COLUMNS = ("statistic",)
ALPHA = 0.05
#: how many of the strongest dimensions count as selected in a bootstrap
TOP = 10
BY_DIMENSION = "prompt-mean ANOVA, ω²"
BEYOND, SELECTED = "share past F's 5 % point", "share with BH q ≤ .05"
ROTATED = "share past F's 5 % point, own basis − random rotations"
# A dimension that varies less than this share of its size is rounding.
_NOTHING = 1e-6
_ROTATIONS = 4  # a stream of random numbers of their own, beside `Design`'s
# Statistics of resamples are made in pieces of about this many numbers.
_PIECE = 2**22

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LayerDimensions:
    """What `layer_dimensions` returns.

    Attributes
    ----------
    table : one row per branch and dimension, and three per branch on their shares; common columns.
    null : null maxima, for `dimensions_map`.
    """

    table: pd.DataFrame
    null: pd.DataFrame


def layer_dimensions(
    gram: GramSource,
    design: Design,
    *,
    model: str,
    layer: int,
    window: str = "whole",
    n_permutations: int = 1000,
    n_bootstraps: int = 1000,
) -> LayerDimensions:
    """Test every dimension of one layer, averaged over a window, for a difference between labels.

    Parameters
    ----------
    gram : an open `GramFile` of `design`'s samples, in its order; its `window_mean` holds the features.
    design : labels, permutations, bootstraps.
    model, layer : for the table's columns.
    window : of `window_mean`.
    n_permutations, n_bootstraps : rows of the design's tables to use; there are as many rotations as
        permutations.

    Returns
    -------
    See `LayerDimensions`. Statistics:

    - *prompt-mean ANOVA, ω²*, a row per dimension: F of prompt means (less their template's mean, where
      templates are blocks) by label (of the slope, for ratings), and its effect size as `estimate`. The
      null permutes labels within templates; `q` is Benjamini & Hochberg's over the dimensions of this
      layer and branch, `p_corrected` max-T over dimensions × branches (× layers after `dimensions_map`).
      `selection_frequency` is the share of bootstraps (templates or prompts, then seeds) in which the
      dimension is among the `TOP` of its layer and branch.
    - *share with BH q ≤ .05*: the fraction that differ. An estimate: its dimensions are what is tested.
    - *share past F's 5 % point*: dimensions whose F exceeds the tabled 5 % point, against the same share
      under permutation: do more dimensions differ than chance allows? .05 in expectation if none does.
    - *… own basis − random rotations*: that share less its mean over rotations of the z-scored features,
      two-sided against the rotations. Small p: the model's own basis is special.

    Dimensions that are equal for all samples are left out (NaN, with the reason).

    Raises
    ------
    InputError: the Gram file holds other samples than the design, or in another order.
    """
    design.check_order(gram.coords("sample"))
    position = [str(name) for name in gram.coords("window")].index(window)
    branches = [str(name) for name in gram.coords("branch")]
    scored = np.stack(
        [_scored(gram.read("window_mean", branch=k, window=position)) for k in range(len(branches))]
    )  # [C, N, D]
    anova = _Anova(design)
    f = anova.f(scored)  # [C, D]
    null_f = np.stack([anova.null(one, n_permutations) for one in scored], axis=1)  # [m, C, D]
    selected = np.stack([anova.selection(one, n_bootstraps) for one in scored])
    rotated = anova.rotated_shares(scored, n_permutations, [design.seed, _ROTATIONS, layer])  # [m, C]
    why_not = anova.why_not or design.why_not(n_permutations)
    if why_not:
        log.warning("dimensions, layer %s: no p: %s", layer, why_not)
    families = _Families(design, why_not, n_permutations)
    tables = [
        families.by_dimension(f, null_f, anova.omega2(f), selected),
        families.shares(anova.share(f), anova.share(null_f)),
        families.rotations(anova.share(f), rotated),
    ]
    tables.append(_selected_share(tables[0], len(branches)))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(
        branch=np.take(branches, table["branch"]),
        model=model,
        layer=layer,
        window=window,
        n_prompts=design.n_prompts,
        ci_lo=np.nan,
        ci_hi=np.nan,
    )
    null = null_table(families.maxima, design.permutation_hash(n_permutations), MAP_COLUMNS, n_permutations)
    return LayerDimensions(table.reindex(columns=_COLUMNS), null)


def dimensions_map(tables: Sequence[pd.DataFrame], nulls: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all layers and correct `p_corrected` over layers × branches (× dimensions).

    Parameters
    ----------
    tables, nulls : of each layer, from `LayerDimensions`.
    """
    table = correct_over(tables, nulls, MAP_COLUMNS, "layers × branches")
    many = (table["statistic"] == BY_DIMENSION) & (table["family"] != "")
    return table.assign(family=table["family"].where(~many, "layers × branches × dimensions"))


_COLUMNS = pd.Index(
    [
        *("model", "layer", "branch", "window", "dimension", "statistic", "estimate", "ci_lo", "ci_hi"),
        *("f", "q", "selection_frequency", "rotated", "rotated_lo", "rotated_hi"),
        *("p", "p_corrected", "score", "n_prompts", "n_perm", "min_p", "null", "family"),
    ]
)


def _scored(means: np.ndarray) -> np.ndarray:
    """Z-score each dimension of features [N, D] over the samples; zero where it is constant."""
    means = np.asarray(means, float)
    spread = means.std(axis=0)
    varies = spread > _NOTHING * np.abs(means).max(axis=0)
    return np.divide(means - means.mean(axis=0), spread, out=np.zeros_like(means), where=varies)


class _Anova:
    """ANOVA of prompt means by label or rating, less the mean of each template where they are blocks."""

    def __init__(self, design: Design) -> None:
        self.design = design
        blocks = np.eye(design.n_blocks)[design.block_of]  # [P, blocks]
        self.centring = np.eye(design.n_prompts) - blocks @ np.diag(1 / blocks.sum(axis=0)) @ blocks.T
        #: [P, k] indicators of the labels, or the rating less the mean of its template's
        self.columns = self.centring @ design.targets if design.numeric else design.targets
        size = np.linalg.norm(self.columns, axis=0)
        varies = size > _NOTHING
        #: [k, P] such that the products with prompt means, squared, are sums of squares between labels
        self.directions = (self.columns[:, varies] / size[varies]).T
        self.of_labels = len(self.directions) - (not design.numeric)
        self.within = design.n_prompts - design.n_blocks - self.of_labels

    @property
    def why_not(self) -> str:
        """Say why there is no F; empty where there is one."""
        if self.of_labels < 1:
            within = " of a template" * (self.design.numeric and self.design.blocked)
            return f"all prompts{within} have one {self.design.label}"
        if self.within < 1:
            return f"{self.design.n_prompts} prompts leave no variance within {self.design.label}s"
        return ""

    def prompt_means(self, features: np.ndarray) -> np.ndarray:
        """Centred prompt means [..., P, D] of features [..., N, D]."""
        return self.centring @ features[..., self.design.rows, :].mean(axis=-2)

    def f(self, features: np.ndarray) -> np.ndarray:
        """F of every dimension [..., D] of features [..., N, D]; NaN where it is constant."""
        return self._f_of_means(self.prompt_means(features))

    def _f_of_means(self, means: np.ndarray) -> np.ndarray:
        between = self._between(means, np.arange(self.design.n_prompts)[None])[..., 0, :]
        return self._ratio(between, (means**2).sum(axis=-2))

    def null(self, features: np.ndarray, m: int) -> np.ndarray:
        """F [m, D] of features [N, D] under every permutation."""
        means = self.prompt_means(features)
        stand_ins, total = self.design.prompt_permutations(m), (means**2).sum(axis=0)
        size = max(1, _PIECE // (max(len(self.directions), 1) * means.shape[1]))
        pieces = [self._between(means, stand_ins[start : start + size]) for start in range(0, m, size)]
        return self._ratio(np.concatenate([np.empty((0, means.shape[1])), *pieces]), total)

    def _between(self, means: np.ndarray, stand_ins: np.ndarray) -> np.ndarray:
        """Sums of squares between labels [..., m, D] of means [..., P, D], by stand-ins [m, P]."""
        moved = self.directions[:, stand_ins].swapaxes(0, 1)  # [m, k, P]
        sums = moved.reshape(-1, moved.shape[-1]) @ means  # [..., m * k, D]
        return (sums.reshape(*means.shape[:-2], *moved.shape[:2], means.shape[-1]) ** 2).sum(axis=-2)

    def _ratio(self, between: np.ndarray, total: np.ndarray) -> np.ndarray:
        if self.why_not:
            return np.full(np.broadcast(between, total).shape, np.nan)
        within = np.maximum(total - between, np.finfo(float).eps * total)
        ratio = np.divide(between, within, out=np.full_like(between, np.nan), where=within > 0)
        return ratio * (self.within / self.of_labels)

    def omega2(self, f: np.ndarray) -> np.ndarray:
        """Effect size: (partial) ω² of F, unbiased, so that it may be negative."""
        effect = self.of_labels * (f - 1)
        return effect / (effect + self.design.n_prompts)

    def share(self, f: np.ndarray) -> np.ndarray:
        """Share of the dimensions [..., D] that are past F's 5 % point, of those that vary; else NaN."""
        if self.why_not:
            return np.full(f.shape[:-1], np.nan)
        n = np.isfinite(f).sum(axis=-1)
        past = (f > fdtri(self.of_labels, self.within, 1 - ALPHA)).sum(axis=-1)
        return np.divide(past, n, out=np.full(n.shape, np.nan), where=n > 0)

    def selection(self, features: np.ndarray, m: int) -> np.ndarray:
        """Share [D] of m bootstraps in which a dimension is among the `TOP`, by variance explained."""
        bootstraps = self.design.bootstraps(m)
        seeds = bootstraps.seeds / bootstraps.seeds.sum(axis=1, keepdims=True)
        counts = bootstraps.units[:, bootstraps.unit_of[self.design.rows[:, 0]]]  # [m, P]
        by_seed = np.einsum("qp,prd->rqd", self.centring, features[self.design.rows])  # [R, P, D]
        n_dimensions = features.shape[1]
        chosen, size = np.zeros(n_dimensions), max(1, _PIECE // by_seed[0].size)
        for start in range(0, m, size):
            some = slice(start, start + size)
            means = np.tensordot(seeds[some], by_seed, axes=1)  # [m, P, D]
            weight = counts[some, None]  # [m, 1, P]
            grand = (weight @ means)[:, 0] ** 2 / weight.sum(axis=-1)
            columns = self.columns.T  # [k, P]
            if self.design.numeric:
                columns = columns - weight @ columns.T / weight.sum(axis=-1, keepdims=True)
            sums = (weight * columns) @ means  # [m, k, D]
            n = (weight * columns**2).sum(axis=-1, keepdims=True)
            between = np.divide(sums**2, n, out=np.zeros_like(sums), where=n > _NOTHING).sum(axis=1)
            between -= 0 if self.design.numeric else grand
            total = np.einsum("mp,mpd->md", counts[some], means**2) - grand
            explained = np.divide(between, total, out=np.full_like(total, -1), where=total > 0)
            top = np.argpartition(-explained, min(TOP, n_dimensions) - 1, axis=1)[:, :TOP]
            chosen += np.bincount(top.ravel(), minlength=n_dimensions)
        return np.where(features.any(axis=0), chosen / max(m, 1), np.nan)

    def rotated_shares(self, features: np.ndarray, m: int, seed: list[int]) -> np.ndarray:
        """`share` [m, C] of features [C, N, D] in m random bases, each common to the branches."""
        means = self.prompt_means(features)  # [C, P, D]
        n_dimensions = means.shape[-1]
        # A rotation moves the means within the space that they span: only its part in there is drawn.
        u, s, _ = np.linalg.svd(means.reshape(-1, n_dimensions), full_matrices=False)
        coordinates, rng = (u * s).reshape(*means.shape[:-1], -1), np.random.default_rng(seed)
        shares = np.full((m, len(means)), np.nan)
        for k in range(m):
            frame = np.linalg.qr(rng.normal(size=(n_dimensions, len(s))))[0]  # [D, r], columns orthonormal
            shares[k] = self.share(self._f_of_means(coordinates @ frame.T))
        shares[:, ~means.any(axis=(1, 2))] = np.nan
        return shares


class _Families:
    """Tests of one layer: each turns statistics of all branches into rows, and keeps its null maxima."""

    def __init__(self, design: Design, why_not: str, m: int) -> None:
        self.design, self.why_not, self.m = design, why_not, m
        self.maxima: list[tuple[dict[str, str], np.ndarray]] = []

    def by_dimension(
        self, f: np.ndarray, null: np.ndarray, omega2: np.ndarray, selected: np.ndarray
    ) -> pd.DataFrame:
        """Rows of every dimension, from [C, D] and the null [m, C, D]."""
        n_branches, n_dimensions = f.shape
        result = self.design.test(f.ravel(), null.reshape(len(null), -1), standardise=False)
        table = self._rows(
            BY_DIMENSION,
            result,
            omega2.ravel(),
            branch=np.repeat(np.arange(n_branches), n_dimensions),
            family="dimensions × branches of this layer",
        )
        return table.assign(
            dimension=np.tile(np.arange(n_dimensions), n_branches),
            f=f.ravel(),
            q=np.concatenate([_q(p) for p in result.p.reshape(f.shape)]),
            selection_frequency=np.where(np.isfinite(f), selected, np.nan).ravel(),
        )

    def shares(self, share: np.ndarray, null: np.ndarray) -> pd.DataFrame:
        """Rows of the share past F's 5 % point [C], with its null [m, C]."""
        result = self.design.test(share, null, standardise=False)
        return self._rows(
            BEYOND, result, share, branch=np.arange(len(share)), family="branches of this layer"
        )

    def rotations(self, share: np.ndarray, rotated: np.ndarray) -> pd.DataFrame:
        """Rows that compare the share [C] with those in random bases [m, C]."""
        centre = np.concatenate([share[None], rotated]).mean(axis=0)
        smallest = 1 / (self.m + 1) if self.m else np.nan
        result = against_null(
            np.abs(share - centre), np.abs(rotated - centre), smallest=smallest, standardise=False
        )
        middle = rotated.mean(axis=0) if self.m else np.full(len(share), np.nan)
        low, high = np.quantile(rotated, [0.025, 0.975], axis=0) if self.m else (middle, middle)
        table = self._rows(
            ROTATED, result, share - middle, branch=np.arange(len(share)), family="branches of this layer"
        )
        tested = np.isfinite(result.p)
        null = np.where(tested, "the basis of the z-scored features rotated at random", table["null"])
        return table.assign(
            rotated=middle,
            rotated_lo=low,
            rotated_hi=high,
            min_p=np.where(tested, smallest, np.nan),
            null=null,
        )

    def _rows(
        self, statistic: str, result: Significance, estimate: np.ndarray, *, branch: np.ndarray, family: str
    ) -> pd.DataFrame:
        table = pd.DataFrame({"branch": branch, "statistic": statistic, "estimate": estimate})
        table = table.assign(p=np.nan, p_corrected=np.nan, score=np.nan, n_perm=0, min_p=np.nan)
        table = table.assign(null="", family="")
        why_not = np.where(np.isfinite(estimate), self.why_not, "all samples are equal (deterministic)")
        record(
            table,
            np.arange(len(table)),
            result,
            min_p=self.design.smallest_p(self.m),
            null=self.design.null_text(self.m, f"{self.design.label}s"),
            family=family,
            why_not=[self.why_not or one for one in why_not.tolist()],
        )
        if np.isfinite(result.p).any():
            self.maxima.append(({"statistic": statistic}, result.null_max))
        return table


def _q(p: np.ndarray) -> np.ndarray:
    """Benjamini & Hochberg's q of p [D]; NaN stays."""
    q, tested = np.full(p.shape, np.nan), np.isfinite(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def _selected_share(rows: pd.DataFrame, n_branches: int) -> pd.DataFrame:
    q = rows["q"].to_numpy(float).reshape(n_branches, -1)
    tested = np.isfinite(q)
    n = tested.sum(axis=1)
    share = np.divide((q <= ALPHA).sum(axis=1), n, out=np.full(n_branches, np.nan), where=n > 0)
    first = rows["null"].to_numpy(str).reshape(n_branches, -1)[:, 0]
    null = np.where(n > 0, "none: a count of dimensions, each of which is tested", first)
    return pd.DataFrame(
        {
            "branch": np.arange(n_branches),
            "statistic": SELECTED,
            "estimate": share,
            "p": np.nan,
            "p_corrected": np.nan,
            "score": np.nan,
            "n_perm": 0,
            "min_p": np.nan,
            "null": null,
            "family": "",
        }
    )
