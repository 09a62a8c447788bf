"""A small study with an emotion planted in uncond from step 15 on, analysed once for all figure tests."""

from functools import cached_property
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from fake_clips import clip_table
from fakes import Measured, Stored, analysed, codes_of, make_design, sized

from innerear.io.tables import read_table, write_table
from innerear.statistics.table import layer_map

S, D, LAYERS = 33, 12, (0, 3)
ONSET = 15


def features(design, layer):
    rng = np.random.default_rng(layer)
    x = rng.normal(size=(design.n_samples, 2, S, D)) + 3
    codes = codes_of(design.labels)
    x[:, 1, ONSET:] += 2 * rng.normal(size=(4, D))[codes][:, None]
    x[:, 1, 0] = x[0, 1, 0]
    return x.astype(np.float16)


def clips(design):
    """Loudness goes with the emotion, noise does not, and no clip has a tempo."""
    n, rng = design.n_samples, np.random.default_rng(9)
    loudness = codes_of(design.labels) + 0.1 * rng.normal(size=n)
    values = np.c_[loudness, rng.normal(size=n), np.full(n, np.nan)]
    return clip_table(design, values, ["loudness", "noise", "tempo"], ["dB", "", ""])


class Study:
    """Tables as read from their files, and arrays by layer; each analysis runs when it is first asked for."""

    onset, n_steps, layers = ONSET, S, LAYERS

    def __init__(self, folder):
        self.folder, self.design = folder, make_design(4)
        self.samples, self.clips = self.design.samples, clips(self.design)
        self.grams = {
            layer: Measured(features(self.design, layer), self.design, pads=3, n_bins=5) for layer in LAYERS
        }
        for gram in self.grams.values():
            gram.arrays["level_share"] = (("branch", "step"), np.full((3, S), 0.9, np.float32))
        self._results = {}

    def results(self, name, **options):
        """Results of an analysis, by layer."""
        if name not in self._results:
            analysis = import_module(f"innerear.analyses.{name}")
            self._results[name] = {
                layer: analysed(analysis, gram, self.design, layer=layer, **options)
                for layer, gram in self.grams.items()
            }
        return self._results[name]

    def arrays(self, name, **options):
        """Arrays of an analysis as their files would give them, by layer."""
        return {
            layer: Stored(result.arrays, result.coords)
            for layer, result in self.results(name, **options).items()
        }

    def mapped(self, name, **options):
        """The map of an analysis, as read from its file."""
        results = self.results(name, **options).values()
        tables, nulls = [result.table for result in results], [result.null for result in results]
        analysis = import_module(f"innerear.analyses.{name}")
        joined = hasattr(analysis, "MAP_COLUMNS")
        return self.stored(name, layer_map(analysis, tables, nulls) if joined else pd.concat(tables))

    def stored(self, name, table):
        write_table(table, self.folder / f"{name}.tsv")
        return read_table(self.folder / f"{name}.tsv")

    @cached_property
    def similarity(self):
        return self.mapped("similarity")

    @cached_property
    def matrices(self):
        return self.arrays("similarity")

    @cached_property
    def components(self):
        return self.mapped("components", n_shuffles=20)

    @cached_property
    def scores(self):
        return self.arrays("components", n_shuffles=20)

    @cached_property
    def sound(self):
        return self.mapped("sound", clips=self.clips)

    @cached_property
    def discriminability(self):
        return self.mapped("discriminability")

    @cached_property
    def best(self):
        from innerear.analyses.best_layers import best_layers

        folds = self.arrays("discriminability")
        return self.stored("best_layers", best_layers(folds, self.design, model="nano"))

    @cached_property
    def emergence(self):
        return self.mapped("emergence")

    @cached_property
    def generalisation(self):
        return self.mapped("generalisation")

    @cached_property
    def dimensions(self):
        return self.mapped("dimensions")

    @cached_property
    def alignment(self):
        from innerear.analyses.alignment import alignment

        return alignment(self.grams, sized(self.design, n_bootstraps=20), model="nano")


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def answers(study):
    """The same study, whose maps tell what was planted."""
    return study
