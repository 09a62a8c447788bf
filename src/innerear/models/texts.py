"""Texts of several lengths in one batch of audiocraft's MusicGen, each read as if it were alone.

audiocraft pads a batch's shorter texts with zeros and lets cross-attention attend to them, which dilutes the
text. Here each text is encoded alone, and attention is kept from what pads it.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

# In float16 another number of tokens may take another kernel: texts are padded to a multiple of this.
_HALF_TOKENS = 16
# Not cuDNN's: it may refuse a mask, and plans anew for each shape.
_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class Texts(NamedTuple):
    """The encoded texts that one call of the language model reads with the tokens.

    Attributes
    ----------
    conditions : by name the conditions [rows, tokens, D] and audiocraft's masks [rows, tokens].
    open : bool [rows, tokens], which of the cross-attention's keys belong to a row's text; None for all.
    """

    conditions: dict[str, tuple[torch.Tensor, torch.Tensor]]
    open: torch.Tensor | None


def read_texts(musicgen: Any, texts: Sequence[str | None], *, half: bool = False) -> Texts:
    """Encode each text alone and pad the shorter ones; None is no text, all of whose keys and values are 0.

    Parameters
    ----------
    half : whether the model computes in float16, where each row must take the same kernel in any batch.
    """
    lm = musicgen.lm
    alone = {}
    for text in dict.fromkeys(texts):
        attributes, _ = musicgen._prepare_tokens_and_attributes([text], None)
        alone[text] = lm.condition_provider(lm.condition_provider.tokenize(attributes))
    crossed = set(lm.fuser.fuse2cond.get("cross", []))
    conditions, opens = {}, []
    for name in alone[texts[0]]:
        parts = [alone[text][name] for text in texts]
        n_tokens = max(value.shape[1] for value, _ in parts)
        if half and name in crossed:
            n_tokens += -n_tokens % _HALF_TOKENS
        values = [F.pad(value, (0, 0, 0, n_tokens - value.shape[1])) for value, _ in parts]
        masks = [F.pad(mask, (0, n_tokens - mask.shape[1])) for _, mask in parts]
        conditions[name] = torch.cat(values), torch.cat(masks)
        if name in crossed:
            # What has no text attends to zeros, however many.
            own = [value.shape[1] if mask.any() else n_tokens for value, mask in parts]
            lengths = torch.tensor(own, device=values[0].device)
            opens.append(torch.arange(n_tokens, device=lengths.device) < lengths[:, None])
    together = torch.cat(opens, dim=1) if opens else None
    needed = together is not None and (half or not bool(together.all()))
    return Texts(conditions, together if needed else None)


def can_mask(lm: Any) -> bool:
    """Return whether attention can be kept from padding: texts are read by audiocraft's usual attention."""
    attentions = [getattr(layer, "cross_attention", None) for layer in lm.transformer.layers]
    return all(
        one is not None and one.custom and one.memory_efficient and not one.qk_layer_norm
        for one in attentions
    )


def attention_on(device: torch.device) -> AbstractContextManager:
    """Choose the kernels of attention while the context lasts: on a GPU those that take any mask."""
    return sdpa_kernel(_ATTENTION) if device.type == "cuda" else nullcontext()


@contextmanager
def masked(lm: Any, open_keys: torch.Tensor | None) -> Iterator[None]:
    """Let the layers' cross-attention read only these keys (`Texts.open`) while the context lasts."""
    attentions = [layer.cross_attention for layer in lm.transformer.layers] if open_keys is not None else []
    try:
        for one in attentions:
            one.__dict__["forward"] = _masked_forward(one, open_keys)
        yield
    finally:
        for one in attentions:
            one.__dict__.pop("forward", None)


def _masked_forward(attention: Any, open_keys: Any) -> Any:
    """Return audiocraft's cross-attention with a mask, [rows, positions, D] -> the same."""
    weights = attention.in_proj_weight.chunk(3)
    biases = (None,) * 3 if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)

    def forward(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **_: Any) -> tuple:
        inputs = zip((query, key, value), weights, biases, strict=True)
        projected = (
            F.linear(*one).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for one in inputs
        )
        q, k, v = (one.float() if attention.attention_as_float32 else one for one in projected)
        read = F.scaled_dot_product_attention(q, k, v, open_keys[:, None, None])
        return attention.out_proj(read.to(query.dtype).transpose(1, 2).flatten(2)), None

    return forward
