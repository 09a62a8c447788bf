"""Recorded tracks as samples: encoded by the model's codec, and kept as the codec decodes them.

The model reads tokens, so what it has of a track is the codec's decoding. This is the clip that is kept,
measured and played, like a composed one's; the file itself stays where it is, and is named by its hash.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from innerear.errors import InputError
from innerear.io.recordings import read_recording
from innerear.models import MusicModel
from innerear.models.base import Generation
from innerear.study.prompts import Prompt
from innerear.timeline import Timeline

#: what a stack names as the decoder of tokens that no language model drew
ENCODED = "codec"


def encode_tracks(
    model: MusicModel, tracks: Sequence[Prompt], timeline: Timeline
) -> tuple[Generation, list[dict[str, Any]]]:
    """Encode the beginning of each track, from its `audio_start`; all frames of a timeline.

    Each is resampled, mixed as the codec wants it, and encoded by itself: its tokens depend on no other.

    Returns
    -------
    Tokens, decoded audio, and what each stack says of its file: name, sha256, first second, and samples per
    second.

    Raises
    ------
    InputError: a file that cannot be used; see `read_recording`.
    """
    codes, said = [], []
    for track in tracks:
        own, about = encode_track(model, track.audio, track.audio_start, timeline)
        codes.append(own)
        said.append(about)
    tokens = torch.stack(codes)
    return Generation(tokens, model.decode(tokens), (1,) * len(tokens), ENCODED), said


def encode_track(
    model: MusicModel, path: str, start: float, timeline: Timeline
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Return the tokens int64 [K, T] of a part of a file, and what a stack says of it.

    The part begins at second `start`, and is as long as the timeline's clip.

    Raises
    ------
    InputError: a file that cannot be read, ends too soon, or whose sound the codec does not take.
    """
    excerpt = read_recording(path, start, timeline.n_frames / timeline.frame_rate)
    try:
        codes = model.encode(torch.from_numpy(excerpt.wave)[None], excerpt.rate)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    about = {
        "recording": Path(path).name,
        "recording_sha256": excerpt.sha256,
        "recording_start": start,
        "recording_rate": excerpt.rate,
    }
    # The codec fills its last frame up, if rounding leaves a sample more.
    return codes[0, :, : timeline.n_frames], about
