"""Prove a study's captures with the model at hand: read clips once more, and compose one of them again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from innerear.capture.checks import COLUMNS, deviation, rounding
from innerear.capture.hooks import capture as listen
from innerear.errors import InputError
from innerear.models import MusicModel
from innerear.stacks import Stack


def verify_samples(index: pd.DataFrame, model: MusicModel, generation: Mapping[str, Any]) -> pd.DataFrame:
    """Replay one sample of each prompt, and regenerate the first sample.

    Checks
    ------
    replay : states of a teacher-forced pass against those stored; value = largest deviation at any site,
        layer and branch, relative to the largest unit there.
    regenerate : value = how many tokens differ when the sample is composed again.

    Parameters
    ----------
    index : a row per sample with sample_id, prompt_id and stack.
    model : that the samples were composed with.
    generation : the study's settings, as `innerear.capture.generation.generate_samples` takes them.

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
    """Return the largest relative deviation of a replay from the stack, and what rounding explains."""
    if stack.attrs["model_identity"] != model.identity():
        raise InputError(
            f"{stack.path} was made with weights {stack.attrs['model_identity']}, but {model.name} has "
            f"{model.identity()}; generate the study again with these weights"
        )
    timeline = stack.timeline
    modules = {site: model.modules(site) for site in stack.sites}
    layers = sorted({layer for _, layer in stack.places})
    with listen(modules, n_samples=1, n_steps=timeline.n_steps, layers=layers) as recording:
        codes = torch.from_numpy(stack.codes).long()[None]
        model.replay(codes, [stack.attrs["text"]], timeline, observe=recording.run)
    which = [recording.branches.index(branch) for branch in stack.branches]
    largest, tolerance = 0.0, 0.0
    for site, layer in stack.places:
        stored = stack.read(layer, site)  # [C, S, D]
        tolerance = max(tolerance, rounding(stack, stored))
        replayed = recording.sample(site, layer, 0)[which].float().numpy()
        for one, other in zip(stored, replayed, strict=True):
            largest = max(largest, deviation(one, other))
    return largest, tolerance


def _regenerate(stack: Stack, model: MusicModel, generation: dict[str, Any]) -> int:
    """Return how many tokens of a stack differ when the sample is composed again."""
    duration = generation.pop("duration")
    made = model.generate([stack.attrs["text"]], [int(stack.attrs["seed"])], duration, **generation)
    codes = made.codes[0].numpy()
    return int(np.sum(codes != stack.codes)) if codes.shape == stack.codes.shape else codes.size
