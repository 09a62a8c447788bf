"""Studies made up for tests: a design of fully crossed prompts, and its Gram files in memory."""

from copy import copy

import numpy as np
import pandas as pd

from innerear.analyses.layer import analyse
from innerear.gram.layer_pass import layer_gram
from innerear.gram.prompt_sums import Prompts
from innerear.statistics.design import Design

EMOTIONS = ("happy", "sad", "calm", "energetic")


class Measured:
    """An open Gram file, in memory, of features [N, 2, S, D]; the first and last `pads` steps are pads."""

    def __init__(self, x, design, *, pads=0, n_bins=4, steps_per_matrix=1):
        complete = np.ones(x.shape[2], bool)
        complete[:pads] = complete[len(complete) - pads :] = False
        self.arrays, self.axes = layer_gram(
            lambda i, steps: x[i][:, steps],
            len(x),
            complete,
            n_bins=n_bins,
            steps_per_matrix=steps_per_matrix,
            prompts=Prompts.of(design.samples),
        )
        self.arrays["seconds"] = (("step",), self.axes["step"] / 50)
        self.axes["sample"] = self.axes["sample_2"] = np.array(design.samples["sample_id"])

    def read(self, name, **where):
        axes, values = self.arrays[name]
        places = {
            axis: self.labels(axis).index(one) if isinstance(one, str) else one for axis, one in where.items()
        }
        return values[tuple(places.get(axis, slice(None)) for axis in axes)]

    def labels(self, axis):
        return [str(label) for label in self.axes[axis]]

    def coords(self, axis):
        return self.axes[axis]

    def __contains__(self, name):
        return name in self.arrays


class Stored(Measured):
    """Arrays of a `LayerResult` as their file would give them back."""

    def __init__(self, arrays, coords):
        self.arrays, self.axes = arrays, coords


def stored_products(products):
    """What `best_layers` reads of one layer with one branch: fold products [1 + m, F, F], a fold a
    template."""
    axes = ("branch", "relabeling", "fold", "fold_2")
    boots = (("branch", "bootstrap"), np.zeros((1, 2)))
    n = products.shape[-1]
    contrasts = np.where(np.eye(n), 0, products[0] / (n * (n - 1)))
    arrays = {"fold_products": (axes, products[None]), "bootstraps": boots}
    arrays["contrasts"] = (("branch", "template", "template_2"), contrasts[None])
    return Stored(arrays, {"branch": ["uncond"]})


def sheet(n_templates=5, n_seeds=2, emotions=EMOTIONS, *, templates=True, ratings=None, own_seeds=False):
    """Emotions × templates × seeds; `ratings` maps an emotion to (valence, arousal).

    Templates and seeds are so many, or those listed.
    """
    names = [f"t{t}" for t in range(n_templates)] if isinstance(n_templates, int) else n_templates
    seeds = np.arange(n_seeds) if isinstance(n_seeds, int) else np.array(n_seeds)
    table = pd.DataFrame(
        [
            (f"{name}-{emotion}/seed-{seed}", f"{name}-{emotion}", name if templates else "", emotion, seed)
            for emotion in emotions
            for t, name in enumerate(names)
            for seed in seeds + t * len(seeds) * own_seeds
        ],
        columns=["sample_id", "prompt_id", "template", "emotion", "seed"],
    )
    if ratings is None:
        return table
    rated = np.array([ratings[emotion] for emotion in table["emotion"]])
    return table.assign(valence=rated[:, 0], arousal=rated[:, 1])


def make_design(*args, label="emotion", **options):
    """The design of a `sheet`."""
    return Design(sheet(*args, **options), label)


def sized(design, n_permutations=99, n_bootstraps=50):
    """The design with so many permutations and bootstraps."""
    design = copy(design)
    design.n_permutations, design.n_bootstraps = n_permutations, n_bootstraps
    return design


def analysed(analysis, gram, design, *, layer=0, n_permutations=99, n_bootstraps=50, **options):
    """The result of an analysis of one layer, with so many permutations and bootstraps."""
    design = sized(design, n_permutations, n_bootstraps)
    return analyse(analysis, gram, design, model="nano", layer=layer, **options)


def clustered(design, shape, within, rng):
    """Null data [N, *shape] of which a share `within` is of the prompt, beside its template's effect."""
    template = rng.normal(size=(design.n_blocks, *shape))[design.block_of]
    prompt = np.sqrt(within) * rng.normal(size=(design.n_prompts, *shape)) + template
    return prompt[design.prompt_of] + np.sqrt(1 - within) * rng.normal(size=(design.n_samples, *shape))


def strata_of(design):
    """The stratum 1 … 5 (`STRATA`) of each pair of samples, int [N, N]; 0 for prompts of one template."""
    label, seed, prompt = (
        np.equal.outer(one, one) for one in (design.labels, design.seed_names, design.prompt_of)
    )
    unit = design.unit_of[design.prompt_of]
    strata = np.where(label, 2, 4) + ~seed
    strata[np.equal.outer(unit, unit)] = 0
    strata[prompt & ~seed] = 1
    return strata


def codes_of(labels):
    """The number of each label, in the order of their names: [N] of [N]."""
    return np.unique(labels, return_inverse=True)[1]


def centred(x):
    """Features [N, D] about their mean over samples."""
    return x - x.mean(axis=0)


def rows(table, **where):
    """The rows whose columns have these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    return table
