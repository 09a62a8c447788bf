"""A generation job: what is there and whole stays, and what a killed job has finished is taken over."""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

from innerear.capture.generation import generate_samples, provenance
from innerear.errors import InputError
from innerear.io.clips import read_clip
from innerear.models import MusicModel
from innerear.stacks import Stack
from innerear.study.prompts import Sample, batches
from innerear.study.sample_settings import sample_settings


def generate_missing(
    model: MusicModel,
    samples: Sequence[Sample],
    stacks: Sequence[str | PathLike],
    audio: Sequence[str | PathLike],
    *,
    unfinished: str | PathLike,
    batch_size: int,
    study: str,
    capture: Mapping[str, Any],
    generation: Mapping[str, Any],
    decoder: str = "auto",
    code: str = "",
) -> list[str]:
    """Generate those samples of a job that are not there yet.

    The workflow removes the files of a job that failed. Until the job ends, each finished file therefore has
    a second name in a folder apart, by which the next attempt finds it.

    Parameters
    ----------
    samples, stacks, audio : of the job; see `generate_samples`.
    unfinished : the folder of second names.
    batch_size : clips at a time. Where the model computes in float16, each call has as many rows, filled up:
        another number would take another kernel, whose rounding may flip a token.
    decoder : what runs the model; see `MusicModel.generate`.
    code : fingerprint of the code that generates, kept in the stacks; a stack of other code is made again.

    Returns
    -------
    Ids of the samples that were made.
    """
    made_by = provenance(model, study, generation)
    same = {name: made_by[name] for name in ("model_identity", "backend", "dtype")} | {"code": code}
    settings = {"study": study, "capture": capture, "generation": generation}
    files = [Path(file) for pair in zip(audio, stacks, strict=True) for file in pair]  # a stack has its clip
    second = {file: Path(unfinished, file.parent.name, file.name) for file in files}
    _take_over(second)
    missing = [
        i
        for i, sample in enumerate(samples)
        if not _is_whole(stacks[i], audio[i], same | {"settings": sample_settings(sample, **settings)})
    ]
    if kept := len(samples) - len(missing):
        print(f"{kept} of {len(samples)} samples are there and whole, and stay", file=sys.stderr)
    rows = batch_size if str(model.dtype) == "torch.float16" else None
    for batch in batches(missing, batch_size):
        chosen, own_stacks, own_audio = ([one[i] for i in batch] for one in (samples, stacks, audio))
        how = {"rows": rows, "decoder": decoder, "code": code}
        generate_samples(model, chosen, own_stacks, own_audio, **how, **settings)
        for file in map(Path, [*own_audio, *own_stacks]):
            _name_again(file, second[file])
    _forget(second.values())
    return [samples[i].id for i in missing]


def _is_whole(stack: str | PathLike, clip: str | PathLike, wanted: Mapping[str, Any]) -> bool:
    """Return whether a stack says what is wanted, every value has its hash, and the clip is its own."""
    if not Path(stack).exists():
        return False
    try:
        with Stack(stack) as found:
            if any(found.attrs.get(name) != value for name, value in wanted.items()):
                return False
            for site, layer in found.places:
                found.read(layer, site)
                found.levels(layer, site)
            read_clip(clip, found.attrs["audio_sha256"])
    except InputError as error:
        print(f"made again: {error}", file=sys.stderr)
        return False
    return True


def _take_over(second: Mapping[Path, Path]) -> None:
    """Give files that an earlier attempt has finished their names, where the workflow has removed them."""
    for file, other in second.items():
        if other.exists() and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            os.replace(other, file)
    _forget(second.values())


def _name_again(file: Path, other: Path) -> None:
    other.parent.mkdir(parents=True, exist_ok=True)
    other.unlink(missing_ok=True)
    try:
        os.link(file, other)
    except OSError:  # a file system without hard links
        shutil.copy2(file, other)


def _forget(others: Iterable[Path]) -> None:
    """Remove second names, and the folders that this leaves empty."""
    for other in others:
        other.unlink(missing_ok=True)
        for folder in other.parents[:2]:
            with suppress(OSError):
                folder.rmdir()
