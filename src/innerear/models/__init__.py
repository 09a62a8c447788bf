"""Music models: the only package that knows MusicGen."""

import os
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import torch

from innerear.errors import InputError, did_you_mean, shown
from innerear.models.audiocraft import AudiocraftModel
from innerear.models.base import DISTRIBUTIONS, Generation, MusicModel, Pass
from innerear.models.conversion import Parts
from innerear.models.fetching import nano_directory, read_pins
from innerear.models.loading import load_musicgen
from innerear.models.transformers import TransformersModel, witness_of
from innerear.models.transformers_loading import load_transformers
from innerear.study.architectures import HUB_MODELS, display_name, hub_id
from innerear.study.generation_settings import MAX_SEED, GenerationSettings, integer, switch

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

__all__ = ["DISTRIBUTIONS", "Generation", "MusicModel", "Pass", "load_model", "nano_directory", "witness_of"]

#: Implementations of MusicGen.
BACKENDS = ("audiocraft", "transformers")

_DTYPES = {"float32": torch.float32, "float16": torch.float16}


def load_model(
    name: Union[str, Path, "MusicGen"],
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    random_init: bool = False,
    seed: int = 0,
    revision: str | None = None,
    pins: str | PathLike | Mapping[str, str] | None = None,
    label: str | None = None,
    backend: str = "audiocraft",
) -> MusicModel:
    """Load a music model. No network is used: `python -m innerear fetch` brings weights into the cache.

    Parameters
    ----------
    name : ``"nano"`` (the embedded model), a hub id such as ``"facebook/musicgen-small"``, the path of a
        checkpoint directory, or a MusicGen or AudioGen that is already loaded.
    device : ``"auto"`` is the GPU if there is one, else the CPU.
    dtype : of the language model; ``"auto"`` is float16 on a GPU and float32 on the CPU.
    random_init : draw new weights of the language model from `seed` (a control without training).
    revision : of a hub model: commit, branch or tag; by default main as it was when it was fetched.
    pins : revisions of the model, its text encoder and its codec by repository, or the file that
        `python -m innerear fetch --output` wrote.
    label : the model's name in results; by default the hub id, or the name of the directory.
    backend : library that runs the model: ``"audiocraft"``, or ``"transformers"``, which reads its own layout
        (config.json, model.safetensors) and converts a checkpoint of audiocraft's.

    Raises
    ------
    InputError: an unknown name, a missing or unsafe checkpoint, weights that are not in the cache, a missing
        device, another type of argument.
    """
    if backend not in BACKENDS:
        raise InputError(f"model.backend: {backend!r} is not allowed; use {' or '.join(BACKENDS)}")
    if not isinstance(name, str | Path):
        if random_init or device != "auto" or dtype != "auto" or revision or pins:
            raise InputError(
                "random_init, device, dtype, revision and pins apply while a model is loaded; this one is "
                "loaded already: give its name or path instead"
            )
        if not hasattr(name, "lm") or not hasattr(name, "compression_model"):
            raise InputError(f"{type(name).__name__} is not a MusicGen; give a name, a path or a MusicGen")
        held = AudiocraftModel(name, display_name(str(name.name), label))
        return held if backend == "audiocraft" else witness_of(held)
    if not isinstance(label, str | None):
        raise InputError(f"label: {shown(label)} is no text; give the model's name in results")
    random_init, seed = switch("random_init", random_init), integer("seed", seed, 0, MAX_SEED)
    source = _find(name)
    if revision and isinstance(source, Path):
        raise InputError(f"model.revision: {revision!r} is for models of the hub, and {name} is none")
    revisions = {str(source): revision} if revision else {}
    revisions |= _pins(read_pins(pins) if isinstance(pins, str | PathLike) else pins or {})
    label = display_name(str(name), label)
    chosen_device = _device(device)
    chosen_dtype = _dtype(dtype, chosen_device)
    new_seed = seed if random_init else None
    if backend == "audiocraft":
        loaded, identity = load_musicgen(source, chosen_device, chosen_dtype, new_seed, revisions)
    else:
        loaded, identity = load_transformers(source, chosen_device, new_seed, revisions)
    if random_init:
        label, identity = f"{label}-random-{seed}", f"{identity};random_init:{seed}"
    if isinstance(loaded, Parts):
        return TransformersModel(loaded, label, identity, chosen_dtype)
    model = AudiocraftModel(loaded, label, identity)
    model.settings = GenerationSettings()  # 5 s, not audiocraft's 15
    return model


def _pins(given: Any) -> Mapping[str, str]:
    texts = [*given, *given.values()] if isinstance(given, Mapping) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"pins: {shown(given)} is not allowed; give a file, or {{repository: revision}}")
    return given


def _find(model: str | Path) -> str | Path:
    """Return the directory (a Path) or hub id (a str) to load."""
    if model == "nano":
        return nano_directory()
    if str(model) and os.path.isdir(model):
        return Path(model)
    found = hub_id(model) if isinstance(model, str) else None
    if found:
        return found
    raise InputError(
        f"model {str(model)!r} is neither a directory nor a known name"
        f"{did_you_mean(str(model), ['nano', *HUB_MODELS])}; use nano, {', '.join(HUB_MODELS)}, or the "
        "path of a checkpoint directory"
    )


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = str(device)
    if not isinstance(device, str | torch.device) or not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", name):
        raise InputError(f"model.device: {device!r} is not allowed; use auto, cpu, cuda or cuda:<n>")
    chosen = torch.device(name)
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        seen = torch.cuda.device_count() or "no"
        raise InputError(f"model.device: {name!r} asked for, but torch sees {seen} GPU; use auto or cpu")
    return chosen


def _dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise InputError(
            f"model.dtype: {dtype!r} is not allowed{did_you_mean(name, _DTYPES)}; use auto, "
            f"{', '.join(_DTYPES)}"
        )
    if name == "float16" and device.type == "cpu":
        raise InputError("model.dtype: float16 needs a GPU; use auto or float32 on the CPU")
    return _DTYPES[name]
