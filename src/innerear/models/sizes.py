"""Sizes that a configuration states, held against the weights beside it.

Building a model that is larger than its weights might take all memory, or never end.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from innerear.errors import InputError, shown

Shapes = Mapping[str, Sequence[int]]  #: name of a weight → its shape

#: Settings of the transformers library that count parts with weights of their own.
_COUNTS = (
    *("num_layers", "num_hidden_layers", "num_decoder_layers", "num_codebooks", "num_residual_layers"),
    "num_lstm_layers",
)
#: Settings of the library that are the length of an axis of some weight, or a part of one.
_AXES = (
    *("d_model", "d_ff", "d_kv", "num_heads", "vocab_size", "relative_attention_num_buckets", "num_chroma"),
    *("hidden_size", "ffn_dim", "num_attention_heads", "audio_channels", "codebook_size", "codebook_dim"),
    *("num_filters", "kernel_size", "last_kernel_size", "residual_kernel_size", "upsampling_ratios"),
)
#: What no weight bounds: tables that are computed, for 20 minutes at 50 Hz; EnCodec's largest kilobits a
#: second, which say how many codebooks are built; and probabilities.
_OTHERS = {
    **dict.fromkeys(("max_position_embeddings", "chroma_length"), 60_000),
    "target_bandwidths": 24,
    **dict.fromkeys(("dropout", "activation_dropout", "dropout_rate"), 1),
}


def language_model_sizes(weights: Shapes) -> dict[str, float]:
    """Return the largest values of an audiocraft language model's settings for which there are weights."""
    embedded, dim = _matrix(weights, "emb.0.weight")
    chroma = "condition_provider.conditioners.self_wav."
    windows = _longest(weights, f"{chroma}chroma.")
    return {
        "transformer_lm.num_layers": _count(weights, "transformer.layers."),
        "transformer_lm.n_q": _count(weights, "emb."),
        "transformer_lm.card": embedded - 1,  # and a token that is none
        "transformer_lm.dim": dim,
        "transformer_lm.hidden_scale": _longest(weights) / max(dim, 1),
        "conditioners.self_wav.chroma_stem.n_chroma": _matrix(weights, f"{chroma}output_proj.weight")[1],
        "conditioners.self_wav.chroma_stem.radix2_exp": windows.bit_length(),
        "conditioners.self_wav.chroma_stem.nfft": windows,
        "conditioners.self_wav.chroma_stem.winlen": windows,
    }


def codec_sizes(weights: Shapes) -> dict[str, float]:
    """Return the largest values of an audiocraft codec's settings for which there are weights."""
    bins, dimension = _matrix(weights, "quantizer.vq.layers.0._codebook.embed")
    widths = ("channels", "n_filters", "ratios", "kernel_size", "residual_kernel_size", "last_kernel_size")
    counts = ("n_residual_layers", "lstm")
    return {
        "rvq.n_q": _count(weights, "quantizer.vq.layers."),
        "rvq.bins": bins,
        "seanet.dimension": dimension,
        **dict.fromkeys((f"seanet.{name}" for name in widths), _longest(weights)),
        **dict.fromkeys((f"seanet.{name}" for name in counts), len(weights)),
    }


def library_sizes(weights: Shapes, config: Mapping[str, Any]) -> dict[str, float]:
    """Return the largest values of settings in a config.json of the transformers library, by full name."""
    most = _OTHERS | dict.fromkeys(_COUNTS, len(weights)) | dict.fromkeys(_AXES, _longest(weights))
    return {key: most[name] for key, name in _names(config) if name in most}


def require_sizes(sizes: Mapping[str, float], config: Any, where: str) -> None:
    """Raise an InputError if a configuration states a larger model than its weights are for.

    Parameters
    ----------
    sizes : full name of a setting (``decoder.ffn_dim``) → its largest value.
    config : nested mappings.
    where : start of the message: file, and what does not fit.
    """
    for key, most in sizes.items():
        given = config
        for name in key.split("."):
            given = given.get(name) if isinstance(given, Mapping) else None
        for value in given if isinstance(given, Sequence) and not isinstance(given, str) else [given]:
            if isinstance(value, int | float) and not value <= most:
                raise InputError(
                    f"{where}: {key} is {shown(value)}, where a model of these weights has at most "
                    f"{most:g}; put both of one model there"
                )


def require_library_sizes(folder: Path) -> None:
    """Raise an InputError if a folder's config.json states a larger model than its model*.safetensors.

    Weights as pickles are not looked at.
    """
    from safetensors import safe_open

    shapes, path = {}, folder / "config.json"
    for weights in sorted(folder.glob("model*.safetensors")):
        with safe_open(weights, "pt") as file:
            shapes |= {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    if shapes:
        config = json.loads(path.read_text("utf-8"))
        require_sizes(library_sizes(shapes, config), config, f"{path} does not fit the weights beside it")


def _names(config: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, str]]:
    """Yield each setting's full name and its own."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", name


def _count(weights: Shapes, start: str) -> int:
    """Return how many parts of a list, such as ``emb.0``, ``emb.1`` …, have weights."""
    return len({key.removeprefix(start).partition(".")[0] for key in weights if key.startswith(start)})


def _matrix(weights: Shapes, key: str) -> tuple[int, int]:
    """Return the shape of a matrix; (0, 0) where it is not there."""
    if key not in weights or len(weights[key]) != 2:
        return 0, 0
    rows, columns = weights[key]
    return rows, columns


def _longest(weights: Shapes, start: str = "") -> int:
    """Return the longest axis of all weights whose names start so."""
    return max((size for key, shape in weights.items() if key.startswith(start) for size in shape), default=0)
