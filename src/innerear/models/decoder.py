"""The static decoder: audiocraft's language model step by step, without work that repeats in each step.

Keys and values of the past lie in arrays of their final size, those of the text are computed once, and a step
calls torch's functions, not modules. On a CPU operations and their order are audiocraft's: in float32, tokens
and states are the same to the last bit. On a GPU all steps run the same commands on the same buffers, so that
these can be recorded as a CUDA graph (`innerear.models.graphs`): attention reads a multiple of 64 places and
masks those to come. What it does not do is named by `innerear.models.refusals`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from innerear.models.base import EditHook
from innerear.models.composing import Reader
from innerear.models.graphs import Record, Step, unrecorded
from innerear.models.texts import Texts, attention_on

# Takes a layer's states [rows, positions, D] at a site, and may return what takes their place.
_Tap = Callable[[torch.Tensor], torch.Tensor | None]

# Of a layer, in the order of a step.
_SITES = ("self", "cross", "mlp", "residual")
# Places by which the reach of attention grows.
_REACH = 64


class _Layer:
    """One block, with keys and values of a window and its texts.

    Parameters
    ----------
    layer : audiocraft's.
    shape : rows, positions of a window, and tokens of a text.
    taps : of the sites self, cross, mlp and residual.
    """

    def __init__(self, layer: Any, shape: tuple[int, int, int], taps: dict[str, list[_Tap]]) -> None:
        own, cross = layer.self_attn, layer.cross_attention
        self.n_rows, n_positions, n_tokens = shape
        self.head = own.num_heads, own.embed_dim // own.num_heads
        self.into, self.out = own.in_proj_weight.t(), own.out_proj.weight.t()
        dtype = self.into.dtype
        self.norms = [_norm(one, dtype) for one in (layer.norm1, layer.norm_cross, layer.norm2)]
        query, *self.text_weights = cross.in_proj_weight.chunk(3)
        self.query, self.cross_out = query.t(), cross.out_proj.weight.t()
        self.up, self.down, self.activation = (
            layer.linear1.weight.t(),
            layer.linear2.weight.t(),
            layer.activation,
        )
        # [rows, heads, places, d]
        self.keys, self.values, self.text_keys, self.text_values = (
            self.into.new_empty((self.n_rows, self.head[0], n, self.head[1]))
            for n in (n_positions, n_positions, n_tokens, n_tokens)
        )
        self.taps = taps

    def begin(self, texts: torch.Tensor) -> None:
        """Forget the past, and compute keys and values of texts [rows, tokens, D]."""
        # A place that is masked weighs nothing, but 0 × NaN is NaN.
        self.keys.zero_()
        self.values.zero_()
        for kept, weight in zip((self.text_keys, self.text_values), self.text_weights, strict=True):
            read = F.linear(texts.to(weight.dtype), weight)
            kept.copy_(read.unflatten(-1, self.head).transpose(1, 2))

    def __call__(self, states: torch.Tensor, past: "_Known | _Any", hidden: Any) -> torch.Tensor:
        """Return what the block makes of the stream [rows · positions, D]; `hidden` masks the text."""
        first, second, third = self.norms
        packed = torch.mm(first(states), self.into).view(self.n_rows, -1, 3, *self.head)
        query, key, value = packed.transpose(1, 3).unbind(2)  # [rows, heads, n, d]
        read = past.attend(query, key, value, self.keys, self.values)
        states = self._add(states, read, self.out, "self")
        query = torch.mm(second(states), self.query).view(self.n_rows, -1, *self.head).transpose(1, 2)
        read = F.scaled_dot_product_attention(query, self.text_keys, self.text_values, hidden)
        states = self._add(states, read, self.cross_out, "cross")
        inner = self.activation(torch.mm(third(states), self.up))
        states = self._add(states, inner, self.down, "mlp")
        return self._seen(states, "residual")

    def _seen(self, states: torch.Tensor, site: str) -> torch.Tensor:
        """Show states [rows · positions, D] to the taps of a site; return them as these leave them."""
        if not self.taps[site]:
            return states
        shown = states.view(self.n_rows, -1, states.shape[-1])
        left = _through(self.taps[site], shown)
        return states if left is shown else left.flatten(0, 1)

    def _add(self, states: torch.Tensor, read: torch.Tensor, out: torch.Tensor, site: str) -> torch.Tensor:
        """Add to the stream what was read, [rows, heads, n, d] or [rows · n, units], through a product."""
        if read.ndim == 4:
            read = read.transpose(1, 2).reshape(states.shape[0], -1)
        return states + self._seen(torch.mm(read, out), site)


class _Known(NamedTuple):
    """Positions start … stop, which Python knows: attention reads them and those before."""

    start: int
    stop: int

    def positions(self, table: torch.Tensor) -> torch.Tensor:
        """Return their rows of a table."""
        return table[self.start : self.stop]

    def attend(self, query: Any, key: Any, value: Any, keys: torch.Tensor, values: torch.Tensor) -> Any:
        """Keep the positions' keys and values, and attend to all that are kept."""
        n = self.stop - self.start
        keys.narrow(2, self.start, n).copy_(key)
        values.narrow(2, self.start, n).copy_(value)
        keys, values = keys.narrow(2, 0, self.stop), values.narrow(2, 0, self.stop)
        return F.scaled_dot_product_attention(query, keys, values, is_causal=n > 1)


class _Any(NamedTuple):
    """One position, which the device alone knows: attention reads the places of the mask [1, places]."""

    place: torch.Tensor
    mask: torch.Tensor

    def positions(self, table: torch.Tensor) -> torch.Tensor:
        """Return its row of a table."""
        return table.index_select(0, self.place)

    def attend(self, query: Any, key: Any, value: Any, keys: torch.Tensor, values: torch.Tensor) -> Any:
        """Keep the position's key and value, and attend to all that are kept."""
        keys.index_copy_(2, self.place, key)
        values.index_copy_(2, self.place, value)
        keys, values = (kept.narrow(2, 0, self.mask.shape[1]) for kept in (keys, values))
        return F.scaled_dot_product_attention(query, keys, values, self.mask)


class _Call:
    """One call of the language model, made of each position of a window in turn.

    Parameters
    ----------
    texts : that are read; others of their shape can follow, see `begin`.
    record : turns the step on fixed buffers into a graph; None where Python may know the position.
    """

    def __init__(self, lm: Any, texts: Texts, n_positions: int, record: Record | None) -> None:
        ((read, _),) = texts.conditions.values()
        self.lm, self.n_rows, self.n_codebooks, self.record = lm, read.shape[0], lm.n_q, record
        self.taken: list[torch.Tensor] = []  # by the taps of what records, in this order
        shape = (self.n_rows, n_positions, read.shape[1])
        self.input_taps, *taps = [self._taps(of_place) for of_place in _hooks(lm)]
        self.layers = [
            _Layer(layer, shape, dict(zip(_SITES, taps[i * len(_SITES) :], strict=False)))
            for i, layer in enumerate(lm.transformer.layers)
        ]
        weight = self.layers[0].into
        self.tables = [one.weight for one in lm.emb]
        self.positions = _positions(lm.transformer, n_positions, lm.dim, weight.device)
        self.norm = _norm(lm.out_norm, weight.dtype)
        self.heads = torch.cat([one.weight for one in lm.linears]).t().to(weight.dtype)
        # Added to the attention on texts.
        self.hidden: Any = None if texts.open is None else weight.new_zeros((shape[0], 1, 1, shape[2]))
        self.index = torch.zeros(1, dtype=torch.long, device=weight.device)
        self.tokens = self.index.new_zeros((0, 0, 1))  # [B, K, 1]
        n_masked = n_positions if record else 0
        self.later = weight.new_full((n_masked, n_masked), -torch.inf).triu(diagonal=1)
        # By the places that attention reads; None for a step that runs as it is. A step refers to this call:
        # kept here, it would keep a GPU's memory until Python looks for cycles.
        self.graphs: dict[int, Step | None] = {}
        self.begin(texts)

    def begin(self, texts: Texts) -> None:
        """Begin a window: read its texts, and note what records its states."""
        ((read, _),) = texts.conditions.values()
        self.place = 0
        hooks = [hook for of_place in _hooks(self.lm) for hook in of_place]
        self.records = [hook.record for hook in hooks if not isinstance(hook, EditHook)]
        for layer in self.layers:
            layer.begin(read)
        if texts.open is not None:
            self.hidden.zero_().masked_fill_(~texts.open[:, None, None], -torch.inf)

    def __call__(self, sequence: torch.Tensor) -> torch.Tensor:
        """Read the next positions [B, K, n]; return the logits after the last, [rows, K, card]."""
        start, self.place = self.place, self.place + sequence.shape[-1]
        if self.record is None or sequence.shape[-1] > 1:
            logits, states = self._read(sequence, _Known(start, self.place))
        else:
            logits, states = self._step(sequence, start, self.record)
            states = _apart(states)
        for record, taken in zip(self.records, states, strict=True):
            record(taken)
        return logits

    def _step(
        self, sequence: torch.Tensor, place: int, record: Record
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Read one position from buffers; the first of each reach runs before it is recorded."""
        if self.tokens.shape != sequence.shape:
            self.tokens, self.graphs = sequence.clone(), {}
        self.tokens.copy_(sequence)
        self.index.fill_(place)
        reach = place // _REACH * _REACH + _REACH
        if reach not in self.graphs:
            step = partial(self._read_buffers, reach)
            made, graph = step(), record(step)
            self.graphs[reach] = None if graph is step else graph
            return made
        graph = self.graphs[reach]
        return graph() if graph else self._read_buffers(reach)

    def _read_buffers(self, reach: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        mask = self.later.index_select(0, self.index).narrow(1, 0, reach)
        return self._read(self.tokens, _Any(self.index, mask))

    def _read(self, sequence: torch.Tensor, past: _Known | _Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the logits [rows, K, card] after positions [B, K, n], and the states that are recorded."""
        self.taken.clear()
        read = (F.embedding(*one) for one in zip(sequence.unbind(1), self.tables, strict=True))
        states: Any = sum(read)  # [B, n, D]
        states = states + past.positions(self.positions)
        if copies := self.n_rows // sequence.shape[0] - 1:
            states = torch.cat([states] * (copies + 1))
        states = _through(self.input_taps, states).flatten(0, 1)
        for layer in self.layers:
            states = layer(states, past, self.hidden)
        last = self.norm(states).view(self.n_rows, sequence.shape[-1], -1)[:, -1]
        return torch.mm(last, self.heads).view(self.n_rows, self.n_codebooks, -1), list(self.taken)

    def _taps(self, hooks: Sequence[Any]) -> list[_Tap]:
        return [one.edit if isinstance(one, EditHook) else self.taken.append for one in hooks]


class StaticDecoder:
    """The static decoder of one language model.

    Parameters
    ----------
    lm : audiocraft's, of which `innerear.models.refusals.refusals` names nothing.
    record : makes a graph of a step on fixed buffers; None, as on a CPU, for steps that know their position.
        Buffers and graphs are kept for the next window, as long as it has the same shape and records as many
        states; where states are edited, steps are run and not recorded.
    """

    def __init__(self, lm: Any, record: Record | None) -> None:
        self.lm, self.record = lm, record
        self._kept: tuple[Any, list[_Call]] = None, []

    @contextmanager
    def reader(self, calls: Sequence[Texts], n_positions: int) -> Iterator[Reader]:
        """Open a reader of one window of so many positions; see `innerear.models.composing.Reader`.

        Parameters
        ----------
        calls : of each step, in order.
        """
        with ExitStack() as around:
            around.enter_context(torch.inference_mode())
            device = self.lm.linears[0].weight.device
            around.enter_context(attention_on(device))
            if device.type == "cuda":
                around.enter_context(torch.cuda.device(device))
                # Each command has the precision of its operands.
                around.enter_context(torch.autocast("cuda", enabled=False))
            try:
                parts = self._parts(calls, n_positions)
                yield parts[0] if len(parts) == 1 else lambda read: torch.cat([part(read) for part in parts])
            except BaseException:
                self._kept = None, []  # above all where memory has run out
                raise

    def _parts(self, calls: Sequence[Texts], n_positions: int) -> list[_Call]:
        if self.record is None:
            return [_Call(self.lm, texts, n_positions, None) for texts in calls]
        n_positions += -n_positions % _REACH
        edited = any(isinstance(hook, EditHook) for of_place in _hooks(self.lm) for hook in of_place)
        key = None if edited else (n_positions, *_shape(self.lm, calls))
        if key is not None and key == self._kept[0]:
            for part, texts in zip(self._kept[1], calls, strict=True):
                part.begin(texts)
            return self._kept[1]
        self._kept = None, []  # first, since the new ones may need the memory
        record = unrecorded if edited else self.record
        parts = [_Call(self.lm, texts, n_positions, record) for texts in calls]
        if not edited:
            self._kept = key, parts
        return parts


def _shape(lm: Any, calls: Sequence[Texts]) -> tuple[Any, ...]:
    """Return what buffers and graphs depend on: texts' shapes, how much is recorded, and which weights."""
    shapes = [(one.open is None, *next(iter(one.conditions.values()))[0].shape) for one in calls]
    return (
        shapes,
        [len(one) for one in _hooks(lm)],
        [(one.data_ptr(), one._version) for one in lm.parameters()],
    )


def _hooks(lm: Any) -> list[list[Any]]:
    """Return the hooks of each place in the order in which a step reaches it.

    The first is what layer 0 reads; then follow of each layer what self-attention, cross-attention and mlp
    add to the stream, and what the layer makes of it.
    """
    layers = list(lm.transformer.layers)
    of_layers = [(one.layer_scale_1, one.layer_scale_cross, one.layer_scale_2, one) for one in layers]
    after = [list(module._forward_hooks.values()) for of_layer in of_layers for module in of_layer]
    return [list(layers[0]._forward_pre_hooks.values()), *after]


def _norm(norm: Any, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a norm in float32. Its result has the precision of the product that reads it."""
    shape, weight, bias, eps = norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps
    if dtype == torch.float32:
        return lambda states: torch.layer_norm(states, shape, weight, bias, eps)
    return lambda states: torch.layer_norm(states, shape, weight, bias, eps).to(dtype)


def _positions(transformer: Any, n_positions: int, d_model: int, device: torch.device) -> torch.Tensor:
    """Return the embeddings of positions [positions, D], as they are added to the stream."""
    from audiocraft.modules.transformer import create_sin_embedding

    places = torch.arange(n_positions, device=device).view(1, -1, 1)
    table = create_sin_embedding(places, d_model, max_period=transformer.max_period, dtype=torch.float32)
    return transformer.positional_scale * table[0]


def _through(taps: list[_Tap], states: torch.Tensor) -> torch.Tensor:
    for tap in taps:
        edited = tap(states)
        states = states if edited is None else edited
    return states


def _apart(states: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copy states of one shape, by one command for each precision."""
    of = {one.dtype: [other for other in states if other.dtype == one.dtype] for one in states}
    copies = {dtype: iter(torch.stack(alike).unbind()) for dtype, alike in of.items()}
    return [next(copies[one.dtype]) for one in states]
