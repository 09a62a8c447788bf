"""What one job does for one layer of a study: train all dictionaries and measure them; encode all clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from innerear.errors import InputError
from innerear.features.dictionary import Dictionary
from innerear.features.encoding import dense, encode_layer, write_activations
from innerear.features.files import load, save
from innerear.features.measures import (
    Components,
    agreement,
    chance,
    firing,
    fvu,
    fvu_within_steps,
    gaussian_twin,
    matched,
    stable,
    write_with,
)
from innerear.features.tokens import layer_tokens, source
from innerear.features.training import InMemory, train
from innerear.stacks import stacks_hash
from innerear.stacks.gram_file import Arrays, Coords

#: what dictionaries are trained on: states without the text, the text's direct effect, and two controls
UNCOND, DELTA, RANDOM_INIT, GAUSSIAN = "uncond", "delta", "random_init", "gaussian"
# Seeds of the random twin: two, so that their agreement is known.
_TWIN_SEEDS = 2


@dataclass
class Clips:
    """The clips of a study, and those of its random twin at the same places.

    Attributes
    ----------
    stacks, contents, prompts : [N] files, content hashes and prompt ids.
    twins : [N] stacks of the random twin; none where it was not asked for.
    training : prompts to train on.
    """

    stacks: list[str]
    contents: list[str | None]
    prompts: list[str]
    twins: list[str] = field(default_factory=list)
    training: list[str] = field(default_factory=list)
    site: str = "residual"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: pd.DataFrame, params: Any, twin: str) -> "Clips":
        """Return the clips of an index.

        Parameters
        ----------
        params : ``training``, ``site`` and ``study``, by attribute.
        twin : folder of the random twin's stacks; empty where there are none.
        """
        provenance = {
            "study": params.study,
            "model_identity": str(samples["model_identity"].iloc[0]),
            "index_sha256": stacks_hash(samples),
        }
        return cls(
            *(samples[name].tolist() for name in ("stack", "content_sha256", "prompt_id")),
            twins=[f"{twin}/{sample}.h5" for sample in samples["sample_id"]] if twin else [],
            training=list(params.training),
            site=params.site,
            metadata=provenance,
        )

    def rows(self, *, training: bool) -> np.ndarray:
        """Return the clips that are trained on, or the others; all where nothing is held out."""
        seen = np.isin(self.prompts, list(self.training))
        return np.flatnonzero(seen if training else ~seen if not seen.all() else seen)

    def source(self, of: str, layer: int, *, memory_gb: float, device: torch.device | str):
        """Return the tokens to train on."""
        rows = self.rows(training=True)
        twin = of == RANDOM_INIT
        paths = [(self.twins if twin else self.stacks)[i] for i in rows]
        contents = None if twin else [self.contents[i] for i in rows]
        branch = UNCOND if of in (RANDOM_INIT, GAUSSIAN) else of
        options = {"memory_gb": memory_gb, "device": device, "site": self.site, "contents": contents}
        found = source(paths, layer, branch, **options)
        if of != GAUSSIAN:
            return found
        if not isinstance(found, InMemory):
            raise InputError("features.memory_gb: the Gaussian twin needs the layer in memory; allow more")
        return InMemory(gaussian_twin(found.tokens.cpu().numpy(), seed=0), device)

    def states(self, of: str, layer: int, *, training: bool) -> np.ndarray:
        """Return the tokens [N', S', D] of the clips that are, or are not, trained on."""
        rows, twin = self.rows(training=training), of == RANDOM_INIT
        paths = [(self.twins if twin else self.stacks)[i] for i in rows]
        contents = None if twin else [self.contents[i] for i in rows]
        branch = UNCOND if twin else of
        return layer_tokens(paths, layer, branch, site=self.site, contents=contents)


def train_layer(
    clips: Clips,
    layer: int,
    settings: Mapping[str, Any],
    *,
    n_seeds: int,
    memory_gb: float = 4,
    device: torch.device | str = "cpu",
) -> dict[str, list[Dictionary]]:
    """Train the dictionaries of a layer: of uncond with all seeds, of delta and of noise with one, of the
    random twin with two.

    Raises
    ------
    InputError: as `train`, with the layer and what was trained on.
    """
    wanted = {UNCOND: n_seeds, DELTA: 1, GAUSSIAN: 1}
    if len(clips.twins):
        wanted[RANDOM_INIT] = _TWIN_SEEDS
    found: dict[str, list[Dictionary]] = {}
    for of, seeds in wanted.items():
        tokens = clips.source(of, layer, memory_gb=memory_gb, device=device)
        try:
            found[of] = [train(tokens, seed=seed, **settings).to("cpu") for seed in range(seeds)]
        except InputError as error:
            raise InputError(f"layer {layer}, {of}: {error}") from None
    return found


def trained_on(dictionaries: Mapping[str, Sequence[Dictionary]]) -> set[str]:
    """Return the prompts that any of a layer's dictionaries were trained on."""
    every = (one for seeds in dictionaries.values() for one in seeds)
    return {prompt for one in every for prompt in one.metadata.get("training_prompts", ())}


def dictionaries_of(
    clips: Clips, layer: int, settings: Mapping[str, Any], params: Any
) -> dict[str, list[Dictionary]]:
    """Return a layer's dictionaries: those of ``params.given``, or newly trained ones where it is empty.

    Of given ones, `clips` then knows which of its prompts they were trained on.
    """
    if params.given:
        found = load_layer(params.given, layer)
        # Controls that were trained elsewhere are none here.
        given = {of: found[of] for of in (UNCOND, DELTA) if of in found}
        clips.training = sorted(trained_on(given) & set(clips.prompts))
        return given
    device = "cuda" if params.device != "cpu" and torch.cuda.is_available() else "cpu"
    return train_layer(
        clips, layer, settings, n_seeds=params.n_seeds, memory_gb=params.memory_gb, device=device
    )


def save_layer(
    dictionaries: Mapping[str, Sequence[Dictionary]],
    folder: str | PathLike,
    clips: Clips,
    layer: int,
    **more: Any,
) -> None:
    """Write dictionaries as ``{what}/layer_{layer}/seed-{seed}`` into a folder."""
    for of, seeds in dictionaries.items():
        for seed, one in enumerate(seeds):
            metadata = {
                **clips.metadata,
                **more,
                "site": clips.site,
                "layer": layer,
                "branch": of,
                "seed": seed,
                "training_prompts": list(clips.training),
            }
            metadata |= one.metadata  # of a finished one: where it comes from
            save(one, Path(folder, of, f"layer_{layer:02d}", f"seed-{seed}"), metadata)


def load_layer(folder: str | PathLike, layer: int) -> dict[str, list[Dictionary]]:
    """Open the dictionaries of a layer; those of uncond must be there.

    Raises
    ------
    InputError: no dictionary of uncond for this layer; see `load`.
    """
    root = Path(folder)
    if (root / "features" / "dictionaries").is_dir():
        root = root / "features" / "dictionaries"
    found: dict[str, list[Dictionary]] = {}
    for of in (UNCOND, DELTA, RANDOM_INIT, GAUSSIAN):
        seeds = sorted(
            (root / of / f"layer_{layer:02d}").glob("seed-*"), key=lambda one: (len(one.name), one.name)
        )
        if seeds:
            found[of] = [load(one) for one in seeds]
    if UNCOND not in found:
        raise InputError(
            f"features.dictionaries: {folder} has no {UNCOND}/layer_{layer:02d}/seed-*: name a study "
            "with features that has run (snakemake --configfile studies/….yaml -- all_features), or a folder "
            "of dictionaries in that layout"
        )
    return found


def measure_layer(
    clips: Clips, layer: int, dictionaries: Mapping[str, Sequence[Dictionary]], settings: Mapping[str, Any]
) -> pd.DataFrame:
    """Measure a layer's dictionaries and their controls on the clips that they were not trained on.

    Returns
    -------
    Rows of ``of`` (what was trained on), ``written by``, ``measure`` and ``estimate``.
    """
    held, rows = clips.rows(training=False), []
    out = (
        "held-out clips"
        if not np.isin(np.asarray(clips.prompts)[held], clips.training).any()
        else "training clips"
    )

    def add(of: str, by: str, measure: str, value: float, of_clips: str = out) -> None:
        rows.append({"of": of, "written_by": by, "measure": measure, "estimate": value, "clips": of_clips})

    states = {of: clips.states(of, layer, training=False) for of in dictionaries if of != GAUSSIAN}
    seen = {of: clips.states(of, layer, training=True) for of in states} if len(clips.training) else {}
    for of, seeds in dictionaries.items():
        x = states[of] if of != GAUSSIAN else gaussian_twin(states[UNCOND], seed=1)
        x = x.reshape(states[UNCOND].shape)
        _add_fit(add, of, "dictionary", x, seeds[0])
        if of in seen:
            fitted = write_with(seeds[0].reconstruct, seen[of])
            add(of, "dictionary", "FVU", fvu(seen[of], fitted), "training clips")
            dead = float((firing(seeds[0], seen[of]) == 0).mean())
            add(of, "dictionary", "dead", dead, "training clips")
            components = Components(seen[of], min(seeds[0].k, seeds[0].d_model))
            written = write_with(components, x)
            add(of, "components", "FVU", fvu(x, written))
            add(of, "components", "FVU within steps", fvu_within_steps(x, written))
        if len(seeds) > 1:
            pairs = [(a, b) for i, a in enumerate(seeds) for b in seeds[i + 1 :]]
            add(of, "dictionary", "agreement", _mean(agreement, pairs))
            add(of, "dictionary", "agreement by chance", _mean(chance, pairs))
    if DELTA in dictionaries:
        _add_delta(add, clips, layer, states, dictionaries[UNCOND][0])
    if seen:
        flat = seen[UNCOND].reshape(-1, seen[UNCOND].shape[-1])
        frozen = train(flat, freeze_decoder=True, **settings)
        _add_fit(add, UNCOND, "frozen decoder", states[UNCOND], frozen)
    return pd.DataFrame(rows).assign(layer=layer)


def _mean(measure: Any, pairs: Sequence[tuple[Dictionary, Dictionary]]) -> float:
    """Return the mean of a measure of two decoders over pairs of dictionaries."""
    return float(np.mean([measure(one.decoder, other.decoder) for one, other in pairs]))


def _add_fit(add: Any, of: str, by: str, x: np.ndarray, dictionary: Dictionary) -> None:
    written = write_with(dictionary.reconstruct, x)
    fires = firing(dictionary, x)
    add(of, by, "FVU", fvu(x, written))
    add(of, by, "FVU within steps", fvu_within_steps(x, written))
    add(of, by, "L0", float(fires.sum()))
    add(of, by, "dead", float((fires == 0).mean()))
    add(of, by, "median density", float(np.median(fires)))


def _add_delta(
    add: Any, clips: Clips, layer: int, states: Mapping[str, np.ndarray], base: Dictionary
) -> None:
    """Add what a dictionary of the states does to delta: its error in cond less that in uncond."""
    uncond, delta = states[UNCOND], states[DELTA]
    written = write_with(base.reconstruct, uncond + delta) - write_with(base.reconstruct, uncond)
    add(DELTA, "dictionary of uncond", "FVU", fvu(delta, written))


def encode_clips(
    clips: Clips,
    layer: int,
    dictionaries: Mapping[str, Sequence[Dictionary]],
    ids: Sequence[str],
    path: str | PathLike,
    attrs: Mapping[str, Any],
) -> tuple[Arrays, Coords]:
    """Write the sparse activations of a layer's clips, and return them reduced to clips.

    cond and uncond are encoded with the dictionary of uncond, delta with its own, and the random twin's
    uncond with the twin's.

    Returns
    -------
    For `GramFile.write`: ``mean_{branch}`` and ``rate_{branch}`` [sample, latents] of each branch,
    ``stable`` [latents], ``twin_cosine`` [latents], and ``training`` bool [sample].
    """
    by_branch = {"cond": dictionaries[UNCOND][0], UNCOND: dictionaries[UNCOND][0]}
    if DELTA in dictionaries:
        by_branch[DELTA] = dictionaries[DELTA][0]
    options = {"site": clips.site}
    indices, values, steps = encode_layer(clips.stacks, layer, by_branch, contents=clips.contents, **options)
    write_activations(path, indices, values, steps, samples=ids, dictionaries=by_branch, attrs=attrs)
    encoded = {name: (indices[:, c], values[:, c], one) for c, (name, one) in enumerate(by_branch.items())}
    if len(clips.twins) and RANDOM_INIT in dictionaries:
        one = dictionaries[RANDOM_INIT][0]
        which, sizes, _ = encode_layer(clips.twins, layer, {UNCOND: one}, **options)
        encoded[RANDOM_INIT] = which[:, 0], sizes[:, 0], one
    coords: Coords = {"sample": np.asarray(ids, str)}
    arrays: Arrays = {"training": (("sample",), np.isin(clips.prompts, list(trained_on(dictionaries))))}
    for name, (which, sizes, one) in encoded.items():
        coords[f"latent_{name}"] = np.arange(one.n_latents, dtype=np.int32)
        means, rates = clip_means(which, sizes, one.n_latents)
        arrays[f"mean_{name}"] = ("sample", f"latent_{name}"), means
        arrays[f"rate_{name}"] = ("sample", f"latent_{name}"), rates
    found, near = stability(dictionaries)
    arrays["stable"] = (f"latent_{UNCOND}",), found
    arrays["twin_cosine"] = (f"latent_{UNCOND}",), near.astype(np.float32)
    return arrays, coords


def clip_means(indices: np.ndarray, values: np.ndarray, n_latents: int) -> tuple[np.ndarray, np.ndarray]:
    """Reduce clips: each latent's mean activation and the share of steps in which it fires, float32 [N, F].

    Parameters
    ----------
    indices, values : sparse activations [N, S', k].
    """
    means, rates = (np.empty((len(indices), n_latents), np.float32) for _ in range(2))
    for i, (which, sizes) in enumerate(zip(indices, values, strict=True)):
        whole = dense(which, sizes, n_latents)
        means[i], rates[i] = whole.mean(axis=0), (whole > 0).mean(axis=0)
    return means, rates


def stability(dictionaries: Mapping[str, Sequence[Dictionary]]) -> tuple[np.ndarray, np.ndarray]:
    """Return which latents of uncond's first dictionary all seeds find, and their cosine to the twin's."""
    seeds = [one.decoder for one in dictionaries[UNCOND]]
    twin = dictionaries.get(RANDOM_INIT)
    near = matched(seeds[0], twin[0].decoder) if twin else np.full(len(seeds[0]), np.nan)
    return stable(seeds), near
