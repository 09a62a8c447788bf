"""The interface of a music model, for the rest of Inner Ear."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

from innerear.study.generation_settings import GenerationSettings
from innerear.timeline import Timeline

#: Called after each step with (steps done, steps in total), over all runs of one call.
Progress = Callable[[int, int], None]


class Pass(NamedTuple):
    """One call of the transformer.

    Attributes
    ----------
    n_steps : number of steps, the last positions of the sequence; more than one in a replay and in the first
        call of a window that reads given frames.
    branches : of its rows, in order, B rows each.
    prefixed : whether prepended conditions, which are no steps, may come first.
    """

    n_steps: int
    branches: tuple[str, ...]
    prefixed: bool = False


#: Context around each run of the model; takes the indices of its samples in `texts`, −1 for a row that only
#: fills the run up, and the passes to come.
Observer = Callable[[Sequence[int], Sequence[Pass]], AbstractContextManager]
#: the same, which also takes the number of texts
CallObserver = Callable[[Sequence[int], Sequence[Pass], int], AbstractContextManager]


class StateHook(ABC):
    """A forward hook, or forward pre-hook, that records states and changes nothing.

    A decoder that computes a layer without calling its modules calls `record` itself.
    """

    @abstractmethod
    def record(self, states: torch.Tensor) -> None:
        """Record the states [rows, positions, D] of one call, which nobody changes afterwards."""


class EditHook(ABC):
    """A forward hook, or forward pre-hook, that puts other states in place of a module's own.

    A decoder that computes a layer without calling its modules calls `edit` itself.
    """

    @abstractmethod
    def edit(self, states: torch.Tensor) -> torch.Tensor:
        """Return what takes the place of the states [rows, positions, D] of one call, which stay."""


@dataclass(frozen=True)
class Generation:
    """Composed clips, on the CPU."""

    codes: torch.Tensor  #: int64 [B, K, T]
    audio: torch.Tensor  #: float32 [B, n], mono, nominally within ±1
    #: [B] clips of the call that made each clip, those that only filled it up included
    rows: tuple[int, ...] = ()
    decoder: str = ""  #: what ran the language model: ``"static"``, or the backend's own name


#: Distributions in `MusicModel.replay`'s result: cond, uncond, and guided (what tokens were sampled from,
#: before temperature and top-k).
DISTRIBUTIONS = ("cond", "uncond", "guided")


@runtime_checkable
class MusicModel(Protocol):
    """A text-to-music transformer that writes codec tokens in a delay pattern."""

    name: str
    n_layers: int
    d_model: int
    n_codebooks: int
    card: int  #: tokens of each codebook
    frame_rate: float  #: codec frames per second
    sample_rate: int  #: audio samples per second
    max_duration: float  #: seconds that fit one window
    device: torch.device
    dtype: torch.dtype
    has_cross_attention: bool
    #: whether every block reads the residual stream through LayerNorm, which subtracts each state's mean over
    #: units
    pre_norm: bool
    #: sites that can be recorded, within `innerear.study.architectures.SITES`
    sites: tuple[str, ...]
    network: nn.Module  #: the module whose calls are the model's steps

    @property
    def observers(self) -> list[CallObserver]:
        """Contexts that are opened around every run, outside of the caller's own."""
        ...

    @property
    def settings(self) -> GenerationSettings:
        """Defaults of `innerear.ActivationExtractor` for arguments that are not given."""
        ...

    @settings.setter
    def settings(self, settings: GenerationSettings) -> None: ...

    def identity(self) -> str:
        """Return the identity of the weights: ``sha256:…`` of files or parameters, or ``revision:…``."""
        ...

    def modules(self, site: str) -> Sequence[nn.Module]:
        """Return the L modules, first layer to last, with the site as output (for ``"input"``: as input).

        Raises
        ------
        InputError: a site that the model does not have.
        """
        ...

    def timeline(self, duration: float, *, stride: float = 0.6, given: int = 0) -> Timeline:
        """Return the timeline of a clip.

        Parameters
        ----------
        duration : seconds; a clip longer than `max_duration` is made in windows.
        stride : from one window's beginning to the next, as a share of `max_duration`.
        given : codec frames that are continued.

        Raises
        ------
        InputError: a clip that cannot be made.
        """
        ...

    def generate(
        self,
        texts: Sequence[str | None],
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
        rows: int | None = None,
        decoder: str = "auto",
        observe: Observer | None = None,
        progress: Progress | None = None,
    ) -> Generation:
        """Compose one clip per (text, seed).

        The tokens of a (text, seed) pair do not depend on the rest of the call: each sample has its own
        random generator, and texts share a run only where each is read as if it were alone.

        Parameters
        ----------
        texts, seeds : B of each; a seed lies in 0 … 2³² − 1. A text None composes without a condition; if all
            are None, one branch runs, uncond.
        duration : seconds; longer clips than `max_duration` are made in windows.
        guidance : classifier-free guidance, 1 for none; None runs only the cond branch, which draws from the
            same distribution as 1.
        two_step : run the branches one after the other in each step, which needs less memory.
        stride : of the windows; see `timeline`.
        given : codes int64 [B, K, frames] to be continued, from `encode`; part of the clip.
        temperature, top_k, top_p : see `GenerationSettings`, which gives all ranges; ignored without
            sampling.
        use_sampling : False takes the likeliest token, whatever the seed.
        rows : clips of each call of the model, filled up where there are fewer. In float16 another number
            takes another kernel, whose rounding may flip a token; with the same number, tokens are the same.
        decoder : ``"static"`` (`innerear.models.decoder`), the backend's own (``"audiocraft"``,
            ``"transformers"``), or ``"auto"``: the static one where it can take the other's place. In float32
            tokens do not depend on it, on a CPU states neither.

        Raises
        ------
        InputError: an argument of another type or out of its range, an empty text, unequal numbers of texts
            and seeds, a duration that cannot be made, or a GPU too small for one sample.
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
        codes : [B, K, T].
        texts : B, not necessarily those of the clips; None for no text. Both branches are run.
        timeline : of the clips.
        guidance : of the ``"guided"`` distribution.

        Returns
        -------
        float32 [B, distribution, K, T] on the CPU: negative log-likelihood of each token in nats, in the
        order of `DISTRIBUTIONS`; NaN for frames that were given.
        """
        ...

    def encode(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Return the codes int64 [B, K, T] of audio, resampled and mixed as the codec wants it.

        Parameters
        ----------
        audio : [B, n], or [B, channels, n] with 1 or 2 channels, within ±1.
        sample_rate : samples per second of the audio.

        Raises
        ------
        InputError: no such array, NaN or infinity, or no such rate.
        """
        ...

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the audio float32 [B, n] of codes [B, K, T], mono, on the CPU.

        Raises
        ------
        InputError: codes of another shape, or that are no tokens.
        """
        ...
