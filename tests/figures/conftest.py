"""A small study with an emotion planted in uncond from step 15 on, analysed once for all figure tests."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from innerear.analyses.alignment import alignment
from innerear.analyses.components import layer_components
from innerear.analyses.dimensions import dimensions_map, layer_dimensions
from innerear.analyses.discriminability import best_layers, discriminability_map, layer_discriminability
from innerear.analyses.emergence import emergence_map, layer_emergence
from innerear.analyses.generalisation import generalisation_map, layer_generalisation
from innerear.analyses.similarity import layer_similarity, similarity_map
from innerear.analyses.sound import correlation_map, layer_correlation
from innerear.gram.layer_pass import layer_gram
from innerear.io.tables import read_table, write_table
from innerear.stacks import GramFile
from innerear.statistics.design import Design

EMOTIONS = ("happy", "sad", "calm", "energetic")
S, D, LAYERS = 33, 12, (0, 3)
ONSET = 15


def features(design, layer):
    rng = np.random.default_rng(layer)
    x = rng.normal(size=(design.n_samples, 2, S, D)) + 3
    codes = np.unique(design.labels, return_inverse=True)[1]
    x[:, 1, ONSET:] += 2 * rng.normal(size=(4, D))[codes][:, None]
    x[:, 1, 0] = x[0, 1, 0]
    return x.astype(np.float16)


def clip_table(design):
    rng = np.random.default_rng(9)
    codes = np.unique(design.labels, return_inverse=True)[1]
    values = {
        "loudness": codes + 0.1 * rng.normal(size=design.n_samples),
        "noise": rng.normal(size=design.n_samples),
        "tempo": np.full(design.n_samples, np.nan),
    }
    rows = [
        (sample, name, "dB" if name == "loudness" else "", column[i], "silent" if np.isnan(column[i]) else "")
        for name, column in values.items()
        for i, sample in enumerate(design.samples["sample_id"])
    ]
    return pd.DataFrame(rows, columns=["sample_id", "feature", "unit", "value", "reason"])


def analyse(folder, design, layer):
    """Write one layer's files; return its tables."""
    x, complete = features(design, layer), np.r_[np.zeros(3), np.ones(S - 6), np.zeros(3)].astype(bool)
    arrays, coords = layer_gram(lambda i, steps: x[i][:, steps], len(x), complete, n_bins=5)
    arrays["seconds"] = (("step",), np.arange(S, dtype=np.float32) / 50)
    coords["sample"] = coords["sample_2"] = np.array(design.samples["sample_id"])
    GramFile.write(folder / f"gram_{layer}.h5", arrays, coords)
    options = {"model": "nano", "layer": layer}
    with GramFile(folder / f"gram_{layer}.h5") as gram:
        similarity = layer_similarity(gram, design, n_permutations=99, n_bootstraps=50, **options)
        components = layer_components(gram, design, n_permutations=20, **options)
        correlation = layer_correlation(
            gram, clip_table(design), design, n_permutations=99, n_bootstraps=50, **options
        )
    GramFile.write(folder / f"similarity_{layer}.nc", similarity.arrays, similarity.coords)
    GramFile.write(folder / f"components_{layer}.nc", components.arrays, components.coords)
    return similarity, components, correlation


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Tables as read from their files, and open files by layer."""
    folder = tmp_path_factory.mktemp("study")
    rows = [
        (f"t{t}-{emotion}/seed-{seed}", f"t{t}-{emotion}", f"t{t}", emotion, seed)
        for emotion in EMOTIONS
        for t in range(4)
        for seed in range(2)
    ]
    design = Design(pd.DataFrame(rows, columns=["sample_id", "prompt_id", "template", "emotion", "seed"]))
    results = [analyse(folder, design, layer) for layer in LAYERS]
    similarity, components, correlation = zip(*results, strict=True)
    tables = {
        "similarity": similarity_map([r.table for r in similarity], [r.null for r in similarity]),
        "components": pd.concat([r.table for r in components]),
        "correlation": correlation_map([r.table for r in correlation], [r.null for r in correlation]),
    }
    for name, table in tables.items():
        write_table(table, folder / f"{name}.tsv")

    def opened(kind, suffix):
        return {layer: GramFile(folder / f"{kind}_{layer}.{suffix}") for layer in LAYERS}

    return SimpleNamespace(
        design=design,
        samples=design.samples,
        clips=clip_table(design),
        onset=ONSET,
        n_steps=S,
        layers=LAYERS,
        grams=opened("gram", "h5"),
        matrices=opened("similarity", "nc"),
        scores=opened("components", "nc"),
        **{name: read_table(folder / f"{name}.tsv") for name in tables},
    )


@pytest.fixture(scope="session")
def answers(study):
    """Maps of the analyses of the label, as read from their files, and what goes with them."""
    options = {"model": "nano", "n_permutations": 99, "n_bootstraps": 50}
    found = {name: [] for name in ("discriminability", "emergence", "generalisation", "dimensions")}
    for layer, gram in study.grams.items():
        for name, analyse_layer in (
            ("discriminability", layer_discriminability),
            ("emergence", layer_emergence),
            ("generalisation", layer_generalisation),
            ("dimensions", layer_dimensions),
        ):
            found[name].append(analyse_layer(gram, study.design, layer=layer, **options))
    join = {
        "discriminability": discriminability_map,
        "emergence": emergence_map,
        "generalisation": generalisation_map,
        "dimensions": dimensions_map,
    }
    tables = {
        name: join[name]([r.table for r in all_], [r.null for r in all_]) for name, all_ in found.items()
    }
    folds = {
        layer: InMemory(result) for layer, result in zip(study.layers, found["discriminability"], strict=True)
    }
    tables["best"] = best_layers(folds, study.design, model="nano")
    tables["alignment"] = alignment(study.grams, study.design, model="nano", n_bootstraps=20)
    return SimpleNamespace(**tables)


class InMemory:
    """`LayerDiscriminability.arrays` as its file would give them."""

    def __init__(self, result):
        self.arrays, self.axes = result.arrays, result.coords

    def read(self, name):
        return self.arrays[name][1]

    def coords(self, axis):
        return self.axes[axis]
