"""The one owner of labels, folds, permutations and bootstraps.

The unit of inference is the prompt: samples of one prompt resemble each other, and counting them as
independent turns noise into findings. Every inference function of Inner Ear therefore takes a
`Design`, never a bare array of labels. Templates, where there are any, are blocks: labels move among
the prompts of one template, folds are whole templates, bootstraps resample templates.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import factorial, prod

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from innerear.errors import InputError
from innerear.statistics.significance import Significance, against_null
from innerear.study.prompts import LABELS

MAX_FOLDS = 10
#: permutations for which probes are fitted anew, where folds follow the labels
REFITS = 99
STRATA = {
    1: "same prompt, other seed",
    2: "same emotion, same seed",
    3: "same emotion, other seed",
    4: "other emotion, same seed",
    5: "other emotion, other seed",
}
# Each use of the study's seed has a stream of its own, so that asking for bootstraps first does not
# change the permutations.
_PERMUTATIONS, _BOOTSTRAPS, _SHUFFLES, _CONTROL, _CLIPS, _NAMES = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True)
class Fold:
    """Sample indices to fit on and to score on; no prompt is in both."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Bootstraps:
    """How often each of m resamples holds each unit (template or prompt), and each seed.

    Attributes
    ----------
    units : float32 [m, units]; unit_of : [N] each sample's unit.
    seeds : float32 [m, R]; seed_of : [N] each sample's seed.
    """

    units: np.ndarray
    unit_of: np.ndarray
    seeds: np.ndarray
    seed_of: np.ndarray

    def __len__(self) -> int:
        return len(self.units)

    def samples(self) -> np.ndarray:
        """Return float32 [m, N], how often each resample holds each sample."""
        return self.units[:, self.unit_of] * self.seeds[:, self.seed_of]

    def pairs(self, i: np.ndarray, j: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """Return float32 [m, pairs], the weight of the pairs of samples i ≠ j in these resamples.

        The product of the counts of the pair's units and of its seeds. What both samples share
        counts once: a template that was drawn twice holds two copies of a prompt's pair of seeds,
        not four, since samples of one copy are never compared with those of another.
        """
        weights = np.ones((), np.float32)
        for counts, of in ((self.units[rows], self.unit_of), (self.seeds[rows], self.seed_of)):
            weights = weights * counts[:, of[i]] * np.where(of[i] == of[j], 1, counts[:, of[j]])
        return weights


class Design:
    """Which samples there are, and what may be exchanged with what.

    Parameters
    ----------
    samples : one row per sample, in the order of every [N] axis, with columns `sample_id`,
        `prompt_id`, `seed`, the label, and optionally `template`. Seeds and prompts are crossed.
    label : the column whose effect is asked about; constant within a prompt. A column of numbers
        (ratings) is taken as a number, every other one as categories.
    seed : the study's seed, from which the permutation and bootstrap tables are drawn.

    Raises
    ------
    InputError: a column is missing, a (prompt, seed) pair occurs twice or is absent, a prompt has
    two labels, two templates or no rating, or only some prompts have a template.

    Notes
    -----
    Templates are blocks when there are at least two and one of them holds more than one prompt.
    Otherwise labels are exchanged among all prompts, and folds are groups of whole prompts,
    stratified by label.
    """

    def __init__(self, samples: pd.DataFrame, label: str = "emotion", seed: int = 0) -> None:
        self.samples = _checked(samples, label)
        self.label, self.seed = label, int(seed)
        self.labels = _text(self.samples[label])  # [N]
        self.numeric = is_numeric_dtype(self.samples[label])
        prompt_ids = _text(self.samples["prompt_id"])
        self.prompts = np.array(list(dict.fromkeys(prompt_ids.tolist())))  # [P] in order of appearance
        number = {prompt: i for i, prompt in enumerate(self.prompts.tolist())}
        #: [N] number of each sample's prompt, and of its seed
        self.prompt_of = np.array([number[prompt] for prompt in prompt_ids.tolist()])
        self.seeds, self.seed_of = np.unique(np.asarray(self.samples["seed"]), return_inverse=True)
        #: [P, R] the sample of each prompt and seed
        self.rows = np.empty((len(self.prompts), len(self.seeds)), np.intp)
        self.rows[self.prompt_of, self.seed_of] = np.arange(len(self.samples))
        self.prompt_labels = self.labels[self.rows[:, 0]]  # [P]
        self.is_shuffled = False
        self._table = np.empty((0, len(self.samples)), np.int32)
        templates = _text(self.samples["template"])[self.rows[:, 0]]
        names, block_of = np.unique(templates, return_inverse=True)
        self.blocked = 1 < len(names) < len(templates)
        #: [P] number of the block within which each prompt may be exchanged
        self.block_of = block_of if self.blocked else np.zeros_like(block_of)

    @property
    def n_samples(self) -> int:
        """N."""
        return len(self.samples)

    @property
    def n_prompts(self) -> int:
        """P, the n of every claim."""
        return len(self.prompts)

    @property
    def n_blocks(self) -> int:
        """Number of templates where they are blocks, else 1."""
        return int(self.block_of.max()) + 1

    @cached_property
    def targets(self) -> np.ndarray:
        """What a probe is to predict, [P, Q]: an indicator of each of Q labels (sorted), or one rating."""
        if self.numeric:
            return self.prompt_labels.astype(float)[:, None]
        return np.equal.outer(self.prompt_labels, np.unique(self.prompt_labels)).astype(float)

    @cached_property
    def covariates(self) -> np.ndarray:
        """What the labels can explain, [N, Q]: an indicator of each label, or a constant and the rating."""
        constant = np.ones((self.n_prompts, int(self.numeric)))
        return np.hstack([constant, self.targets])[self.prompt_of]

    def shuffled(self) -> "Design":
        """Return a control whose labels were moved once between prompts, as a permutation would.

        With the label move all other columns of `LABELS` that the sheet has, so that a prompt's emotion
        and its ratings stay together.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _CONTROL]))
        stand_in = np.arange(self.n_prompts)
        for block in range(self.n_blocks):
            members = np.flatnonzero(self.block_of == block)
            stand_in[members] = rng.permutation(members)
        rows = self.rows[stand_in[self.prompt_of], self.seed_of]
        columns = [name for name in {*LABELS, self.label} if name in self.samples]
        moved = {name: self.samples[name].to_numpy()[rows] for name in columns}
        control = Design(self.samples.assign(**moved), self.label, self.seed)
        control.is_shuffled = True
        return control

    def subset(self, rows: np.ndarray) -> "Design":
        """Return the design of some of the samples, for folds within a training set."""
        return Design(self.samples.iloc[np.sort(rows)], self.label, self.seed)

    def check_order(self, sample_ids: Iterable[str]) -> None:
        """Refuse measurements whose sample axis is not this design's, since positions carry the labels."""
        expected, given = _text(self.samples["sample_id"]).tolist(), [str(name) for name in sample_ids]
        if given != expected:
            wrong = next((pair for pair in zip(given, expected, strict=False) if pair[0] != pair[1]), None)
            found = f"{wrong[0]!r} stands where {wrong[1]!r} should" if wrong else f"{len(given)} samples"
            raise InputError(
                f"the measurements are not of the sheet's {len(expected)} samples in its order: {found}; "
                "remake them from the current index"
            )

    # ---- exchange -----------------------------------------------------------------------------

    @cached_property
    def relabelings(self) -> int:
        """Number of distinct ways to relabel the prompts, names of labels apart.

        Within block t, n_t! / ∏ n_tl! assignments; their product over blocks, divided by the
        renamings of labels that leave all counts n_tl as they are. It is exact. Ratings cannot be renamed,
        but where those of every block lie evenly about their middle, each assignment has a mirror image,
        which statistics that do not mind the sign cannot tell from it.
        """
        labels, label_of = np.unique(self.prompt_labels, return_inverse=True)
        counts = np.zeros((self.n_blocks, len(labels)), int)
        np.add.at(counts, (self.block_of, label_of), 1)
        assignments = prod(factorial(sum(row)) // prod(map(factorial, row)) for row in counts.tolist())
        if self.numeric:
            return max(assignments // (2 if self._mirrored() else 1), 1)
        alike = np.unique(counts, axis=1, return_counts=True)[1]
        return assignments // prod(map(factorial, alike.tolist()))

    def _mirrored(self) -> bool:
        """Whether the ratings of every block are the same about their middle, turned round."""
        blocks = [np.sort(self.targets[self.block_of == block, 0]) for block in range(self.n_blocks)]
        return all(np.allclose(ratings + ratings[::-1], ratings[0] + ratings[-1]) for ratings in blocks)

    @cached_property
    def pairings(self) -> int:
        """Number of ways to exchange whole prompts within blocks, for tests that pair two measurements."""
        return prod(map(factorial, np.bincount(self.block_of).tolist()))

    @cached_property
    def clip_pairings(self) -> int:
        """Number of ways to exchange the clips of a block in every seed by itself, beside the first seed.

        For tests that compare seeds with each other: what is exchanged alike in all seeds changes nothing.
        """
        return self.pairings ** (len(self.seeds) - 1)

    @property
    def can_test(self) -> bool:
        """Whether labels can move at all."""
        return self.relabelings > 1

    def why_not(self, m: int, *, of: str = "labels") -> str:
        """Say why no test is possible with m permutations; empty where one is. `of` as in `smallest_p`."""
        if m < 1:
            return "no permutations were asked for"
        if of == "clips" and len(self.seeds) < 2:
            return "there is one seed, and only what two seeds share is counted"
        if of == "names":
            return "" if len(set(self.prompt_labels)) > 1 else f"all prompts have one {self.label}"
        if of != "labels":
            return "" if self.pairings > 1 else "there is one prompt, which cannot change places"
        if self.can_test:
            return ""
        if len(set(self.prompt_labels)) < 2:
            return f"all prompts have one {self.label}"
        if len(set(self.prompt_labels)) == self.n_prompts:
            return f"one prompt per {self.label}: nothing tells the {self.label} from the wording"
        return f"no template holds two {self.label}s, so labels cannot move within a template"

    def permutations(self, m: int) -> np.ndarray:
        """Draw the study's permutation table.

        Returns
        -------
        int32 [m, N]; ``values[table[k]]`` gives each sample the value of its stand-in. Whole
        prompts trade places within their block, each seed with the same seed. A longer table begins
        with the shorter one.
        """
        if m <= len(self._table):
            return self._table[:m]
        streams = np.random.SeedSequence([self.seed, _PERMUTATIONS]).spawn(self.n_blocks)
        stand_in = np.empty((m, self.n_prompts), np.intp)  # [m, P]
        for block, stream in enumerate(streams):
            members = np.flatnonzero(self.block_of == block)
            table = np.tile(members, (m, 1))
            stand_in[:, members] = np.random.default_rng(stream).permuted(table, axis=1)
        return self.rows[stand_in[:, self.prompt_of], self.seed_of].astype(np.int32)

    def exchanges(self, m: int) -> np.ndarray:
        """Return the first permutations as orders of samples that leave labels and folds in their places.

        Without templates folds follow the labels, so that the two can only move together, and every probe
        must be fitted anew: on ``features[order]``, the measurements of other prompts. Under the null
        that is as good a study as the observed one, so that p is exact.

        Returns
        -------
        int [min(m, 99), N].
        """
        return np.argsort(self.permutations(min(m, REFITS)), axis=1)

    def share(self, table: np.ndarray) -> None:
        """Take the permutation table [m, N] that the study has drawn, in place of drawing it again.

        Raises
        ------
        InputError: a row moves a sample out of its block or away from its seed.
        """
        block = self.block_of[self.prompt_of]
        stays = (block[table] == block) & (self.seed_of[table] == self.seed_of)
        if not stays.all() or (np.sort(table, axis=1) != np.arange(self.n_samples)).any():
            raise InputError(
                "the stored permutations are not of this design's blocks and seeds: draw them again"
            )
        self._table = table

    def prompt_permutations(self, m: int) -> np.ndarray:
        """Return `permutations` in terms of prompts, int [m, P]."""
        return self.prompt_of[self.permutations(m)[:, self.rows[:, 0]]]

    def permutation_hash(self, m: int) -> str:
        """Return 16 hexadecimal digits that two analyses share when they used the same table."""
        return hashlib.sha256(self.permutations(m).astype("<i4").tobytes()).hexdigest()[:16]

    def shuffles(self, m: int, n_columns: int) -> Iterator[np.ndarray]:
        """Draw permutations of every column of a table [N, columns] by itself.

        Yields
        ------
        m times int [N, columns], for `np.take_along_axis`; each column moves whole prompts within
        their block, each seed with the same seed, as `permutations` moves all columns together.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _SHUFFLES]))
        blocks = [np.flatnonzero(self.block_of == block) for block in range(self.n_blocks)]
        stand_in = np.empty((self.n_prompts, n_columns), np.intp)
        for _ in range(m):
            for members in blocks:
                table = np.broadcast_to(members[:, None], (len(members), n_columns))
                stand_in[members] = rng.permuted(table, axis=0)
            yield self.rows[stand_in[self.prompt_of], self.seed_of[:, None]]

    def clip_permutations(self, m: int, of: str) -> np.ndarray:
        """Draw permutations that exchange the clips of one block and seed, in every seed by itself.

        Parameters
        ----------
        m : how many.
        of : what is exchanged: ``"history"``, ``"text"`` or ``"control"``; each has a stream of its own.

        Returns
        -------
        int32 [m, N]: each sample's stand-in, as `permutations` gives it. A longer table begins with the
        shorter one.
        """
        stream = np.random.SeedSequence([self.seed, _CLIPS, ("history", "text", "control").index(of)])
        table = np.empty((m, self.n_samples), np.int32)
        blocks = [np.flatnonzero(self.block_of == block) for block in range(self.n_blocks)]
        groups = [self.rows[members, seed] for members in blocks for seed in range(len(self.seeds))]
        for group, own in zip(groups, stream.spawn(len(groups)), strict=True):
            table[:, group] = np.random.default_rng(own).permuted(np.tile(group, (m, 1)), axis=1)
        return table

    def renamings(self, m: int) -> np.ndarray:
        """Draw m orders of the Q labels' names, int [m, Q]: one for all prompts, whatever their block.

        For statistics that match two sets of labels, each of which is known to mean something.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _NAMES]))
        return rng.permuted(np.tile(np.arange(len(set(self.prompt_labels))), (m, 1)), axis=1)

    def smallest_p(self, m: int, *, of: str = "labels") -> float:
        """Return the smallest p that m permutations of this design can reach; NaN where `why_not`.

        Parameters
        ----------
        of : ``"labels"`` for statistics that do not mind the labels' names, ``"pairs"`` for those
            that pair two measurements of a prompt, ``"clips"`` for `clip_permutations`, ``"names"`` for
            `renamings`.
        """
        distinct = {
            "labels": self.relabelings,
            "pairs": self.pairings,
            "clips": self.clip_pairings,
            "names": factorial(len(set(self.prompt_labels))),
        }[of]
        return float("nan") if self.why_not(m, of=of) else max(1 / (m + 1), 1 / distinct)

    def moved(self, what: str) -> str:
        """Say for the `null` column of a table that something moved between prompts, and within what."""
        return (
            f"{what} permuted between prompts {'within templates' if self.blocked else 'of the whole sheet'}"
        )

    def null_text(self, m: int, what: str, used: int | None = None) -> str:
        """Return `moved`, with the hash of the table of m permutations, and how many of them were used."""
        part = "" if used in (None, m) else f", the first {used}"
        return f"{self.moved(what)}; table {self.permutation_hash(m)}{part}"

    @property
    def resampled(self) -> str:
        """What bootstraps resample, for captions."""
        prompts = "prompts" if self.numeric else f"the prompts of each {self.label}"
        return f"{'templates' if self.blocked else prompts}, then seeds"

    # ---- folds --------------------------------------------------------------------------------

    def folds(self) -> list[Fold]:
        """Split into folds of whole templates; without templates, of whole prompts by label.

        Returns
        -------
        At most 10 folds, one per template where there are no more than 10.

        Raises
        ------
        InputError: fewer than two folds are possible.
        """
        if self.blocked:
            group, n_folds = self.block_of, self.n_blocks
        elif self.numeric:
            # Neighbours in rank go to different groups, so that each spans the ratings.
            group = np.argsort(np.argsort(self.targets[:, 0], kind="stable"), kind="stable")
            n_folds = min(MAX_FOLDS, self.n_prompts // 2)
            group = group % max(n_folds, 1)
        else:
            # The i-th prompt of every label goes to the i-th group.
            same = np.equal.outer(self.prompt_labels, self.prompt_labels)
            group, n_folds = np.tril(same, -1).sum(axis=1), int(same.sum(axis=1).min())
        if n_folds < 2:
            raise InputError(
                f"no folds are possible: one {self.label} has a single prompt, and there are no two "
                "templates; add a template or a second prompt per label"
            )
        fold_of = (group % min(n_folds, MAX_FOLDS))[self.prompt_of]  # [N]
        folds = [Fold(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)) for k in np.unique(fold_of)]
        self._assert_disjoint(folds)
        return folds

    def _assert_disjoint(self, folds: Iterable[Fold]) -> None:
        for fold in folds:
            shared = set(self.prompt_of[fold.train]) & set(self.prompt_of[fold.test])
            if shared:
                raise AssertionError(f"fold shares prompts {sorted(self.prompts[list(shared)])}")

    # ---- resampling ---------------------------------------------------------------------------

    def bootstraps(self, m: int) -> Bootstraps:
        """Resample templates (without templates: the prompts of each label, or all with ratings), then seeds.

        Seeds are crossed with prompts, so one draw of seeds serves all prompts.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _BOOTSTRAPS]))
        unit = self.block_of if self.blocked else np.arange(self.n_prompts)
        one_stratum = self.blocked or self.numeric
        stratum = np.zeros(self.n_prompts, int) if one_stratum else _codes(self.prompt_labels)
        units = np.zeros((m, int(unit.max()) + 1), np.float32)
        for one in np.unique(stratum):
            members = np.unique(unit[stratum == one])
            units[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=m)
        n_seeds = len(self.seeds)
        seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=m).astype(np.float32)
        return Bootstraps(units, unit[self.prompt_of], seeds, self.seed_of)

    # ---- pairs --------------------------------------------------------------------------------

    def strata(self) -> np.ndarray:
        """Sort all pairs of samples into the five strata.

        Returns
        -------
        int8 [N, N]: 1 … 5 as in `STRATA`; 0 on the diagonal and for pairs that no contrast uses.
        Where templates are blocks, strata 2 to 5 pair different templates only: minimal pairs share
        a template but never an emotion, so counting them would set the likeness of templates
        against the emotion effect. Where the label is a rating, the emotions are those that the sheet
        names, if any.
        """
        named = self.numeric and "emotion" in self.samples
        labels = _text(self.samples["emotion"]) if named else self.labels
        same_prompt = np.equal.outer(self.prompt_of, self.prompt_of)
        same_label = np.equal.outer(labels, labels)
        same_seed = np.equal.outer(self.seed_of, self.seed_of)
        strata = np.select([same_label & same_seed, same_label, same_seed], [2, 3, 4], 5).astype(np.int8)
        strata[~self.exchangeable_pairs()] = 0
        strata[same_prompt & ~same_seed] = 1
        return strata

    def exchangeable_pairs(self) -> np.ndarray:
        """Return bool [N, N]: the pairs of two prompts whose relation of labels may change."""
        block = self.block_of[self.prompt_of]
        if self.blocked:
            return np.not_equal.outer(block, block)
        return np.not_equal.outer(self.prompt_of, self.prompt_of)

    # ---- p-values -----------------------------------------------------------------------------

    def test(
        self, observed: np.ndarray, null: np.ndarray, *, of: str = "labels", standardise: bool = True
    ) -> Significance:
        """Test a family of cells against their permutation null, one-sided, with max-T.

        Parameters
        ----------
        observed : [cells] statistics, larger is more extreme; NaN where a cell is not to be tested.
        null : [m, cells] the same under each row of `permutations(m)`.
        of : see `smallest_p`; without a null every p is NaN.
        standardise : see `against_null`.
        """
        smallest = self.smallest_p(len(null), of=of)
        return against_null(observed, null, smallest=smallest, standardise=standardise)


def _text(column) -> np.ndarray:
    return np.array([str(value) for value in column])


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _checked(samples: pd.DataFrame, label: str) -> pd.DataFrame:
    missing = [c for c in ("sample_id", "prompt_id", "seed", label) if c not in samples.columns]
    if missing:
        raise InputError(
            f"the sample sheet has no column {missing[0]!r}; it has {', '.join(samples.columns)}"
        )
    if samples.empty:
        raise InputError("the sample sheet is empty: a study needs at least one sample")
    samples = samples.reset_index(drop=True)
    if "template" not in samples.columns:
        samples["template"] = ""
    templates = ["" if pd.isna(value) else str(value) for value in samples["template"]]
    samples = samples.assign(template=templates)
    prompts = _text(samples["prompt_id"]).tolist()
    if "" in templates and any(templates):
        prompt = prompts[templates.index("")]
        raise InputError(
            f"prompt {prompt!r} has no template but others do: name one for each prompt or for none"
        )
    for column in (label, "template"):
        first: dict[str, str] = {}
        for prompt, value in zip(prompts, _text(samples[column]).tolist(), strict=True):
            if first.setdefault(prompt, value) != value:
                raise InputError(
                    f"prompt {prompt!r} has two values of {column!r}, {first[prompt]!r} and {value!r}"
                )
    unrated = samples[label].isna().to_numpy(bool)
    if is_numeric_dtype(samples[label]) and unrated.any():
        prompt = prompts[int(unrated.argmax())]
        raise InputError(
            f"prompt {prompt!r} has no {label!r}: rate every prompt, or set contrast to another column"
        )
    _check_crossed(prompts, list(samples["seed"]))
    return samples


def _check_crossed(prompts: Sequence[str], seeds: Sequence[int]) -> None:
    counts = Counter(zip(prompts, seeds, strict=True))
    for prompt in dict.fromkeys(prompts):
        for seed in dict.fromkeys(seeds):
            if counts[prompt, seed] != 1:
                raise InputError(
                    f"prompt {prompt!r} has {counts[prompt, seed]} samples with seed {seed}, not 1: "
                    "seeds are crossed with prompts, so every prompt needs each seed once"
                )
