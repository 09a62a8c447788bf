"""A dictionary: encoder and decoder of sparse features."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from innerear.errors import InputError

_ROWS = 4096  # tokens encoded at a time


@dataclass(frozen=True)
class Dictionary:
    """Sparse features of states [n, D]: ``latents = relu((x − b_dec) W_enc + b_enc)``, of which few are kept.

    Attributes
    ----------
    encoder, encoder_bias : float32 [D, F] and [F].
    decoder, bias : float32 [F, D] and [D]. A reconstruction is ``latents · decoder + bias``.
    k : latents kept of each token, the largest ones.
    threshold : [F], in place of k: latents above it are kept, as many as there are, at most `k`.
    metadata : where the dictionary comes from.
    """

    encoder: torch.Tensor
    encoder_bias: torch.Tensor
    decoder: torch.Tensor
    bias: torch.Tensor
    k: int
    threshold: torch.Tensor | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_latents(self) -> int:
        """F."""
        return self.decoder.shape[0]

    @property
    def d_model(self) -> int:
        """D."""
        return self.decoder.shape[1]

    def to(self, device: torch.device | str) -> "Dictionary":
        """Return the dictionary on a device."""
        names = ("encoder", "encoder_bias", "decoder", "bias")
        moved = {name: getattr(self, name).to(device) for name in names}
        threshold = None if self.threshold is None else self.threshold.to(device)
        return replace(self, **moved, threshold=threshold)

    def encode(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what fires, of states [n, D]: latents int64 [n, k], and values float32 [n, k], largest
        first.

        A latent with value 0 does not fire.
        """
        pairs = [self._encode(some) for some in states.split(_ROWS)]
        return torch.cat([index for index, _ in pairs]), torch.cat([value for _, value in pairs])

    def _encode(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latents = torch.addmm(self.encoder_bias, states.float() - self.bias, self.encoder)
        if self.threshold is not None:
            latents = torch.where(latents > self.threshold, latents, 0)
        values, indices = latents.topk(self.k, dim=-1)
        return indices, values.relu()

    def decode(self, indices: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the states [n, D] that latents [n, k] with values [n, k] stand for."""
        written = torch.nn.functional.embedding_bag(
            indices, self.decoder, per_sample_weights=values.to(self.decoder.dtype), mode="sum"
        )
        return written + self.bias

    def reconstruct(self, states: torch.Tensor) -> torch.Tensor:
        """Return states [n, D] as the dictionary writes them."""
        return self.decode(*self.encode(states))

    def require_unseen(self, prompts: Iterable[str]) -> None:
        """Refuse to score prompts that the dictionary was trained on.

        Raises
        ------
        InputError: names them.
        """
        seen = sorted(set(self.metadata.get("training_prompts", ())) & set(prompts))
        if seen:
            more = f" and {len(seen) - 3} more" if len(seen) > 3 else ""
            raise InputError(
                f"the dictionary was trained on {', '.join(seen[:3])}{more}: score it on other prompts, or "
                "train it on another study and name that in features.dictionaries"
            )


def unit_rows(matrix: torch.Tensor) -> torch.Tensor:
    """Return a matrix [F, D] with rows of length 1; rows of zeros stay."""
    return matrix / matrix.norm(dim=1, keepdim=True).clamp_min(1e-12)
