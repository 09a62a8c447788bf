"""audiocraft's EnCodec as an EncodecModel of the transformers library, with the same weights."""

from typing import Any

import torch
from torch import nn


def converted_codec(compression: Any) -> Any:
    """Return an EncodecModel in float32 on the codec's device, or None for a codec of another kind.

    Parameters
    ----------
    compression : audiocraft's compression model; of a stereo model, the codec of either channel is converted.
    """
    from audiocraft.models import encodec

    if takes_turns(compression):
        compression = compression.model
    if isinstance(compression, encodec.HFEncodecCompressionModel):
        return compression.model
    if not isinstance(compression, encodec.EncodecModel):
        return None
    try:
        return _encodec(compression)
    except (AttributeError, IndexError, RuntimeError, StopIteration, ValueError):
        return None  # layers in another order, or weights of another shape or name


def takes_turns(compression: Any) -> bool:
    """Return whether the codebooks of the left and right channel take turns, as in stereo models."""
    from audiocraft.models import encodec

    return isinstance(compression, encodec.InterleaveStereoCompressionModel) and not compression.per_timestep


def _encodec(compression: Any) -> Any:
    from transformers.models.encodec.modeling_encodec import EncodecModel

    weights = {}
    for key, value in compression.state_dict().items():
        weights.update(_renamed(key, value.float()))
    with torch.random.fork_rng(devices=[]):  # the library draws initial weights
        codec = EncodecModel(_config(compression))
    codec.load_state_dict(weights)
    return codec.to(next(compression.parameters()).device).eval().requires_grad_(False)


def _config(compression: Any) -> Any:
    from transformers.models.encodec.configuration_encodec import EncodecConfig

    encoder, decoder, quantizer = compression.encoder, compression.decoder, compression.quantizer
    first, blocks = encoder.model[0], [one for one in encoder.model if hasattr(one, "block")]
    narrow, transposed = blocks[0].block[1], next(one for one in decoder.model if hasattr(one, "convtr"))
    bits = (quantizer.bins - 1).bit_length()
    return EncodecConfig(
        # Half a codebook more, because the library rounds the number of codebooks down.
        target_bandwidths=[(quantizer.num_codebooks + 0.5) * compression.frame_rate * bits / 1000],
        sampling_rate=compression.sample_rate,
        audio_channels=compression.channels,
        normalize=compression.renormalize,
        hidden_size=encoder.dimension,
        num_filters=encoder.n_filters,
        num_residual_layers=encoder.n_residual_layers,
        upsampling_ratios=list(decoder.ratios),
        kernel_size=first.conv.conv.kernel_size[0],
        last_kernel_size=encoder.model[-1].conv.conv.kernel_size[0],
        residual_kernel_size=narrow.conv.conv.kernel_size[0],
        dilation_growth_rate=blocks[1].block[1].conv.conv.dilation[0] if encoder.n_residual_layers > 1 else 1,
        use_causal_conv=first.causal,
        pad_mode=first.pad_mode,
        compress=narrow.conv.conv.in_channels // narrow.conv.conv.out_channels,
        num_lstm_layers=next(one for one in encoder.model if hasattr(one, "lstm")).lstm.num_layers,
        trim_right_ratio=transposed.trim_right_ratio,
        codebook_size=quantizer.bins,
        use_conv_shortcut=not isinstance(blocks[0].shortcut, nn.Identity),
    )


def _renamed(key: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return one weight by the library's names, which store a convolution's norm apart from its direction."""
    for old, new in (
        (".model.", ".layers."),
        (".conv.conv.", ".conv."),
        (".convtr.convtr.", ".conv."),
        ("quantizer.vq.", "quantizer."),
        ("._codebook.", ".codebook."),
    ):
        key = key.replace(old, new)
    module, _, kind = key.rpartition(".")
    norm, direction = (f"{module}.parametrizations.weight.original{i}" for i in (0, 1))
    if kind == "weight_g":
        return {norm: value}
    if kind == "weight_v":
        return {direction: value}
    if kind == "weight":
        return {norm: torch.linalg.vector_norm(value, dim=(1, 2), keepdim=True), direction: value}
    return {key: value}
