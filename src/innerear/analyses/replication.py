"""The comparison that this project began with, "happy" against "sad": first as published, then corrected.

Published were one pair of clips of MusicGen large (last step) and one of MusicGen small (all steps), at layer
12 of each, with both guidance branches flattened into one vector of 2 × D numbers a step. One of the branches
never reads the prompt. Raw cosines are near 1 because of each state's mean over units, which the model
discards, and of a mean that all clips share. And one pair cannot show how similar two clips of *one* emotion
are.
"""

from collections.abc import Sequence
from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd
from tqdm import tqdm

from innerear.analyses.cosine_similarity import cosine_similarity
from innerear.errors import InputError
from innerear.stacks import Stack
from innerear.stacks.index import first_stack

FLATTENED = "both, flattened"
BRANCHES = (FLATTENED, "cond", "uncond", "delta")
PAIRS = ("two emotions, same seed", "two emotions, other seed", "one emotion, other seed")
#: a unit differs if its means over the steps differ by more than this
THRESHOLD = 0.1

#: statistic → value; of MusicGen small, layer 12, 3 s, where `PUBLISHED_NOTES` says nothing else
PUBLISHED = MappingProxyType(
    {
        "steps captured": 153,
        "rows a step": 2,
        "dimensions a row": 1024,
        "cosine of the last step only": 0.9999,
        "cosine of all steps as one vector": 0.9461,
        "cosine, mean over steps": 0.9493,
        "cosine at the first step": 0.9997,
        "cosine at the last step": 0.9463,
        "cosine, standard deviation over steps": 0.0258,
        "largest difference of a dimension": 0.5913,
        f"share of dimensions that differ by more than {THRESHOLD}": 0.0806,
        "dimension that differs most": 1932,
        "dimension that differs second most": 908,
    }
)
_FIVE_STEPS = "published: of 5 steps, 0, 38, 76, 114 and 152"
PUBLISHED_NOTES = MappingProxyType(
    {
        "cosine of the last step only": "published: MusicGen large, layer 12, 8 s",
        "cosine, mean over steps": _FIVE_STEPS,
        "cosine, standard deviation over steps": _FIVE_STEPS,
    }
)


def raw_comparison(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Compare two clips [S, D] as published: raw cosines, and differences of time averages.

    D is 2 × d_model where the branches are flattened. Return statistic → value, of the names of `PUBLISHED`
    that are about one pair.

    Examples
    --------
    >>> one = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> raw_comparison(one, one + [0, 1])["cosine at the last step"]
    1.0
    """
    pair = _as_activations(one[None]), _as_activations(other[None])
    cosine = np.asarray(cosine_similarity(*pair, center=False, average=False))[:, 0, 0]
    whole = float(np.vdot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)))
    difference = np.abs(one.mean(axis=0) - other.mean(axis=0))
    most = np.argsort(-difference, kind="stable")
    steps = [cosine[-1], whole, cosine.mean(), cosine[0], cosine[-1], cosine.std()]
    units = [difference[most[0]], (difference > THRESHOLD).mean(), most[0], most[1]]
    return dict(zip(list(PUBLISHED)[3:], map(float, [*steps, *units]), strict=True))


def _as_activations(states: np.ndarray) -> np.ndarray:
    return states.transpose(1, 0, 2)[:, None]  # [B, S, D] -> [S, 1, B, D]


def of_branch(states: np.ndarray, branch: str) -> np.ndarray:
    """Return one of `BRANCHES` of states [B, C, S, D], C = (cond, uncond): [B, S, D], or [B, S, 2 D]."""
    if branch == FLATTENED:
        return states.transpose(0, 2, 1, 3).reshape(len(states), states.shape[2], -1)  # -> [B, S, C D]
    cond, uncond = states[:, 0], states[:, 1]
    return {"cond": cond, "uncond": uncond, "delta": cond - uncond}[branch]


def layer_curves(one: np.ndarray, other: np.ndarray, *, model: str, layer: int) -> pd.DataFrame:
    """Return the cosine over the steps: raw and centred, by branch, of three kinds of pairs.

    Of raw [B, C, S, D] clips of two emotions, in one order of B ≥ 2 seeds; C = (cond, uncond).

    Returns
    -------
    Columns model, layer, branch, measure (raw, or centred: less each state's mean over units, and less the
    mean of all 2 B clips at each step), pairs (of `PAIRS`), step, and the mean (estimate), lowest and highest
    cosine of such pairs. NaN where all clips are equal, as in uncond at step 0.

    Raises
    ------
    InputError: fewer than two seeds, or clips that do not match.
    """
    _check(one, other)
    n = len(one)
    emotion, seed = np.repeat([0, 1], n), np.tile(np.arange(n), 2)
    alike, same_seed = emotion[:, None] == emotion, seed[:, None] == seed
    masks = dict(zip(PAIRS, (~alike & same_seed, ~alike & ~same_seed, alike & ~same_seed), strict=True))
    both, tables = np.concatenate([one, other]), []
    states = {"raw": both, "centred": both - both.mean(axis=-1, keepdims=True)}
    for branch, measure in product(BRANCHES, states):
        activations = _as_activations(of_branch(states[measure], branch))
        similarity = cosine_similarity(activations, center=measure == "centred", average=False)
        cosine = np.asarray(similarity)  # [S, 2 B, 2 B]
        for pairs, mask in masks.items():
            values = cosine[:, mask]  # [S, pairs]
            names = {"model": model, "layer": layer, "branch": branch, "measure": measure, "pairs": pairs}
            curve = {"estimate": values.mean(axis=1), "lowest": values.min(axis=1)}
            curve |= {"highest": values.max(axis=1), "step": np.arange(len(values))}
            tables.append(pd.DataFrame(names | curve))
    return pd.concat(tables, ignore_index=True)


def _check(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape != other.shape or one.ndim != 4 or one.shape[1] != 2:
        raise InputError(
            f"clips of shapes {one.shape} and {other.shape}: both must be (seeds, 2 branches, steps, width);"
            " give every prompt the same seeds, and capture both branches"
        )
    if len(one) < 2:
        raise InputError(
            "the replication needs two seeds or more, to compare clips of one emotion; add seeds"
        )


def layer_table(
    one: np.ndarray, other: np.ndarray, curves: pd.DataFrame, complete: np.ndarray, *, model: str, layer: int
) -> pd.DataFrame:
    """Compare the published figures with ours: as published, then by branch, then centred.

    Of clips and their `layer_curves`, whose centred cosines are averaged over the complete steps, bool [S].

    Returns
    -------
    Columns model, layer, branch, statistic, published (NaN where nothing was), estimate, lowest, highest,
    n_seeds, note. Raw statistics: `estimate` is of the first seed's pair, since one pair was published;
    `lowest` and `highest` are over the pairs of all seeds. Centred ones are means over pairs and steps; with
    one prompt per emotion they have no p.
    """
    n, _, n_steps, d_model = one.shape
    sizes = dict(zip(list(PUBLISHED)[:3], (n_steps, 2, d_model), strict=True))
    rows = [(FLATTENED, name, PUBLISHED[name], size, size, size, n, "") for name, size in sizes.items()]
    for branch in BRANCHES:
        pairs = [
            raw_comparison(*pair)
            for pair in zip(of_branch(one, branch), of_branch(other, branch), strict=True)
        ]
        for name, first in pairs[0].items():
            is_dimension = name.startswith("dimension")
            values = [np.nan] if is_dimension else [pair[name] for pair in pairs]
            published = PUBLISHED[name] if branch == FLATTENED else np.nan
            note = PUBLISHED_NOTES.get(name, "") if branch == FLATTENED else ""
            note = _unit(int(first), d_model, branch) if is_dimension else note
            rows.append((branch, name, published, first, min(values), max(values), n, note))
    for branch in BRANCHES[1:]:
        two, same = (_mean_centred(curves, branch, pairs, complete) for pairs in PAIRS[1:])
        for name, value in ((PAIRS[1], two), (PAIRS[2], same), ("one emotion − two, other seed", same - two)):
            rows.append((branch, f"centred cosine, {name}", np.nan, value, np.nan, np.nan, n, ""))
    columns = ["branch", "statistic", "published", "estimate", "lowest", "highest", "n_seeds", "note"]
    table = pd.DataFrame(rows, columns=pd.Index(columns)).assign(model=model, layer=layer)
    return table.reindex(columns=pd.Index(["model", "layer", *columns]))


def _mean_centred(curves: pd.DataFrame, branch: str, pairs: str, complete: np.ndarray) -> float:
    rows = (curves["branch"] == branch) & (curves["measure"] == "centred") & (curves["pairs"] == pairs)
    curve = curves.loc[rows].sort_values("step")["estimate"].to_numpy(float)  # [S]
    return float(curve[complete].mean())


def _unit(dimension: int, d_model: int, branch: str) -> str:
    """Name the unit and the branch of a dimension."""
    if branch == FLATTENED:
        branch = ("cond", "uncond")[dimension // d_model]
    return f"unit {dimension % d_model} of {branch}"


def of_stacks(
    samples: pd.DataFrame, layers: Sequence[int], *, model: str, site: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of `layer_table` and of `layer_curves` of all layers of a study with two emotions.

    `samples` is the index: a row per sample with emotion, prompt_id, seed, stack and content_sha256.

    Raises
    ------
    InputError: not two emotions with one prompt each; clips that do not match; a broken stack.
    """
    emotions = dict(zip(samples["prompt_id"], samples["emotion"], strict=True))
    if len(emotions) != 2 or len(set(emotions.values())) != 2:
        raise InputError(
            "replication compares two prompts of two emotions, but the study has the prompts "
            f"{', '.join(emotions)}; set replication: false, or leave two"
        )
    ordered = samples.sort_values("seed")
    stacks = [ordered.loc[ordered["prompt_id"] == prompt] for prompt in emotions]
    with first_stack(stacks[0]) as stack:
        complete = stack.complete
    tables, curves = [], []
    for layer in tqdm(layers, desc="replication", unit="layer"):
        one, other = (_read(of_prompt, layer, site) for of_prompt in stacks)
        named = {"model": model, "layer": layer}
        curves.append(layer_curves(one, other, **named))
        tables.append(layer_table(one, other, curves[-1], complete, **named))
    return pd.concat(tables, ignore_index=True), pd.concat(curves, ignore_index=True)


def _read(samples: pd.DataFrame, layer: int, site: str) -> np.ndarray:
    states = []
    for path, content in zip(samples["stack"], samples["content_sha256"], strict=True):
        with Stack(path, content=content) as stack:
            states.append(stack.read(layer, site, raw=True))
    return np.stack(states)  # [B, C, S, D]
