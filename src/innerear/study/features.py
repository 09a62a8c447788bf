"""Which layers get dictionaries, and on which templates these are trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from innerear.errors import InputError
from innerear.study.architectures import Architecture, resolve_layers
from innerear.study.prompts import Prompt


@dataclass(frozen=True)
class Features:
    """What a study asks of sparse features.

    Attributes
    ----------
    layers : that get dictionaries; none where the study has no features.
    training : ids of the prompts whose clips dictionaries are trained on; none where finished ones are taken.
    settings : of `innerear.features.training.train`.
    """

    layers: list[int]
    training: list[str]
    settings: dict[str, Any]


def study_features(
    section: Mapping[str, Any], prompts: Sequence[Prompt], architecture: Architecture, capture: Mapping
) -> Features:
    """Resolve the setting ``features`` of a study.

    Raises
    ------
    InputError: a layer that is not captured, no delta, or k of at least the number of latents.
    """
    if not section["enabled"]:
        return Features([], [], {})
    if set(capture["branches"]) != {"cond", "uncond"}:
        raise InputError(
            "features: dictionaries of uncond and of delta need both branches; set generation.guidance and "
            "capture.branches: [cond, uncond], or features.enabled: false"
        )
    captured = capture["layers"]
    layers = section["layers"]
    if layers is None:
        layers = sorted({captured[0], captured[len(captured) // 2], captured[-1]})
    layers = resolve_layers(layers, architecture.n_layers, "features.layers")
    missing = [layer for layer in layers if layer not in captured]
    if missing:
        raise InputError(f"features.layers: layer {missing[0]} is not captured; add it to capture.layers")
    settings = {name: section[name] for name in ("kind", "k", "steps", "batch", "lr")}
    settings["n_latents"] = section["n_latents"] or 2 * architecture.d_model
    if settings["k"] >= settings["n_latents"]:
        raise InputError(
            f"features.k: {settings['k']} of {settings['n_latents']} latents are not few; give less"
        )
    return Features(
        layers, [] if section["dictionaries"] else _training(prompts, section["train_share"]), settings
    )


def _training(prompts: Sequence[Prompt], share: float) -> list[str]:
    """Return the prompts of the first templates; of all where there is one template, and nothing is held out."""
    templates = list(dict.fromkeys(prompt.template for prompt in prompts))
    n = (
        len(templates)
        if len(templates) < 2
        else min(max(1, round(share * len(templates))), len(templates) - 1)
    )
    return [prompt.id for prompt in prompts if prompt.template in templates[:n]]
