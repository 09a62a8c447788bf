"""What the rest of Inner Ear may ask of a music model."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

from innerear.timeline import Timeline

#: Called after each step with (steps done, steps in all), over all runs of one call.
Progress = Callable[[int, int], None]


class Pass(NamedTuple):
    """What one call of the transformer brings.

    Attributes
    ----------
    n_steps : positions that are steps, at the end of the sequence; one, but for the first call of a window
        that reads given frames, and for a replay.
    branches : of its rows, in order, B rows each.
    prefixed : whether positions that are no steps may come before: conditions that the model prepends.
    """

    n_steps: int
    branches: tuple[str, ...]
    prefixed: bool = False


#: Entered around each run of the model with the positions, in the call's `texts`, of its samples, and with
#: what each call of the transformer will bring.
Observer = Callable[[Sequence[int], Sequence[Pass]], AbstractContextManager]


@dataclass(frozen=True)
class Generation:
    """What a model composed.

    Attributes
    ----------
    codes : int64 [B, K, T] on the CPU.
    audio : float32 [B, n] on the CPU, mono, nominally within ±1.
    """

    codes: torch.Tensor
    audio: torch.Tensor


#: What the rows of `MusicModel.replay` are the likelihood of: of either branch, and of both as guidance
#: weighs them, which is what the tokens were drawn from (before temperature and top-k).
DISTRIBUTIONS = ("cond", "uncond", "guided")


@runtime_checkable
class MusicModel(Protocol):
    """A text-to-music transformer that writes codec tokens in a delay pattern."""

    name: str
    n_layers: int
    d_model: int
    n_codebooks: int
    #: tokens of each codebook
    card: int
    #: codec frames per second
    frame_rate: float
    #: audio samples per second
    sample_rate: int
    #: seconds that fit one window
    max_duration: float
    device: torch.device
    dtype: torch.dtype
    has_cross_attention: bool
    #: where states can be heard, within `innerear.study.architectures.SITES`
    sites: tuple[str, ...]

    #: the module whose calls are the model's steps, for those who want to look at everything in it
    network: nn.Module

    def identity(self) -> str:
        """Return what pins the weights: ``sha256:…`` of files or parameters, or a hub revision."""
        ...

    def modules(self, site: str) -> Sequence[nn.Module]:
        """Return the L modules, first layer to last, whose output is what a site holds.

        For ``"input"`` they are the blocks, whose input it is.

        Raises
        ------
        InputError: a site that the model does not have.
        """
        ...

    def timeline(self, duration: float, *, stride: float = 0.6, given: int = 0) -> Timeline:
        """Return when what is composed in a clip of so many seconds.

        Parameters
        ----------
        duration : seconds; beyond `max_duration` the clip is made in windows.
        stride : by how much later the next window begins, as a share of `max_duration`.
        given : codec frames that are there already, for a continuation.

        Raises
        ------
        InputError: a clip that cannot be made.
        """
        ...

    def generate(
        self,
        texts: Sequence[str],
        seeds: Sequence[int],
        duration: float,
        *,
        guidance: float | None = 3.0,
        two_step: bool = False,
        stride: float = 0.6,
        given: torch.Tensor | None = None,
        temperature: float = 1.0,
        top_k: int = 250,
        top_p: float = 0.0,
        use_sampling: bool = True,
        observe: Observer | None = None,
        progress: Progress | None = None,
    ) -> Generation:
        """Compose one clip per (text, seed).

        The tokens of a (text, seed) pair do not depend on what else is in the call: sampling noise
        comes from the sample's own generator, and only texts of one token length share a run.
        """
        ...

    def replay(
        self,
        codes: torch.Tensor,
        texts: Sequence[str | None],
        timeline: Timeline,
        *,
        guidance: float = 3.0,
        observe: Observer | None = None,
    ) -> torch.Tensor:
        """Read finished clips once more, all steps of a window in one teacher-forced pass.

        Parameters
        ----------
        codes : [B, K, T], of any text; texts : B, None for no text; both branches are run.
        timeline : that the clips were made on.
        guidance : with which ``"guided"`` weighs the branches.

        Returns
        -------
        float32 [B, distribution, K, T] on the CPU: negative log-likelihood of each token in nats, in the
        order of `DISTRIBUTIONS`; NaN for frames that were given.
        """
        ...

    def encode(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Return the codes int64 [B, K, T] of audio [B, n], to be continued."""
        ...
