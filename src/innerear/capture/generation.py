"""Compose a batch of samples, or read recorded ones, record every step, and write their stacks and audio."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from os import PathLike
from typing import Any

import numpy as np
from tqdm import tqdm

from innerear import __version__
from innerear.capture.hooks import Recording
from innerear.capture.hooks import capture as record
from innerear.capture.recorded import encode_tracks
from innerear.errors import InputError
from innerear.io.clips import write_clip
from innerear.models.base import MusicModel
from innerear.stacks.stack import BRANCHES, StackWriter
from innerear.study.architectures import check_sites, resolve_layers
from innerear.study.prompts import Sample
from innerear.study.sample_settings import sample_settings

_PACKAGES = ("audiocraft", "torch", "transformers", "numpy", "h5py")


def generate_samples(
    model: MusicModel,
    samples: Sequence[Sample],
    stacks: Sequence[str | PathLike | None],
    audio: Sequence[str | PathLike | None],
    *,
    study: str,
    capture: Mapping[str, Any],
    generation: Mapping[str, Any],
    rows: int | None = None,
    decoder: str = "auto",
    code: str = "",
) -> None:
    """Compose the samples as one batch, or read recorded tracks; write each one's audio, then its stack.

    A stack that exists therefore has its audio. A sample's tokens are the same in any batch; its states are
    the same up to rounding, and bit by bit in the same batch.

    Parameters
    ----------
    model : from `innerear.models.load_model`.
    samples : B (prompt, seed) pairs, all composed or all recorded; see `innerear.capture.recorded`.
    stacks, audio : B paths of each; audio as .wav (16-bit PCM). None where a sample only completes the batch.
    study : name, kept in the stacks.
    capture : ``layers`` (list, or ``"all"``) and ``dtype``; optionally ``sites`` (default: residual) and
        ``branches`` (default: both).
    generation : ``duration`` in seconds, and settings of `MusicModel.generate`: ``guidance``,
        ``temperature``, ``top_k``, ``top_p``, ``stride``, ``two_step``.
    rows, decoder : clips of each call of the model, filled up, and what runs it; see `MusicModel.generate`.
    code : fingerprint of the code that generates, kept in the stacks.

    Raises
    ------
    InputError: before generation, a layer, site, branch or duration that the model does not have; after it,
        a state that cannot be stored.
    """
    if not len(samples) == len(stacks) == len(audio):
        raise InputError(
            f"{len(samples)} samples, {len(stacks)} stacks and {len(audio)} audio files must match"
        )
    layers = resolve_layers(capture["layers"], model.n_layers)
    sites = check_sites(capture.get("sites", ["residual"]))
    branches = _check_branches(capture.get("branches", BRANCHES))
    settings = dict(generation)
    duration = settings.pop("duration")
    timeline = model.timeline(duration, stride=settings.get("stride", 0.6))
    modules = {site: model.modules(site) for site in [*sites, "input"]}
    texts = [sample.prompt.text for sample in samples]
    own: list[dict[str, Any]] = [{} for _ in samples]
    with record(modules, n_steps=timeline.n_steps, pre_norm=model.pre_norm, layers=layers) as recording:
        if samples[0].prompt.audio:
            made, own = encode_tracks(model, [sample.prompt for sample in samples], timeline)
            model.replay(made.codes, texts, timeline, observe=recording.run)
        else:
            with _progress(samples) as progress:
                made = model.generate(
                    texts,
                    [sample.seed for sample in samples],
                    duration,
                    rows=rows,
                    decoder=decoder,
                    observe=recording.run,
                    progress=progress,
                    **settings,
                )
    common = provenance(model, study, generation) | {"code": code, "decoder": made.decoder}
    two_branches = len(recording.branches) > 1 and settings.get("guidance", 1.0) is not None
    for i, (sample, stack_path, audio_path) in enumerate(zip(samples, stacks, audio, strict=True)):
        if stack_path is None or audio_path is None:
            continue
        clip = write_clip(audio_path, made.audio[i].numpy(), model.sample_rate)
        attrs = common | _identity(sample) | own[i] | {"rows": made.rows[i], "audio_sha256": clip}
        attrs["settings"] = sample_settings(sample, study=study, capture=capture, generation=generation)
        codes = made.codes[i].numpy()
        kept = [branch for branch in branches if branch in recording.branches]
        with StackWriter(stack_path, attrs, codes, timeline, kept, capture["dtype"]) as stack:
            write_states(stack, recording, i, sites)
            if model.has_cross_attention and two_branches:
                states, levels = recording.sample("input", 0, i)
                cond, uncond = (states.float() + levels[..., None]).numpy()
                stack.write_input_gap(np.abs(cond - uncond).max(axis=-1))


def write_states(stack: StackWriter, recording: Recording, sample: int, sites: Sequence[str]) -> None:
    """Write a sample's recorded states at these sites, in the stack's branches."""
    for site, layer in recording.places:
        if site in sites:
            states, levels = recording.sample(site, layer, sample, stack.branches)
            stack.write(site, layer, states.numpy(), levels.numpy())


def _check_branches(branches: Sequence[str]) -> list[str]:
    unknown = [branch for branch in branches if branch not in BRANCHES]
    if unknown or not branches:
        raise InputError(f"capture.branches: {list(branches)} is not within {', '.join(BRANCHES)}")
    return [branch for branch in BRANCHES if branch in branches]


@contextmanager
def _progress(samples: Sequence[Sample]):
    """Yield a progress callback: a bar on a terminal, or a line every few seconds in a log."""
    name = samples[0].id if len(samples) == 1 else f"{len(samples)} samples"
    interval = 0.2 if sys.stderr.isatty() else 5.0
    with tqdm(desc=name, unit="step", mininterval=interval, dynamic_ncols=True, leave=True) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report


def provenance(model: MusicModel, study: str, generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a study's stacks that do not depend on the sample."""
    return {
        "study": study,
        "model": model.name,
        "model_identity": model.identity(),
        "backend": type(model).__module__.rpartition(".")[2],
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "sample_rate": model.sample_rate,
        **{f"generation_{name}": value for name, value in generation.items()},
        "version_innerear": __version__,
        **{f"version_{package}": version(package) for package in _PACKAGES},
    }


def _identity(sample: Sample) -> dict[str, Any]:
    names = ("text", "template", "emotion", "valence", "arousal")
    return {
        "sample_id": sample.id,
        "prompt_id": sample.prompt.id,
        **{name: getattr(sample.prompt, name) for name in names},
        "seed": sample.seed,
    }
