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
from innerear.features.dictionary import Dictionary
from innerear.io.files import atomic

SETTINGS, WEIGHTS = "cfg.json", "sae_weights.safetensors"
ARCHITECTURES = ("topk", "jumprelu", "standard")
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
        "metadata": dict(dictionary.metadata if metadata is None else metadata),
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
        text = json.dumps(settings, indent=1, sort_keys=True, ensure_ascii=False)
        (temporary / SETTINGS).write_text(text + "\n", encoding="utf-8")


def load(folder: str | PathLike) -> Dictionary:
    """Open a dictionary of ours, or a published one in the format of sae-lens.

    Raises
    ------
    InputError: a missing or broken file, an architecture or a normalisation that is not known, or arrays that
        do not fit each other.
    """
    folder = Path(folder)
    settings, arrays = _settings(folder / SETTINGS), _arrays(folder / WEIGHTS)
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
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"{folder / WEIGHTS} has no {missing[0]}; it has {', '.join(sorted(arrays))}")
    encoder, encoder_bias, decoder, bias, *rest = (arrays[name].float() for name in names)
    n_latents, d_model = decoder.shape if decoder.ndim == 2 else (0, 0)
    shapes = [
        (d_model, n_latents),
        (n_latents,),
        (n_latents, d_model),
        (d_model,),
        *[(n_latents,)] * len(rest),
    ]
    for name, one, shape in zip(names, (encoder, encoder_bias, decoder, bias, *rest), shapes, strict=True):
        if tuple(one.shape) != shape or not torch.isfinite(one).all() or not n_latents:
            raise InputError(f"{folder / WEIGHTS}: {name} is no finite array of shape {shape}")
    if settings.get("rescale_acts_by_decoder_norm"):
        # Its latents are ranked times their direction's length, and so are read here.
        norms = decoder.norm(dim=1)
        encoder, encoder_bias, decoder = encoder * norms, encoder_bias * norms, decoder / norms[:, None]
    if not settings.get("apply_b_dec_to_input", True):
        encoder_bias = encoder_bias + bias @ encoder
    threshold = rest[0] if rest else torch.zeros(n_latents) if architecture == "standard" else None
    given = settings.get("metadata")
    metadata: dict[str, Any] = given if isinstance(given, dict) else {}
    k = settings.get("k") if architecture == "topk" else metadata.get("most", min(_MOST, n_latents - 1))
    if type(k) is not int or not 1 <= k <= n_latents:
        raise InputError(f"{path}: k is {shown(k)}, not a number of its {n_latents} latents")
    return Dictionary(encoder, encoder_bias, decoder, bias, k, threshold, metadata)


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: {path.parent} is no dictionary") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})") from None
    if not isinstance(settings, dict):
        raise InputError(f"{path} holds no settings, but {shown(settings)}")
    return settings


def _arrays(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: {path.parent} is no dictionary") from None
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is truncated or no safetensors file ({error})") from None
