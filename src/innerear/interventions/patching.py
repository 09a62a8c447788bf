"""Text or history, causally: read a clip with cond's states taken from another run.

A clip of one pole is read under its own text, while cond's states at one layer are those of another run: of
the same clip under the other pole's text (another text, the same history), or of the other pole's clip under
the own text (another history, the same text). What that costs the clip's tokens is the use made of either.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from innerear.capture.hooks import capture
from innerear.errors import InputError
from innerear.interventions.edits import Replace
from innerear.interventions.fitting import read_clips
from innerear.interventions.running import intervene
from innerear.models import DISTRIBUTIONS, MusicModel
from innerear.study.interventions import Interventions
from innerear.study.prompts import batches

#: what the other run differs in
TEXT, HISTORY = "text", "history"
#: steps that are patched: shares of the clip
WINDOWS = {"whole": (0.0, 1.0), "first half": (0.0, 0.5), "second half": (0.5, 1.0)}
#: the layer of rows of the whole text swapped, and of nothing changed
NO_LAYER = "none"


def patch(
    model: MusicModel, samples: pd.DataFrame, plan: Interventions, *, site: str, guidance: float | None
) -> pd.DataFrame:
    """Read the clips of both poles of every template with patched states.

    Parameters
    ----------
    samples : the study's index.
    site : whose states are replaced, in the layers of `plan`.
    guidance : that the clips were composed with; None without.

    Returns
    -------
    A row per clip and condition: `layer` (a number, or none), `differs` (what the other run differs in; ""
    where nothing is patched), `window`, template, emotion, seed, and `nll` of the clip's tokens in cond, in
    nats a token. The rows of layer none are the clip as it is, and under the other text throughout.

    Raises
    ------
    InputError: the index does not hold one clip of either pole for every template of `plan`.
    """
    every: list[dict[str, Any]] = samples.to_dict("records")
    rows = [
        row
        for row in every
        if row["emotion"] in plan.poles and plan.seeds.get(row["template"]) == row["seed"]
    ]
    rows.sort(key=lambda row: (row["template"], row["emotion"]))
    if len(rows) != 2 * len(plan.neutral):
        raise InputError(f"{len(rows)} clips are not one of either pole in {len(plan.neutral)} templates")
    tables = []
    # Both poles of a template are read together; half as many clips as are composed, since reading holds the
    # logits of all steps.
    size = max(2, plan.settings["batch_size"] // 4 * 2)
    for batch in tqdm(list(batches(rows, size)), desc="patch", unit="batch"):
        tables += _of_batch(model, batch, plan, site, 1.0 if guidance is None else guidance)
    return pd.concat(tables, ignore_index=True)


def _of_batch(
    model: MusicModel, rows: Sequence[Mapping[str, Any]], plan: Interventions, site: str, guidance: float
) -> list[pd.DataFrame]:
    codes, texts, timeline = read_clips(rows)
    other = [i + 1 if i % 2 == 0 else i - 1 for i in range(len(rows))]
    swapped = [texts[i] for i in other]

    def read(under: Sequence[str], tokens: torch.Tensor, edits: Sequence[Replace] = ()) -> np.ndarray:
        with intervene(model, edits):
            nll = model.replay(tokens, under, timeline, guidance=guidance)
        return nll[:, DISTRIBUTIONS.index("cond")].nanmean(dim=(1, 2)).numpy()

    def states(under: Sequence[str], tokens: torch.Tensor) -> dict[int, torch.Tensor]:
        how = {"n_steps": timeline.n_steps, "pre_norm": model.pre_norm}
        with capture({site: model.modules(site)}, layers=plan.layers, **how) as recording:
            model.replay(tokens, under, timeline, guidance=guidance, observe=recording.run)
        return {layer: recording.all(site, layer)[:, 0] for layer in plan.layers}  # cond: [S, B, D]

    def table(layer: int | str, differs: str, window: str, nll: np.ndarray) -> pd.DataFrame:
        named = {name: [row[name] for row in rows] for name in ("template", "emotion", "seed")}
        return pd.DataFrame({"layer": str(layer), "differs": differs, "window": window, **named, "nll": nll})

    found = [
        table(NO_LAYER, "", "whole", read(texts, codes)),
        table(NO_LAYER, TEXT, "whole", read(swapped, codes)),
    ]
    for differs, donors in ((TEXT, states(swapped, codes)), (HISTORY, states(texts, codes[other]))):
        for layer in plan.layers:
            for window, (first, last) in WINDOWS.items():
                # A layer's states throughout are the other clip's whole run, whatever the layer.
                if differs == HISTORY and window == "whole":
                    continue
                steps = round(first * timeline.n_steps), round(last * timeline.n_steps)
                edit = Replace(donors[layer], layers=layer, site=site, branch="cond", steps=steps)
                found.append(table(layer, differs, window, read(texts, codes, [edit])))
    return found
