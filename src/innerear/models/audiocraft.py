"""audiocraft's MusicGen as a MusicModel."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.models.base import Generation, Observer, Progress
from innerear.models.sampling import own_noise

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen


class AudiocraftModel:
    """A MusicGen with cross-attended text and classifier-free guidance in one pass.

    Parameters
    ----------
    musicgen : the loaded model; it is used as it is, and left with its own generation parameters.
    name : under which results are reported.
    identity : what pins the weights; computed from the parameters if not given.

    Raises
    ------
    InputError: a model whose steps are not one position each (conditions prepended to the sequence,
        another codebook pattern): capture would mislabel what it hears.
    """

    def __init__(self, musicgen: "MusicGen", name: str, identity: str | None = None) -> None:
        self.musicgen, self.name = musicgen, name
        self._identity = identity
        lm = musicgen.lm
        self._refuse_unsupported(name, lm)
        self.n_layers, self.d_model = len(lm.transformer.layers), lm.dim
        self.n_codebooks, self.card = lm.n_q, lm.card
        self.frame_rate = float(musicgen.frame_rate)
        self.sample_rate = int(musicgen.sample_rate)
        self.max_duration = float(musicgen.max_duration)
        # Of the transformer: embeddings and the text projection stay in float32.
        parameter = next(lm.transformer.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.has_cross_attention = len(lm.fuser.fuse2cond.get("cross", [])) > 0

    @staticmethod
    def _refuse_unsupported(name: str, lm: Any) -> None:
        prepended = lm.fuser.fuse2cond.get("prepend", [])
        if prepended:
            raise InputError(
                f"model {name!r} prepends {', '.join(prepended)} to the sequence, so that its first call is "
                "longer than one step; use a model that reads the text by cross-attention "
                "(facebook/musicgen-small, -medium or -large)"
            )
        pattern = lm.pattern_provider
        expected = list(range(lm.n_q))
        plain = not getattr(pattern, "flatten_first", 0) and not getattr(pattern, "empty_initial", 0)
        if getattr(pattern, "delays", None) != expected or not plain:
            raise InputError(
                f"model {name!r} interleaves its codebooks by {type(pattern).__name__} with delays "
                f"{getattr(pattern, 'delays', None)}; only a delay of one step per codebook ({expected}) is "
                "supported"
            )

    def identity(self) -> str:
        """Return ``sha256:…`` or ``revision:…``; for a model the user loaded, a hash of its parameters."""
        if self._identity is None:
            digest = hashlib.sha256()
            for module in (self.musicgen.lm, self.musicgen.compression_model):
                for key, value in sorted(module.state_dict().items()):
                    digest.update(key.encode() + value.detach().cpu().contiguous().view(-1).numpy().tobytes())
            self._identity = f"sha256:{digest.hexdigest()}"
        return self._identity

    def blocks(self) -> Sequence[nn.Module]:
        """Return the transformer blocks, first to last."""
        return list(self.musicgen.lm.transformer.layers)

    def n_frames(self, duration: float) -> int:
        """Return T = ⌊duration · frame rate⌋.

        Raises
        ------
        InputError: no whole frame, or more than one window.
        """
        if duration > self.max_duration:
            raise InputError(
                f"generation.duration: {duration} s is longer than the {self.max_duration:g} s window of "
                f"{self.name!r}; windowed generation is not captured, shorten the clip"
            )
        # A duration written as a decimal fraction must not lose a frame to rounding (0.58 × 50 = 28.999…).
        n_frames = int(duration * self.frame_rate + 1e-6)
        if n_frames < 1:
            raise InputError(
                f"generation.duration: {duration} s holds no codec frame; use at least "
                f"{1 / self.frame_rate:g} s"
            )
        return n_frames

    def split_branches(self, n_rows: int, n_samples: int) -> Mapping[str, slice]:
        """Return rows by branch: with guidance cond first, then uncond; without it cond only."""
        if n_rows == 2 * n_samples:
            return {"cond": slice(0, n_samples), "uncond": slice(n_samples, None)}
        if n_rows == n_samples:
            return {"cond": slice(0, n_samples)}
        raise InputError(
            f"model {self.name!r} ran {n_rows} rows for {n_samples} samples; only guidance over two branches "
            "in one pass (cond, uncond) is understood"
        )

    def generate(
        self,
        texts: Sequence[str],
        seeds: Sequence[int],
        duration: float,
        *,
        guidance: float = 3.0,
        temperature: float = 1.0,
        top_k: int = 250,
        top_p: float = 0.0,
        use_sampling: bool = True,
        observe: Observer | None = None,
        progress: Progress | None = None,
    ) -> Generation:
        """Compose one clip per (text, seed); see `MusicModel.generate`.

        Parameters
        ----------
        texts, seeds : B of each.
        duration : seconds, within one window of the model.
        guidance : classifier-free guidance; 1 follows the text as it is.
        temperature : > 0; ignored without sampling.
        top_k : sample among so many tokens; 0 = all.
        top_p : if > 0, sample within this cumulative probability instead.
        use_sampling : False takes the likeliest token, whatever the seed.

        Raises
        ------
        InputError: an empty text, unequal numbers of texts and seeds, a duration that cannot be made, or a
            GPU too small for one sample.
        """
        self._check(texts, seeds)
        n_frames = self.n_frames(duration)
        settings = {
            "use_sampling": use_sampling,
            "temp": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "cfg_coef": guidance,
            "two_step_cfg": False,
        }
        observe = observe or (lambda rows: nullcontext())
        clips: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        waiting = self._runs(texts)
        while waiting:
            rows = waiting.pop(0)
            report = _overall(progress, len(clips), len(rows), len(texts))
            try:
                with observe(rows):
                    made = self._run(
                        [texts[i] for i in rows], [seeds[i] for i in rows], n_frames, settings, report
                    )
            except torch.OutOfMemoryError:
                waiting[:0] = self._halved(rows, duration)
                torch.cuda.empty_cache()
                continue
            clips.update({row: (made.codes[i], made.audio[i]) for i, row in enumerate(rows)})
        codes, audio = zip(*(clips[i] for i in range(len(texts))), strict=True)
        return Generation(torch.stack(codes), torch.stack(audio))

    def _run(
        self,
        texts: list[str],
        seeds: list[int],
        n_frames: int,
        settings: dict[str, Any],
        report: Progress | None,
    ) -> Generation:
        """One pass of the model over samples that may share a batch."""
        model = self.musicgen
        with own_noise(seeds), torch.no_grad():
            attributes, _ = model._prepare_tokens_and_attributes(texts, None)
            with model.autocast:
                codes = model.lm.generate(None, attributes, callback=report, max_gen_len=n_frames, **settings)
            audio = model.generate_audio(codes)  # [B, channels, n]
        return Generation(codes.cpu(), audio.mean(dim=1).float().cpu())

    def _check(self, texts: Sequence[str], seeds: Sequence[int]) -> None:
        if isinstance(texts, str):
            raise InputError(f"prompts: {texts!r} is one text; give a list of texts")
        if not texts or len(texts) != len(seeds):
            raise InputError(f"{len(texts)} prompts and {len(seeds)} seeds: give one seed for each prompt")
        for i, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"prompt {i} is empty; the model would compose without a condition")

    def _runs(self, texts: Sequence[str]) -> list[list[int]]:
        """Group samples that may share a batch: padding would dilute a shorter text's cross-attention."""
        groups: dict[tuple[int, ...], list[int]] = {}
        lengths: dict[str, tuple[int, ...]] = {}
        for i, text in enumerate(texts):
            if text not in lengths:
                lengths[text] = self._text_length(text)
            groups.setdefault(lengths[text], []).append(i)
        return list(groups.values())

    def _text_length(self, text: str) -> tuple[int, ...]:
        provider: Any = self.musicgen.lm.condition_provider
        lengths = []
        for name in provider.text_conditions:
            tokens = provider.conditioners[name].tokenize([text])
            mask = tokens["attention_mask"] if isinstance(tokens, Mapping) else tokens[1]
            lengths.append(int(mask.sum()))
        return tuple(lengths)

    def _halved(self, rows: list[int], duration: float) -> list[list[int]]:
        if len(rows) == 1:
            raise InputError(
                f"one clip of {duration} s of {self.name!r} does not fit the memory of {self.device}; "
                "shorten generation.duration, use a smaller model, or set model.device: cpu"
            ) from None
        middle = len(rows) // 2
        return [rows[:middle], rows[middle:]]


def _overall(progress: Progress | None, done: int, now: int, total: int) -> Callable[[int, int], None] | None:
    """Scale a run's progress to that of the whole call, in steps of all its runs."""
    if progress is None:
        return None
    return lambda step, steps: progress((done * steps + now * step), total * steps)
