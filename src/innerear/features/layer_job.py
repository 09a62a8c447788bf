"""The job of one layer: train all dictionaries, measure them, and encode all clips."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from innerear.errors import InputError
from innerear.features.activations import dense, write_activations
from innerear.features.clips import DELTA, GAUSSIAN, RANDOM_INIT, UNCOND, Clips, States
from innerear.features.dictionary import Dictionary
from innerear.features.encoding import encode_layer
from innerear.features.files import load, load_own, save
from innerear.features.measures import (
    Components,
    agreement,
    chance,
    fvu,
    fvu_within_steps,
    gaussian_twin,
    matched,
    stable,
    write_with,
    written_and_firing,
)
from innerear.features.tokens import TokenSteps
from innerear.features.training import train
from innerear.stacks.gram_file import Arrays, Coords
from innerear.study.dictionaries import require_of, root_of, seeds_of

# Seeds of the random twin: two, so that their agreement is known.
_TWIN_SEEDS = 2


def train_layer(
    states: States, settings: Mapping[str, Any], *, n_seeds: int, device: torch.device | str = "cpu"
) -> dict[str, list[Dictionary]]:
    """Train the dictionaries of a layer: of uncond with all seeds, of delta and of noise with one, of the
    random twin with two.

    Raises
    ------
    InputError: as `train`, with the layer and what was trained on.
    """
    wanted = {UNCOND: n_seeds, DELTA: 1, GAUSSIAN: 1, RANDOM_INIT: _TWIN_SEEDS}
    found: dict[str, list[Dictionary]] = {}
    for of in (*states.of, GAUSSIAN):
        noise = of == GAUSSIAN
        source = gaussian_twin(states.seen(UNCOND), seed=0) if noise else states.source(of, device)
        tokens = torch.from_numpy(source).to(device) if isinstance(source, np.ndarray) else source
        try:
            found[of] = [train(tokens, seed=seed, **settings).to("cpu") for seed in range(wanted[of])]
        except InputError as error:
            raise InputError(f"layer {states.layer}, {of}: {error}") from None
    return found


def trained_on(dictionaries: Mapping[str, Sequence[Dictionary]]) -> set[str]:
    """Return the prompts that any of a layer's dictionaries were trained on."""
    every = (one for seeds in dictionaries.values() for one in seeds)
    return {prompt for one in every for prompt in one.metadata.get("training_prompts", ())}


def dictionaries_of(
    clips: Clips, states: States, settings: Mapping[str, Any], params: Any
) -> dict[str, list[Dictionary]]:
    """Return a layer's dictionaries: those of ``params.given``, or newly trained ones where it is empty.

    Of given ones, `clips` then knows which of its prompts they were trained on.

    Raises
    ------
    InputError: given ones that are of another width, site or model than the clips; see `load_layer`.
    """
    if params.given:
        wanted = {
            "d_in": states.d_model,
            "site": clips.site,
            "model_identity": clips.metadata.get("model_identity"),
        }
        # Controls that were trained elsewhere are none here.
        of = [one for one in (UNCOND, DELTA) if one in states.of]
        given = load_layer(params.given, states.layer, of, wanted=wanted)
        clips.training = sorted(trained_on(given) & set(clips.prompts))
        return given
    device = "cuda" if params.device != "cpu" and torch.cuda.is_available() else "cpu"
    return train_layer(states, settings, n_seeds=params.n_seeds, device=device)


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
            metadata["n_seeds"] = {name: len(every) for name, every in dictionaries.items()}
            save(one, Path(folder, of, f"layer_{layer:02d}", f"seed-{seed}"), metadata)


def load_layer(
    folder: str | PathLike,
    layer: int,
    of: Sequence[str] = (UNCOND, DELTA, RANDOM_INIT, GAUSSIAN),
    *,
    wanted: Mapping[str, Any] | None = None,
    own: bool = False,
) -> dict[str, list[Dictionary]]:
    """Open the dictionaries of a layer; those of uncond must be there.

    Parameters
    ----------
    of : what they are of.
    wanted : what else they must be, where they say it, see `require_of`.
    own : whether they are those that the study wrote into this folder.

    Raises
    ------
    InputError: no dictionary of uncond for this layer, one of another layer or branch, or, of the study's
        own, one under another name, or one too few; see `load`.
    """
    found: dict[str, list[Dictionary]] = {}
    for one in of:
        if one == UNCOND or (root_of(folder) / one / f"layer_{layer:02d}").is_dir():
            paths = seeds_of(folder, one, layer)
            found[one] = [load_own(path) if own else load(path) for path in paths]
            for path, dictionary in zip(paths, found[one], strict=True):
                says = {**dictionary.metadata, "d_in": dictionary.d_model}
                require_of(path, says, {"layer": layer, "branch": one, **(wanted or {})})
    return found


def measure_layer(
    states: States, dictionaries: Mapping[str, Sequence[Dictionary]], settings: Mapping[str, Any]
) -> pd.DataFrame:
    """Measure a layer's dictionaries and their controls on the clips that they were not trained on.

    Returns
    -------
    Rows of ``of`` (what was trained on), ``written by``, ``measure`` and ``estimate``.
    """
    rows = []
    seen = {of: states.seen(of) for of in dictionaries if of != GAUSSIAN}
    seen = seen if len(seen[UNCOND]) else {}
    held = {of: states.held(of) for of in dictionaries if of != GAUSSIAN}
    out = "held-out clips" if states.holds_out else "training clips"

    def add(of: str, by: str, measure: str, value: float, of_clips: str = out) -> None:
        rows.append({"of": of, "written_by": by, "measure": measure, "estimate": value, "clips": of_clips})

    written_as: dict[str, np.ndarray] = {}
    for of, seeds in dictionaries.items():
        x = held[of] if of != GAUSSIAN else gaussian_twin(held[UNCOND], seed=1)
        x = x.reshape(held[UNCOND].shape)
        written_as[of] = _add_fit(add, of, "dictionary", x, seeds[0])
        if of in seen:
            fitted, fires = written_and_firing(seeds[0], seen[of])
            add(of, "dictionary", "FVU", fvu(seen[of], fitted), "training clips")
            add(of, "dictionary", "dead", float((fires == 0).mean()), "training clips")
            components = Components(seen[of], min(seeds[0].k, seeds[0].d_model))
            written = write_with(components, x)
            add(of, "components", "FVU", fvu(x, written))
            add(of, "components", "FVU within steps", fvu_within_steps(x, written))
        if len(seeds) > 1:
            pairs = [(a, b) for i, a in enumerate(seeds) for b in seeds[i + 1 :]]
            add(of, "dictionary", "agreement", _mean(agreement, pairs))
            add(of, "dictionary", "agreement by chance", _mean(chance, pairs))
    if DELTA in dictionaries:
        # What uncond's dictionary does to delta: its error in cond less that in uncond.
        cond = write_with(dictionaries[UNCOND][0].reconstruct, held[UNCOND] + held[DELTA])
        add(DELTA, "dictionary of uncond", "FVU", fvu(held[DELTA], cond - written_as[UNCOND]))
    if seen and GAUSSIAN in dictionaries:  # which only newly trained ones have
        flat = seen[UNCOND].reshape(-1, seen[UNCOND].shape[-1])
        frozen = train(flat, freeze_decoder=True, **settings)
        _add_fit(add, UNCOND, "frozen decoder", held[UNCOND], frozen)
    return pd.DataFrame(rows).assign(layer=states.layer)


def _mean(measure: Any, pairs: Sequence[tuple[Dictionary, Dictionary]]) -> float:
    """Return the mean of a measure of two decoders over pairs of dictionaries."""
    return float(np.mean([measure(one.decoder, other.decoder) for one, other in pairs]))


def _add_fit(add: Any, of: str, by: str, x: np.ndarray, dictionary: Dictionary) -> np.ndarray:
    """Add how well a dictionary writes states; return them as it writes them."""
    written, fires = written_and_firing(dictionary, x)
    add(of, by, "FVU", fvu(x, written))
    add(of, by, "FVU within steps", fvu_within_steps(x, written))
    add(of, by, "L0", float(fires.sum()))
    add(of, by, "dead", float((fires == 0).mean()))
    add(of, by, "median density", float(np.median(fires)))
    return written


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
    site = clips.site
    recorded = TokenSteps(clips.stacks[0], site).branches
    by_branch = {branch: dictionaries[UNCOND][0] for branch in recorded}
    if DELTA in dictionaries:
        by_branch[DELTA] = dictionaries[DELTA][0]
    indices, values, steps = encode_layer(clips.stacks, layer, by_branch, site=site, contents=clips.contents)
    if len(clips.twins) and RANDOM_INIT in dictionaries:
        by_branch[RANDOM_INIT] = dictionaries[RANDOM_INIT][0]
        twin = encode_layer(clips.twins, layer, {UNCOND: by_branch[RANDOM_INIT]}, site=site)
        indices, values = (
            np.concatenate([own, of_twin], axis=1) for own, of_twin in ((indices, twin[0]), (values, twin[1]))
        )
    sizes = {name: one.n_latents for name, one in by_branch.items()}
    write_activations(path, indices, values, steps, samples=ids, n_latents=sizes, attrs=attrs)
    encoded = {name: (indices[:, c], values[:, c], one) for c, (name, one) in enumerate(by_branch.items())}
    coords: Coords = {"sample": np.asarray(ids, str)}
    arrays: Arrays = {"training": (("sample",), np.isin(clips.prompts, clips.training))}
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
