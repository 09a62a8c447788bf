"""audiocraft's MusicGen as a MusicModel."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from innerear.errors import InputError
from innerear.models.base import DISTRIBUTIONS, Generation, Observer, Pass, Progress
from innerear.models.patching import replaced
from innerear.models.sampling import own_noise
from innerear.study.architectures import Architecture, check_sites
from innerear.timeline import Timeline

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen


class AudiocraftModel:
    """A MusicGen that reads its text by cross-attention or prepended to the sequence.

    Parameters
    ----------
    musicgen : the loaded model; its own generation parameters are not changed.
    name : of the model in results.
    identity : of the weights; a hash of the parameters by default.

    Raises
    ------
    InputError: a model with another codebook pattern, whose steps would be mislabelled.
    """

    def __init__(self, musicgen: "MusicGen", name: str, identity: str | None = None) -> None:
        self.musicgen, self.name = musicgen, name
        self._identity = identity
        lm = musicgen.lm
        self.network: nn.Module = lm
        self._refuse_other_patterns(name, lm)
        self.n_layers, self.d_model = len(lm.transformer.layers), lm.dim
        self.n_codebooks, self.card = lm.n_q, lm.card
        self.frame_rate = float(musicgen.frame_rate)
        self.sample_rate = int(musicgen.sample_rate)
        self.max_duration = float(musicgen.max_duration)
        # The transformer's: embeddings and the text projection stay in float32.
        parameter = next(lm.transformer.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self.has_cross_attention = len(lm.fuser.fuse2cond.get("cross", [])) > 0
        self.sites = self._architecture.sites
        self._prefixed = len(lm.fuser.fuse2cond.get("prepend", [])) > 0

    @property
    def _architecture(self) -> Architecture:
        return Architecture(
            self.n_layers,
            self.d_model,
            self.n_codebooks,
            self.frame_rate,
            self.sample_rate,
            self.max_duration,
            self.has_cross_attention,
        )

    @staticmethod
    def _refuse_other_patterns(name: str, lm: Any) -> None:
        pattern = lm.pattern_provider
        expected, delays = list(range(lm.n_q)), getattr(pattern, "delays", None)
        plain = not getattr(pattern, "flatten_first", 0) and not getattr(pattern, "empty_initial", 0)
        if delays != expected or not plain:
            raise InputError(
                f"model {name!r} interleaves its codebooks by {type(pattern).__name__} with delays {delays}; "
                f"only a delay of one step per codebook ({expected}) is supported"
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

    def modules(self, site: str) -> Sequence[nn.Module]:
        """Return the modules of a site, layer by layer; see `MusicModel.modules`."""
        check_sites([site], self.sites, "capture.sites")
        names = {"self_attention": "self_attn", "cross_attention": "cross_attention", "mlp": "linear2"}
        blocks: Any = list(self.musicgen.lm.transformer.layers)
        return [getattr(block, names[site]) for block in blocks] if site in names else blocks

    def timeline(self, duration: float, *, stride: float = 0.6, given: int = 0) -> Timeline:
        """Return the clip's timeline; see `MusicModel.timeline`. T = ⌊duration · frame rate⌋."""
        if self._architecture.n_frames(duration) < 1:
            raise InputError(
                f"generation.duration: {duration} s holds no codec frame; use at least "
                f"{1 / self.frame_rate:g} s"
            )
        return self._architecture.timeline(duration, stride, given)

    def encode(self, audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
        """Return the codes of audio that is to be continued; see `MusicModel.encode`."""
        from audiocraft.data.audio_utils import convert_audio

        codec = self.musicgen.compression_model
        wave = convert_audio(audio[:, None], sample_rate, self.sample_rate, codec.channels)
        with torch.no_grad():
            codes, _ = codec.encode(wave.to(self.device))
        return codes.cpu()

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
        """Compose one clip per (text, seed); see `MusicModel.generate`."""
        self._check(texts, seeds)
        if given is not None and given.shape[:2] != (len(texts), self.n_codebooks):
            raise InputError(
                f"given: codes of shape {tuple(given.shape)} are not {len(texts)} samples × "
                f"{self.n_codebooks} codebooks × frames"
            )
        timeline = self.timeline(duration, stride=stride, given=0 if given is None else given.shape[-1])
        branches = ("cond",) if guidance is None else ("cond", "uncond")
        passes = self._passes(timeline, [(one,) for one in branches] if two_step else [branches])
        settings = {
            "use_sampling": use_sampling,
            "temp": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "two_step_cfg": two_step and guidance is not None,
        }
        observe = observe or (lambda rows, passes: nullcontext())
        clips: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

        def run(rows: list[int]) -> None:
            def report(step: int, steps: int) -> None:  # of the run; `progress` is of the whole call
                if progress:
                    progress(len(clips) * steps + len(rows) * step, len(texts) * steps)

            with observe(rows, passes), self._guided(guidance):
                made = self._run(
                    [texts[i] for i in rows],
                    [seeds[i] for i in rows],
                    None if given is None else given[rows],
                    timeline,
                    settings,
                    report,
                )
            clips.update({row: (made.codes[i], made.audio[i]) for i, row in enumerate(rows)})

        self._in_batches(texts, duration, run)
        codes, audio = zip(*(clips[i] for i in range(len(texts))), strict=True)
        return Generation(torch.stack(codes), torch.stack(audio))

    def _passes(self, timeline: Timeline, calls: Sequence[tuple[str, ...]]) -> list[Pass]:
        """Return the calls of a generation: at each step one for each group of branches."""
        passes = []
        for window in timeline.windows:
            # The given frames, and the position before them, which holds no token.
            passes += [Pass(window.given + 1, branches, self._prefixed) for branches in calls]
            n_left = timeline.steps_of(window) - window.given - 1
            passes += [Pass(1, branches) for _ in range(n_left) for branches in calls]
        return passes

    @contextmanager
    def _guided(self, guidance: float | None) -> Iterator[None]:
        """Set the guidance of the language model; None runs only the cond rows.

        audiocraft doubles the rows whenever there is a condition. It calls `lm._fsdp`, meant for sharded
        copies, if there is one: here a function that runs the first half of the rows and repeats the result.
        """
        lm = self.musicgen.lm
        if guidance is not None:
            # audiocraft's two-step mode reads the coefficient from the model.
            with replaced(lm, cfg_coef=guidance):
                yield
            return

        def cond_alone(sequence, conditions, condition_tensors):
            half = len(sequence) // 2
            tensors = {name: (value[:half], mask[:half]) for name, (value, mask) in condition_tensors.items()}
            return lm(sequence[:half], conditions, tensors).repeat(2, 1, 1, 1)

        lm.__dict__["_fsdp"] = cond_alone
        try:
            yield
        finally:
            lm.__dict__["_fsdp"] = None

    def _run(
        self,
        texts: list[str],
        seeds: list[int],
        given: torch.Tensor | None,
        timeline: Timeline,
        settings: dict[str, Any],
        report: Progress,
    ) -> Generation:
        """Compose the samples of one batch, window by window."""
        model = self.musicgen
        codes = torch.empty(len(texts), self.n_codebooks, 0, dtype=torch.long, device=self.device)
        if given is not None:
            codes = given.to(self.device)
        with own_noise(seeds), torch.no_grad():
            attributes, _ = model._prepare_tokens_and_attributes(texts, None)
            done, total = 0, sum(timeline.steps_of(one) - one.given for one in timeline.windows)
            for window in timeline.windows:
                with model.autocast:
                    made = model.lm.generate(
                        codes[..., window.start :] if window.given else None,
                        attributes,
                        max_gen_len=window.n_frames,
                        callback=lambda step, _, done=done: report(done + step, total),
                        **settings,
                    )
                codes = torch.cat([codes, made[..., window.given :]], dim=-1)
                done += timeline.steps_of(window) - window.given
            audio = model.generate_audio(codes)  # [B, channels, n]
        return Generation(codes.cpu(), audio.mean(dim=1).float().cpu())

    def replay(
        self,
        codes: torch.Tensor,
        texts: Sequence[str | None],
        timeline: Timeline,
        *,
        guidance: float = 3.0,
        observe: Observer | None = None,
    ) -> torch.Tensor:
        """Read finished clips once more; see `MusicModel.replay`.

        Raises
        ------
        InputError: codes that do not fit the texts or the timeline; a GPU too small for one sample.
        """
        expected = (len(texts), timeline.n_codebooks, timeline.n_frames)
        if codes.shape != expected:
            raise InputError(f"replay: codes of shape {tuple(codes.shape)} are not {expected} [B, K, T]")
        observe = observe or (lambda rows, passes: nullcontext())
        passes = [
            Pass(timeline.steps_of(window), ("cond", "uncond"), self._prefixed) for window in timeline.windows
        ]
        nll = torch.full((len(texts), len(DISTRIBUTIONS), *expected[1:]), torch.nan)

        def run(rows: list[int]) -> None:
            with observe(rows, passes):
                nll[rows] = self._reread(codes[rows], [texts[i] for i in rows], timeline, guidance)

        self._in_batches([text or "" for text in texts], timeline.n_frames / self.frame_rate, run)
        return nll

    def _reread(
        self, codes: torch.Tensor, texts: list[str | None], timeline: Timeline, guidance: float
    ) -> torch.Tensor:
        """Replay the samples of one batch; return their part of what `replay` returns."""
        lm = self.musicgen.lm
        nll = torch.full((len(codes), len(DISTRIBUTIONS), *codes.shape[1:]), torch.nan)
        with torch.no_grad():
            attributes, _ = self.musicgen._prepare_tokens_and_attributes([*texts, *[None] * len(texts)], None)
            conditions = lm.condition_provider(lm.condition_provider.tokenize(attributes))
            for start, n_frames, given in timeline.windows:
                own = codes[..., start : start + n_frames].contiguous().to(self.device)  # [B, K, frames]
                pattern = lm.pattern_provider.get_pattern(n_frames)
                sequence, _, _ = pattern.build_pattern_sequence(own, lm.special_token_id)
                # The last position is predicted, never read.
                with self.musicgen.autocast:
                    logits = lm(sequence[..., :-1].repeat(2, 1, 1), [], conditions)  # [2B, K, S, card]
                cond, uncond = logits.float().chunk(2)
                for row, of in enumerate((cond, uncond, uncond + guidance * (cond - uncond))):
                    losses = _negative_log_likelihood(of, own)
                    nll[:, row, :, start + given : start + n_frames] = losses[..., given:].cpu()
        return nll

    def _check(self, texts: Sequence[str], seeds: Sequence[int]) -> None:
        if isinstance(texts, str):
            raise InputError(f"prompts: {texts!r} is one text; give a list of texts")
        if not texts or len(texts) != len(seeds):
            raise InputError(f"{len(texts)} prompts and {len(seeds)} seeds: give one seed for each prompt")
        for i, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"prompt {i} is empty; the model would compose without a condition")

    def _in_batches(self, texts: Sequence[str], duration: float, run: Callable[[list[int]], None]) -> None:
        """Run samples whose texts are equally long together, in halves where GPU memory runs out.

        Padding would dilute a shorter text's cross-attention.
        """
        lengths = {text: self._text_length(text) for text in dict.fromkeys(texts)}
        batches: dict[tuple[int, ...], list[int]] = {}
        for i, text in enumerate(texts):
            batches.setdefault(lengths[text], []).append(i)
        waiting = list(batches.values())
        while waiting:
            rows = waiting.pop(0)
            try:
                run(rows)
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise InputError(
                        f"one clip of {duration} s of {self.name!r} does not fit the memory of "
                        f"{self.device}; shorten generation.duration, use a smaller model, or set "
                        "model.device: cpu"
                    ) from None
                middle = len(rows) // 2
                waiting[:0] = [rows[:middle], rows[middle:]]
                torch.cuda.empty_cache()

    def _text_length(self, text: str) -> tuple[int, ...]:
        provider: Any = self.musicgen.lm.condition_provider
        lengths = []
        for name in provider.text_conditions:
            tokens = provider.conditioners[name].tokenize([text])
            mask = tokens["attention_mask"] if isinstance(tokens, Mapping) else tokens[1]
            lengths.append(int(mask.sum()))
        return tuple(lengths)


def _negative_log_likelihood(logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return the loss [B, K, T] of each token, given the logits [B, K, S, card] of all steps."""
    n_frames = codes.shape[-1]
    # Step s predicts codebook k of frame s − k.
    aligned = torch.stack([logits[:, k, k : k + n_frames] for k in range(codes.shape[1])], dim=1)
    return nn.functional.cross_entropy(aligned.permute(0, 3, 1, 2), codes, reduction="none")
