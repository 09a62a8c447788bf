"""Shapes of the models, for the dry run, and checks of layers and sites.

A job that has loaded the model compares it with these numbers.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from math import ceil, floor
from os.path import exists, isabs, isdir, isfile, join
from pathlib import Path
from typing import Any

from innerear.errors import InputError, did_you_mean, shown
from innerear.study.names import check_path
from innerear.timeline import Timeline, delays_of, windows_of

#: Files of a checkpoint directory: language model and codec.
LANGUAGE_MODEL, CODEC = "state_dict.bin", "compression_state_dict.bin"
#: the most windows of a clip
MAX_WINDOWS = 1000

#: Where in a block states are recorded: the residual stream after it; what self-attention, cross-attention
#: and MLP add to the stream; and the stream that enters the first block.
SITES = ("residual", "self_attention", "cross_attention", "mlp", "input")


@dataclass(frozen=True)
class Architecture:
    """Numbers from which a study's steps, layers and bytes follow.

    Attributes
    ----------
    n_layers, d_model, n_codebooks : L, D, K.
    frame_rate, sample_rate : codec frames and audio samples per second.
    max_duration : seconds of a window.
    cross_attention : whether the text is read by cross-attention; if not, it is prepended to the sequence.
    delays : of the codebooks in steps; by default 0, 1, …, K − 1.
    channels : of the codec's audio. Clips are kept as their mean over channels.
    """

    n_layers: int
    d_model: int
    n_codebooks: int = 4
    frame_rate: float = 50.0
    sample_rate: int = 32000
    max_duration: float = 30.0
    cross_attention: bool = True
    delays: tuple[int, ...] = ()
    channels: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "delays", delays_of(self.n_codebooks, self.delays))

    @property
    def max_delay(self) -> int:
        """The delay of the last codebook in steps; S = T + max_delay."""
        return self.delays[-1]

    def n_frames(self, duration: float) -> int:
        """Return the codec frames T in `duration` seconds, as MusicGen counts them."""
        # A decimal fraction must not lose a frame to rounding (0.58 × 50 = 28.999…).
        return floor(duration * self.frame_rate + 1e-6)

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that the model has; prepended conditions leave no cross-attention."""
        return tuple(site for site in SITES if self.cross_attention or site != "cross_attention")

    def timeline(self, duration: float, stride: float, given: int = 0) -> Timeline:
        """Return the timeline of a clip; see `MusicModel.timeline`.

        Raises
        ------
        InputError: a clip without a codec frame, or windows that cannot be cut.
        """
        n_frames, context = self.n_frames(duration), self.n_frames(self.max_duration)
        for key, seconds in (("generation.duration", duration), ("max_duration", self.max_duration)):
            if self.n_frames(seconds) < 1:
                raise InputError(
                    f"{key}: {seconds} s holds no codec frame; use at least {1 / self.frame_rate:g} s"
                )
        shift = int(stride * context + 1e-6)
        least = max(1, ceil((n_frames - context) / MAX_WINDOWS))
        if n_frames > context and not least <= shift < context:
            raise InputError(f"generation.stride: {_why_not(stride, shift, least, context, duration)}")
        windows = windows_of(n_frames, context, shift, given)
        return Timeline(n_frames, self.n_codebooks, self.frame_rate, windows, self.delays)


def _why_not(stride: float, shift: int, least: int, context: int, duration: float) -> str:
    """Say why a clip cannot be cut into windows `shift` frames apart, and how it can."""
    if shift < 1:
        why = f"{stride:g} of a window of {context:,} codec frames is less than one frame"
    elif shift < least:
        why = f"{stride:g} of a window makes more than {MAX_WINDOWS:,} windows of {duration:g} s"
    else:
        why = f"{stride} of a window of {context:,} codec frames leaves none to read again"
    # Rounded into the range.
    first, last = ceil(1e6 * least / context) / 1e6, floor(1e6 * (context - 1) / context) / 1e6
    if first > last:
        return f"{why}, nor does any share do; use shorter clips"
    return f"{why}; use a share from {first:g} to {last:g}, or shorter clips"


_MUSICGEN = {
    "small": Architecture(24, 1024),
    "medium": Architecture(48, 1536),
    "large": Architecture(48, 2048),
    "melody": Architecture(48, 1536, cross_attention=False),
    "melody-large": Architecture(48, 2048, cross_attention=False),
}
# Both channels of a codebook are written in one step.
_STEREO = {"n_codebooks": 8, "delays": (0, 0, 1, 1, 2, 2, 3, 3), "channels": 2}

#: Hub ids of the models that run.
HUB_MODELS = {
    **{f"facebook/musicgen-{size}": mono for size, mono in _MUSICGEN.items()},
    **{f"facebook/musicgen-stereo-{size}": replace(mono, **_STEREO) for size, mono in _MUSICGEN.items()},
    "facebook/audiogen-medium": Architecture(48, 1536, sample_rate=16000, max_duration=10.0),
}
KNOWN = {"nano": Architecture(6, 96, sample_rate=16000), **HUB_MODELS}

#: Families that do not run, and why.
REFUSED = {
    "MusicGen-Style": "it guides with three branches, of text and of style, but states are recorded for two",
    "MAGNeT": "it is not autoregressive: its steps fill in tokens of the whole clip, and none has a time",
    "JASCO": "it is a flow matching model: its steps refine the whole clip and write no tokens",
}
_REFUSED_NAMES = {
    "musicgen-style": "MusicGen-Style",
    "style": "MusicGen-Style",
    "magnet": "MAGNeT",
    "audio-magnet": "MAGNeT",
    "jasco": "JASCO",
}


def hub_id(name: str) -> str | None:
    """Return the hub id that `name` stands for, None for another name.

    The owner and ``musicgen-`` may be left out. A directory of that name comes first.

    >>> hub_id("stereo-melody")
    'facebook/musicgen-stereo-melody'

    Raises
    ------
    InputError: a family that does not run, with the reason.
    """
    if isdir(name):
        return None
    for full in (name, f"facebook/{name}", f"facebook/musicgen-{name}"):
        if full in HUB_MODELS:
            return full
    own = name.removeprefix("facebook/")
    for start, family in _REFUSED_NAMES.items():
        if own == start or own.startswith(f"{start}-"):
            raise InputError(
                f"model.name: {name!r} is {family}, which cannot be recorded: {REFUSED[family]}; "
                f"use one of {', '.join(KNOWN)}, or a checkpoint directory"
            )
    return None


def check_directory(path: str, backend: str) -> None:
    """Refuse, with an InputError, a path that holds no checkpoint for this backend, or that has braces."""
    if not isdir(path):
        there = "is no directory" if exists(path) else "does not exist"
        raise InputError(
            f"model.name: the checkpoint directory {shown(path)} {there}; give its path from the folder in "
            "which snakemake runs"
        )
    check_path(path, "model.name")
    check_path(Path(path).resolve().name, "model.name")
    own = [name for name in (LANGUAGE_MODEL, CODEC) if not isfile(join(path, name))]
    if backend == "transformers" and LANGUAGE_MODEL in own:
        own = [] if isfile(join(path, "config.json")) else ["config.json"]
    if own:
        raise InputError(
            f"model.name: the directory {shown(path)} has no {' and no '.join(own)}, so it is no checkpoint "
            f"for model.backend: {backend}"
        )


def display_name(name: str, label: str | None = None) -> str:
    """Return the model's name in results: `label`, a hub id, or a directory's name without its path."""
    if label:
        return label
    if name != "nano" and (isdir(name) or isabs(name)):
        return Path(name).resolve().name
    return hub_id(name) or name


def architecture_of(name: str, given: str | Mapping | None = None) -> Architecture:
    """Return the architecture of the model `name`, a key of `KNOWN` or the path of a checkpoint directory.

    Of a path, `given` says which of `KNOWN` it is built like, or its own numbers.

    Raises
    ------
    InputError: neither is known, both are given, or a family that does not run.
    """
    known = name if name == "nano" else hub_id(name)
    if known and given is not None:
        raise InputError(
            f"model.architecture: {known} is known, so leave it null; it is for checkpoint directories"
        )
    if isinstance(given, Mapping):
        return Architecture(**given)
    if given is not None:
        return KNOWN[given]
    if known or name in KNOWN:  # a directory that is named like a hub id is built like it
        return KNOWN[known or name]
    raise InputError(
        f"model.name: {shown(name)} is not one of {', '.join(KNOWN)}{did_you_mean(name, KNOWN)}; for a "
        "checkpoint directory, say in model.architecture which of them it is built like, or its n_layers "
        "and d_model"
    )


def check_architecture(model: Any, expected: Architecture) -> None:
    """Refuse, with an InputError, a loaded model that has other numbers than the study assumed."""
    for name in ("n_layers", "d_model", "n_codebooks", "frame_rate", "sample_rate", "max_duration", "delays"):
        _require_equal(model.name, name, getattr(model, name), getattr(expected, name))
    _require_equal(model.name, "cross_attention", model.has_cross_attention, expected.cross_attention)


def _require_equal(model: str, name: str, actual: Any, assumed: Any) -> None:
    if isinstance(actual, tuple):
        actual, assumed = list(actual), list(assumed)  # as they are written in YAML
    if actual != assumed:
        raise InputError(
            f"model.architecture says {name} = {_yaml(assumed)}, but {model} has {_yaml(actual)}; "
            f"write {name}: {_yaml(actual)} there"
        )


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def resolve_layers(
    layers: str | int | Iterable[int] | None, n_layers: int, key: str = "capture.layers"
) -> list[int]:
    """Return the numbers, in order, of some of a model's layers.

    `layers` is ``"all"`` or None, a range such as ``"0-5"`` (both ends included), a number, or numbers; `key`
    names the setting in messages.

    Raises
    ------
    InputError: a layer that the model does not have, a repeated one, none, or something of another form.
    """
    if layers is None or (isinstance(layers, str) and layers == "all"):
        return list(range(n_layers))
    chosen = sorted(_numbers(layers, n_layers, key))
    repeated = sorted({one for one, next_one in pairwise(chosen) if one == next_one})
    if repeated:
        raise InputError(f"{key}: {shown(repeated)} are listed twice; name each layer once")
    if not chosen:
        raise InputError(f"{key}: no layers cannot be captured; {_range_of(n_layers)}")
    return chosen


def _numbers(layers: Any, n_layers: int, key: str) -> list[int]:
    """Return the numbers that a text, a number or a list names; all are layers of the model."""
    if isinstance(layers, str):
        ends = layers.split("-")
        if len(ends) > 2 or not all(re.fullmatch("[0-9]{1,9}", end) for end in ends):
            raise InputError(
                f"{key}: {shown(layers)} is not understood; give all, a range like 0-5, or a list"
            )
        first, last = int(ends[0]), int(ends[-1])
        if not first <= last < n_layers:
            raise InputError(f"{key}: {layers} cannot be captured; {_range_of(n_layers)}")
        return list(range(first, last + 1))
    if isinstance(layers, bytes | Mapping):
        raise InputError(f"{key}: {shown(layers)} is not understood; give all, a range like 0-5, or a list")
    if not isinstance(layers, Iterable) or getattr(layers, "ndim", None) == 0:
        layers = [layers]
    chosen = list(islice(layers, n_layers + 1))
    outside = [layer for layer in chosen if not _is_layer(layer, n_layers)]
    if outside:
        raise InputError(f"{key}: {shown(outside)} cannot be captured; {_range_of(n_layers)}")
    return [int(layer) for layer in chosen]


def _is_layer(layer: Any, n_layers: int) -> bool:
    # numpy's and torch's integers are no ints.
    number = layer.item() if hasattr(layer, "item") and getattr(layer, "ndim", None) == 0 else layer
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < n_layers


def _range_of(n_layers: int) -> str:
    return f"the model has the layers 0 to {n_layers - 1}"


def check_sites(sites: Iterable[str], known: Sequence[str] = SITES, key: str = "capture.sites") -> list[str]:
    """Return the sites in the order of `SITES`; `key` names the setting in messages.

    Raises
    ------
    InputError: no site, a repeated one, or one that the model does not have (is not in `known`).
    """
    one = isinstance(sites, str) or not isinstance(sites, Iterable)
    chosen = [] if one else list(sites)
    if not chosen:
        raise InputError(f"{key}: {sites!r} is no list of sites; use [{', '.join(known)}]")
    for site in chosen:
        if site not in known:
            raise InputError(
                f"{key}: the model has no site {site!r}{did_you_mean(str(site), known)}; its sites are "
                f"{', '.join(known)}"
            )
        if chosen.count(site) > 1:
            raise InputError(f"{key}: {site!r} is listed {chosen.count(site)} times; once is enough")
    return [site for site in SITES if site in chosen]


def resolve_capture(settings: Mapping, architecture: Architecture, key: str) -> dict:
    """Return a capture's settings with its layers as numbers, if the model has them and the sites."""
    check_sites(settings["sites"], architecture.sites, f"{key}.sites")
    layers = resolve_layers(settings["layers"], architecture.n_layers, f"{key}.layers")
    return {**settings, "layers": layers}
