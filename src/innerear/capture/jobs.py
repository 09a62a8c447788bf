"""A generation job: keep samples that are finished and whole, also those of a killed job; make the rest."""

import sys
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from innerear.capture.generation import generate_samples, provenance
from innerear.errors import InputError
from innerear.io.clips import read_clip
from innerear.io.names import without_remedy
from innerear.io.recordings import recording_hash
from innerear.io.second_names import name_also, paths_apart
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

    The workflow removes the files of a job that failed or was stopped, also those that are whole. Each file
    is therefore made in a folder apart, and its place among the results is a second name of it. The folder
    keeps its names until the workflow has taken note of the job; see `forget_finished`. A missing sample is
    composed with the neighbours that it had, on which the rounding of its states depends.

    Parameters
    ----------
    samples, stacks, audio : of the job; see `generate_samples`.
    unfinished : the folder apart.
    batch_size : clips at a time. Where the model computes in float16, each call has as many rows, filled up:
        another number would take another kernel, whose rounding may flip a token.
    decoder : what runs the model; see `MusicModel.generate`.
    code : fingerprint of the code that generates, kept in the stacks; a stack of other code is made again.

    The last line that it prints counts the clips that it composed: estimates of time are made of it.

    Returns
    -------
    Ids of the samples that were made.
    """
    made_by = provenance(model, study, generation)
    same = {name: made_by[name] for name in ("model_identity", "backend", "dtype")} | {"code": code}
    settings = {"study": study, "capture": capture, "generation": generation}
    own_stacks, own_audio = (paths_apart(files, unfinished) for files in (stacks, audio))
    pairs = list(zip([*own_audio, *own_stacks], [*audio, *stacks], strict=True))
    for own, file in pairs:
        if not own.exists() and Path(file).exists():
            name_also(file, own)
    wanted = [
        same | {"settings": sample_settings(sample, **settings)} | _file_of(sample) for sample in samples
    ]
    missing = {i for i, want in enumerate(wanted) if not _is_whole(own_stacks[i], own_audio[i], want)}
    if kept := len(samples) - len(missing):
        print(f"{kept} of {len(samples)} samples are there and whole, and stay", file=sys.stderr)
    rows = batch_size if same["dtype"] == "float16" else None
    composed, recorded = (
        [i for i, sample in enumerate(samples) if bool(sample.prompt.audio) is kind] for kind in (False, True)
    )
    every = (*batches(composed, batch_size), *batches(recorded, batch_size))
    due = [batch for batch in every if missing.intersection(batch)]
    for batch in due:
        paths = ([one[i] if i in missing else None for i in batch] for one in (own_stacks, own_audio))
        batch_samples, how = [samples[i] for i in batch], {"rows": rows, "decoder": decoder, "code": code}
        generate_samples(model, batch_samples, *paths, **how, **settings)
    for own, file in pairs:
        name_also(own, file)
    print(f"made {sum(map(len, due))} clips", file=sys.stderr)
    return [samples[i].id for i in sorted(missing)]


def _file_of(sample: Sample) -> dict[str, str]:
    """Return what a recorded sample's stack must say of its file; nothing of a composed one."""
    audio = sample.prompt.audio
    return {"recording_sha256": recording_hash(audio)} if audio else {}


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
        print(f"made again: {without_remedy(error)}", file=sys.stderr)
        return False
    return True
