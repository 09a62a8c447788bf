"""Dictionaries as folders in sae-lens' format: ``cfg.json`` and ``sae_weights.safetensors``.

``sae_lens.SAE.load_from_disk`` opens what is written here, and published dictionaries of the format open
here.
"""

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from innerear.errors import InputError, shown
from innerear.features.dictionary import Dictionary, unit_rows
from innerear.io.files import atomic
from innerear.io.machine import cannot, file_size
from innerear.io.names import name_in_study, remake, require_name
from innerear.study.dictionaries import SETTINGS, WEIGHTS, read_settings, remedy

ARCHITECTURES = ("topk", "jumprelu", "standard")
# Arrays of other types, such as scaled ones of 8 bits, mean something else.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Of a published dictionary that does not say how many of its latents fire, so many of a token are kept.
_MOST = 128


def save(dictionary: Dictionary, folder: str | PathLike, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a dictionary as a folder, which appears under its name once it is whole.

    Parameters
    ----------
    metadata : goes into the settings, in place of the dictionary's own.
    """
    arrays = {
        "W_enc": dictionary.encoder,
        "b_enc": dictionary.encoder_bias,
        "W_dec": dictionary.decoder,
        "b_dec": dictionary.bias,
    }
    settings: dict[str, Any] = {
        "d_in": dictionary.d_model,
        "d_sae": dictionary.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            **(dictionary.metadata if metadata is None else metadata),
            "written_as": name_in_study(folder),
        },
    }
    if dictionary.threshold is None:
        settings |= {"architecture": "topk", "k": dictionary.k, "rescale_acts_by_decoder_norm": False}
    else:
        settings["architecture"] = "jumprelu"
        settings["metadata"]["most"] = dictionary.k
        arrays["threshold"] = dictionary.threshold
    with atomic(folder) as temporary:
        temporary.mkdir()
        save_file({name: one.cpu().contiguous() for name, one in arrays.items()}, temporary / WEIGHTS)
        text = json.dumps(settings, indent=1, sort_keys=True)
        (temporary / SETTINGS).write_text(text + "\n", encoding="utf-8")


def load(folder: str | PathLike) -> Dictionary:
    """Open a dictionary of ours, or a published one in the format of sae-lens.

    Raises
    ------
    InputError: a missing or broken file, an architecture or a normalisation that is not known, or arrays that
        do not fit each other.
    """
    folder = Path(folder)
    settings, arrays = read_settings(folder), _arrays(folder)
    architecture, path = settings.get("architecture"), folder / SETTINGS
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"{path}: architecture {shown(architecture)} is not known; use {', '.join(ARCHITECTURES)}"
        )
    if settings.get("normalize_activations", "none") not in ("none", None):
        raise InputError(
            f"{path}: normalize_activations {shown(settings['normalize_activations'])} is not known; fold it "
            "into the weights first (sae-lens: fold_activation_norm_scaling_factor)"
        )
    names = ["W_enc", "b_enc", "W_dec", "b_dec", *["threshold"] * (architecture == "jumprelu")]
    encoder, encoder_bias, decoder, bias, *rest = _fitting(folder, settings, arrays, names)
    n_latents = len(decoder)
    if settings.get("rescale_acts_by_decoder_norm"):
        # Its latents are ranked times their direction's length, and so are read here; at length 0 they are 0.
        norms = decoder.norm(dim=1)
        encoder, encoder_bias, decoder = encoder * norms, encoder_bias * norms, unit_rows(decoder)
    if not settings.get("apply_b_dec_to_input", True):
        encoder_bias = encoder_bias + bias @ encoder
    for name, one in zip(names, (encoder, encoder_bias, decoder, bias, *rest), strict=True):
        if not torch.isfinite(one).all():
            raise InputError(f"{folder / WEIGHTS}: {name} holds NaN or too large values; {remedy(folder)}")
    threshold = rest[0] if rest else torch.zeros(n_latents) if architecture == "standard" else None
    metadata = settings["metadata"]
    k = settings.get("k") if architecture == "topk" else metadata.get("most", min(_MOST, n_latents - 1))
    if type(k) is not int or not 1 <= k <= n_latents:
        raise InputError(
            f"{path}: k is {shown(k)}, not a number of its {n_latents} latents; {remedy(folder)}"
        )
    return Dictionary(encoder, encoder_bias, decoder, bias, k, threshold, metadata)


def load_own(folder: Path) -> Dictionary:
    """Open a dictionary that a study wrote.

    Raises
    ------
    InputError: another dictionary under its name, or fewer in the folder than were written; see `load`.
    """
    one = load(folder)
    target = folder.parent
    require_name(folder, one.metadata.get("written_as", "no study's"), target)
    for of, n in one.metadata.get("n_seeds", {}).items():
        there = folder.parents[2] / of / target.name
        found = len(list(there.glob("seed-*")))
        if found != n:
            raise InputError(
                f"{there} has {found} dictionaries, not the {n} that were written; {remake(target)}"
            )
    return one


def _fitting(
    folder: Path, settings: Mapping[str, Any], arrays: Mapping[str, torch.Tensor], names: list[str]
) -> list[torch.Tensor]:
    """Return arrays as float32, if they fit each other and what the settings say."""
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(
            f"{folder / WEIGHTS} has no {missing[0]}; it has {', '.join(sorted(arrays))}; {remedy(folder)}"
        )
    decoder = arrays["W_dec"]
    n_latents, d_model = decoder.shape if decoder.ndim == 2 else (0, 0)
    shapes = {"W_enc": (d_model, n_latents), "W_dec": (n_latents, d_model), "b_dec": (d_model,)}
    for name in names:
        one, shape = arrays[name], shapes.get(name, (n_latents,))
        if one.dtype not in _FLOATS or tuple(one.shape) != shape or not one.numel():
            raise InputError(
                f"{folder / WEIGHTS}: {name} is {str(one.dtype).removeprefix('torch.')} of shape "
                f"{tuple(one.shape)}, not floats of shape {shape}; {remedy(folder)}"
            )
    for name, size in (("d_in", d_model), ("d_sae", n_latents)):
        if settings.get(name) not in (None, size):
            raise InputError(
                f"{folder / SETTINGS}: {name} is {shown(settings[name])}, but {WEIGHTS} has {size}; "
                f"{remedy(folder)}"
            )
    return [arrays[name].float() for name in names]


def _arrays(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / WEIGHTS
    try:
        file_size(path)
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: {folder} is no dictionary; {remedy(folder)}") from None
    except (OSError, SafetensorError) as error:
        said = cannot("read", path, error) or f"{path} is truncated or no safetensors file ({error})"
        raise InputError(f"{said}; {remedy(folder)}") from None
