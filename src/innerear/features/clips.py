"""The clips that one layer's job reads: each layer's tokens once, as many as memory holds."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from innerear.features.tokens import Files, TokenSteps, layer_tokens
from innerear.stacks import stacks_hash

log = logging.getLogger(__name__)

#: what dictionaries are trained on: states without the text, the text's direct effect, and two controls
UNCOND, DELTA, RANDOM_INIT, GAUSSIAN = "uncond", "delta", "random_init", "gaussian"


@dataclass
class Clips:
    """The clips of a study, and those of its random twin at the same places.

    Attributes
    ----------
    stacks, contents, prompts : [N] files, content hashes and prompt ids.
    twins : [N] stacks of the random twin; none where it was not asked for.
    training : prompts to train on.
    """

    stacks: list[str]
    contents: list[str | None]
    prompts: list[str]
    twins: list[str] = field(default_factory=list)
    training: list[str] = field(default_factory=list)
    site: str = "residual"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: pd.DataFrame, params: Any, twin: str) -> "Clips":
        """Return the clips of an index.

        Parameters
        ----------
        params : ``training``, ``site`` and ``study``, by attribute.
        twin : folder of the random twin's stacks; empty where there are none.
        """
        provenance = {
            "study": params.study,
            "model_identity": str(samples["model_identity"].iloc[0]),
            "index_sha256": stacks_hash(samples),
        }
        return cls(
            *(samples[name].tolist() for name in ("stack", "content_sha256", "prompt_id")),
            twins=[f"{twin}/{sample}.h5" for sample in samples["sample_id"]] if twin else [],
            training=list(params.training),
            site=params.site,
            metadata=provenance,
        )

    def files(self, of: str, rows: Sequence[int] | np.ndarray) -> tuple[list[str], list[str | None] | None]:
        """Return the stacks of some clips, or of their twins, and their content hashes."""
        if of == RANDOM_INIT:
            return [self.twins[i] for i in rows], None
        return [self.stacks[i] for i in rows], [self.contents[i] for i in rows]


def evenly(n: int, most: int) -> np.ndarray:
    """Return at most so many of n rows, 1 at least, evenly over all.

    Examples
    --------
    >>> evenly(5, 3).tolist(), evenly(2, 3).tolist()
    ([0, 2, 4], [0, 1])
    """
    return np.unique(np.linspace(0, n - 1, min(max(most, 1), n)).astype(int))


class States:
    """The tokens of one layer, of all clips of a study, or of as many as memory holds.

    Parameters
    ----------
    memory_gb : if the layer's tokens of uncond, delta and the random twin take more, clips evenly over the
        study are read; dictionaries are then trained on files, and measured on these clips.

    Attributes
    ----------
    d_model : width of the layer.
    of : what there are tokens of: uncond, delta if cond is recorded, and the random twin if it was asked for.
    whole : whether all clips are there.
    """

    def __init__(self, clips: Clips, layer: int, *, memory_gb: float = 4) -> None:
        self._clips, self.layer, self._memory_gb = clips, layer, memory_gb
        steps = TokenSteps(clips.stacks[0], clips.site)
        self.d_model = steps.read(clips.stacks[0], layer, [UNCOND]).shape[-1]
        own = [UNCOND, *[DELTA] * ("cond" in steps.branches)]
        self.of = [*own, *[RANDOM_INIT] * bool(clips.twins)]
        most = int(memory_gb * 1e9 / (4 * len(self.of) * len(steps.steps) * self.d_model))
        n = len(clips.stacks)
        self.whole = most >= n
        self._rows = evenly(n, max(2, most))
        if not self.whole:
            log.warning(
                "layer %d: %d of %d clips fit features.memory_gb; measures are of these, training is on all",
                *(layer, len(self._rows), n),
            )
        self._tokens: dict[str, np.ndarray] = {}
        for branches, of in ((own, UNCOND), *[([UNCOND], RANDOM_INIT)] * bool(clips.twins)):
            paths, contents = clips.files(of, self._rows)
            values = layer_tokens(paths, layer, branches, site=clips.site, contents=contents)
            self._tokens |= dict(zip((of, DELTA), values, strict=False))

    def seen(self, of: str) -> np.ndarray:
        """Return the tokens [N', S', D] of clips that are trained on."""
        return self._tokens[of][np.isin(self._prompts, self._clips.training)]

    def held(self, of: str) -> np.ndarray:
        """Return the tokens [N', S', D] of clips that are not trained on; of all where there are none."""
        return self._tokens[of][held_out(self._prompts, self._clips.training)]

    @property
    def holds_out(self) -> bool:
        """Whether the clips of `held` were not trained on."""
        return not set(self._prompts) <= set(self._clips.training)

    @property
    def _prompts(self) -> list[str]:
        return [self._clips.prompts[i] for i in self._rows]

    def source(self, of: str, device: torch.device | str) -> np.ndarray | Files:
        """Return the tokens [n, D] to train on, or where to read them."""
        if self.whole:
            seen = self.seen(of)
            return seen.reshape(-1, seen.shape[-1])
        clips, branch = self._clips, UNCOND if of == RANDOM_INIT else of
        paths, contents = clips.files(of, np.flatnonzero(np.isin(clips.prompts, clips.training)))
        where = {"memory_gb": self._memory_gb, "device": device}
        return Files(paths, self.layer, branch, site=clips.site, contents=contents, **where)


def held_out(prompts: Sequence[str], training: Collection[str]) -> np.ndarray:
    """Return which clips, of these prompts, were not trained on, bool [N]; all where that is none.

    Examples
    --------
    >>> held_out(["a", "b", "b"], {"a"}).tolist(), held_out(["a", "a"], {"a"}).tolist()
    ([False, True, True], [True, True])
    """
    unseen = ~np.isin(prompts, list(training))
    return unseen if unseen.any() else ~unseen
