"""Measure edited clips: dynamics, timbre, and their cost, the likelihood without the edit."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from innerear.acoustics.features import FEATURES, Missing, missing
from innerear.acoustics.sound import as_sound
from innerear.acoustics.timbre import dynamics, timbre_means
from innerear.io.clips import as_written
from innerear.models import DISTRIBUTIONS, MusicModel

#: clip features that are measured: cheap, and all that the judge reads
MEASURED = tuple(
    name
    for name, feature in FEATURES.items()
    if feature.group in ("dynamics", "timbre") and name != "harmonic_percussive"
)
#: column of how far a clip's states lie from their usual place, in units of how far they usually do
DISTANCE = "distance"
#: column of the negative log-likelihood of a clip's tokens, in nats a token
NLL = "nll"


class Made(NamedTuple):
    """Clips that were composed: codes [B, K, T] and audio [B, n]."""

    codes: torch.Tensor
    audio: torch.Tensor


def measured(model: MusicModel, made: Made) -> pd.DataFrame:
    """Measure clips: a row each, a column of each feature in `MEASURED`, and `reason` where one lacks.

    Sound is measured as the study's own clips are, which are read from files of 16-bit samples.
    """
    rows = [_measure(wave, model.sample_rate, model.frame_rate) for wave in made.audio.numpy()]
    return pd.DataFrame(rows, columns=[*MEASURED, "reason"])


def likelihood(model: MusicModel, made: Made, texts: Sequence[str], generation: Mapping[str, Any]) -> NDArray:
    """Return the negative log-likelihood [B] of clips under an untouched model and a text, in nats a token.

    It is of the guided distribution, from which tokens are sampled.
    """
    timeline = model.timeline(generation["duration"], stride=generation.get("stride", 0.6))
    guidance = generation.get("guidance")
    nll = model.replay(made.codes, texts, timeline, guidance=1.0 if guidance is None else guidance)
    return nll[:, DISTRIBUTIONS.index("guided")].nanmean(dim=(1, 2)).numpy()


def from_usual(states: torch.Tensor, mean: NDArray, covariance: NDArray) -> NDArray:
    """Return how far the states of clips lie from a mean, as a multiple of how far states usually do, [B].

    Root mean squares over branches and steps; 1 is as far as any state.

    Parameters
    ----------
    states : [S, C, B, D] of complete steps.
    mean : [B, D], of other clips, for each.
    covariance : [D, D] of all clips' states.

    Examples
    --------
    >>> states = torch.tensor([[[[3.0, 4.0]]]])
    >>> from_usual(states, np.zeros((1, 2)), np.diag([2.0, 2.0]))
    array([2.5])
    """
    away = states.float().cpu() - torch.from_numpy(np.asarray(mean, np.float32))
    squares = away.square().sum(dim=-1).double().mean(dim=(0, 1)).numpy()
    return np.sqrt(squares / np.trace(covariance))


def _measure(wave: NDArray, sample_rate: int, frame_rate: float) -> list[float | str]:
    sound = as_sound(wave, sample_rate, frame_rate)
    if not sound.flaw:  # a file cannot say that a sample is no number
        sound = as_sound(as_written(wave, sample_rate), sample_rate, frame_rate)
    if sound.flaw:
        found = missing("dynamics", sound.flaw) | missing("timbre", sound.flaw)
    else:
        found = dynamics(sound) | timbre_means(sound)
    reasons = [str(found[name]) for name in MEASURED if isinstance(found[name], Missing)]
    values = [np.nan if isinstance(found[name], Missing) else float(found[name]) for name in MEASURED]
    return [*values, next(iter(reasons), "")]
