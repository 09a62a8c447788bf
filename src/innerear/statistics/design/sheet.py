"""The sample sheet as prompts × seeds, in blocks of templates."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from innerear.errors import InputError
from innerear.study.power import are_blocks

# Each use of the study's seed has a stream of its own: asking for bootstraps first does not change the
# permutations.
PERMUTATIONS, BOOTSTRAPS, SHUFFLES, CONTROL, CLIPS, NAMES = range(1, 7)


class Sheet:
    """The samples of a study: prompts with R seeds each, one label per prompt.

    Seeds are crossed with all prompts, or each template has seeds of its own, crossed with its prompts.

    Parameters
    ----------
    samples : one row per sample, in the order of every [N] axis, with columns `sample_id`,
        `prompt_id`, `seed`, the label, and optionally `template`.
    label : the column whose effect is asked about; constant within a prompt. A column of numbers
        (ratings) is taken as a number, every other one as categories.
    seed : the study's seed, from which all permutations and bootstraps are drawn.
    n_permutations, n_bootstraps : how many the study draws.

    Raises
    ------
    InputError: a column is missing, a (prompt, seed) pair occurs twice or is absent, templates have
    different numbers of seeds or share only some, a prompt has two labels, two templates or no rating, or
    only some prompts have a template.
    """

    def __init__(
        self,
        samples: pd.DataFrame,
        label: str = "emotion",
        seed: int = 0,
        *,
        n_permutations: int = 1000,
        n_bootstraps: int = 1000,
    ) -> None:
        self.samples = _checked(samples, label)
        self.n_permutations, self.n_bootstraps = n_permutations, n_bootstraps
        self.n_samples = len(self.samples)  # N
        self.label, self.seed = label, int(seed)
        self.labels = texts(self.samples[label])  # [N]
        self.numeric = is_numeric_dtype(self.samples[label])
        prompt_ids = texts(self.samples["prompt_id"])
        self.prompts = np.array(list(dict.fromkeys(prompt_ids.tolist())))  # [P] in order of appearance
        self.n_prompts = len(self.prompts)  # P, the n of every claim
        number = {prompt: i for i, prompt in enumerate(self.prompts.tolist())}
        #: [N] number of each sample's prompt
        self.prompt_of = np.array([number[prompt] for prompt in prompt_ids.tolist()])
        #: [N] the seed itself; and its number among the seeds of its template, 0 … R − 1
        self.seed_names = np.asarray(self.samples["seed"])
        self.seed_of = _seed_numbers(self.samples)
        #: [R] the seeds of a template by number
        self.seeds = np.arange(self.seed_of.max() + 1)
        #: whether each template has seeds of its own, so that clips of two templates share no noise
        self.own_seeds = len(np.unique(self.seed_names)) > len(self.seeds)
        #: [P, R] the sample of each prompt and seed
        self.rows = np.empty((len(self.prompts), len(self.seeds)), np.intp)
        self.rows[self.prompt_of, self.seed_of] = np.arange(len(self.samples))
        self.prompt_labels = self.labels[self.rows[:, 0]]  # [P]
        templates = texts(self.samples["template"])[self.rows[:, 0]]
        block_of = np.unique(templates, return_inverse=True)[1]
        #: whether templates are blocks
        self.blocked = are_blocks(templates.tolist())
        #: [P] number of the block within which each prompt may be exchanged
        self.block_of = block_of if self.blocked else np.zeros_like(block_of)
        self.n_blocks = int(self.block_of.max()) + 1
        #: [P] number of what is independent, and resampled: the prompt's template, or the prompt itself
        self.unit_of = self.block_of if self.blocked else np.arange(self.n_prompts)

    @cached_property
    def targets(self) -> np.ndarray:
        """The values that a probe predicts, [P, Q]: an indicator of each label (sorted), or one rating."""
        if self.numeric:
            return self.prompt_labels.astype(float)[:, None]
        return np.equal.outer(self.prompt_labels, np.unique(self.prompt_labels)).astype(float)

    @cached_property
    def covariates(self) -> np.ndarray:
        """The covariates of the labels, [N, Q]: an indicator of each label, or a constant and the rating."""
        constant = np.ones((self.n_prompts, int(self.numeric)))
        return np.hstack([constant, self.targets])[self.prompt_of]

    def check_order(self, sample_ids: Iterable[str]) -> None:
        """Refuse measurements in another order of samples, since positions carry the labels.

        Raises
        ------
        InputError: the ids are not the sheet's, in its order.
        """
        expected, given = texts(self.samples["sample_id"]).tolist(), [str(name) for name in sample_ids]
        if given != expected:
            wrong = next((pair for pair in zip(given, expected, strict=False) if pair[0] != pair[1]), None)
            found = f"{wrong[0]!r} stands where {wrong[1]!r} should" if wrong else f"{len(given)} samples"
            raise InputError(
                f"the measurements are not of the sheet's {len(expected)} samples in its order: {found}; "
                "remake them from the current index"
            )

    def stream(self, *of: int) -> np.random.SeedSequence:
        """Return the stream of random numbers of one use of the study's seed, such as ``PERMUTATIONS``."""
        return np.random.SeedSequence([self.seed, *of])

    def members(self) -> list[np.ndarray]:
        """Return the numbers of each block's prompts."""
        return [np.flatnonzero(self.block_of == block) for block in range(self.n_blocks)]


def texts(column: Iterable) -> np.ndarray:
    """Return values as text."""
    return np.array([str(value) for value in column])


def _checked(samples: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the sheet with a column `template`, or refuse it."""
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
    prompts = texts(samples["prompt_id"]).tolist()
    if "" in templates and any(templates):
        prompt = prompts[templates.index("")]
        raise InputError(
            f"prompt {prompt!r} has no template but others do: name one for each prompt or for none"
        )
    for column in (label, "template"):
        first: dict[str, str] = {}
        for prompt, value in zip(prompts, texts(samples[column]).tolist(), strict=True):
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
    _check_seeds(samples)
    return samples


def _check_seeds(samples: pd.DataFrame) -> None:
    """Refuse a prompt that lacks a seed of its template, and templates that share only some of theirs."""
    prompts, seeds = texts(samples["prompt_id"]).tolist(), list(samples["seed"])
    counts = Counter(zip(prompts, seeds, strict=True))
    template_of = dict(zip(prompts, samples["template"], strict=True))
    seeds_of: dict[str, set[int]] = {}
    for template, seed in zip(samples["template"], seeds, strict=True):
        seeds_of.setdefault(template, set()).add(seed)
    for prompt, template in template_of.items():
        for seed in sorted(seeds_of[template]):
            if counts[prompt, seed] != 1:
                raise InputError(
                    f"prompt {prompt!r} has {counts[prompt, seed]} samples with seed {seed}, not 1: "
                    "every prompt needs each seed of its template once"
                )
    (first, known), *others = seeds_of.items()
    taken = set(known)
    for template, own in others:
        if len(own) != len(known):
            raise InputError(
                f"template {first!r} has {len(known)} seeds, but {template!r} has {len(own)}: "
                "give every template the same number"
            )
        if own != known and own & taken:
            raise InputError(
                f"template {template!r} shares seed {min(own & taken)} with another, but not all seeds: "
                "give all templates the same seeds, or each its own"
            )
        taken |= own
    if len(taken) not in (len(known), len(known) * len(seeds_of)):
        raise InputError(
            "some templates share their seeds and others do not: give all the same seeds, or each its own"
        )


def _seed_numbers(samples: pd.DataFrame) -> np.ndarray:
    """Return the number of each sample's seed among those of its template, in ascending order, int [N]."""
    numbers = np.empty(len(samples), np.intp)
    for rows in samples.groupby("template").indices.values():
        numbers[rows] = np.unique(samples["seed"].to_numpy()[rows], return_inverse=True)[1]
    return numbers
