"""Check captures with the study's model, and another implementation: replay clips, make some again."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from innerear.capture.checks import COLUMNS, deviation, judged, made_again, rounding, spread
from innerear.capture.hooks import Recording
from innerear.capture.hooks import capture as record
from innerear.capture.recorded import encode_track
from innerear.capture.replay import require_weights
from innerear.errors import InputError
from innerear.io.names import remake
from innerear.models import MusicModel
from innerear.stacks import Stack


def verify_samples(
    index: pd.DataFrame,
    model: MusicModel,
    generation: Mapping[str, Any],
    witness: MusicModel | None = None,
    recording: str = "",
) -> pd.DataFrame:
    """Replay one sample of each prompt, compose the first clip again and encode the first track again.

    Checks
    ------
    replay_cond, replay_uncond, replay_delta, replay_level : a teacher-forced pass gives the stored states;
        value = largest `deviation` at any site and layer. Rounding weighs more in delta = cond − uncond where
        it is smaller than the states; its tolerance grows by as much.
    witness_… : the same of another implementation of the model.
    regenerate : composing the sample again, with as many rows a call, or encoding its file again, gives the
        same tokens; value = number that differ.

    Parameters
    ----------
    index : a row per sample, as `innerear.stacks.index.sample_table` returns it.
    model : the model that composed the samples.
    generation : the study's settings, as for `innerear.capture.generation.generate_samples`.
    witness : another implementation with the model's weights.
    recording : the sound file of the first recorded track, if there is one.

    Returns
    -------
    Table of `innerear.capture.checks.COLUMNS`.

    Raises
    ------
    InputError: the model has other weights than the stacks name; the recording is another file than the one
        that was encoded.
    """
    rows = []
    firsts = index.drop_duplicates("prompt_id")
    readers = {"replay": model} | ({"witness": witness} if witness else {})
    for row in tqdm(firsts.to_dict("records"), desc="replay", unit="clip"):
        with Stack(row["stack"], content=row["content_sha256"]) as stack:
            require_weights(stack, model)
            for check, reader in readers.items():
                found = _worst(stack, _reread(stack, reader), full=reader.dtype == torch.float32)
                for part, worst in found.items():
                    value, tolerance, where = worst
                    rows.append(judged(f"{check}_{part}", row, where, value, tolerance))
    for row in made_again(index).to_dict("records"):
        with Stack(row["stack"], content=row["content_sha256"]) as stack:
            if row["recording"]:
                differ = _encode_again(stack, model, recording)
            else:
                differ = _regenerate(stack, model, dict(generation))
        rows.append(judged("regenerate", row, "", differ, 0))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _reread(stack: Stack, model: MusicModel) -> Recording:
    """Let a model read a stack's tokens under its text; return what its places hold."""
    timeline = stack.timeline
    modules = {site: model.modules(site) for site in stack.sites}
    layers = sorted({layer for _, layer in stack.places})
    with record(modules, n_steps=timeline.n_steps, pre_norm=model.pre_norm, layers=layers) as recording:
        codes = torch.from_numpy(stack.codes).long()[None]
        model.replay(codes, [stack.attrs["text"]], timeline, observe=recording.run)
    return recording


def _worst(stack: Stack, recording: Recording, *, full: bool) -> dict[str, tuple[float, float, str]]:
    """Return value, tolerance and place of what exceeds its tolerance by most, by branch and for levels."""
    worst: dict[str, tuple[float, float, str]] = {}
    for site, layer in stack.places:
        stored = stack.read(layer, site)  # [C, S, D]
        tolerance = rounding(stack, stored, full=full)
        stored = stored.astype(np.float32)
        states, levels = recording.sample(site, layer, 0, stack.branches)
        found = _deviations(stored, states.float().numpy(), stack.branches)
        away = np.abs(stack.levels(layer, site) - levels.numpy()).max()
        size = np.abs(levels.numpy()).max() + spread(stored)
        found.append(("level", float(away / size) if size else 0.0, 1.0))
        for part, value, magnified in found:
            here = (value, tolerance * magnified, f"{site}, layer {layer}")
            before = worst.get(part, (-1.0, 1.0, ""))
            worst[part] = max(before, here, key=lambda one: one[0] / one[1])
    return worst


def _deviations(
    stored: np.ndarray, reference: np.ndarray, branches: tuple[str, ...]
) -> list[tuple[str, float, float]]:
    """Return the deviation of each branch and of delta, and by how much rounding weighs more in it."""
    found = [(name, deviation(*pair), 1.0) for name, *pair in zip(branches, stored, reference, strict=True)]
    if len(branches) > 1:
        delta, true = stored[0] - stored[1], reference[0] - reference[1]
        size = spread(true)
        magnified = np.sqrt(sum(spread(one) ** 2 for one in reference)) / size if size else 1.0
        found.append(("delta", deviation(delta, true), max(1.0, float(magnified))))
    return found


def _regenerate(stack: Stack, model: MusicModel, generation: dict[str, Any]) -> int:
    """Compose a sample again; return how many of its tokens differ."""
    duration = generation.pop("duration")
    how = {"rows": int(stack.attrs["rows"]), "decoder": stack.attrs["decoder"]}
    made = model.generate([stack.attrs["text"]], [int(stack.attrs["seed"])], duration, **how, **generation)
    return _n_different(made.codes[0].numpy(), stack)


def _encode_again(stack: Stack, model: MusicModel, recording: str) -> int:
    """Encode a recorded sample's file again; return how many tokens differ."""
    codes, about = encode_track(model, recording, float(stack.attrs["recording_start"]), stack.timeline)
    if about["recording_sha256"] != stack.attrs["recording_sha256"]:
        raise InputError(
            f"{recording} is another file than the one that {stack.path} was made from; {remake(stack.path)}"
        )
    return _n_different(codes.numpy(), stack)


def _n_different(codes: np.ndarray, stack: Stack) -> int:
    return int(np.sum(codes != stack.codes)) if codes.shape == stack.codes.shape else codes.size
