"""Correlate sparse features with the sound from moment to moment.

Both are smooth series, and clips of one prompt may share a course over time. So the mean over a prompt's
seeds is taken out at each step, and the null pairs the activations of one seed with the sound of another seed
of the same prompt, as in `innerear.analyses.lags`.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from innerear.acoustics.followed import FOLLOWED, Sound, followed
from innerear.analyses.features.sound import in_enough_prompts, over_templates
from innerear.analyses.lags import ONE_SEED
from innerear.analyses.seed_differences import between_prompts, between_seeds
from innerear.statistics.design import Design
from innerear.statistics.table import Maxima, blank, record
from innerear.timeline import Timeline

OVER_TIME = "largest correlation with sound over the steps, between seeds of a prompt"


@dataclass(frozen=True)
class FeatureSteps:
    """The activations of one branch at each step, and the sound there.

    Attributes
    ----------
    latents, values : sparse activations [N, S', k]; a value of 0 is no activation.
    sound : of the same N clips.
    frames : int [S'], the frame that is whole after each step.
    """

    latents: np.ndarray
    values: np.ndarray
    sound: Sound
    frames: np.ndarray

    def subset(self, rows: np.ndarray) -> "FeatureSteps":
        """Return the same of some clips."""
        sound = replace(self.sound, values=self.sound.values[rows])
        return replace(self, latents=self.latents[rows], values=self.values[rows], sound=sound)

    def of(self, rows: np.ndarray, n_latents: int) -> np.ndarray:
        """Return the activations of some clips, float32 [N', S', F], each clip's about its own mean."""
        dense = np.zeros((*self.latents[rows].shape[:2], n_latents + 1), np.float32)
        # Places that are not used may name any latent: they write to one more, which is left out.
        where = np.where(self.values[rows] > 0, self.latents[rows].astype(int), n_latents)
        np.put_along_axis(dense, where, self.values[rows].astype(np.float32), axis=-1)
        dense = dense[..., :-1]
        return dense - dense.mean(axis=1, keepdims=True)

    def heard(self, rows: np.ndarray) -> np.ndarray:
        """Return the sound of some clips at the same steps, float32 [N', S', A], about each clip's mean."""
        series = self.sound.values[rows][:, self.frames]
        return series - series.mean(axis=1, keepdims=True)


def sound_of_steps(frames: xr.DataArray, timeline: Timeline) -> tuple[Sound, np.ndarray]:
    """Return the sound of frames (clip, frame, feature), and the frame [S'] that is whole after each step.

    Only features that are one number a frame are followed.
    """
    single = {name: columns for name, columns in FOLLOWED.items() if len(columns) == 1}
    sound = followed({name: frames.sel(feature=name).values for name in single}, single)
    return sound, timeline.frames[timeline.complete][:, -1]


def time_rows(
    steps: FeatureSteps, rate: np.ndarray, design: Design, why_not: str = ""
) -> tuple[pd.DataFrame, list[Maxima]]:
    """Correlate features with frame features of the sound over steps, in the differences of a prompt's seeds.

    Parameters
    ----------
    steps : of the design's samples, in its order.
    rate : [N, F] firing rates. Features that fire in enough prompts (`in_enough_prompts`) are compared.
    why_not : why nothing is tested.

    Returns
    -------
    A row per frame feature, of the sparse feature that goes with it most, at the same step. The null
    exchanges the sound of the seeds of a prompt, in every prompt by itself. The second p flips the signs of
    whole templates, of what is left without the mean over the prompts of each template and seed. Intervals
    are a jackknife over templates. p is of the largest correlation over the features.
    """
    numbers, names = np.flatnonzero(in_enough_prompts(rate, design)), steps.sound.names
    n_seeds = design.rows.shape[1]
    if not len(numbers) or not names:
        return pd.DataFrame(), []
    fixed = {"branch": "uncond", "kind": "features", "measure": "activation", "statistic": OVER_TIME}
    table = blank(pd.DataFrame({"sound": names} | fixed), design)
    if n_seeds < 2:
        table["null"] = f"none: {ONE_SEED}"
        return table, []
    pairs, squares, apart = _products(steps, numbers, rate.shape[1], design)
    size = np.sqrt(np.outer(*(one.sum(axis=0) for one in squares)))  # [F, A]
    scale = np.divide(1, size, out=np.zeros_like(size), where=size > 1e-9)
    own = np.eye(n_seeds)
    correlations = np.tensordot(own, pairs.sum(axis=0), axes=2) * scale  # [F, A]
    best, every = np.abs(correlations).argmax(axis=0), np.arange(len(names))
    table["feature"], table["estimate"] = numbers[best], correlations[best, every]
    if why_not:
        table["null"] = f"none: {why_not}"
        return table, []
    null = _exchanged(pairs, scale, design)
    observed, family = np.abs(table["estimate"].to_numpy(float)), "features × frame features of this layer"
    moved = "activations of one seed with the sound of another seed of the same prompt"
    maxima = record(
        table, every, design, observed, null, family=family, moved=moved, of="seeds", standardise=False
    )
    if design.n_templates:
        products = [np.tensordot(own, pairs[some].sum(axis=0), axes=2) for some in design.members()]
        products = np.stack(products)
        maxima += over_templates(table, products, squares, best, design, apart * scale)
    return table, maxima


def _products(
    steps: FeatureSteps, numbers: np.ndarray, n_latents: int, design: Design
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Multiply activations with the sound of every seed of the same prompt, a template at a time.

    Returns
    -------
    Products [P, R, R, F, A] by prompt, seed of the activations, and seed of the sound; squares [T, F] and
    [T, A] of both; and products [T, F, A] of what is left without the mean over a template's prompts.
    """
    heard = between_seeds(steps.heard(np.arange(design.n_samples)), design)
    alone = between_prompts(heard, design)
    n_seeds, shape = design.rows.shape[1], (len(numbers), heard.shape[-1])
    pairs = np.empty((design.n_prompts, n_seeds, n_seeds, *shape), np.float32)
    squares: list[list[np.ndarray]] = [[], []]
    apart = []
    for members in design.members():
        rows = design.rows[members]  # [P', R]
        x = steps.of(rows.ravel(), n_latents)[..., numbers].reshape(*rows.shape, -1, len(numbers))
        x -= x.mean(axis=1, keepdims=True)
        pairs[members] = np.einsum("patf,pbts->pabfs", x, heard[rows], optimize=True)
        squares[0].append(np.einsum("patf,patf->f", x, x))
        squares[1].append(np.einsum("pbts,pbts->s", heard[rows], heard[rows]))
        x -= x.mean(axis=0)
        apart.append(np.einsum("patf,pats->fs", x, alone[rows], optimize=True))
    return pairs, [np.stack(one) for one in squares], np.stack(apart)


def _exchanged(pairs: np.ndarray, scale: np.ndarray, design: Design) -> np.ndarray:
    """Return the largest correlation [m, A] over the features, in m exchanges of seeds within prompts."""
    n_seeds = design.rows.shape[1]
    chosen = design.seed_of[design.seed_permutations()[:, design.rows]]  # [m, P, R] whose sound each gets
    counts = np.eye(n_seeds, dtype=np.float32)[chosen].reshape(len(chosen), -1)
    flat = pairs.reshape(counts.shape[1], -1)
    some = np.array_split(counts, max(1, len(counts) * flat.shape[1] // 2**24))
    return np.concatenate(
        [np.abs((one @ flat).reshape(-1, *scale.shape) * scale).max(axis=1) for one in some]
    )
