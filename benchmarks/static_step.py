"""A prototype of MusicGen's step without Python state: caches preallocated, text read once, one CUDA graph.

For the plain family only: pre-norm, no biases, text by cross-attention, texts of one length. Attention always
reads the whole capacity of the cache and masks what is not written yet.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

#: Without cuDNN's, which plans anew for each shape; a mask leaves the second, no mask the first.
ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

#: Steps of states that are kept before a copy to the CPU would take them.
RING = 64


class StaticStep:
    """Compose B clips, a step at each call of `step`.

    Parameters
    ----------
    model : an `AudiocraftModel`.
    texts, seeds : B of each; the noise is what `Race` draws for these seeds.
    n_frames : T.
    capacity : places of the caches, a multiple of 64 and at least S.
    record : keep the centred states of all layers, float16, for the last `RING` steps.
    """

    def __init__(
        self,
        model: Any,
        texts: Sequence[str],
        seeds: Sequence[int],
        n_frames: int,
        capacity: int,
        *,
        record: bool = False,
        guidance: float = 3.0,
        top_k: int = 250,
    ) -> None:
        self.lm, self.dtype, device = model.musicgen.lm, model.dtype, model.device
        self.layers = list(self.lm.transformer.layers)
        self.guidance, self.top_k, self.n_frames = guidance, min(top_k, self.lm.card), n_frames
        self.n_heads, self.rows = self.layers[0].self_attn.num_heads, 2 * len(texts)
        d_model, n_codebooks = self.lm.dim, self.lm.n_q
        head = (self.rows, self.n_heads, capacity, d_model // self.n_heads)
        unknown = torch.full((len(texts), n_codebooks, n_frames), -1, device=device)
        self.pattern = self.lm.pattern_provider.get_pattern(n_frames)
        start, _, self.valid = self.pattern.build_pattern_sequence(unknown, self.lm.special_token_id)
        self.n_steps = start.shape[-1] - 1
        self.start, self.sequence = start, start.clone()  # [B, K, S + 1]
        self.place = torch.zeros(1, dtype=torch.long, device=device)
        self.keys = torch.zeros(len(self.layers), *head, dtype=self.dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        hidden = torch.full((capacity, capacity), -torch.inf, dtype=self.dtype, device=device)
        self.masks = hidden.triu(diagonal=1)  # [step, place]
        self.positions = _positions(self.lm.transformer, capacity, device)
        self.noise = _noise(seeds, self.n_steps, n_codebooks, self.lm.card).to(device)
        ring = (RING, len(self.layers), self.rows, d_model) if record else (0,)
        self.states = torch.zeros(ring, dtype=torch.float16, device=device)
        self.heads = torch.cat([one.weight for one in self.lm.linears]).to(self.dtype)
        self.norms = {
            one: (one.weight.float(), one.bias.float(), one.eps)
            for one in self.lm.modules()
            if isinstance(one, torch.nn.LayerNorm)
        }
        self.text = self._read_text(model, texts)  # by layer (keys, values), each [R, H, text, head]

    def _read_text(self, model: Any, texts: Sequence[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        with torch.no_grad(), model.musicgen.autocast:
            everyone = [*texts, *[None] * len(texts)]
            attributes, _ = model.musicgen._prepare_tokens_and_attributes(everyone, None)
            provider = self.lm.condition_provider
            (states, _), *_ = provider(provider.tokenize(attributes)).values()
            read = []
            for layer in self.layers:
                _, key, value = layer.cross_attention.in_proj_weight.chunk(3)
                both = (F.linear(states.to(self.dtype), weight) for weight in (key, value))
                read.append(tuple(one.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for one in both))
        return read

    def _norm(self, states: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
        weight, bias, eps = self.norms[norm]
        return F.layer_norm(states, weight.shape, weight, bias, eps).to(self.dtype)

    def _attend(self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask=None):
        with sdpa_kernel(ATTENTION):
            return F.scaled_dot_product_attention(query[:, :, None], keys, values, mask).flatten(1)

    def _layer(self, i: int, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return what layer i makes of states [R, D]."""
        layer, own = self.layers[i], self.layers[i].self_attn
        projected = F.linear(self._norm(states, layer.norm1), own.in_proj_weight)
        query, key, value = projected.view(self.rows, 3, self.n_heads, -1).unbind(1)
        self.keys[i].index_copy_(2, self.place, key[:, :, None])
        self.values[i].index_copy_(2, self.place, value[:, :, None])
        states = states + own.out_proj(self._attend(query, self.keys[i], self.values[i], mask))
        cross = layer.cross_attention
        query = F.linear(self._norm(states, layer.norm_cross), cross.in_proj_weight.chunk(3)[0])
        query = query.view(self.rows, self.n_heads, -1)
        states = states + cross.out_proj(self._attend(query, *self.text[i]))
        inner = layer.activation(layer.linear1(self._norm(states, layer.norm2)))
        return states + layer.linear2(inner)

    @torch.no_grad()
    def step(self) -> None:
        """Read the place, run the layers, draw the next tokens, go on by one place."""
        tokens = self.sequence.index_select(2, self.place)[..., 0].repeat(2, 1)  # [R, K]
        states = sum(table(tokens[:, k]) for k, table in enumerate(self.lm.emb))
        states = states + self.positions.index_select(0, self.place)
        mask = self.masks.index_select(0, self.place)[None, None]
        for i in range(len(self.layers)):
            states = self._layer(i, states, mask)
            if len(self.states):
                centred = states - states.mean(dim=-1, keepdim=True)
                self.states[:, i].index_copy_(0, self.place % RING, centred.half()[None])
        logits = F.linear(self._norm(states, self.lm.out_norm), self.heads)
        cond, uncond = logits.unflatten(-1, (self.lm.n_q, -1)).chunk(2)  # [B, K, card]
        drawn = self._draw(uncond + (cond - uncond) * self.guidance)
        following = self.place + 1
        valid = self.valid.index_select(1, following)[None]
        self.sequence.index_copy_(2, following, drawn.masked_fill(~valid, self.lm.special_token_id))
        self.place += 1

    def _draw(self, logits: torch.Tensor) -> torch.Tensor:
        """Draw as `Race.top_k` does; [B, K, card] -> [B, K, 1]."""
        chances = logits.float().softmax(dim=-1)
        least = chances.topk(self.top_k, dim=-1).values[..., -1:]
        chances = chances.masked_fill(chances < least, 0.0)
        return (chances / self.noise.index_select(0, self.place)[0]).argmax(dim=-1, keepdim=True)

    def reset(self) -> None:
        """Begin anew."""
        self.sequence.copy_(self.start)
        self.place.zero_()

    def codes(self) -> torch.Tensor:
        """Return the clips' tokens [B, K, T] after S steps."""
        codes, _, _ = self.pattern.revert_pattern_sequence(self.sequence, special_token=-1)
        return codes[..., : self.n_frames].cpu()


def graphed(static: StaticStep) -> Callable[[], None]:
    """Return the step as one CUDA graph; the step itself where there is no CUDA."""
    if static.place.device.type != "cuda":
        return static.step
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            static.step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        static.step()
    static.reset()
    return graph.replay


def _positions(transformer: Any, capacity: int, device: torch.device) -> torch.Tensor:
    """Return the embeddings of all places, [capacity, D]."""
    from audiocraft.modules.transformer import create_sin_embedding

    places = torch.arange(capacity, device=device).view(1, -1, 1)
    d_model = transformer.layers[0].norm1.weight.shape[0]
    table = create_sin_embedding(places, d_model, max_period=transformer.max_period, dtype=torch.float32)
    return transformer.positional_scale * table[0]


def _noise(seeds: Sequence[int], n_steps: int, n_codebooks: int, card: int) -> torch.Tensor:
    """Return the exponential noise of all steps, [S, B, K, card], as `Race` draws it step by step."""
    shape = (n_steps, n_codebooks, card)
    uniform = [torch.rand(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(uniform, dim=1).log_().neg_()
