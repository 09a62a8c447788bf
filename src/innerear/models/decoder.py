"""audiocraft's language model on a CPU, a step at a time, without what repeats itself at each step.

Keys and values of the past lie in arrays of their final size, those of the text are computed once, and a step
calls torch's functions, not modules. Operations and their order are audiocraft's: in float32, tokens and
states are the same to the last bit. What it does not do is named by `refusals`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from innerear.models.base import EditHook, StateHook
from innerear.models.composing import Reader
from innerear.models.texts import Texts

# Records what a layer adds to the residual stream or makes of it, [rows, positions, D], or returns what takes
# its place.
_Hook = Callable[[torch.Tensor], torch.Tensor | None]


class _Layer:
    """One block, prepared for a window.

    Parameters
    ----------
    layer : audiocraft's.
    texts : what its cross-attention reads.
    n_positions : of the window.
    """

    def __init__(self, layer: Any, texts: torch.Tensor, open_keys: Any, n_positions: int) -> None:
        own, cross = layer.self_attn, layer.cross_attention
        self.n_heads, self.n_rows = own.num_heads, len(texts)
        d_model = own.embed_dim
        self.norms = [_norm(one) for one in (layer.norm1, layer.norm_cross, layer.norm2)]
        self.into, self.out = own.in_proj_weight.t(), own.out_proj.weight.t()
        query, key, value = cross.in_proj_weight.chunk(3)
        self.query, self.cross_out = query.t(), cross.out_proj.weight.t()
        self.up, self.down, self.activation = (
            layer.linear1.weight.t(),
            layer.linear2.weight.t(),
            layer.activation,
        )
        # [rows, heads, tokens, d]
        self.text_keys, self.text_values = (
            F.linear(texts, one).unflatten(-1, (self.n_heads, -1)).transpose(1, 2).contiguous()
            for one in (key, value)
        )
        self.open = None if open_keys is None else open_keys[:, None, None]
        shape = (self.n_rows, self.n_heads, n_positions, d_model // self.n_heads)
        self.keys, self.values = texts.new_empty(shape), texts.new_empty(shape)
        names = {"self": "layer_scale_1", "cross": "layer_scale_cross", "mlp": "layer_scale_2"}
        self.hooks = {site: _hooks(getattr(layer, name)) for site, name in names.items()}
        self.hooks["residual"] = _hooks(layer)

    def __call__(self, states: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Return what the block makes of positions start … stop of the stream [rows · positions, D]."""
        n = stop - start
        first, second, third = self.norms
        packed = torch.mm(first(states), self.into).view(self.n_rows, n, 3, self.n_heads, -1)
        query, key, value = packed.transpose(1, 3).unbind(2)  # [rows, heads, n, d]
        self.keys.narrow(2, start, n).copy_(key)
        self.values.narrow(2, start, n).copy_(value)
        keys, values = self.keys.narrow(2, 0, stop), self.values.narrow(2, 0, stop)
        read = F.scaled_dot_product_attention(query, keys, values, is_causal=n > 1)
        states = self._add(states, read, self.out, "self")
        query = torch.mm(second(states), self.query).view(self.n_rows, n, self.n_heads, -1).transpose(1, 2)
        read = F.scaled_dot_product_attention(query, self.text_keys, self.text_values, self.open)
        states = self._add(states, read, self.cross_out, "cross")
        inner = self.activation(torch.mm(third(states), self.up))
        states = self._add(states, inner, self.down, "mlp")
        return self._seen(states, "residual")

    def _seen(self, states: torch.Tensor, site: str) -> torch.Tensor:
        """Show states [rows · positions, D] to the hooks of a site; return them as these leave them."""
        if not self.hooks[site]:
            return states
        shown = states.view(self.n_rows, -1, states.shape[-1])
        left = _through(self.hooks[site], shown)
        return states if left is shown else left.flatten(0, 1)

    def _add(self, states: torch.Tensor, read: torch.Tensor, out: torch.Tensor, site: str) -> torch.Tensor:
        """Add to the stream what was read, [rows, heads, n, d] or [rows · n, units], through a product."""
        if read.ndim == 4:
            read = read.transpose(1, 2).reshape(states.shape[0], -1)
        return states + self._seen(torch.mm(read, out), site)


class _Call:
    """One call of the language model, made of each position of a window in turn."""

    def __init__(self, lm: Any, texts: Texts, n_positions: int) -> None:
        ((states, _),) = texts.conditions.values()
        self.n_rows, self.place = states.shape[0], 0
        self.layers = [_Layer(one, states, texts.open, n_positions) for one in lm.transformer.layers]
        self.inputs = _hooks(lm.transformer.layers[0], before=True)
        self.tables = [one.weight for one in lm.emb]
        self.positions = _positions(lm.transformer, n_positions, lm.dim)
        self.norm, self.n_codebooks = _norm(lm.out_norm), lm.n_q
        self.heads = torch.cat([one.weight for one in lm.linears]).t()

    def __call__(self, sequence: torch.Tensor) -> torch.Tensor:
        """Read the next positions [B, K, n]; return the logits after the last, [rows, K, card]."""
        n = sequence.shape[-1]
        start, self.place = self.place, self.place + n
        tokens = sequence.unbind(1)
        read = (F.embedding(*one) for one in zip(tokens, self.tables, strict=True))
        states: Any = sum(read)  # [B, n, D]
        states = states + self.positions[start : self.place]
        if copies := self.n_rows // sequence.shape[0] - 1:
            states = torch.cat([states] * (copies + 1))
        states = _through(self.inputs, states).flatten(0, 1)
        for layer in self.layers:
            states = layer(states, start, self.place)
        last = self.norm(states).view(self.n_rows, n, -1)[:, -1]
        return torch.mm(last, self.heads).view(self.n_rows, self.n_codebooks, -1)


@contextmanager
def static_reader(lm: Any, calls: list[Texts], n_positions: int) -> Iterator[Reader]:
    """Open a reader of one window; see `innerear.models.composing.Reader`.

    Parameters
    ----------
    lm : audiocraft's language model, of which `refusals` names nothing.
    calls : of each step, in order.
    """
    with torch.inference_mode():
        parts = [_Call(lm, texts, n_positions) for texts in calls]
        if len(parts) == 1:
            yield parts[0]
        else:
            yield lambda sequence: torch.cat([part(sequence) for part in parts])


def _norm(norm: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    shape, weight, bias, eps = norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return lambda states: torch.layer_norm(states, shape, weight, bias, eps)


def _positions(transformer: Any, n_positions: int, d_model: int) -> torch.Tensor:
    """Return the embeddings of positions [positions, D], as they are added to the stream."""
    from audiocraft.modules.transformer import create_sin_embedding

    places = torch.arange(n_positions).view(1, -1, 1)
    table = create_sin_embedding(places, d_model, max_period=transformer.max_period, dtype=torch.float32)
    return transformer.positional_scale * table[0]


def _hooks(module: nn.Module, *, before: bool = False) -> list[_Hook]:
    """Return what records or edits a module's output, or its input, in order."""
    hooks: Any = (module._forward_pre_hooks if before else module._forward_hooks).values()
    return [hook.edit if isinstance(hook, EditHook) else hook.record for hook in hooks]


def _through(hooks: list[_Hook], states: torch.Tensor) -> torch.Tensor:
    for hook in hooks:
        edited = hook(states)
        states = states if edited is None else edited
    return states


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
    some = {
        "another device than the CPU": any(one.device.type != "cpu" for one in lm.parameters()),
        "another precision than float32": any(one.dtype != torch.float32 for one in lm.parameters()),
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
