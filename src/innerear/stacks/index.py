"""The table of all samples, which links N stacks with the jobs of layers."""

import hashlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from innerear.errors import InputError
from innerear.io.hdf5_reader import Reader
from innerear.io.names import remake
from innerear.stacks.stack import Stack
from innerear.study.prompts import Prompt
from innerear.study.recorded import refuse_dependent
from innerear.study.sample_settings import differences
from innerear.timeline import Timeline

COLUMNS = (
    *("sample_id", "prompt_id", "template", "emotion", "valence", "arousal", "text", "seed", "model"),
    *("model_identity", "stack", "audio", "n_steps", "n_frames", "tokens_sha256", "content_sha256"),
    *("audio_sha256", "recording"),
)


def sample_table(
    stacks: Sequence[str | PathLike],
    audio: str | PathLike,
    labels: Mapping[str, Mapping[str, str | float]] | None = None,
    settings: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return a row per sample, from the attributes of its stack, in the order given.

    Parameters
    ----------
    stacks : the N samples' files.
    audio : the folder of their clips, ``{sample_id}.wav``.
    labels : further columns: name → prompt id → value. They are not in the stacks: a new question needs no
        new clips.
    settings : sample id → `innerear.study.sample_settings.sample_settings`, of all samples of the study.

    Returns
    -------
    Table with the columns `COLUMNS`, then those of `labels`. `content_sha256` is the hash of tokens and
    states: the table changes with a stack's content. `audio_sha256` is that of the clip, as it was written.
    `recording` is the name of a recorded track's file; empty for a clip that was composed.

    Raises
    ------
    InputError: a broken stack, a stack without its clip, one that was made with other settings than the
        study's or is of another sample, samples of different models or weights, or one track under two names
        or in copies of its file.
    """
    rows = []
    for path in tqdm(stacks, desc="index", unit="stack"):
        with Stack(path) as stack:
            if settings is not None:
                _require_settings(stack, settings)
            clip = Path(audio, f"{stack.attrs.text('sample_id')}.wav")
            stack.attrs.text("audio_sha256")
            rows.append({"recording": "", **stack.attrs, "stack": str(path), "audio": str(clip)})
        if not clip.exists():
            raise InputError(f"{path} has no clip {clip}; {remake(clip)}")
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    _refuse_two_models(table)
    _refuse_one_track_twice(table)
    twice = table.loc[table["sample_id"].duplicated(), "stack"]
    if len(twice):
        raise InputError(f"{twice.iloc[0]} is a second stack of one sample; remove one of the two")
    _refuse_equal_files([row for row in rows if row["recording"]], labels or {})
    return table.assign(
        **{name: [of[prompt] for prompt in table["prompt_id"]] for name, of in (labels or {}).items()}
    )


def first_stack(samples: pd.DataFrame) -> Stack:
    """Open the stack of an index's first sample, for what all stacks of a study have in common.

    Raises
    ------
    InputError: as `Stack`; it is not the one that the index lists.
    """
    return Stack(samples["stack"].tolist()[0], content=samples["content_sha256"].tolist()[0])


def read_codes(samples: pd.DataFrame) -> tuple[np.ndarray, Timeline]:
    """Return the tokens of all samples of an index, int16 [N, K, T], and their one timeline.

    Raises
    ------
    InputError: a stack that is broken or not the one that the index lists; clips of different lengths.
    """
    found, timelines = [], []
    for path, content in zip(samples["stack"], samples["content_sha256"], strict=True):
        with Stack(path, content=content) as stack:
            found.append(stack.codes)
            timelines.append(stack.timeline)
        if timelines[-1] != timelines[0]:
            raise InputError(
                f"{path} has another timeline than {samples['stack'].tolist()[0]}: clips of one study are of "
                f"one length; {remake(path)}"
            )
    return np.stack(found), timelines[0]


def stacks_hash(samples: pd.DataFrame) -> str:
    """Return the hash of samples and their stacks' contents, in order; files made of them keep it."""
    columns = (samples[name].tolist() for name in ("sample_id", "content_sha256"))
    lines = (f"{sample}\t{content}\n" for sample, content in zip(*columns, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def require_stacks(file: Reader, samples: pd.DataFrame) -> None:
    """Refuse a file that was made of other samples or stacks than those of an index.

    Raises
    ------
    InputError: the file, and the command that remakes it.
    """
    if file.attrs["stacks_sha256"] != stacks_hash(samples):
        raise InputError(
            f"{file.path} was made of other stacks than the study's index lists: of another study, or of an "
            f"earlier version; {remake(file.target)}"
        )


def _require_settings(stack: Stack, settings: Mapping[str, str]) -> None:
    sample = f"{stack.path.parent.name}/{stack.path.stem}"
    found = stack.attrs.text("sample_id")
    if found != sample or sample not in settings:
        raise InputError(f"{stack.path} holds the sample {found!r}, not {sample!r}; {remake(stack.path)}")
    with stack.understood("settings"):
        differ = differences(stack.attrs.text("settings"), settings[sample])
    if differ:
        some = "; ".join(differ[:3]) + (f"; and {len(differ) - 3} more" if len(differ) > 3 else "")
        raise InputError(
            f"{stack.path} was made with other settings than the study's: {some}; {remake(stack.path)}"
        )


def _refuse_one_track_twice(table: pd.DataFrame) -> None:
    tracks = table[table["recording"] != ""]
    first: dict[str, str] = {}
    for tokens, name in zip(tracks["tokens_sha256"], tracks["prompt_id"], strict=True):
        other = first.setdefault(tokens, name)
        if other != name:
            raise InputError(
                f"the recorded tracks {other!r} and {name!r} are the same sound, and would count as "
                "independent; remove one from the sheet"
            )


def _refuse_equal_files(rows: Sequence[Mapping], labels: Mapping[str, Mapping[str, str | float]]) -> None:
    """Compare tracks by the hashes of their files; the dry run, which does not read these, by their paths."""
    tracks = []
    for row in rows:
        about = [row[name] for name in ("prompt_id", "text", "template", "emotion")]
        label = ", ".join(str(own[row["prompt_id"]]) for own in labels.values()) or None
        place = {"audio": row["recording"], "audio_start": row["recording_start"]}
        tracks.append(Prompt(*about, label=label, **place))
    seconds = min((row["n_frames"] / row["frame_rate"] for row in rows), default=0.0)
    refuse_dependent(tracks, [row["recording_sha256"] for row in rows], seconds, "the recorded tracks ")


def _refuse_two_models(table: pd.DataFrame) -> None:
    made = table["model"].astype(str) + " (" + table["model_identity"].astype(str) + ")"
    models = dict(zip(made, table["stack"], strict=True))
    if len(models) > 1:
        both = " and ".join(f"{stack} by {model}" for model, stack in models.items())
        raise InputError(
            f"one study is one model, but {both} were made: remove the stacks of the other model"
        )
