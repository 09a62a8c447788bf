"""The shapes of the models, known without loading them: what the dry run needs.

Light on purpose: the Snakefile imports this each time it is parsed. A job that has loaded the
model compares it with what stands here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any

from innerear.errors import InputError, did_you_mean
from innerear.timeline import Timeline, windows_of

#: Where in a block states are heard: the residual stream after it, what self-attention, cross-attention and
#: MLP add to it (before it is added), and the stream that enters the first block.
SITES = ("residual", "self_attention", "cross_attention", "mlp", "input")


@dataclass(frozen=True)
class Architecture:
    """The numbers that decide how many steps, layers and bytes a study has."""

    n_layers: int
    d_model: int
    n_codebooks: int = 4
    frame_rate: float = 50.0
    sample_rate: int = 32000
    max_duration: float = 30.0
    cross_attention: bool = True

    def n_frames(self, duration: float) -> int:
        """Codec frames T in `duration` seconds, as MusicGen counts them.

        A duration written as a decimal fraction must not lose a frame to rounding (0.58 × 50 = 28.999…).
        """
        return floor(duration * self.frame_rate + 1e-6)

    @property
    def sites(self) -> tuple[str, ...]:
        """Where states can be heard, within `SITES`; prepended conditions leave no cross-attention."""
        return tuple(site for site in SITES if self.cross_attention or site != "cross_attention")

    def timeline(self, duration: float, stride: float) -> Timeline:
        """Return the timeline of a clip, as `MusicModel.timeline` of the loaded model does."""
        context = self.n_frames(self.max_duration)
        windows = windows_of(self.n_frames(duration), context, int(stride * context + 1e-6))
        return Timeline(self.n_frames(duration), self.n_codebooks, self.frame_rate, windows)


KNOWN = {
    "nano": Architecture(6, 96, sample_rate=16000),
    "facebook/musicgen-small": Architecture(24, 1024),
    "facebook/musicgen-medium": Architecture(48, 1536),
    "facebook/musicgen-large": Architecture(48, 2048),
    "facebook/musicgen-melody": Architecture(48, 1536, cross_attention=False),
}


def architecture_of(name: str, given: str | Mapping | None = None) -> Architecture:
    """Return the architecture of the model `name`.

    Parameters
    ----------
    name : a key of `KNOWN`, or the path of a checkpoint directory.
    given : for a path, a key of `KNOWN` or the architecture's own numbers.

    Raises
    ------
    InputError: neither is known, or both are given.
    """
    if given is not None and name in KNOWN:
        raise InputError(
            f"model.architecture: {name} is known, so leave it null; it is for checkpoint directories"
        )
    if isinstance(given, Mapping):
        return Architecture(**given)
    if given is not None:
        return KNOWN[given]
    if name in KNOWN:
        return KNOWN[name]
    raise InputError(
        f"model.name: {name!r} is not one of {', '.join(KNOWN)}{did_you_mean(name, KNOWN)}; for a checkpoint "
        "directory, say in model.architecture which of them it is built like, or give n_layers and d_model"
    )


def check_architecture(model: Any, expected: Architecture) -> None:
    """Refuse a loaded model that is not built as the study assumed before loading it.

    Parameters
    ----------
    model : anything with the attributes of an `Architecture`, as a loaded MusicModel has.

    Raises
    ------
    InputError: the first number that differs, and the setting to change.
    """
    for name in ("n_layers", "d_model", "n_codebooks", "frame_rate", "sample_rate"):
        actual, assumed = getattr(model, name), getattr(expected, name)
        if actual != assumed:
            raise InputError(
                f"model.architecture says {name} = {assumed}, but {model.name} has {actual}; correct it"
            )


def resolve_layers(layers: str | Iterable[int], n_layers: int) -> list[int]:
    """Turn the setting ``capture.layers`` into layer numbers.

    Parameters
    ----------
    layers : ``"all"``, a range such as ``"0-5"`` (both ends included), or numbers.
    n_layers : the model's number L of layers.

    Raises
    ------
    InputError: a layer that the model does not have or that stands there twice, or a text that is neither.
    """
    if layers == "all":
        return list(range(n_layers))
    if isinstance(layers, str):
        first, dash, last = layers.partition("-")
        if not (dash and first.isdigit() and last.isdigit()):
            raise InputError(
                f"capture.layers: {layers!r} is not understood; give all, a range like 0-5, or a list"
            )
        chosen = list(range(int(first), int(last) + 1))
    else:
        chosen = sorted(layers)
    outside = [layer for layer in chosen if not 0 <= layer < n_layers]
    repeated = sorted({layer for layer in chosen if chosen.count(layer) > 1})
    if repeated:
        raise InputError(f"capture.layers: {repeated} stand there twice; name each layer once")
    if outside or not chosen:
        raise InputError(
            f"capture.layers: {outside or layers} cannot be captured; "
            f"the model has the layers 0 to {n_layers - 1}"
        )
    return chosen


def resolve_capture(settings: Mapping, architecture: Architecture, key: str) -> dict:
    """Return a capture's settings with its layers as numbers.

    Raises
    ------
    InputError: a layer or a site that the model does not have; `key` is where the settings stand.
    """
    for site in settings["sites"]:
        if site not in architecture.sites:
            raise InputError(
                f"{key}.sites: the model has no {site}; its sites are {', '.join(architecture.sites)}"
            )
    return {**settings, "layers": resolve_layers(settings["layers"], architecture.n_layers)}
