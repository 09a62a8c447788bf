"""Reasons for which the static decoder is not used; audiocraft's own step runs instead."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from innerear.models.base import EditHook, StateHook

# On each kind of device, the precisions of the layers.
_DTYPES = {"cpu": [{torch.float32}], "cuda": [{torch.float32}, {torch.float16}]}


def refusals(lm: Any) -> list[str]:
    """Return what of a language model the static decoder does not do; none if it can take its place.

    Hooks that record or edit states are called by it; any other hook on the network, and any other method in
    place of a module's own, would silently not run, and is therefore refused.
    """
    return [*_foreign_code(lm)] or [*_other_parts(lm), *_other_conditions(lm)]


def _other_parts(lm: Any) -> Iterator[str]:
    from audiocraft.modules import transformer as parts

    stream, layers = lm.transformer, list(lm.transformer.layers)
    if any(layer.cross_attention is None for layer in layers):
        yield "layers without cross-attention"
        return
    attentions = [one for layer in layers for one in (layer.self_attn, layer.cross_attention)]
    places = {one.device for one in lm.parameters()}
    kind = places.pop().type if len(places) == 1 else ""
    own = {one.dtype for one in stream.parameters()}
    rest = {one.dtype for name, one in lm.named_parameters() if not name.startswith("transformer.")}
    some = {
        "another device than one CPU or CUDA GPU": kind not in _DTYPES,
        "another precision than float32, or on a GPU layers in float16": rest != {torch.float32}
        or own not in _DTYPES.get(kind, [own]),
        "attention in a precision of its own": own != {torch.float32}
        and any(one.attention_as_float32 for one in attentions),
        "rotary or other positions": stream.positional_embedding != "sin" or stream.rope is not None,
        "checkpointed layers": stream.checkpointing != "none",
        "post-norm": lm.out_norm is None or not all(layer.norm_first for layer in layers),
        "kv_repeat": any(one.kv_repeat != 1 for one in attentions),
        "normalised queries and keys": any(one.qk_layer_norm for one in attentions),
        "a limited past": any(one.past_context is not None for one in attentions),
        "attention that is not torch's own": parts._efficient_attention_backend != "torch"
        or not all(one.custom and one.memory_efficient for one in attentions),
        "self-attention that is not causal": not all(layer.self_attn.causal for layer in layers),
        "layer scale": any(isinstance(one, parts.LayerScale) for one in lm.modules()),
        "biases": any(
            one.bias is not None for one in [*stream.modules(), *lm.linears] if isinstance(one, nn.Linear)
        )
        or any(one.in_proj_bias is not None for one in attentions if one.custom),
        "other embeddings": any(one.max_norm is not None for one in lm.emb),
    }
    yield from (reason for reason, found in some.items() if found)


def _other_conditions(lm: Any) -> Iterator[str]:
    used = {how: names for how, names in lm.fuser.fuse2cond.items() if names}
    if list(used) != ["cross"] or len(used["cross"]) != 1:
        said = ", ".join(f"{how}: {', '.join(names)}" for how, names in used.items())
        yield f"conditions other than one text by cross-attention ({said or 'none'})"
    if lm.fuser.cross_attention_pos_emb:
        yield "positions in cross-attention"


def _foreign_code(lm: Any) -> Iterator[str]:
    """Name hooks and methods that others have put on the network."""
    from audiocraft.models.lm import LMModel
    from audiocraft.modules.transformer import StreamingTransformerLayer

    known = ("audiocraft.modules", "audiocraft.models", "torch.nn.modules")
    modules = {"": lm, **{f"transformer.{name}": one for name, one in lm.transformer.named_modules()}}
    modules |= {f"{part}.{i}": one for part in ("emb", "linears") for i, one in enumerate(getattr(lm, part))}
    modules |= {"out_norm": lm.out_norm, "fuser": lm.fuser}
    if type(lm).forward is not LMModel.forward or lm.__dict__.get("_fsdp") is not None:
        yield "another class of language model"
    if any(type(layer) is not StreamingTransformerLayer for layer in lm.transformer.layers):
        yield "layers of another class"
    for name, one in modules.items():
        if one is None:
            continue
        hooks = [*one._forward_hooks.values(), *one._forward_pre_hooks.values()]
        if not all(isinstance(hook, StateHook | EditHook) for hook in hooks) or one._backward_hooks:
            yield f"a hook on the network ({name or 'lm'})"
        if not type(one).__module__.startswith(known) or "forward" in vars(one):
            yield f"a module of another class ({name}: {type(one).__name__})"
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:
        yield "a hook on all modules"
