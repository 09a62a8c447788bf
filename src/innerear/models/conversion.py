"""audiocraft's MusicGen in the modules of the transformers library: the same weights, other code.

The language model becomes a MusicgenForCausalLM (text by cross-attention) or a MusicgenMelodyForCausalLM
(text prepended), the codec an EncodecModel. The text encoder is T5 of that library in both. Weights of the
same precision are shared, not copied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.models.codec_conversion import converted_codec, takes_turns
from innerear.models.imports import import_transformers_musicgen

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen


@dataclass
class Parts:
    """The parts of a MusicGen, as modules of the transformers library.

    Attributes
    ----------
    decoder : MusicgenForCausalLM or MusicgenMelodyForCausalLM.
    text_encoder, tokenizer : T5.
    text_projection : of the text encoder's states to d_model.
    melody : float32 [F, d_model], prepended where no melody is given; without rows in other models.
    codec : EncodecModel, one for both channels of a stereo model; None where it cannot be converted.
    stereo : whether the codebooks of the left and right channel take turns.
    frame_rate, sample_rate : codec frames and audio samples per second.
    max_duration : seconds that fit one window.
    delays : of the K codebooks, in steps.
    origin : audiocraft's MusicGen that was converted, None for a model in the library's own layout.
    """

    decoder: Any
    text_encoder: Any
    tokenizer: Any
    text_projection: nn.Module
    melody: torch.Tensor
    codec: Any
    stereo: bool
    frame_rate: float
    sample_rate: int
    max_duration: float
    delays: tuple[int, ...]
    origin: Any = None


_PROJECTION = "condition_provider.conditioners.description.output_proj."
_MELODY = "condition_provider.conditioners.self_wav."
_BLOCK_NAMES = {
    "self_attn.out_proj": "self_attn.out_proj",
    "cross_attention.out_proj": "encoder_attn.out_proj",
    "norm1": "self_attn_layer_norm",
    "norm_cross": "encoder_attn_layer_norm",
    "norm2": "final_layer_norm",
    "linear1": "fc1",
    "linear2": "fc2",
}
_ATTENTIONS = {"self_attn.in_proj": "self_attn", "cross_attention.in_proj": "encoder_attn"}


def converted(musicgen: "MusicGen", name: str) -> Parts:
    """Return the model's parts with weights in float32.

    Parameters
    ----------
    musicgen : a loaded MusicGen or AudioGen, on any device and of any precision; it is not changed.
    name : of the model, for messages.

    Raises
    ------
    InputError: a model with parts that the library does not have; the message names them.
    """
    lm: Any = musicgen.lm
    _refuse_other_parts(lm, name)
    import_transformers_musicgen()
    weights = {key: value.float() for key, value in lm.state_dict().items()}
    text: Any = lm.condition_provider.conditioners["description"]
    melody = _no_melody(lm, weights, name)
    n_prepended = len(melody) + (0 if _crossed(lm) else 512)  # T5 reads 512 tokens
    context = int(musicgen.max_duration * musicgen.frame_rate) + lm.n_q + n_prepended
    stereo = takes_turns(musicgen.compression_model)
    decoder = _decoder(lm, context, 2 if stereo else 1)
    _load(decoder, _decoder_weights(weights), name)
    projection = nn.Linear(*text.output_proj.weight.shape[::-1], device="meta")
    _load(projection, {kind: weights.pop(_PROJECTION + kind) for kind in ("weight", "bias")}, name)
    return Parts(
        decoder=decoder.eval(),
        text_encoder=text.t5,
        tokenizer=text.t5_tokenizer,
        text_projection=projection.requires_grad_(False),
        melody=melody,
        codec=converted_codec(musicgen.compression_model),
        stereo=stereo,
        frame_rate=float(musicgen.frame_rate),
        sample_rate=int(musicgen.sample_rate),
        max_duration=float(musicgen.max_duration),
        delays=tuple(lm.pattern_provider.delays),
        origin=musicgen,
    )


def _crossed(lm: Any) -> bool:
    return "description" in lm.fuser.fuse2cond.get("cross", [])


def _refuse_other_parts(lm: Any, name: str) -> None:
    """Raise an InputError for a model that the library's MusicGen cannot express, whatever its weights."""
    transformer, block = lm.transformer, lm.transformer.layers[0]
    conditions = {kind: list(names) for kind, names in lm.fuser.fuse2cond.items() if names}
    text = dict(lm.condition_provider.conditioners).get("description")
    positions = (transformer.positional_embedding, transformer.positional_scale, transformer.max_period)
    wrong = {
        "no norm before attention": not block.norm_first,
        f"positions {positions}": positions != ("sin", 1.0, 10_000),
        f"conditions {conditions}": conditions
        not in (
            {"cross": ["description"]},
            {"prepend": ["description"]},
            {"prepend": ["self_wav", "description"]},
        ),
        "positions in cross-attention": lm.fuser.cross_attention_pos_emb,
        "a text encoder other than T5": not hasattr(text, "t5"),
        "normalised text": getattr(text, "normalize_text", False),
        "repeated keys": getattr(block.self_attn, "kv_repeat", 1) != 1,
        "a limited context": getattr(block.self_attn, "past_context", None) is not None,
        "an unknown activation": _activation(block) is None,
    }
    found = [what for what, is_so in wrong.items() if is_so]
    if found:
        raise _no_counterpart(name, found)


def _no_counterpart(name: str, parts: list[str]) -> InputError:
    some = ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")
    return InputError(
        f"model {name!r} has no counterpart in the transformers library: it has {some}; "
        "use model.backend: audiocraft, without this witness"
    )


def _activation(block: Any) -> str | None:
    known = {"gelu": nn.functional.gelu, "relu": nn.functional.relu, "silu": nn.functional.silu}
    return next((name for name, function in known.items() if block.activation is function), None)


def _decoder(lm: Any, context: int, channels: int) -> Any:
    """Return the language model without weights, for sequences of `context` positions."""
    from transformers.modeling_utils import no_init_weights
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig
    from transformers.models.musicgen.modeling_musicgen import MusicgenForCausalLM
    from transformers.models.musicgen_melody.configuration_musicgen_melody import MusicgenMelodyDecoderConfig
    from transformers.models.musicgen_melody.modeling_musicgen_melody import MusicgenMelodyForCausalLM

    block = lm.transformer.layers[0]
    settings = {
        "vocab_size": lm.card,
        "max_position_embeddings": context,
        "num_hidden_layers": len(lm.transformer.layers),
        "ffn_dim": block.linear1.out_features,
        "num_attention_heads": block.self_attn.num_heads,
        "activation_function": _activation(block),
        "hidden_size": lm.dim,
        "num_codebooks": lm.n_q,
        "audio_channels": channels,
        "pad_token_id": lm.special_token_id,
        "bos_token_id": lm.special_token_id,
        "attn_implementation": "sdpa",
    }
    # For a meta device torch would import its compiler. Memory that is not drawn in takes no room either.
    with no_init_weights():
        if _crossed(lm):
            return MusicgenForCausalLM(MusicgenDecoderConfig(**settings))
        return MusicgenMelodyForCausalLM(MusicgenMelodyDecoderConfig(**settings))


def _decoder_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights by the decoder's names; those without one keep theirs.

    Queries, keys and values lie above one another in audiocraft's ``in_proj``.
    """
    renamed = {}
    for key, value in weights.items():
        if key.startswith("condition_provider."):
            continue
        first, _, rest = key.partition(".")
        if first == "transformer":
            _, layer, part = rest.split(".", 2)
            block = f"model.decoder.layers.{layer}"
            # Attention that is not audiocraft's own is torch's, under `mha`.
            module, separator, kind = part.replace(".mha.", ".").rpartition("_" if "in_proj" in part else ".")
            if module in _ATTENTIONS:
                for letter, rows in zip("qkv", value.chunk(3), strict=True):
                    renamed[f"{block}.{_ATTENTIONS[module]}.{letter}_proj.{kind}"] = rows
            else:
                renamed[f"{block}.{_BLOCK_NAMES.get(module, module)}{separator}{kind}"] = value
        else:
            ours = {
                "emb": "model.decoder.embed_tokens",
                "out_norm": "model.decoder.layer_norm",
                "linears": "lm_heads",
            }
            renamed[f"{ours.get(first, first)}.{rest}"] = value
    return renamed


def _load(module: nn.Module, weights: Mapping[str, torch.Tensor], name: str) -> None:
    """Give a module on no device its weights, without a copy."""
    lacking, unknown = module.load_state_dict(weights, strict=False, assign=True)
    if lacking or unknown:
        raise _no_counterpart(name, [*unknown, *(f"no {key}" for key in lacking)])
    module.requires_grad_(False)


def _no_melody(lm: Any, weights: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    """Return what the model prepends where no melody is given: the first pitch class, at all times."""
    conditioners = dict(lm.condition_provider.conditioners)
    if "self_wav" not in conditioners:
        return torch.empty(0, lm.dim, device=weights[_PROJECTION + "weight"].device)
    if not conditioners["self_wav"].match_len_on_eval:
        raise _no_counterpart(name, ["melodies of any length"])
    column = weights[_MELODY + "output_proj.weight"][:, 0] + weights[_MELODY + "output_proj.bias"]
    return column.expand(conditioners["self_wav"].chroma_len, -1)
