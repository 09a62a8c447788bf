"""Check a study's captures with its model: replay clips, and compose one of them again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from innerear.capture.checks import COLUMNS, deviation, rounding
from innerear.capture.hooks import capture as record
from innerear.capture.replay import require_weights
from innerear.models import MusicModel
from innerear.stacks import Stack


def verify_samples(index: pd.DataFrame, model: MusicModel, generation: Mapping[str, Any]) -> pd.DataFrame:
    """Replay one sample of each prompt, and regenerate the first sample.

    Checks
    ------
    replay : a teacher-forced pass gives the stored states; value = largest deviation at any site, layer and
        branch, relative to the largest unit there.
    regenerate : composing the sample again gives the same tokens; value = number that differ.

    Parameters
    ----------
    index : a row per sample with sample_id, prompt_id and stack.
    model : the model that composed the samples.
    generation : the study's settings, as for `innerear.capture.generation.generate_samples`.

    Returns
    -------
    Table of `innerear.capture.checks.COLUMNS`.

    Raises
    ------
    InputError: the model has other weights than the stacks name.
    """
    rows = []
    firsts = index.drop_duplicates("prompt_id")
    for row in tqdm(firsts.to_dict("records"), desc="replay", unit="clip"):
        with Stack(row["stack"]) as stack:
            value, tolerance = _replay(stack, model)
        rows.append(("replay", row["sample_id"], value, tolerance, value <= tolerance))
    with Stack(firsts.iloc[0]["stack"]) as stack:
        differ = _regenerate(stack, model, dict(generation))
    rows.append(("regenerate", firsts.iloc[0]["sample_id"], float(differ), 0.0, differ == 0))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _replay(stack: Stack, model: MusicModel) -> tuple[float, float]:
    """Return the largest relative deviation of a replay from the stack, and its tolerance."""
    require_weights(stack, model)
    timeline = stack.timeline
    modules = {site: model.modules(site) for site in stack.sites}
    layers = sorted({layer for _, layer in stack.places})
    with record(modules, n_samples=1, n_steps=timeline.n_steps, layers=layers) as recording:
        codes = torch.from_numpy(stack.codes).long()[None]
        model.replay(codes, [stack.attrs["text"]], timeline, observe=recording.run)
    largest, tolerance = 0.0, 0.0
    for site, layer in stack.places:
        stored = stack.read(layer, site)  # [C, S, D]
        tolerance = max(tolerance, rounding(stack, stored))
        replayed = recording.sample(site, layer, 0, stack.branches).float().numpy()
        for one, other in zip(stored, replayed, strict=True):
            largest = max(largest, deviation(one, other))
    return largest, tolerance


def _regenerate(stack: Stack, model: MusicModel, generation: dict[str, Any]) -> int:
    """Compose a sample again; return how many of its tokens differ."""
    duration = generation.pop("duration")
    made = model.generate([stack.attrs["text"]], [int(stack.attrs["seed"])], duration, **generation)
    codes = made.codes[0].numpy()
    return int(np.sum(codes != stack.codes)) if codes.shape == stack.codes.shape else codes.size
