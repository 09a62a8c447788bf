"""Exchangeability under a null hypothesis: permutations, their number, and the smallest p."""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from math import factorial, prod

import numpy as np

from innerear.errors import InputError
from innerear.statistics.design.sheet import CLIPS, NAMES, PERMUTATIONS, SHUFFLES, Sheet
from innerear.study.power import relabelings

#: permutations for which probes are fitted anew, where folds follow the labels
REFITS = 99


class Exchange(Sheet):
    """A sheet with prompts that may be exchanged within their block."""

    # Drawn elsewhere, see `use_table`.
    _table = np.empty((0, 0), np.int32)

    @cached_property
    def relabelings(self) -> int:
        """Number of distinct ways to relabel the prompts, see `innerear.study.power.relabelings`."""
        labels = self.targets[:, 0] if self.numeric else self.prompt_labels
        return relabelings([labels[members].tolist() for members in self.members()])

    @cached_property
    def pairings(self) -> int:
        """Number of ways to exchange whole prompts within blocks, for tests that pair two measurements."""
        return prod(map(factorial, np.bincount(self.block_of).tolist()))

    @cached_property
    def clip_pairings(self) -> int:
        """Number of ways to exchange the clips of a block in every seed but the first, each seed by itself.

        For tests that compare seeds with each other: exchanging all seeds alike changes nothing.
        """
        return self.pairings ** (len(self.seeds) - 1)

    @cached_property
    def seed_pairings(self) -> int:
        """Number of ways to exchange the seeds of every prompt; with two, exchanging all is no change."""
        n_seeds = self.rows.shape[1]
        return factorial(n_seeds) ** self.n_prompts // (2 if n_seeds == 2 else 1)

    @property
    def can_test(self) -> bool:
        """Whether labels can move at all."""
        return self.relabelings > 1

    def why_not(self, m: int | None = None, *, of: str = "labels") -> str:
        """Say why no test is possible with m permutations; empty where one is. `of` as in `smallest_p`."""
        if (self.n_permutations if m is None else m) < 1:
            return "no permutations were asked for"
        if of == "clips" and len(self.seeds) < 2:
            return "there is one seed, and only what two seeds share is counted"
        if of == "seeds":
            if self.rows.shape[1] < 2:
                return "there is one seed, and the null pairs two seeds of a prompt"
            return "" if self.seed_pairings > 1 else "there is one prompt of two seeds"
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

    def smallest_p(self, m: int | None = None, *, of: str = "labels") -> float:
        """Return the smallest p that m permutations of this design can reach; NaN where `why_not`.

        `of` is ``"labels"`` for statistics that do not depend on the labels' names, ``"pairs"`` for those
        that pair two measurements of a prompt, ``"clips"`` for `clip_permutations`, ``"seeds"`` for
        `seed_permutations`, ``"names"`` for `renamings`.
        """
        distinct = {
            "labels": self.relabelings,
            "pairs": self.pairings,
            "clips": self.clip_pairings,
            "seeds": self.seed_pairings,
            "names": factorial(len(set(self.prompt_labels))),
        }[of]
        m = self.n_permutations if m is None else m
        return float("nan") if self.why_not(m, of=of) else max(1 / (m + 1), 1 / distinct)

    def permutations(self, m: int | None = None) -> np.ndarray:
        """Draw the study's permutation table, or its first m rows.

        int32 [m, N]; ``values[table[k]]`` gives each sample the value of its stand-in. Whole prompts trade
        places within their block, each seed with the same seed. A longer table begins with the shorter one.

        Examples
        --------
        >>> samples = pd.DataFrame({"sample_id": ["a", "b"], "prompt_id": ["a", "b"], "seed": 0,
        ...                         "emotion": ["happy", "sad"]})
        >>> Exchange(samples).permutations(4).tolist()
        [[0, 1], [0, 1], [1, 0], [0, 1]]
        """
        m = self.n_permutations if m is None else m
        if 0 < m <= len(self._table):
            return self._table[:m]
        streams = self.stream(PERMUTATIONS).spawn(self.n_blocks)
        stand_in = np.empty((m, self.n_prompts), np.intp)  # [m, P]
        for members, stream in zip(self.members(), streams, strict=True):
            table = np.tile(members, (m, 1))
            stand_in[:, members] = np.random.default_rng(stream).permuted(table, axis=1)
        return self.rows[stand_in[:, self.prompt_of], self.seed_of].astype(np.int32)

    @property
    def groups(self) -> np.ndarray:
        """Number of the group, a seed of a block, within which `permutations` move each sample, [N]."""
        return self.block_of[self.prompt_of] * len(self.seeds) + self.seed_of

    def use_table(self, table: np.ndarray) -> None:
        """Use the permutation table [m, N] that the study has drawn; do not draw it again.

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
        self._table, self.n_permutations = table, len(table)

    def exchanges(self) -> np.ndarray:
        """Return the first permutations, at most 99, as orders of samples [m, N], for fits that are repeated.

        Without templates folds follow the labels, so every probe must be fitted anew, on
        ``features[order]``: the measurements of other prompts, with labels and folds in their places. Under
        the null that is as good a study as the observed one, which makes p exact.
        """
        return np.argsort(self.permutations()[:REFITS], axis=1)

    def prompt_permutations(self, m: int | None = None) -> np.ndarray:
        """Return `permutations` in terms of prompts, int [m, P]."""
        return self.prompt_of[self.permutations(m)[:, self.rows[:, 0]]]

    def permutation_hash(self, m: int | None = None) -> str:
        """Return 16 hexadecimal digits that two analyses share when they used the same table."""
        return hashlib.sha256(self.permutations(m).astype("<i4").tobytes()).hexdigest()[:16]

    def shuffles(self, m: int, n_columns: int) -> Iterator[np.ndarray]:
        """Draw m permutations of every column of a table [N, columns] by itself, for `np.take_along_axis`.

        Each column moves whole prompts within their block, each seed with the same seed, as `permutations`
        moves all columns together.
        """
        rng, blocks = np.random.default_rng(self.stream(SHUFFLES)), self.members()
        stand_in = np.empty((self.n_prompts, n_columns), np.intp)
        for _ in range(m):
            for members in blocks:
                table = np.broadcast_to(members[:, None], (len(members), n_columns))
                stand_in[members] = rng.permuted(table, axis=0)
            yield self.rows[stand_in[self.prompt_of], self.seed_of[:, None]]

    def clip_permutations(self, m: int, of: str) -> np.ndarray:
        """Draw permutations that exchange the clips of one block and seed, in every seed by itself.

        int32 [m, N], each sample's stand-in, as `permutations` gives it. A longer table begins with the
        shorter one. `of` is what is exchanged, ``"history"``, ``"text"`` or ``"control"``; each has a stream
        of its own.
        """
        table = np.empty((m, self.n_samples), np.int32)
        groups = [self.rows[members, seed] for members in self.members() for seed in range(len(self.seeds))]
        streams = self.stream(CLIPS, ("history", "text", "control").index(of)).spawn(len(groups))
        for group, stream in zip(groups, streams, strict=True):
            table[:, group] = np.random.default_rng(stream).permuted(np.tile(group, (m, 1)), axis=1)
        return table

    def seed_permutations(self, m: int | None = None) -> np.ndarray:
        """Draw m permutations that exchange the seeds of a prompt, in every prompt by itself.

        int32 [m, N], each sample's stand-in, as `permutations` gives it. A longer table begins with the
        shorter one. For statistics of what ties two measurements of one sample together, where samples of a
        prompt have in common all that the prompt brings about.
        """
        m = self.n_permutations if m is None else m
        rng, n_seeds = np.random.default_rng(self.stream(CLIPS, 3)), self.rows.shape[1]
        order = rng.permuted(np.tile(np.arange(n_seeds), (m, self.n_prompts, 1)), axis=2)  # [m, P, R]
        table = np.empty((m, self.n_samples), np.int32)
        table[:, self.rows] = self.rows[np.arange(self.n_prompts)[:, None], order]
        return table

    def renamings(self, m: int) -> np.ndarray:
        """Draw m orders of the Q labels' names, int [m, Q]: one for all prompts, whatever their block.

        For statistics that match two sets of labels, where both have names.
        """
        rng = np.random.default_rng(self.stream(NAMES))
        return rng.permuted(np.tile(np.arange(len(set(self.prompt_labels))), (m, 1)), axis=1)

    def moved(self, what: str) -> str:
        """Say for the `null` column of a table that something moved between prompts, and within what."""
        return (
            f"{what} permuted between prompts {'within templates' if self.blocked else 'of the whole sheet'}"
        )

    def null_text(self, m: int, what: str, used: int | None = None) -> str:
        """Return `moved`, with the hash of the table of m permutations, and how many of them were used."""
        part = "" if used in (None, m) else f", the first {used}"
        return f"{self.moved(what)}; table {self.permutation_hash(m)}{part}"
