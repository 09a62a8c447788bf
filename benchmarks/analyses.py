"""CPU time and peak memory of every analysis but the maps, on made-up data, each in a process of its own.

    python benchmarks/analyses.py [--templates 62] [--emotions 4] [--seeds 4] [--only sound lags]

States are normal, with effects of template, emotion, prompt and seed; they are written as Gram files of two
layers. Together they are the CPU seconds of a layer: half of what an analysis of both layers takes, and all
of what is done once a study. `sums.py` has the maps.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
from options import count
from sums import InMemory, sheet

from innerear.acoustics.features import FEATURES
from innerear.acoustics.followed import FOLLOWED, followed
from innerear.analyses import alignment, audio_check, best_layers, embedding, lags
from innerear.analyses.layer import analyse, complete
from innerear.analyses.text_or_history import decomposition, likelihood
from innerear.capture.counterfactual import KEPT, Cells, Clip, cell_gram
from innerear.gram.layer_pass import layer_gram
from innerear.stacks import GramFile, open_layers
from innerear.statistics.design import Design
from innerear.timeline import Timeline

LAYERS = 2
FRAMES = 400
PERMUTATIONS = 1000
OF_A_LAYER = ("components", "generalisation", "dimensions", "affect", "multiverse")
WITH_CLIPS = ("sound", "sound_and_label")
RATINGS = {"0": (0.8, 0.6), "1": (-0.7, -0.5), "2": (0.5, -0.7), "3": (0.2, 0.9)}


class Study:
    """A made-up study in a folder."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        samples = sheet(options)
        rng = np.random.default_rng(0)
        rated = np.array([RATINGS[str(int(one) % 4)] for one in samples["emotion"]])
        of_prompt = pd.factorize(samples["prompt_id"])[0]
        rated = rated + 0.1 * rng.normal(size=(of_prompt.max() + 1, 2))[of_prompt]
        self.samples = samples.assign(valence=rated[:, 0], arousal=rated[:, 1])
        self.design = Design(self.samples, "emotion", n_permutations=PERMUTATIONS)

    def effects(self, layer: int, shape: tuple[int, ...]) -> np.ndarray:
        """Values [N, *shape] with effects of template, emotion, prompt and seed."""
        rng, design = np.random.default_rng(layer), self.design
        label = np.unique(design.prompt_labels, return_inverse=True)[1]
        of_prompt = rng.normal(size=(design.n_blocks, *shape))[design.block_of]
        of_prompt = of_prompt + 0.3 * rng.normal(size=(label.max() + 1, *shape))[label]
        of_prompt = of_prompt + rng.normal(size=(design.n_prompts, *shape))
        return (of_prompt[design.prompt_of] + rng.normal(size=(design.n_samples, *shape))).astype(np.float32)

    def path(self, layer: int) -> str:
        """The Gram file of a layer."""
        return str(self.folder / f"layer_{layer}.h5")

    def write(self, layer: int) -> None:
        """Make a layer's Gram file: 20 bins of two steps."""
        still, width = self.effects(layer, (2, 1, self.options.width)), self.options.width

        def read(i: int, steps: slice) -> np.ndarray:
            moving = np.random.default_rng([layer, i]).normal(size=(2, 40, width))[:, steps]
            return (still[i] + moving).astype(np.float16)

        arrays, coords = layer_gram(
            read, len(still), np.ones(40, bool), memory_mb=1024, n_bins=20, pairs=False
        )
        arrays["seconds"] = (("step",), np.arange(40) / 5)
        coords["sample"] = np.array(self.samples["sample_id"])
        GramFile.write(self.path(layer), arrays, coords, {"layer": layer})

    @property
    def clips(self) -> pd.DataFrame:
        """Clip features that go with the states of layer 0."""
        states = self.effects(0, (2, 1, self.options.width))[:, 1, 0, : len(FEATURES)]
        wide = pd.DataFrame(states, columns=list(FEATURES)).assign(sample_id=self.samples["sample_id"])
        return wide.melt("sample_id", var_name="feature").assign(unit="", reason="")

    def template_cells(self, template: str) -> Cells:
        """The counterfactual cells of a template."""
        own = self.samples.loc[self.samples["template"] == template]
        codes = np.zeros((4, FRAMES), np.int16)
        clips = [
            Clip(row["sample_id"], row["emotion"], row["seed"], f"{row['emotion']} music", codes)
            for row in own.to_dict("records")
        ]
        return Cells(clips, "music", {emotion: f"very {emotion}" for emotion in own["emotion"]})

    def replayed(self) -> dict[str, InMemory]:
        """A layer's counterfactual files; 8 steps of one template, again and again."""
        n_steps, files = self.options.steps, {}
        found, more = {}, {}
        for template in self.samples["template"].unique():
            cells = self.template_cells(template)
            where, axes = cells.coordinates()
            if not found:
                states = np.random.default_rng(0).normal(size=(8, len(cells), self.options.width))
                found, more = cell_gram(states.astype(np.float32), cells, np.ones(8, bool))
                found["complete"] = (("step",), np.ones(8, bool))
                found["seconds"] = (("step",), np.arange(8) / 50)
            named = {name: values for name, (_, values) in where.items()}
            files[template] = InMemory(
                found | where, more | axes | named, pd.DataFrame({"sample_id": []}), n_steps
            )
        return files

    def likelihoods(self) -> dict[str, InMemory]:
        """The likelihood files of all templates."""
        files = {}
        for template in self.samples["template"].unique():
            cells = self.template_cells(template)
            where, axes = cells.coordinates()
            nll = np.random.default_rng(int(template)).uniform(1, 2, (len(cells), len(KEPT), 4, FRAMES))
            where["nll"] = (("cell", "distribution", "codebook", "frame"), nll.astype(np.float32))
            named = {name: values for name, (_, values) in where.items() if name != "nll"}
            axes |= named | {"distribution": np.array(KEPT), "codebook": np.arange(4), "step": np.arange(1)}
            files[template] = InMemory(where, axes, pd.DataFrame({"sample_id": []}), 1)
        return files


def per_layer(study: Study, name: str) -> None:
    """Analyse layer 0."""
    options = {"clips": study.clips} if name in WITH_CLIPS else {}
    with GramFile(study.path(0)) as gram:
        module = import_module(f"innerear.analyses.{name}")
        analyse(module, gram, study.design, model="made up", layer=0, **options)


def between_layers(study: Study, analysis: Callable) -> None:
    """Analyse all layers together."""
    with open_layers([study.path(layer) for layer in range(LAYERS)]) as grams:
        analysis(grams, study.design, model="made up")


def of_moments(study: Study) -> None:
    """Follow the sound; states are made as they are read."""
    timeline, width = Timeline(FRAMES, 4, 50.0), study.options.width
    rng = np.random.default_rng(1)
    names = [name for names in FOLLOWED.values() for name in names]
    frames = {name: rng.normal(size=(len(study.samples), FRAMES)) for name in names}

    def read(i: int) -> np.ndarray:
        drawn = np.random.default_rng(i).integers(-100, 100, (2, timeline.n_steps, width), np.int8)
        return drawn.astype(np.float16)

    found = lags.of_states(read, followed(frames), timeline, study.design)
    complete(lags, found, study.design, model="made up", layer=0)


def of_folds(study: Study) -> None:
    """Rank layers, of what `discriminability` would store."""
    design, rng = study.design, np.random.default_rng(0)
    n = len(design.folds())
    products = rng.normal(size=(3, 1 + PERMUTATIONS, n, n))
    contrasts = rng.normal(size=(3, design.n_templates, design.n_templates))
    arrays = {
        "fold_products": (("branch", "relabeling", "fold", "fold_2"), products + products.swapaxes(2, 3)),
        "bootstraps": (("branch", "bootstrap"), rng.normal(size=(3, design.n_bootstraps))),
        "contrasts": (("branch", "template", "template_2"), contrasts + contrasts.swapaxes(1, 2)),
    }
    axes = {"branch": np.array(["cond", "uncond", "delta"]), "step": np.arange(1)}
    layers = {layer: InMemory(arrays, dict(axes), study.samples, 1) for layer in range(LAYERS)}
    best_layers.best_layers(layers, design, model="made up")


RUNS: dict[str, tuple[int, Callable[[Study], object]]] = {
    **{name: (1, lambda study, name=name: per_layer(study, name)) for name in (*OF_A_LAYER, *WITH_CLIPS)},
    "lags": (1, of_moments),
    "decomposition": (
        1,
        lambda study: decomposition.of_layer(
            study.replayed(), study.design, model="made up", weights="trained", layer=0
        ),
    ),
    "alignment": (LAYERS, lambda study: between_layers(study, alignment.alignment)),
    "embedding": (LAYERS, lambda study: between_layers(study, embedding.embedding)),
    "best_layers": (LAYERS, of_folds),
    "likelihood": (
        0,
        lambda study: likelihood.likelihood_table(
            study.likelihoods(), study.design, model="made up", weights="trained"
        ),
    ),
    "audio_check": (0, lambda study: audio_check.audio_check(study.clips, study.design, model="made up")),
}
"""analysis → layers that it is of, 0 for those of the study; what runs it."""


def main() -> None:
    """Make the study, and run each analysis in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--templates", type=count, default=62)
    parser.add_argument("--emotions", type=count, default=4)
    parser.add_argument("--seeds", type=count, default=4)
    parser.add_argument("--steps", type=count, default=403)
    parser.add_argument("--width", type=count, default=1024)
    parser.add_argument("--only", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--folder", type=Path, help="where the Gram files are, or are to be kept")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        study = Study(options.folder, options)
        start = time.process_time()
        RUNS[options.once][1](study)
        took = time.process_time() - start
        print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        folder.mkdir(exist_ok=True)
        for layer in range(LAYERS):
            if not Path(Study(folder, options).path(layer)).exists():
                Study(folder, options).write(layer)
        total = 0.0
        for name in options.only:
            command = [sys.executable, __file__, *sys.argv[1:], "--folder", str(folder), "--once", name]
            env = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
            took, peak = json.loads(done.stdout.splitlines()[-1])
            n_layers = RUNS[name][0]
            total += took / max(n_layers, 1)
            of = f"for {n_layers} layers" if n_layers > 1 else "a layer" if n_layers else "a study"
            print(f"{name}: {took:.1f} CPU s {of}, {peak:.2f} GiB", flush=True)
        print(f"together {total:.0f} CPU s a layer")


if __name__ == "__main__":
    main()
