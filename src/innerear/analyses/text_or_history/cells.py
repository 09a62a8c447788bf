"""The cells of a counterfactual replay, and the effects of text and history in them.

Cell ``x[a, r, b]`` is the state while the clip made for emotion a with seed r is read under text b of its
template. A component (text, history, their interaction …) consists of deviations, each a linear combination
of the cells of one seed. A deviation is squared by multiplying it with itself *of another seed*: what one
clip alone has stands in one factor only, and the product's expectation is free of noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.linalg import helmert

from innerear.errors import InputError
from innerear.gram.reading import GramSource
from innerear.statistics.design import Design
from innerear.statistics.pieces import pieces

#: texts other than the emotions': no text at all, and the clip's own prompt in other words
NO_TEXT, PARAPHRASED = "none", "paraphrase"
COMPONENTS = TEXT, HISTORY, INTERACTION = "text", "history", "interaction"
ON_POLICY, OFF_TEXT, OFF_HISTORY = "on-policy emotion", "text, off-policy", "history, off-policy"
PARAPHRASE, SWAP = "paraphrase", "another emotion's text"
MEAN = "mean"


@dataclass(frozen=True)
class PairProducts:
    """Inner products of a component's Q deviations between every two of U units (seeds, or templates).

    Where deviations sum to 0, fewer contrasts say the same: deviation q is Σ_k basis[q, k] contrast_k.

    Attributes
    ----------
    values : [times, pairs, k, k], of units i < j: a contrast of unit i with one of unit j.
    basis : [Q, k], columns at right angles, of length 1.
    """

    values: np.ndarray
    basis: np.ndarray

    @property
    def matched(self) -> np.ndarray:
        """Σ_q of each deviation with itself in the other unit, [pairs, times]."""
        return np.einsum("cpkk->pc", self.values)

    @property
    def estimate(self) -> np.ndarray:
        """Mean of `matched` over pairs of units, [times]."""
        return self.matched.mean(axis=0)

    def null(self, moved: np.ndarray) -> np.ndarray:
        """Return `estimate` [m, times] where deviation moved[k, u, q] of unit u stands in for q."""
        n_draws, n_units, n_deviations = moved.shape
        flat = self.values.reshape(len(self.values), -1)
        between, n_contrasts = _between(n_units, self.basis.shape[1]), n_units * self.basis.shape[1]
        null = np.empty((n_draws, len(flat)))
        for rows in pieces(n_draws, n_contrasts**2):
            placed = self.basis[moved[rows].swapaxes(1, 2)].reshape(-1, n_deviations, n_contrasts)
            weights = (placed.swapaxes(1, 2) @ placed).reshape(len(placed), -1)
            null[rows] = weights[:, between] @ flat.T
        return null / self.values.shape[1]


def pair_products(contrasts: np.ndarray, basis: np.ndarray) -> PairProducts:
    """Multiply contrasts [times, U, k, D] of every two units; `basis` [Q, k] as in `PairProducts`.

    Examples
    --------
    >>> pair_products(np.ones((5, 3, 2, 4)), np.eye(2)).estimate
    array([8., 8., 8., 8., 8.])
    """
    times, n_units, k, width = contrasts.shape
    flat = contrasts.reshape(times, n_units * k, width)
    products = (flat @ flat.swapaxes(1, 2)).reshape(times, -1)[:, _between(n_units, k)]
    return PairProducts(products.reshape(times, -1, k, k), basis)


def _between(n_units: int, k: int) -> np.ndarray:
    """Places of the products of units i < j, [pairs * k * k], in a matrix [units * k, units * k]."""
    places = np.arange((n_units * k) ** 2).reshape(n_units, k, n_units, k).swapaxes(1, 2)
    return places[np.triu_indices(n_units, 1)].ravel()


def joined(parts: Sequence[Mapping[str, PairProducts]]) -> dict[str, PairProducts]:
    """Join the products of successive times, by component."""
    return {
        name: PairProducts(np.concatenate([part[name].values for part in parts]), one.basis)
        for name, one in parts[0].items()
    }


def complete_steps(gram: GramSource, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of steps of `size` values each, and the numbers of the complete steps in each slice."""
    complete = np.flatnonzero(gram.read("complete"))
    for rows in pieces(len(complete), size):
        steps = complete[rows]
        yield slice(int(steps[0]), int(steps[-1]) + 1), steps - steps[0]


class ReplayedTemplate:
    """One template's Gram file of a layer, its cells in the order of the design.

    Parameters
    ----------
    gram : an open file of rule ``counterfactual``; design : of all clips, by emotion.
    emotions : the order to put the emotions in; the file's unless given.

    Attributes
    ----------
    emotions : the design's names of the E emotions, of codes and of texts; named : the file's, which differ
        where labels were shuffled; texts : [B] the emotions, then the other texts.
    rows : [E] the file's number of each emotion; prompts : [E] the design's number of its prompt.
    order : int [E, R, B] the file's cell of each (codes, seed, text).

    Raises
    ------
    InputError: the file is of other clips than the design, or a cell is missing.
    """

    def __init__(self, gram: GramSource, design: Design, emotions: Sequence[str] = ()) -> None:
        self.gram, self.design = gram, design
        codes, emotion, text = (gram.labels(name) for name in ("codes", "codes_emotion", "text"))
        if NO_TEXT not in text:
            raise InputError("the replay has no cells without text: make it again")
        samples = pd.Index(design.samples["sample_id"].astype(str)).get_indexer(codes)
        if (samples < 0).any():
            unknown = codes[samples.argmin()]
            raise InputError(
                f"the replay holds the clip {unknown!r}, which is not in the sample sheet: make it again"
            )
        prompt_of = dict(zip(emotion, design.prompt_of[samples].tolist(), strict=True))
        found = {str(design.prompt_labels[prompt]): name for name, prompt in prompt_of.items()}
        self.emotions = list(emotions or found)
        self.named = [found[name] for name in self.emotions]
        self.rows = np.array([list(prompt_of).index(name) for name in self.named])
        self.prompts = np.array([prompt_of[name] for name in self.named])
        others = [name for name in dict.fromkeys(text) if name not in self.named]
        self.texts = self.emotions + others
        if not design.is_shuffled and self.emotions != self.named:
            raise InputError(
                f"the replay calls its codes {', '.join(self.named)} where the sample sheet has "
                f"{', '.join(self.emotions)}: make it again from the current index"
            )
        self.order = np.full((len(self.named), len(design.seeds), len(self.texts)), -1)
        a = [self.named.index(name) for name in emotion]
        b = [(self.named + others).index(name) for name in text]
        self.order[a, design.seed_of[samples], b] = np.arange(len(samples))
        if (self.order < 0).any():
            i, r, j = np.argwhere(self.order < 0)[0]
            seed = design.seed_names[design.rows[self.prompts[i], r]]
            raise InputError(
                f"the replay has no cell of codes {self.named[i]!r}, seed {seed} under text "
                f"{(self.named + others)[j]!r}: make it again from the current index"
            )

    def local(self, permutations: np.ndarray) -> np.ndarray:
        """Turn `Design.clip_permutations` [m, N] into this template's emotions, int [m, R, E]."""
        of_prompt = np.full(self.design.n_prompts, -1)
        of_prompt[self.prompts] = np.arange(len(self.prompts))
        return of_prompt[self.design.prompt_of[permutations[:, self.design.rows[self.prompts].T]]]

    def kernels(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield Gram matrices [times, R, E, B, R, E, B] and raw squared lengths [times, R, E, B] by pieces.

        The complete steps in order, then the windows.
        """
        for span, kept in complete_steps(self.gram, self.order.size**2):
            yield self._kernel("", kept, step=span)
        yield self._kernel("window_", np.arange(len(self.gram.labels("window"))))

    def _kernel(self, kind: str, kept: np.ndarray, **where: slice) -> tuple[np.ndarray, np.ndarray]:
        gram, product, norm = (
            self.gram.read(kind + name, **where)[kept].astype(float)
            for name in ("gram", "mean_product", "mean_norm")
        )
        rows = self.order.swapaxes(0, 1)  # [R, E, B]
        flat = rows.ravel()
        length = np.diagonal(gram, axis1=1, axis2=2) + 2 * product + norm[:, None] ** 2
        return gram[:, flat[:, None], flat].reshape(-1, *rows.shape, *rows.shape), length[:, rows]


def replayed_templates(grams: Mapping[str, GramSource], design: Design) -> list[ReplayedTemplate]:
    """Read the cells of every template, the emotions of all in the order of the first.

    Raises
    ------
    InputError: as `ReplayedTemplate`, or a template that holds other emotions than the first.
    """
    templates = {name: ReplayedTemplate(gram, design) for name, gram in grams.items()}
    first, emotions = next((name, one.emotions) for name, one in templates.items())
    expected = sorted(emotions)
    for name, template in templates.items():
        if sorted(template.emotions) != expected:
            raise InputError(
                f"template {name!r} holds the emotions {', '.join(template.emotions)} where {first!r} "
                f"holds {', '.join(expected)}: make the replay again"
            )
    return [ReplayedTemplate(gram, design, emotions) for gram in grams.values()]


def block_numbers(templates: Sequence[ReplayedTemplate]) -> np.ndarray:
    """Return the number of each template among the design's blocks, [T]."""
    return np.array([one.design.block_of[one.prompts[0]] for one in templates])


def relabeled(templates: Sequence[ReplayedTemplate]) -> np.ndarray:
    """Return which emotion stands in for which in the study's permutations of prompts, int [m, T, E]."""
    prompts, design = np.stack([one.prompts for one in templates]), templates[0].design
    number = np.empty(design.n_prompts, int)
    number[prompts] = np.arange(prompts.shape[1])
    return number[design.prompt_permutations()[:, prompts]]


def coefficients(n_emotions: int, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the coefficients of each component's deviations over a seed's cells, name → [Q, E, B].

    The squared lengths of a component's deviations sum to its share of the mean square of the E × E cells
    about their mean: ``(1/E) Σ_b |t_b|²`` for text, the same for history, ``(1/E²) Σ_ab |i_ab|²`` for the
    interaction. The off-policy components are those of an additive model fitted by least squares to the cells
    whose text is not the codes' own; they need three emotions. `PARAPHRASE` and `SWAP` are half the mean
    squared distance from the own text to its paraphrase, and to another emotion's text, in one clip.

    Examples
    --------
    >>> {name: one.shape for name, one in coefficients(2, ["happy", "sad", "none"]).items()}[TEXT]
    (2, 2, 3)
    """
    n, n_texts = n_emotions, len(texts)
    own, about = np.eye(n), np.eye(n) - 1 / n
    found = {
        TEXT: np.einsum("qb,a->qab", about, np.full(n, n**-1.5)),
        HISTORY: np.einsum("qa,b->qab", about, np.full(n, n**-1.5)),
        INTERACTION: np.einsum("pa,qb->pqab", about, about / n).reshape(n * n, n, n),
        ON_POLICY: np.einsum("qa,ab->qab", about / n**0.5, own),
        MEAN: np.full((1, n, n), n**-2.0),
    }
    if n > 2:
        found |= _off_policy(n)
    i, j = np.nonzero(1 - own)
    swap = np.zeros((len(i), n, n))
    swap[np.arange(len(i)), i, j], swap[np.arange(len(i)), i, i] = 1, -1
    found[SWAP] = swap / np.sqrt(2 * len(i))
    found = {name: np.pad(w, ((0, 0), (0, 0), (0, n_texts - n))) for name, w in found.items()}
    if PARAPHRASED in texts:
        other = np.zeros((n, n, n_texts))
        other[np.arange(n), np.arange(n), texts.index(PARAPHRASED)] = 1
        other[:, :, :n] -= np.einsum("qa,ab->qab", own, own)
        found[PARAPHRASE] = other / np.sqrt(2 * n)
    return found


def contrasts(n_emotions: int, texts: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return each component's `coefficients` as the fewest contrasts: bases [Q, k], and weights [k, E, B].

    Of components that are tested, and so permuted, the deviations sum to 0 over emotions.

    Examples
    --------
    >>> basis, weights = contrasts(3, ["happy", "sad", "calm", "none"])[INTERACTION]
    >>> basis.shape, weights.shape
    ((9, 4), (4, 3, 4))
    """
    axis = helmert(n_emotions).T  # [E, E - 1]
    bases = {TEXT: axis, HISTORY: axis, ON_POLICY: axis, INTERACTION: np.kron(axis, axis)}
    found = {}
    for name, one in coefficients(n_emotions, texts).items():
        basis = bases.get(name, np.eye(len(one)))
        found[name] = basis, np.einsum("qk,qab->kab", basis, one)
    return found


def _off_policy(n: int) -> dict[str, np.ndarray]:
    """Coefficients [E, E, E] of the additive model's text and history deviations, from cells a ≠ b."""
    a, b = np.nonzero(1 - np.eye(n))
    model = np.column_stack([np.ones(len(a)), np.eye(n)[a], np.eye(n)[b]])
    about = np.kron(np.eye(2), np.eye(n) - 1 / n)
    found = np.zeros((2 * n, n, n))
    found[:, a, b] = about @ np.linalg.pinv(model)[1:] / n**0.5
    return {OFF_HISTORY: found[:n], OFF_TEXT: found[n:]}


@dataclass(frozen=True)
class TemplateProducts:
    """The parts of one template's shares; times are the complete steps, then the windows.

    Attributes
    ----------
    products : component → `PairProducts` of seeds.
    energy : [R, times] mean square of the E × E cells of a seed.
    delta, cond : [R, times] mean square of cond − uncond and of cond, under the clip's own text.
    """

    products: dict[str, PairProducts]
    energy: np.ndarray
    delta: np.ndarray
    cond: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Unbiased variance of the E × E cells over emotions of codes, of texts, and clips, [times].

        Half the mean squared distance between two cells of different seeds.
        """
        return self.energy.mean(axis=0) - self.products[MEAN].estimate


def template_products(template: ReplayedTemplate) -> TemplateProducts:
    """Read one template's Gram matrices once, in pieces, and multiply its components' deviations."""
    n, n_seeds = len(template.emotions), len(template.design.seeds)
    components = contrasts(n, template.texts)
    pairs = list(combinations(range(n_seeds), 2))
    own, none = np.arange(n), template.texts.index(NO_TEXT)
    parts, energy, delta, cond = [], [], [], []
    for kernel, length in template.kernels():
        diagonal = np.einsum("crabrab->crab", kernel)
        energy.append(diagonal[..., :n].mean(axis=(-2, -1)))
        cond.append(length[:, :, own, own].mean(axis=-1))
        across = np.stack([kernel[:, r, own, own, r, own, none] for r in range(n_seeds)], axis=1)
        delta.append((diagonal[:, :, own, own] + diagonal[:, :, own, none] - 2 * across).mean(axis=-1))
        flat = kernel.reshape(len(kernel), *2 * (n_seeds, kernel.shape[2] * kernel.shape[3]))
        part = {}
        for name, (basis, weights) in components.items():
            w = weights.reshape(len(weights), -1)
            products = [w @ flat[:, i, :, j] @ w.T for i, j in pairs]
            part[name] = PairProducts(np.stack(products, axis=1), basis)
        parts.append(part)
    return TemplateProducts(joined(parts), *(np.concatenate(part).T for part in (energy, delta, cond)))
