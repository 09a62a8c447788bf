"""The table of all samples, which links N stacks with the jobs per layer."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from innerear.errors import InputError
from innerear.io.names import remake
from innerear.stacks.stack import Stack

COLUMNS = (
    *("sample_id", "prompt_id", "template", "emotion", "valence", "arousal", "text", "seed"),
    *("model", "model_identity", "stack", "audio", "n_steps", "n_frames", "tokens_sha256", "content_sha256"),
)


def sample_table(
    stacks: Sequence[str | PathLike],
    audio: str | PathLike,
    labels: Mapping[str, Mapping[str, str | float]] | None = None,
) -> pd.DataFrame:
    """Return a row per sample, from the attributes of its stack, in the order given.

    Parameters
    ----------
    stacks : the N samples' files.
    audio : the folder of their clips, ``{sample_id}.wav``.
    labels : further columns: name → prompt id → value. They are not in the stacks: a new question needs no
        new clips.

    Returns
    -------
    Table with the columns `COLUMNS`, then those of `labels`. `content_sha256` is the hash of tokens and
    states: the table changes with a stack's content.

    Raises
    ------
    InputError: a broken stack, a stack without its clip, or samples of different models or weights.
    """
    rows = []
    for path in tqdm(stacks, desc="index", unit="stack"):
        with Stack(path) as stack:
            clip = Path(audio, f"{stack.attrs['sample_id']}.wav")
            rows.append({**stack.attrs, "stack": str(path), "audio": str(clip)})
        if not clip.exists():
            raise InputError(f"{path} has no clip {clip}; {remake(clip)}")
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    _refuse_two_models(table)
    return table.assign(
        **{name: [of[prompt] for prompt in table["prompt_id"]] for name, of in (labels or {}).items()}
    )


def _refuse_two_models(table: pd.DataFrame) -> None:
    made = table["model"].astype(str) + " (" + table["model_identity"].astype(str) + ")"
    models = dict(zip(made, table["stack"], strict=True))
    if len(models) > 1:
        both = " and ".join(f"{stack} by {model}" for model, stack in models.items())
        raise InputError(
            f"one study is one model, but {both} were made: remove the stacks of the other model"
        )
