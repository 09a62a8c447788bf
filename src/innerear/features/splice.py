"""The cost of a dictionary to the model: replay clips with its reconstruction in place of the states.

The cost is the rise of the tokens' negative log-likelihood in nats. Guidance multiplies whatever differs
between the branches: an error in one branch alone costs several times what the same error in both costs.
Each edit therefore says what it does to delta.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from innerear.errors import InputError
from innerear.features.dictionary import Dictionary
from innerear.features.measures import Writer
from innerear.models.base import DISTRIBUTIONS, MusicModel, Observer, Pass
from innerear.timeline import Timeline

#: (cond, uncond), states [n, D] of the same clips and steps, without their mean over units -> the same,
#: edited
Edit = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
_BRANCHES = ("cond", "uncond")


def edits(base: Dictionary, delta: Dictionary, components: Writer) -> dict[str, Edit]:
    """Return what can stand in place of the states, by name.

    Parameters
    ----------
    base, delta : dictionaries of uncond and of cond − uncond.
    components : principal components, as many as the dictionary's k.

    Returns
    -------
    ``both``: each branch as `base` writes it. ``cond only``. ``base + delta``: uncond as `base` writes it,
    and cond as that plus delta as `delta` writes it. ``components``: each branch in the components. ``shared
    noise``: noise of the length of `base`'s error in uncond, the same in both branches; ``independent
    noise``: not the same.
    """
    f, d, generator = base.reconstruct, delta.reconstruct, torch.Generator().manual_seed(0)

    def base_and_delta(cond: torch.Tensor, uncond: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        written = f(uncond)
        return written + d(cond - uncond), written

    def noise(like: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        drawn = torch.randn(like.shape, generator=generator).to(like)
        return drawn / drawn.norm(dim=-1, keepdim=True) * lengths

    def noisy(cond: torch.Tensor, uncond: torch.Tensor, *, shared: bool) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = (uncond - f(uncond)).norm(dim=-1, keepdim=True)
        added = noise(uncond, lengths)
        return cond + (added if shared else noise(cond, lengths)), uncond + added

    return {
        "both": lambda cond, uncond: (f(cond), f(uncond)),
        "cond only": lambda cond, uncond: (f(cond), uncond),
        "base + delta": base_and_delta,
        "components": lambda cond, uncond: (components(cond), components(uncond)),
        "shared noise": lambda cond, uncond: noisy(cond, uncond, shared=True),
        "independent noise": lambda cond, uncond: noisy(cond, uncond, shared=False),
    }


@contextmanager
def spliced(
    model: MusicModel, layer: int, edit: Edit, timeline: Timeline, site: str = "residual"
) -> Iterator[Observer]:
    """Edit a layer's states in every replay that is observed; the hook goes when the context ends.

    Only complete steps are edited: the others are no tokens of a dictionary. Each state keeps its mean over
    units.

    Yields
    ------
    The observer that `MusicModel.replay` must be given.
    """
    complete = torch.from_numpy(timeline.complete)
    passes: list[Pass] = []
    steps_done = 0

    @contextmanager
    def observe(samples: Sequence[int], announced: Sequence[Pass]) -> Iterator[None]:
        nonlocal steps_done
        passes[:], steps_done = announced, 0
        try:
            yield
        finally:
            passes.clear()

    def hook(module: torch.nn.Module, inputs: tuple, output: Any) -> Any:
        nonlocal steps_done
        if not passes:
            return output
        now = passes.pop(0)
        raw = output[0] if isinstance(output, tuple) else output
        if now.branches != _BRANCHES:
            raise InputError(f"a splice edits cond and uncond of one call, not {', '.join(now.branches)}")
        edited = _edited(
            raw, now.n_steps, complete[steps_done : steps_done + now.n_steps], edit, model.pre_norm
        )
        steps_done += now.n_steps
        return (edited, *output[1:]) if isinstance(output, tuple) else edited

    handle = model.modules(site)[layer].register_forward_hook(hook)
    try:
        yield observe
    finally:
        handle.remove()


def _edited(
    raw: torch.Tensor, n_steps: int, complete: torch.Tensor, edit: Edit, pre_norm: bool
) -> torch.Tensor:
    """Return raw states [2B, positions, D] with their complete steps edited; cond's rows come first."""
    edited = raw.clone()
    own = edited[:, raw.shape[1] - n_steps :]  # a view, without a prefix
    where = complete.to(raw.device)
    states = own[:, where].float()  # [2B, S', D]
    if pre_norm:
        states = states - states.mean(dim=-1, keepdim=True)
    cond, uncond = states.flatten(end_dim=1).chunk(2)
    change = torch.cat(edit(cond, uncond)).view_as(states) - states
    if pre_norm:
        change = change - change.mean(dim=-1, keepdim=True)
    own[:, where] += change.to(raw.dtype)  # what an edit leaves alone stays to the bit
    return edited


def splice_costs(
    model: MusicModel,
    codes: torch.Tensor,
    texts: Sequence[str],
    timeline: Timeline,
    layers: Mapping[int, Mapping[str, Edit]],
    *,
    guidance: float = 3.0,
    site: str = "residual",
) -> dict[tuple[int, str], np.ndarray]:
    """Replay clips with each edit, and return the tokens' mean likelihood.

    Parameters
    ----------
    codes, texts : [B, K, T] and [B], the clips, under their own texts.
    layers : layer → `edits`.

    Returns
    -------
    (layer, edit) → float [B, distribution], nats of a token, averaged over the clip, in the order of
    `DISTRIBUTIONS`; under (−1, "none") those of the untouched model.
    """

    def nats(observe: Observer | None) -> np.ndarray:
        found = model.replay(codes, texts, timeline, guidance=guidance, observe=observe)
        return np.nanmean(found.numpy(), axis=(2, 3))

    costs = {(-1, "none"): nats(None)}
    for layer, of_layer in layers.items():
        for name, edit in of_layer.items():
            with spliced(model, layer, edit, timeline, site) as observe:
                costs[layer, name] = nats(observe)
    return costs


def unigram_nats(codes: np.ndarray, of: np.ndarray, card: int) -> float:
    """Return the nats of a token of codes [B, K, T] by the frequencies of each codebook in codes `of` [B',
    K, T].

    What a model knows that reads nothing: the floor against which a splice recovers. Every code counts once
    more, so that an unseen one is not impossible.
    """
    nats = []
    for own, seen in zip(codes.swapaxes(0, 1), of.swapaxes(0, 1), strict=True):
        counts = np.bincount(seen.ravel(), minlength=card) + 1.0
        nats.append(-np.log(counts / counts.sum())[own].mean())
    return float(np.mean(nats))


def cost_rows(costs: Mapping[tuple[int, str], np.ndarray], unigram: float) -> list[dict[str, object]]:
    """Return a row per layer, edit and distribution: nats of a token, their rise, and the share recovered.

    `recovered` is (unigram − nats) ÷ (unigram − nats of the untouched model): 1 costs nothing, 0 is as bad as
    reading nothing.
    """
    clean = costs[-1, "none"]
    rows = []
    for (layer, edit), nats in costs.items():
        for d, distribution in enumerate(DISTRIBUTIONS):
            rise = nats[:, d] - clean[:, d]
            left = unigram - clean[:, d].mean()
            rows.append(
                {
                    "layer": layer,
                    "edit": edit,
                    "distribution": distribution,
                    "nats": nats[:, d].mean(),
                    "cost": rise.mean(),
                    "cost_sd": rise.std(ddof=1) if len(rise) > 1 else np.nan,
                    "recovered": (unigram - nats[:, d].mean()) / left if left > 0 else np.nan,
                    "n_clips": len(nats),
                }
            )
    return rows
