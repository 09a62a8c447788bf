"""Weights of the Hugging Face hub: read from the cache by every job, brought there once by `download`.

Only `download` uses the network.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from innerear.errors import InputError
from innerear.io.machine import cannot
from innerear.study.architectures import CODEC, LANGUAGE_MODEL

#: Files that are needed; of each group one.
Needed = tuple[tuple[str, ...], ...]

MUSICGEN: Needed = ((LANGUAGE_MODEL,), (CODEC,))
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
TEXT_ENCODER: Needed = (("config.json",), ("spiece.model",), _WEIGHTS)
#: A MusicGen in the transformers library's layout; large ones are cut into pieces that the index names.
_INDEX, _PIECES = "model.safetensors.index.json", "model-*-of-*.safetensors"
TRANSFORMERS: Needed = (("config.json",), ("spiece.model", "tokenizer.json"), (_WEIGHTS[0], _INDEX))
ENCODEC: Needed = (("config.json",), _WEIGHTS)
# Files that are read where there are any.
_OPTIONAL = {
    TEXT_ENCODER: ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    TRANSFORMERS: ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json"),
}

# The hub's other names of text encoders, under which other programs may have fetched them.
_OTHER_NAMES = {f"t5-{size}": f"google-t5/t5-{size}" for size in ("small", "base", "large", "3b", "11b")}

_LICENCES = {
    "facebook/musicgen": "CC-BY-NC 4.0",
    "facebook/audiogen": "CC-BY-NC 4.0",
    "facebook/encodec_32khz": "CC-BY-NC 4.0",
    "t5-": "Apache-2.0",
    "google-t5/": "Apache-2.0",
    "google/flan-t5": "Apache-2.0",
}


class Snapshot(NamedTuple):
    """One revision of a hub repository in the cache."""

    repo: str
    revision: str  #: commit
    folder: Path


def licence(repo: str) -> str:
    """Return the licence of a repository's weights, or where it is stated."""
    known = (name for start, name in _LICENCES.items() if repo.startswith(start))
    return next(known, f"see https://huggingface.co/{repo}")


def files_of(folder: Path, needed: Needed) -> list[Path]:
    """Return the files of a folder that are read: the first of each group, and optional ones."""
    first = [next((name for name in group if (folder / name).is_file()), None) for group in needed]
    names = [*first, *_OPTIONAL.get(needed, ())]
    pieces = sorted(folder.glob(_PIECES)) if _INDEX in first else []
    return [*(folder / name for name in names if name and (folder / name).is_file()), *pieces]


def cached(repo: str, needed: Needed, revision: str | None = None) -> Snapshot | None:
    """Return a snapshot in the cache, None if it or one of its files is not there. Uses no network.

    Parameters
    ----------
    revision : commit, branch or tag; by default the branch main as it was when it was fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for name in (repo, _OTHER_NAMES.get(repo)):
        if name is None:
            continue
        try:
            found = snapshot_download(
                name, revision=revision, cache_dir=_cache(needed), local_files_only=True
            )
        except (LocalEntryNotFoundError, ValueError, IsADirectoryError, NotADirectoryError):
            continue
        folder = Path(found)
        if not _missing(folder, needed):
            return Snapshot(repo, folder.name, folder)
    return None


def require_cached(
    repo: str, needed: Needed, what: str, model: str, revisions: Mapping[str, str | None]
) -> Snapshot:
    """Return a snapshot in the cache.

    Parameters
    ----------
    what : the repository is, for the message: the text encoder, the codec …
    model : name of the model for the message, as `python -m innerear fetch` takes it.
    revisions : by repository; see `cached`.

    Raises
    ------
    InputError: what is missing, and the command that fetches it.
    """
    revision = revisions.get(repo)
    found = cached(repo, needed, revision)
    if found is None:
        at = f" at revision {revision}" if revision else ""
        command = f"python -m innerear fetch {model}"
        command += f" --revision {revision}" if revision and repo == model else ""
        raise InputError(
            f"{what} {repo}{at} is not in the cache ({_cache(needed) or _default_cache()}), and jobs run "
            f"without the hub; fetch it once, on a machine with a network: {command}"
        )
    return found


def download(repo: str, needed: Needed, revision: str | None = None) -> Snapshot:
    """Return a snapshot from the cache, or bring it there.

    Raises
    ------
    InputError: no such repository, revision or file, or no connection.
    """
    found = cached(repo, needed, revision)
    if found:
        return found
    from huggingface_hub import snapshot_download

    for choice in range(max(map(len, needed))):
        names = [group[min(choice, len(group) - 1)] for group in needed]
        names += [*_OPTIONAL.get(needed, ()), *([_PIECES] if _INDEX in names else [])]
        try:
            snapshot_download(repo, revision=revision, cache_dir=_cache(needed), allow_patterns=names)
        except (OSError, ValueError) as error:
            if said := cannot("written", _cache(needed) or _default_cache(), error):
                raise InputError(
                    f"{repo} could not be fetched: {said}. HF_HOME names another folder for the cache"
                ) from None
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"{repo} could not be fetched: {reason}. Check the id, the revision "
                f"({revision or 'main'}) and the connection"
            ) from None
        found = cached(repo, needed, revision)
        if found:
            return found
    lacking = ", ".join(" or ".join(group) for group in needed)
    raise InputError(f"{repo} at revision {revision or 'main'} does not have all of {lacking}")


def _missing(folder: Path, needed: Needed) -> list[str]:
    return [" or ".join(group) for group in needed if not any((folder / one).is_file() for one in group)]


def _cache(needed: Needed) -> str | None:
    """Return audiocraft's own cache where it is set; None for the hub's."""
    return os.environ.get("AUDIOCRAFT_CACHE_DIR") if needed == MUSICGEN else None


def _default_cache() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE
