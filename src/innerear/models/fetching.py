"""Bring a model's weights into the cache, once: language model, codec and text encoder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from innerear.errors import InputError
from innerear.io.files import atomic
from innerear.models.conditioners import OWN_T5
from innerear.models.hub import (
    ENCODEC,
    MUSICGEN,
    TEXT_ENCODER,
    TRANSFORMERS,
    Needed,
    Snapshot,
    download,
    files_of,
    licence,
)
from innerear.models.loading import checkpoint_directory, codec_repository, refuse_family
from innerear.models.packages import configuration, read_package
from innerear.study.architectures import CODEC, HUB_MODELS, LANGUAGE_MODEL, hub_id
from innerear.study.estimate import bytes_text


@dataclass(frozen=True)
class Fetched:
    """A hub repository in the cache, for one part of a model."""

    part: str  #: model, text encoder or codec
    repo: str
    revision: str  #: commit
    n_bytes: int
    licence: str


def nano_directory() -> Path:
    """Return the folder of the embedded model, in the repository.

    Raises
    ------
    InputError: the package was installed without the repository.
    """
    directory = Path(__file__).parents[3] / "resources" / "nano"
    if not directory.is_dir():
        raise InputError(f"model 'nano': {directory} does not exist; install innerear from a clone with -e")
    return directory


def fetch(name: str, revision: str | None = None, backend: str = "audiocraft") -> list[Fetched]:
    """Bring what a model needs from the hub into the cache; what lies there already is not fetched again.

    Parameters
    ----------
    name : hub id, or a checkpoint directory, whose text encoder and codec may be the hub's; nano needs none.
    revision : of a hub model: commit, branch or tag; by default main.
    backend : ``"audiocraft"``, or ``"transformers"``, whose layout holds all parts in one repository.

    Raises
    ------
    InputError: an unknown name, a family that does not run, or something that cannot be fetched.
    """
    found = []
    full = hub_id(name)
    if full and backend == "transformers":
        return [_fetched("model", download(full, TRANSFORMERS, revision), TRANSFORMERS)]
    if full:
        snapshot = download(full, MUSICGEN, revision)
        found.append(_fetched("model", snapshot, MUSICGEN))
        directory = snapshot.folder
    elif revision:
        raise InputError(f"--revision {revision}: {name!r} is no model of the hub")
    elif backend == "transformers":
        return []
    elif name == "nano" or Path(name).is_dir():
        directory = checkpoint_directory(nano_directory() if name == "nano" else Path(name), {})
    else:
        raise InputError(f"{name!r} is no model of the hub and no directory; use {', '.join(HUB_MODELS)}")
    for part, repo, needed in _repositories(directory):
        found.append(_fetched(part, download(repo, needed), needed))
    return found


def _repositories(directory: Path) -> list[tuple[str, str, Needed]]:
    """Return the parts of a checkpoint that lie in other repositories of the hub."""
    path = directory / LANGUAGE_MODEL
    cfg = configuration(read_package(path, mmap=True), path)
    refuse_family(cfg, path)
    conditioners: Any = cfg.get("conditioners") or {}
    names = [one["t5"]["name"] for one in conditioners.values() if isinstance(one, Mapping) and "t5" in one]
    needed: list[tuple[str, str, Needed]] = [
        ("text encoder", name, TEXT_ENCODER) for name in dict.fromkeys(names) if name != OWN_T5
    ]
    codec = read_package(directory / CODEC, mmap=True)
    if "pretrained" in codec:
        needed.append(("codec", codec_repository(codec["pretrained"], directory / CODEC), ENCODEC))
    return needed


def _fetched(part: str, snapshot: Snapshot, needed: Needed) -> Fetched:
    n_bytes = sum(path.stat().st_size for path in files_of(snapshot.folder, needed))
    return Fetched(part, snapshot.repo, snapshot.revision, n_bytes, licence(snapshot.repo))


def describe(found: list[Fetched]) -> str:
    """Return a line for each part: repository, revision, size and licence."""
    if not found:
        return "nothing to fetch: the model is complete"
    return "\n".join(
        f"{one.part:13} {one.repo} at {one.revision}: {bytes_text(one.n_bytes)}, {one.licence}"
        for one in found
    )


def write_pins(found: list[Fetched], path: str | PathLike) -> None:
    """Write the revisions, for `read_pins`."""
    with atomic(path) as temporary:
        text = json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False)
        Path(temporary).write_text(f"{text}\n", encoding="utf-8")


def read_pins(path: str | PathLike) -> dict[str, str]:
    """Return the revisions that `write_pins` wrote, by repository.

    Raises
    ------
    InputError: no such file, or one of another kind.
    """
    try:
        return {one["repo"]: one["revision"] for one in json.loads(Path(path).read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} does not hold the revisions of a model ({reason}); write it with "
            "python -m innerear fetch MODEL --output FILE"
        ) from None
