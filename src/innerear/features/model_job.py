"""Jobs that need the model: the cost of splices on held-out clips, and the positive control."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import torch

from innerear.features.clips import DELTA, UNCOND, evenly, held_out
from innerear.features.known import code_embeddings, recovered_atoms, summed_embeddings
from innerear.features.layer_job import load_layer, trained_on
from innerear.features.measures import Components, fvu, write_with
from innerear.features.splice import cost_rows, edits, splice_costs, unigram_nats
from innerear.features.tokens import layer_tokens
from innerear.features.training import train
from innerear.models.base import MusicModel
from innerear.stacks.index import read_codes
from innerear.study.features import FEWEST
from innerear.timeline import Timeline

# Clips that are replayed with each edit: enough for a mean, few enough for a minute.
_CLIPS = 24
_AT_ONCE = 12
#: how the positive control is trained: short embeddings are found last
KNOWN: Mapping[str, Any] = {"steps": 800, "batch": 1024}
# Its latents, as a rule, and how many of them write a token: as many as there are codebooks.
_LATENTS, _ACTIVE = 1024, 4


def splice_table(
    model: MusicModel,
    samples: pd.DataFrame,
    *,
    folder: str | PathLike,
    layers: Sequence[int],
    site: str,
    guidance: float | None,
    memory_gb: float = 4,
) -> pd.DataFrame:
    """Replay held-out clips with each edit in each layer; rows of `cost_rows`.

    One clip of each prompt that dictionaries were not trained on, at most `_CLIPS`, spread over them; all
    prompts where nothing is held out. Principal components are of the other clips, at most as many as take
    `memory_gb`, spread over them.
    """
    dictionaries = {layer: load_layer(folder, layer, own=True) for layer in layers}
    training = set().union(*map(trained_on, dictionaries.values()))
    prompts = samples["prompt_id"].tolist()
    seen = np.isin(prompts, list(training))
    held = samples.iloc[np.flatnonzero(held_out(prompts, training))]
    chosen = held[~held["prompt_id"].duplicated()]
    chosen = chosen.iloc[evenly(len(chosen), _CLIPS)]
    codes, timeline = tokens_of(chosen)
    others = samples.iloc[np.flatnonzero(seen)] if seen.any() else samples
    read = others.iloc[evenly(len(others), _clips_within(memory_gb, timeline, model))]
    by_layer = {}
    for layer, found in dictionaries.items():
        base = found[UNCOND][0].to(model.device)
        base.require_unseen([] if seen.all() else chosen["prompt_id"])
        contents = read["content_sha256"].tolist()
        tokens = layer_tokens(read["stack"].tolist(), layer, [UNCOND], site=site, contents=contents)[0]
        components = Components(tokens, min(base.k, tokens.shape[-1]))
        of_layer = edits(base, found.get(DELTA, found[UNCOND])[0].to(model.device), components)
        if DELTA not in found:
            del of_layer["base + delta"]
        by_layer[layer] = of_layer
    unigram = unigram_nats(codes.numpy(), tokens_of(others)[0].numpy(), model.card)
    parts = []
    for start in range(0, len(chosen), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        texts = chosen["text"].tolist()[some]
        options = {"guidance": guidance or 1.0, "site": site}
        parts.append(splice_costs(model, codes[some], texts, timeline, by_layer, **options))
    costs = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return pd.DataFrame(cost_rows(costs, unigram)).assign(model=model.name, unigram=unigram)


def known_rows(model: MusicModel, samples: pd.DataFrame, *, memory_gb: float = 4) -> pd.DataFrame:
    """Train on sums of code embeddings, and return the share of each codebook's that are found again.

    They are of at most as many clips as take `memory_gb`, spread over the samples.

    Rows of ``codebook``, ``found``, ``chance`` (by the untrained decoder's random directions) and ``fvu``;
    none where there are too few tokens for as many latents.
    """
    codes, timeline = tokens_of(samples)
    codes = codes[evenly(len(codes), _clips_within(memory_gb, timeline, model))]
    embeddings = code_embeddings(model)
    tokens, read = summed_embeddings(codes.numpy(), embeddings, timeline)
    flat = tokens.reshape(-1, tokens.shape[-1])
    n_latents = min(_LATENTS, len(flat) // FEWEST)
    columns = ["codebook", "found", "chance", "fvu", "n_latents", "n_tokens", "model"]
    if n_latents <= _ACTIVE:
        return pd.DataFrame(columns=columns)
    trained = train(flat, n_latents, _ACTIVE, **KNOWN)
    found = recovered_atoms(trained.decoder, embeddings, read)
    noise = torch.randn(trained.decoder.shape, generator=torch.Generator().manual_seed(1))
    by_chance = recovered_atoms(noise, embeddings, read)
    return pd.DataFrame(
        {
            "codebook": np.arange(len(found)),
            "found": found,
            "chance": by_chance,
            "fvu": fvu(flat, write_with(trained.reconstruct, flat)),
            "n_latents": n_latents,
            "n_tokens": len(flat),
            "model": model.name,
        }
    )


def tokens_of(samples: pd.DataFrame) -> tuple[torch.Tensor, Timeline]:
    """Return the tokens int64 [N, K, T] of samples, and their timeline, as a model replays them."""
    codes, timeline = read_codes(samples)
    return torch.from_numpy(codes).long(), timeline


def _clips_within(memory_gb: float, timeline: Timeline, model: MusicModel) -> int:
    """Return how many clips' tokens, float32 [S', D] each, take so many GB."""
    return int(memory_gb * 1e9 / (4 * int(timeline.complete.sum()) * model.d_model))
