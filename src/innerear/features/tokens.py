"""Tokens to train on: the complete steps of a layer of many stacks, read layer by layer."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike

import numpy as np
import torch

from innerear.errors import InputError
from innerear.features.training import scale_of
from innerear.stacks.stack import LayerReader, Stack

#: branches that a stack's states give
BRANCHES = ("cond", "uncond", "delta")
_AT_ONCE = 2


class TokenSteps:
    """The steps of a study's clips that are tokens: complete steps, which write all codebooks anew.

    Raises
    ------
    InputError: no stack, or no complete step.
    """

    def __init__(self, stack: str | PathLike, site: str = "residual") -> None:
        with Stack(stack) as first:
            self.complete, self.branches = first.complete, first.branches
        self.site, self.first = site, stack
        self.steps = np.flatnonzero(self.complete)
        if not len(self.steps):
            raise InputError(f"{stack} has no complete step; make the clips longer")
        #: as a slice where no window interrupts them, which is read at once
        whole = self.steps[-1] - self.steps[0] + 1 == len(self.steps)
        self.around = slice(int(self.steps[0]), int(self.steps[-1]) + 1)
        self._inside = slice(None) if whole else self.steps - self.steps[0]

    def read(
        self, path: str | PathLike, layer: int, branches: Sequence[str], content: str | None = None
    ) -> np.ndarray:
        """Return the complete steps of one clip and layer, float32 [C, S', D], for the branches asked for.

        Raises
        ------
        InputError: as `LayerReader`; delta where a branch is missing.
        """
        needed = ("cond", "uncond") if "delta" in branches else branches
        missing = [branch for branch in needed if branch not in self.branches]
        if missing:
            raise InputError(
                f"{path} has no {missing[0]}, which {branches[-1]} needs: record cond and uncond "
                "(capture.branches), with generation.guidance"
            )
        with LayerReader(path, layer, self.site, content) as reader:
            if reader.shape[1] != len(self.complete):
                raise InputError(
                    f"{path} has {reader.shape[1]} steps, but {self.first} {len(self.complete)}: clips of "
                    "one length are needed"
                )
            stored = reader.read(self.around)[:, self._inside]
        tokens = np.empty((len(branches), *stored.shape[1:]), np.float32)
        for c, branch in enumerate(branches):
            if branch == "delta":
                cond, uncond = (stored[self.branches.index(one)] for one in ("cond", "uncond"))
                np.subtract(cond, uncond, out=tokens[c], dtype=np.float32)
            else:
                tokens[c] = stored[self.branches.index(branch)]
        return tokens


def layer_tokens(
    paths: Sequence[str | PathLike],
    layer: int,
    branches: Sequence[str],
    *,
    site: str = "residual",
    contents: Sequence[str | None] | None = None,
) -> np.ndarray:
    """Return the tokens of some branches of a layer, float32 [C, N, S', D].

    Parameters
    ----------
    paths : N stacks on one timeline.
    branches : of ``cond``, ``uncond``, and ``delta``, their difference at the same step.
    contents : the stacks' content hashes, as an index lists them.

    Raises
    ------
    InputError: no stacks, clips of other lengths, a missing layer or branch, a value that is not finite.
    """
    if not paths:
        raise InputError("no stacks to read tokens from")
    steps = TokenSteps(paths[0], site)
    contents = [None] * len(paths) if contents is None else contents

    def read(path: str | PathLike, content: str | None) -> np.ndarray:
        return steps.read(path, layer, branches, content)

    # One file is read while another's hash is computed.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        values = np.stack(list(pool.map(read, paths, contents)), axis=1)
    if not np.isfinite(values).all():
        branch, bad = (int(i) for i in np.argwhere(~np.isfinite(values))[0, :2])
        raise InputError(f"{paths[bad]}: layer {layer}, {branches[branch]}, holds NaN or infinity")
    return values


class Files:
    """Tokens of more stacks than memory holds: groups of whole files, in random order (a `Source`)."""

    def __init__(
        self,
        paths: Sequence[str | PathLike],
        layer: int,
        branch: str,
        *,
        site: str = "residual",
        contents: Sequence[str | None] | None = None,
        memory_gb: float = 4,
        device: torch.device | str = "cpu",
    ) -> None:
        self._paths, self._contents, self._device = list(paths), contents, device
        self._read = (layer, branch, site)
        first = self._tokens([0])
        of_file = first.nbytes
        self._at_once = max(1, int(memory_gb * 1e9 / of_file))
        self.n_tokens = len(paths) * first.shape[0]
        total, squares, n = np.zeros(first.shape[1]), 0.0, 0
        for some in self._groups(np.arange(len(paths))):
            values = self._tokens(some)
            total += values.sum(axis=0, dtype=float)
            squares += float(np.einsum("nd,nd->", values, values, dtype=float))
            n += len(values)
        mean = total / n
        self.mean = torch.as_tensor(mean, dtype=torch.float32).to(device)
        self.scale = scale_of(max(float(squares / n - mean @ mean), 0.0) / len(mean), self.mean)

    def _groups(self, order: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(order), self._at_once):
            yield order[start : start + self._at_once]

    def _tokens(self, files: Sequence[int] | np.ndarray) -> np.ndarray:
        layer, branch, site = self._read
        contents = None if self._contents is None else [self._contents[i] for i in files]
        paths = [self._paths[i] for i in files]
        values = layer_tokens(paths, layer, [branch], site=site, contents=contents)
        return values.reshape(-1, values.shape[-1])

    def batches(self, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Give random batches [size, D] from one group of files after the other."""
        while True:
            order = torch.randperm(len(self._paths), generator=generator).numpy()
            for some in self._groups(order):
                tokens = torch.from_numpy(self._tokens(some)).to(self._device)
                mixed = torch.randperm(len(tokens), generator=generator)
                for now in mixed.split(size):
                    if len(now) == size or len(mixed) < size:
                        yield tokens[now.to(tokens.device)]
