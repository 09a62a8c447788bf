"""Shapes of the models, for the dry run, and checks of layers and sites.

A job that has loaded the model compares it with these numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any

from innerear.errors import InputError, did_you_mean
from innerear.timeline import Timeline, windows_of

#: Where in a block states are recorded: the residual stream after it; what self-attention, cross-attention
#: and MLP add to the stream; and the stream that enters the first block.
SITES = ("residual", "self_attention", "cross_attention", "mlp", "input")


@dataclass(frozen=True)
class Architecture:
    """Numbers from which a study's steps, layers and bytes follow."""

    n_layers: int
    d_model: int
    n_codebooks: int = 4
    frame_rate: float = 50.0
    sample_rate: int = 32000
    max_duration: float = 30.0
    cross_attention: bool = True

    def n_frames(self, duration: float) -> int:
        """Return the codec frames T in `duration` seconds, as MusicGen counts them."""
        # A decimal fraction must not lose a frame to rounding (0.58 × 50 = 28.999…).
        return floor(duration * self.frame_rate + 1e-6)

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that the model has; prepended conditions leave no cross-attention."""
        return tuple(site for site in SITES if self.cross_attention or site != "cross_attention")

    def timeline(self, duration: float, stride: float, given: int = 0) -> Timeline:
        """Return the timeline of a clip; see `MusicModel.timeline`."""
        context = self.n_frames(self.max_duration)
        windows = windows_of(self.n_frames(duration), context, int(stride * context + 1e-6), given)
        return Timeline(self.n_frames(duration), self.n_codebooks, self.frame_rate, windows)


KNOWN = {
    "nano": Architecture(6, 96, sample_rate=16000),
    "facebook/musicgen-small": Architecture(24, 1024),
    "facebook/musicgen-medium": Architecture(48, 1536),
    "facebook/musicgen-large": Architecture(48, 2048),
    "facebook/musicgen-melody": Architecture(48, 1536, cross_attention=False),
}


def architecture_of(name: str, given: str | Mapping | None = None) -> Architecture:
    """Return the architecture of the model `name`, a key of `KNOWN` or the path of a checkpoint directory.

    Of a path, `given` says which of `KNOWN` it is built like, or its own numbers.

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
    """Refuse, with an InputError, a loaded model that has other numbers than the study assumed."""
    for name in ("n_layers", "d_model", "n_codebooks", "frame_rate", "sample_rate"):
        actual, assumed = getattr(model, name), getattr(expected, name)
        if actual != assumed:
            raise InputError(
                f"model.architecture says {name} = {assumed}, but {model.name} has {actual}; correct it"
            )


def resolve_layers(
    layers: str | Iterable[int] | None, n_layers: int, key: str = "capture.layers"
) -> list[int]:
    """Return the numbers, in order, of some of a model's layers.

    `layers` is ``"all"`` or None, a range such as ``"0-5"`` (both ends included), or numbers; `key` names the
    setting in messages.

    Raises
    ------
    InputError: a layer that the model does not have, a repeated one, none, or a text of another form.
    """
    if layers is None or layers == "all":
        return list(range(n_layers))
    if isinstance(layers, str):
        first, dash, last = layers.partition("-")
        if not (dash and first.isdigit() and last.isdigit()):
            raise InputError(f"{key}: {layers!r} is not understood; give all, a range like 0-5, or a list")
        layers = range(int(first), int(last) + 1)
    chosen = sorted(layers)
    outside = [layer for layer in chosen if not 0 <= layer < n_layers]
    repeated = sorted({layer for layer in chosen if chosen.count(layer) > 1})
    if repeated:
        raise InputError(f"{key}: {repeated} are listed twice; name each layer once")
    if outside or not chosen:
        raise InputError(
            f"{key}: {outside or 'no layers'} cannot be captured; "
            f"the model has the layers 0 to {n_layers - 1}"
        )
    return chosen


def check_sites(sites: Iterable[str], known: Sequence[str] = SITES, key: str = "capture.sites") -> list[str]:
    """Return the sites in the order of `SITES`; `key` names the setting in messages.

    Raises
    ------
    InputError: no site, a repeated one, or one that the model does not have (is not in `known`).
    """
    chosen = [] if isinstance(sites, str) else list(sites)
    if not chosen:
        raise InputError(f"{key}: {sites!r} is no list of sites; use [{', '.join(known)}]")
    for site in chosen:
        if site not in known:
            raise InputError(
                f"{key}: the model has no site {site!r}{did_you_mean(site, known)}; its sites are "
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
